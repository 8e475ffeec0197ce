"""Quarantine, snapshots, daily closings and features per engine and scale, next to pandas."""

from __future__ import annotations

import itertools
import json
import os
import platform
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import click
from rich.console import Console
from rich.table import Table

from crm_assets.engines import choose_engine
from crm_assets.settings import Settings
from crm_assets_tests.benchmarks.case import OURS, PANDAS
from crm_assets_tests.benchmarks.process import ROOT, listen

Span = Literal["newest", "all"]

RESULTS = ROOT / "bench" / "table_engines.json"
AIM_SECONDS, AIM_MEGABYTES, AIM_ROWS = 20, 3000, 8_800_000
"""The newest month of so many opportunities, within so much time and memory."""
AIM_RATIO, AIM_RATIO_ROWS = 3.0, 880_000
"""So many times as fast as pandas, from so many opportunities on."""
ROUNDS, ROUNDS_BELOW = 3, 1_000_000
"""Cases below so many rows run so often, and their fastest run counts: other processes only ever add time."""


@dataclass(frozen=True)
class Case:
    """One engine on one scale.

    Attributes:
        opportunities: of the simulated CRM.
        span: its newest month, or all of its months one after another.
        engine: name.
        rows: of `sales_pipeline`, over the months made.
        months: made and wanted; fewer were made than wanted if it was stopped.
        seconds, cpu_seconds: without starting Python and imports; of the months made.
        peak_megabytes: most memory of its process, Python and libraries included.
        others: processors that everything else on the machine kept busy meanwhile; None where the system does not say.
        ended: `done`, or why not.
    """

    opportunities: int
    span: Span
    engine: str
    rows: int
    months: tuple[int, int]
    seconds: float
    cpu_seconds: float
    peak_megabytes: float
    others: float | None
    ended: str

    @property
    def done(self) -> bool:
        return self.ended == "done"


@dataclass(frozen=True)
class Input:
    """What every engine of a comparison gets.

    Attributes:
        opportunities: of the simulated CRM.
        span: its newest month, or all of its months.
        raw: folder with a folder of raw tables per month.
        rows: month -> rows of its `sales_pipeline`.
        timeout: seconds after which a case is stopped.
    """

    opportunities: int
    span: Span
    raw: Path
    rows: dict[str, int]
    timeout: float


@dataclass(frozen=True)
class Aim:
    """Something the platform sets out to reach, and what was measured."""

    aim: str
    measured: str
    met: bool


def _names(known: Iterable[str]) -> Any:
    def split(_context: click.Context, _option: click.Parameter, text: str) -> list[str]:
        names = text.split(",")
        if unknown := sorted(set(names) - set(known)):
            raise click.BadParameter(f"{', '.join(unknown)}: known are {', '.join(known)}")
        return names

    return split


def _numbers(_context: click.Context, _option: click.Parameter, text: str) -> list[int]:
    try:
        return sorted(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r}: write whole numbers with commas in between") from None


@click.command()
@click.option(
    "--scales", default="8800,880000,8800000", show_default=True, callback=_numbers, help="Opportunities of the CRMs."
)
@click.option(
    "--engines",
    default=",".join((*OURS, *PANDAS)),
    show_default=True,
    callback=_names((*OURS, *PANDAS)),
    help="What to measure.",
)
@click.option("--months", type=click.Choice(["newest", "all", "both"]), default="both", show_default=True)
@click.option("--timeout", default=240.0, show_default=True, help="Seconds after which a case is stopped.")
def engines(scales: list[int], engines: list[str], months: str, timeout: float) -> None:
    """Quarantine, snapshots, daily closings and features per engine, next to pandas."""
    spans: tuple[Span, ...] = ("newest", "all") if months == "both" else (months,)  # type: ignore[assignment]
    console = Console(width=140)
    cases: list[Case] = []
    for opportunities in scales:
        with tempfile.TemporaryDirectory(prefix="crm-assets-bench-") as folder:
            raw = Path(folder) / "raw"
            written = listen("raw_tables", [str(opportunities), str(raw), "all" if "all" in spans else "newest"])
            if written.returncode:
                raise click.ClickException(f"the simulator failed at {opportunities} opportunities")
            rows = {line["month"]: line["rows"] for line in written.lines}
            for span in spans:
                wanted = dict(list(rows.items())[-1:]) if span == "newest" else rows
                measured = list(_measured(Input(opportunities, span, raw, wanted, timeout), engines))
                cases += measured
                for case in measured:
                    console.print(f"{opportunities:,} {span} {case.engine}: {case.seconds:.1f} s, {case.ended}")
    console.print(_table(cases))
    aims = list(_aims(cases))
    for aim in aims:
        console.print(f"{'met   ' if aim.met else 'missed'}  {aim.aim}: {aim.measured}")
    RESULTS.parent.mkdir(exist_ok=True)
    packages = ("crm-assets", "polars", "duckdb", "narwhals", "pandas", "pyarrow")
    figures = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in packages},
        "cases": [asdict(case) for case in cases],
        "aims": [asdict(aim) for aim in aims],
    }
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n")
    console.print(f"Figures: {RESULTS}")


def _measured(given: Input, engines: list[str]) -> Iterator[Case]:
    """Each engine's fastest case; the engines take turns, so that a busy minute does not fall on one of them alone."""
    rounds = ROUNDS if sum(given.rows.values()) < ROUNDS_BELOW else 1
    runs: dict[str, list[Case]] = {engine: [] for engine in engines}
    for _ in range(rounds):
        for engine in engines:
            if all(run.done for run in runs[engine]):
                runs[engine].append(_run(given, engine))
    for engine in engines:
        yield min(runs[engine], key=lambda run: (not run.done, run.seconds))


def _run(given: Input, engine: str) -> Case:
    with tempfile.TemporaryDirectory(prefix="crm-assets-bench-") as out:
        told = listen("case", [engine, str(given.raw), out, *given.rows], timeout=given.timeout)
    last = told.lines[-1] if told.lines else {"seconds": 0.0, "cpu_seconds": 0.0, "peak_megabytes": 0.0}
    made = [line["month"] for line in told.lines]
    ended = "done"
    if told.timed_out:
        ended = f"stopped after {given.timeout:.0f} s"
    elif told.returncode:
        ended = f"failed with {told.returncode}"
    return Case(
        opportunities=given.opportunities,
        span=given.span,
        engine=engine,
        rows=sum(given.rows[month] for month in made),
        months=(len(made), len(given.rows)),
        seconds=last["seconds"],
        cpu_seconds=last["cpu_seconds"],
        peak_megabytes=last["peak_megabytes"],
        others=told.others,
        ended=ended,
    )


def chosen_engine(opportunities: int) -> str:
    """The engine that `auto` takes for a month of so many opportunities."""
    return choose_engine("auto", opportunities, Settings.model_fields["duckdb_from_rows"].default)


def _find(cases: list[Case], opportunities: int, span: Span, engine: str) -> Case | None:
    wanted = (opportunities, span, engine)
    return next((case for case in cases if (case.opportunities, case.span, case.engine) == wanted), None)


def times_as_fast(case: Case, other: Case | None) -> tuple[float, bool] | None:
    """(rate of rows over the rate of the other, whether it is at least that because the other was stopped)."""
    if other is None or not case.done or not case.seconds:
        return None
    if other.done:
        return other.seconds / case.seconds, False
    made_all = case.rows / case.seconds
    return (made_all / (other.rows / other.seconds), True) if other.rows else None


def growth(case: Case, smaller: Case | None) -> float | None:
    """Seconds times over rows times, from a smaller scale to this one: 1 is linear, below 1 is better."""
    if smaller is None or not (case.done and smaller.done):
        return None
    return (case.seconds / smaller.seconds) / (case.rows / smaller.rows)


def _ratio(found: tuple[float, bool] | None) -> str:
    return "" if found is None else f"{'~' if found[1] else ''}{found[0]:.1f}"


def _table(cases: list[Case]) -> Table:
    table = Table(
        title="Quarantine, snapshots, daily closings and features",
        caption="* what auto takes; others: processors busy with something else meanwhile; x: times as fast as, ~ by "
        "the months it made before it was stopped; growth: seconds ratio / rows ratio to the scale above, 1 is linear",
    )
    table.add_column("opportunities", justify="right")
    table.add_column("months")
    table.add_column("engine")
    for heading in ("seconds", "CPU s", "others", "rows/s", "peak MB", "x pandas", "x pandas+arrow", "growth"):
        table.add_column(heading, justify="right")
    smaller = dict(itertools.pairwise([None, *sorted({case.opportunities for case in cases})]))
    below = {larger: small for small, larger in smaller.items()}
    for case in cases:
        before = below[case.opportunities]
        grown = growth(case, _find(cases, before, case.span, case.engine) if before else None)
        against = [
            times_as_fast(case, _find(cases, case.opportunities, case.span, other)) if case.engine in OURS else None
            for other in PANDAS
        ]
        table.add_row(
            f"{case.opportunities:,}",
            case.span if case.done else f"{case.span}: {case.ended}, {case.months[0]} of {case.months[1]} months made",
            f"{case.engine}{'*' if case.engine == chosen_engine(case.opportunities) else ''}",
            f"{case.seconds:.2f}" if case.rows else "",
            f"{case.cpu_seconds:.2f}" if case.rows else "",
            "" if case.others is None else f"{case.others:.1f}",
            f"{case.rows / case.seconds:,.0f}" if case.rows else "",
            f"{case.peak_megabytes:,.0f}" if case.rows else "",
            *map(_ratio, against),
            "" if grown is None else f"{grown:.2f}",
        )
    return table


def _aims(cases: list[Case]) -> Iterator[Aim]:
    """What the engine that `auto` takes was measured at, against the aims."""
    ours = [case for case in cases if case.engine == chosen_engine(case.opportunities)]
    for case in ours:
        if case.opportunities == AIM_ROWS and case.span == "newest":
            yield Aim(
                f"newest month of {AIM_ROWS:,} within {AIM_SECONDS} s and {AIM_MEGABYTES:,} MB",
                f"{case.seconds:.1f} s, {case.peak_megabytes:,.0f} MB, {case.ended}",
                case.done and case.seconds <= AIM_SECONDS and case.peak_megabytes <= AIM_MEGABYTES,
            )
    for case, other in itertools.product(ours, PANDAS):
        found = times_as_fast(case, _find(cases, case.opportunities, case.span, other))
        if case.opportunities >= AIM_RATIO_ROWS and found:
            aim = f"{case.span} of {case.opportunities:,} at least {AIM_RATIO:.0f} times as fast as {other}"
            yield Aim(aim, f"{_ratio(found)} times", found[0] >= AIM_RATIO)
    for small, large in itertools.pairwise(sorted({case.opportunities for case in cases})):
        for case in (case for case in cases if case.opportunities == large and case.engine in OURS):
            grown = growth(case, _find(cases, small, case.span, case.engine))
            if grown is not None:
                aim = f"{case.engine}, {case.span}, no worse than linear from {small:,} to {large:,}"
                yield Aim(aim, f"growth {grown:.2f}", grown <= 1)
