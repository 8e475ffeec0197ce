"""Running the platform: what is made and what is not, backfills by Dagster, and the simulated CRM's months.

Everything here blocks: on the lake, on Dagster or on the place where extracts land.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from graphlib import CycleError, TopologicalSorter
from itertools import groupby
from typing import Any

from crm_assets.backfill_plan import Plan
from crm_assets.calendar import Month
from crm_assets.client import (
    Backfill,
    ClientError,
    MissingInputError,
    MonthRangeError,
    NoRunError,
    PastRun,
    Platform,
    UnknownAssetError,
    WaitTimeoutError,
)
from crm_assets.client.server import ServerPlatform
from crm_assets.errors import CrmAssetsError, LakeError, SettingsError
from crm_assets.lake import Lake, Manifest
from crm_assets.serving.operation_messages import MADE, MISSING, OUT_OF_DATE
from crm_assets.serving.problems import FaultyValue, ProblemError
from crm_assets.settings import Settings
from crm_assets.simulated_landing import LandedMonth, Landing
from crm_assets.simulator import SimulationConfig
from crm_assets.sources import open_source
from crm_assets.stored import stored_lake

_RUNS = 10
_CANCEL_SECONDS = 5.0
_FETCHED = "kaggle:"


class _NoPlaceError(Exception):
    """The source is of another kind than one in which extracts land."""


class Operations:
    """What an operator can see and do.

    Args:
        settings: of the deployment whose lake and source the API reads.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._dagster = (settings.api_dagster_url or settings.dagster_url).rstrip("/")
        self._shown = settings.dagster_url.rstrip("/")

    def overview(self, count: int, before: str | None) -> dict[str, Any]:
        """The fields of `OperationsAnswer`: `count` months, newest first, those before `before`.

        What cannot be read is told of in it, and raises nothing.
        """
        troubles: dict[str, str] = {}
        made = self._manifests(troubles)
        known = {month for months in made.values() for month in months} | self._months_of_source(troubles)
        shown = sorted((month for month in known if before is None or month < before), reverse=True)
        months = shown[:count]
        plan, runs, away, not_compared = self._asked(months)
        names = plan.assets if plan is not None else _in_order(made)
        return {
            "months": months,
            "newest_month": max(known, default=None),
            "next_before": months[-1] if len(shown) > len(months) else None,
            "assets": [{"name": name, "months": _states(name, months, made.get(name, {}), plan)} for name in names],
            "compared": plan is not None,
            "not_compared_because": not_compared,
            "dagster": {"address": self._shown, "answers": away is None, "why": away},
            "runs": [self._run(run) for run in runs],
            "landing": self._landing_state(troubles),
            "troubles": troubles,
        }

    def plan(self, start: str, end: str | None, assets: Sequence[str] | None, *, force: bool) -> dict[str, Any]:
        """The fields of `PlanAnswer`. Raises ProblemError: 422 for what there is not, 503 without Dagster."""
        with self._connected() as platform, _asked_for():
            plan = platform.plan(assets, start, end, force=force)
        steps = []
        for asset in plan.assets:
            mine = [step for step in plan.steps if step.asset == asset]
            for cause, alike in groupby(mine, key=lambda step: step.cause):
                found = list(alike)
                told = {"asset": asset, "cause": cause, "detail": found[0].detail}
                steps.append({**told, "months": [str(step.month) for step in found]})
        return {
            "start": str(plan.first),
            "end": str(plan.last),
            "total": len(plan),
            "assets": len(plan.assets),
            "steps": steps,
        }

    def start(self, start: str, end: str | None, assets: Sequence[str] | None, *, force: bool) -> dict[str, Any]:
        """Start a backfill, or join the same one: the fields of `BackfillAnswer`. Raises as `plan` does."""
        with self._connected() as platform, _asked_for():
            return self._backfill(platform.backfill(assets, start, end, force=force, wait=False))

    def status(self, run_id: str) -> dict[str, Any]:
        """Where a backfill stands. Raises ProblemError: 404 where there is no such run, 503 without Dagster."""
        with self._connected() as platform:
            return self._backfill(platform.status(run_id))

    def cancel(self, run_id: str) -> dict[str, Any]:
        """Stop a backfill; what is stored by then is kept. Told as it stands where that takes long; raises as `status`
        does.
        """
        with self._connected() as platform:
            try:
                return self._backfill(platform.cancel(run_id, timeout=_CANCEL_SECONDS))
            except WaitTimeoutError as error:
                return {**self._backfill(error.backfill), "reason": str(error)}

    def advance(self, count: int) -> dict[str, Any]:
        """Land the next months of the simulated CRM: the fields of `AdvanceAnswer`.

        Raises ProblemError 409 where none lands here, or it cannot go on.
        """
        landed: list[LandedMonth] = []
        with _as_things_stand():
            self._landing().advance(count, landed=landed.append)
        return {"landed": [{**vars(month), "month": str(month.month)} for month in landed]}

    def reset(self, confirm: str) -> dict[str, Any]:
        """Remove what has landed of the simulated CRM, and nothing else: the fields of `ResetAnswer`.

        Raises ProblemError 422 unless `confirm` is the place's name, 409 as `advance` does.
        """
        with _as_things_stand():
            landing = self._landing()
            if confirm != _name(landing):
                wrong = f"to reset it, confirm with its name, {_name(landing)}"
                raise ProblemError("not-valid", wrong, errors=[FaultyValue(pointer="/confirm", detail=wrong)])
            return {"removed": [str(month) for month in landing.reset()]}

    @contextmanager
    def _connected(self) -> Iterator[ServerPlatform]:
        try:
            with Platform.connect(self._dagster, patience=0) as platform:
                yield platform
        except NoRunError as error:
            raise ProblemError("not-found", str(error)) from error
        except ClientError as error:
            raise ProblemError("unavailable", str(error), headers={"Retry-After": "10"}) from error

    def _asked(self, months: Sequence[str]) -> tuple[Plan | None, Sequence[PastRun], str | None, str | None]:
        """The plan of the months, the last runs, why Dagster does not answer, and why there is no plan."""
        try:
            with self._connected() as platform:
                runs = platform.recent_runs(_RUNS)
                try:
                    return (platform.plan(None, months[-1], months[0]), runs, None, None) if months else (
                        None, runs, None, None,
                    )  # fmt: skip
                except CrmAssetsError as error:
                    return None, runs, None, str(error)
        except ProblemError as error:
            return None, (), error.detail, error.detail

    def _manifests(self, troubles: dict[str, str]) -> dict[str, dict[str, Manifest]]:
        """Asset -> month -> manifest, of what the lake holds."""
        try:
            lake = stored_lake(self._settings)
            return {asset: _of(lake, asset) for asset in lake.assets()}
        except CrmAssetsError as error:
            troubles["lake"] = str(error)
            return {}

    def _months_of_source(self, troubles: dict[str, str]) -> set[str]:
        if self._settings.source_url.startswith(_FETCHED):
            # Its months are only known once all of it is downloaded.
            return set()
        try:
            source = open_source(self._settings.source_url, exported_on=self._settings.exported_on)
            first, last = self._settings.first_month, self._settings.last_month
            months = source.months()
        except (CrmAssetsError, OSError) as error:
            troubles["source"] = str(error)
            return set()
        return {str(month) for month in months if (first is None or month >= first) and (last is None or month <= last)}

    def _landing(self) -> Landing:
        """The place where a simulated CRM lands. Raises SettingsError where none does."""
        with suppress(_NoPlaceError):
            landing = self._place()
            if landing.simulator() is not None:
                return landing
        raise SettingsError(
            f"no simulated CRM lands in {self._settings.source_url}: begin one with crm-assets advance --to FOLDER, "
            "and name that folder in CRM_SOURCE_URL"
        )

    def _place(self) -> Landing:
        try:
            return Landing(self._settings.source_url)
        except SettingsError:
            raise _NoPlaceError from None

    def _landing_state(self, troubles: dict[str, str]) -> dict[str, Any] | None:
        try:
            landing = self._place()
            simulator = landing.simulator()
            if simulator is None:
                return None
            months = landing.months()
            config = SimulationConfig.from_url(simulator)
        except _NoPlaceError:
            return None
        except CrmAssetsError as error:
            troubles["landing"] = str(error)
            return None
        following = months[-1].next if months else config.first
        return {
            "name": _name(landing),
            "place": landing.url,
            "simulator": simulator,
            "landed": [str(month) for month in months],
            "next_month": str(following) if following <= config.last else None,
        }

    def _run(self, run: PastRun) -> dict[str, Any]:
        times = {f"{name}_at": _utc(getattr(run, name)) for name in ("created", "started", "ended")}
        return {
            "run_id": run.run_id,
            "job": run.job,
            "state": run.state,
            "months": list(run.months),
            "trigger": run.trigger,
            **times,
            "url": self._page(run.url),
        }

    def _backfill(self, found: Backfill) -> dict[str, Any]:
        return {
            "id": found.run_ids[-1] if found.run_ids else None,
            "state": found.state,
            "over": found.state.over,
            "done": found.done,
            "total": found.total,
            "months": list(found.months),
            "url": self._page(found.urls[-1]) if found.urls else None,
            "reason": found.reason,
            "joined": found.joined,
        }

    def _page(self, url: str) -> str:
        """A page of Dagster at the address at which people find it."""
        return f"{self._shown}{url.removeprefix(self._dagster)}"


@contextmanager
def _asked_for() -> Iterator[None]:
    """What is asked for that there is not, as a problem of the request."""
    try:
        yield
    except UnknownAssetError as error:
        raise _faulty("/assets", error) from error
    except (MonthRangeError, MissingInputError) as error:
        raise _faulty("/start", error) from error


def _faulty(pointer: str, error: CrmAssetsError) -> ProblemError:
    return ProblemError("not-valid", str(error), errors=[FaultyValue(pointer=pointer, detail=str(error))])


@contextmanager
def _as_things_stand() -> Iterator[None]:
    try:
        yield
    except CrmAssetsError as error:
        raise ProblemError("conflict", str(error)) from error


def _of(lake: Lake, asset: str) -> dict[str, Manifest]:
    found = {}
    for month in lake.months(asset):
        try:
            manifest = lake.manifest(asset, Month.parse(month))
        except LakeError:
            # The month counts as missing: it has to be made again.
            continue
        if manifest is not None:
            found[month] = manifest
    return found


def _in_order(made: Mapping[str, Mapping[str, Manifest]]) -> list[str]:
    """Assets below those they read, as far as their manifests tell; by name among equals."""
    reads: dict[str, list[str]] = {}
    for name in sorted(made):
        inputs = {key.rpartition("/")[0] for manifest in made[name].values() for key in manifest.inputs}
        reads[name] = sorted((inputs & made.keys()) - {name})
    try:
        return list(TopologicalSorter(reads).static_order())
    except CycleError:
        # Some read months of each other that are over.
        return sorted(made)


def _states(name: str, months: Sequence[str], made: Mapping[str, Manifest], plan: Plan | None) -> list[dict[str, Any]]:
    steps = {} if plan is None else {str(step.month): step for step in plan.steps if step.asset == name}
    found = []
    for month in months:
        manifest, step = made.get(month), steps.get(month)
        state = MISSING if manifest is None else OUT_OF_DATE if step is not None else MADE
        found.append(
            {
                "month": month,
                "state": state,
                "why": step.detail if step is not None and manifest is not None else None,
                "written_at": manifest.written_at if manifest is not None else None,
                "rows": manifest.rows if manifest is not None else None,
            }
        )
    return found


def _name(landing: Landing) -> str:
    return landing.url.rstrip("/").rpartition("/")[2]


def _utc(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
