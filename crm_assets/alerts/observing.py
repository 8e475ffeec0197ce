"""What a finished run tells: which checks failed or are right again, why it failed, and who is champion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from crm_assets.alerts.alert import Alert, Cleared, Kind, Link, Observation, Severity

MONTH_AT_FAULT = "month_at_fault"
"""Figure of a failed check: the newest month at fault, which in a run over a range need not be its last."""

_JOBS_OF_ALL = frozenset({"monthly", "backfill"})
_ENDED_FROM_OUTSIDE = "marked as failed from outside"
_FIGURES = 8
_LONGEST_FIGURE = 60
_LONGEST_ERROR_LINES = 6
_PASSED_OVER = frozenset({"months", "earlier_months_at_fault", MONTH_AT_FAULT})


@dataclass(frozen=True)
class CheckResult:
    """How a check came out in a run.

    Attributes:
        asset: name of the asset.
        name: name of the check.
        passed: whether it passed.
        severe: whether a failure is an error, and not only a warning.
        blocking: whether a failure stops the run.
        description: what it found.
        figures: further facts, by name.
    """

    asset: str
    name: str
    passed: bool
    severe: bool
    blocking: bool
    description: str
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """A step that failed.

    Attributes:
        step: its key; empty where the run failed outside of any.
        error: what was raised.
        asset: the asset it makes; None where it makes none.
        check: asset and name of the check it evaluates; None where it evaluates none.
    """

    step: str
    error: str
    asset: str | None = None
    check: tuple[str, str] | None = None


@dataclass(frozen=True)
class FinishedRun:
    """A run that ended, by success or failure, or because a person ended it.

    Attributes:
        run_id: Dagster's id.
        job: name of the job.
        succeeded: whether every step did.
        ended_at: when.
        months: the months it was asked for, YYYY-MM, in order; empty where it was asked for none.
        checks: evaluated in it.
        made: asset -> months that were made.
        decisions: month -> notes of `win_model`, as they are in the lake.
        reports: asset and month -> place of its report.
        faults: steps that failed, in order.
        canceled: whether a person ended it, who need not be told.
    """

    run_id: str
    job: str
    succeeded: bool
    ended_at: datetime
    months: tuple[str, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    made: Mapping[str, frozenset[str]] = field(default_factory=dict)
    decisions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    reports: Mapping[tuple[str, str], str] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    canceled: bool = False

    @property
    def last(self) -> str | None:
        """The newest month it was asked for."""
        return self.months[-1] if self.months else None


@dataclass(frozen=True)
class Pages:
    """Addresses of Dagster's pages.

    Attributes:
        base: address of the web server.
    """

    base: str

    def run(self, run_id: str) -> str:
        """A run's page."""
        return f"{self._base}/runs/{run_id}"

    def check(self, asset: str, name: str) -> str:
        """A check's page."""
        return f"{self._asset(asset)}?view=checks&checkDetail={quote(name)}"

    def month(self, asset: str, month: str) -> str:
        """The page of a month of an asset."""
        return f"{self._asset(asset)}?view=partitions&partition={quote(month)}"

    def sensor(self, location: str, repository: str, name: str) -> str:
        """A sensor's page."""
        return f"{self._base}/locations/{quote(f'{repository}@{location}')}/sensors/{quote(name)}"

    @property
    def assets(self) -> str:
        """The page of all assets."""
        return f"{self._base}/assets"

    @property
    def _base(self) -> str:
        return self.base.rstrip("/")

    def _asset(self, asset: str) -> str:
        return f"{self.assets}/{quote(asset)}"


def observations(run: FinishedRun, pages: Pages) -> list[Observation]:
    """All that is to be told of a run; whether it is sent is decided by `fold`."""
    return [*_checks(run, pages), *_made(run), *_failures(run, pages), *_decisions(run, pages)]


def _checks(run: FinishedRun, pages: Pages) -> Iterator[Observation]:
    for check in run.checks:
        key = f"check {check.asset}:{check.name}"
        if check.passed:
            yield Cleared(key, run.ended_at, run.last)
            continue
        stopped = "It stopped the run." if check.blocking and not run.succeeded else ""
        figures = _told(check.figures)
        month = str(check.figures.get(MONTH_AT_FAULT) or run.last or "") or None
        yield Alert(
            key=key,
            kind=Kind.FAILED_CHECK,
            severity=Severity.ERROR if check.severe else Severity.WARNING,
            what=f"Check {check.name} of {check.asset} failed",
            where=check.asset,
            at=run.ended_at,
            month=month,
            how_bad="\n".join(filter(None, (check.description, figures, stopped))),
            links=(
                Link("Dagster", pages.check(check.asset, check.name)),
                Link("Run", pages.run(run.run_id)),
                *_report(run, check.asset, month),
            ),
        )


def _made(run: FinishedRun) -> Iterator[Observation]:
    """What a run made is made, also where a later step of it failed."""
    for asset, months in run.made.items():
        for month in sorted(months):
            yield Cleared(_run_key(asset, month), run.ended_at, month)
    if run.succeeded:
        yield Cleared(_job_key(run.job), run.ended_at, run.last)


def _failures(run: FinishedRun, pages: Pages) -> Iterator[Observation]:
    if run.succeeded or run.canceled:
        return
    failed_checks = {(check.asset, check.name) for check in run.checks if not check.passed}
    # A blocking check that failed was told already, and why the run failed with it.
    faults = [fault for fault in run.faults if fault.check not in failed_checks]
    if not faults and failed_checks:
        return
    told = [fault for fault in faults if fault.asset or fault.check]
    # Of steps that make no asset, and of a run that failed outside of any, there is one alert: that of the job.
    others = [fault for fault in faults if fault not in told]
    if not faults:
        others = [Fault("", "it failed without an error: see its page in Dagster")]
    for fault in told:
        yield _failure(run, fault, "", pages)
    if others:
        more = f"\nand {len(others) - 1} more steps failed" if len(others) > 1 else ""
        yield _failure(run, others[0], more, pages)


def _failure(run: FinishedRun, fault: Fault, more: str, pages: Pages) -> Alert:
    month = _month_of(run, fault)
    if fault.check:
        asset, name = fault.check
        key, kind, where = f"check {asset}:{name}", Kind.FAILED_CHECK, asset
        what = f"Check {name} of {asset} could not be evaluated"
    elif fault.asset:
        key, kind, where = _run_key(fault.asset, month), Kind.FAILED_RUN, fault.asset
        what = f"{fault.asset} could not be made"
    else:
        key, kind, where, what = _job_key(run.job), Kind.FAILED_RUN, f"job {run.job}", f"Job {run.job} failed"
    step = f", step {fault.step}" if fault.step and not fault.asset else ""
    return Alert(
        key=key,
        kind=kind,
        severity=Severity.ERROR,
        what=what,
        where=f"{where}{step}" if where.startswith("job ") else f"{where}{step}, job {run.job}",
        at=run.ended_at,
        month=month,
        how_bad=_first_lines(_explained(fault.error, run.months)) + more,
        links=(Link("Dagster", pages.run(run.run_id)),),
    )


def _explained(error: str, months: tuple[str, ...]) -> str:
    """What Dagster says of a run whose process is gone names neither cause nor remedy."""
    if _ENDED_FROM_OUTSIDE not in error:
        return error
    wanted = f" --months {months[0]}:{months[-1]}" if months else ""
    return f"its process ended before it did, killed or out of memory: `crm-assets run{wanted}` makes what is missing"


def _month_of(run: FinishedRun, fault: Fault) -> str | None:
    """The month that failed: assets make their months in order, so it is the first that was not made."""
    made = run.made.get(fault.asset or "", frozenset())
    return next((month for month in run.months if month not in made), run.last) if fault.asset else run.last


def _decisions(run: FinishedRun, pages: Pages) -> Iterator[Observation]:
    """The newest month's decision; and of a range the newest promotion, which changed who is champion."""
    trained = [month for month in sorted(run.decisions) if run.decisions[month].get("model_version")]
    promoted = [month for month in trained if run.decisions[month].get("promoted")]
    newest = max(run.decisions, default=None)
    for month in sorted({*promoted[-1:], *(month for month in trained[-1:] if month == newest)}):
        yield _decision(run, month, pages)


def _decision(run: FinishedRun, month: str, pages: Pages) -> Alert:
    notes = run.decisions[month]
    version, became = notes["model_version"], bool(notes.get("promoted"))
    champion = notes.get("champion_version")
    stays = f"Version {champion} of {notes.get('champion_month')} stays champion." if champion and not became else ""
    retrained = f"It was trained anew, because {notes['retrained_for']}." if notes.get("retrained_for") else ""
    figures = {name: notes[name] for name in ("brier", "base_rate_brier", "auc") if notes.get(name) is not None}
    did = "became champion" if became else "did not become champion"
    return Alert(
        # Told once more when a retrain comes to the same: people know of its cause and wait for its outcome.
        key=f"{'promotion' if became else 'refusal'} {month} version {version}{' anew' if retrained else ''}",
        kind=Kind.PROMOTION if became else Kind.REFUSAL,
        severity=Severity.INFO,
        what=f"Model version {version} ({notes.get('candidate')}) of {month} {did}",
        where="win_model",
        at=run.ended_at,
        month=month,
        how_bad="\n".join(filter(None, (str(notes.get("reason") or ""), stays, retrained, _told(figures)))),
        links=(
            Link("Dagster", pages.month("win_model", month)),
            Link("Run", pages.run(run.run_id)),
            *_report(run, "model_card", month),
        ),
    )


def _run_key(asset: str, month: str | None) -> str:
    return f"run {asset} {month}"


def _job_key(job: str) -> str:
    # What makes every asset of a month repairs what another that does so has left undone.
    return "job of all assets" if job in _JOBS_OF_ALL else f"job {job}"


def _report(run: FinishedRun, asset: str, month: str | None) -> tuple[Link, ...]:
    place = run.reports.get((asset, month or ""))
    return (Link("Report", place),) if place else ()


def _told(figures: Mapping[str, Any]) -> str:
    shown: list[str] = []
    for name, value in figures.items():
        if name in _PASSED_OVER or value in (None, "") or not isinstance(value, str | int | float):
            continue
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        if len(text) <= _LONGEST_FIGURE and "\n" not in text:
            shown.append(f"{name.replace('_', ' ')} {text}")
    return ", ".join(shown[:_FIGURES])


def _first_lines(error: str) -> str:
    lines = [line.rstrip() for line in error.strip().splitlines() if line.strip()]
    more = ["..."] if len(lines) > _LONGEST_ERROR_LINES else []
    return "\n".join([*lines[:_LONGEST_ERROR_LINES], *more])
