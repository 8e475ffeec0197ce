"""The demo in this process, with a timer around each of the platform's own parts: `python -m ... FOLDER`."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from crm_assets_tests.benchmarks.process import tell

P = ParamSpec("P")
R = TypeVar("R")


class Timers:
    """Seconds per named part. A part that runs within another counts for the outer one only."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._running = False

    @contextmanager
    def running(self, part: str) -> Iterator[None]:
        """Count the block for `part`."""
        if self._running:
            yield
            return
        self._running = True
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] += time.perf_counter() - began
            self._running = False

    def timed(self, name: Callable[P, str], function: Callable[P, R]) -> Callable[P, R]:
        """The function, counted for the part that `name` makes of its arguments."""

        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            with self.running(name(*args, **kwargs)):
                return function(*args, **kwargs)

        return run


def main(folder: Path) -> None:
    """Run all months of the default simulator in a fresh lake and home in `folder`, and tell where the time went."""
    began = time.perf_counter()
    import dagster as dg

    dagster_imported = time.perf_counter() - began
    import crm_assets.run
    from crm_assets.defs import io_manager
    from crm_assets.defs.assets import ASSETS
    from crm_assets.defs.checks import CHECKS
    from crm_assets.defs.provenance import stale_months
    from crm_assets.settings import load_settings
    from crm_assets.sources.simulator import SimulatorSource

    imported = time.perf_counter() - began
    timers = Timers()
    for asset in ASSETS:
        part = f"asset {asset.name}"
        object.__setattr__(asset, "make", timers.timed(lambda *_, part=part: part, asset.make))
    for check in CHECKS:
        part = f"check {check.asset} {check.name}"
        object.__setattr__(check, "verdict", timers.timed(lambda *_, part=part: part, check.verdict))
    io_manager.store = timers.timed(lambda _platform, asset, *_: f"asset {asset.name}", io_manager.store)
    io_manager.shown_metadata = timers.timed(lambda *_, **__: "metadata for Dagster", io_manager.shown_metadata)
    SimulatorSource.tables = timers.timed(lambda *_: "source", SimulatorSource.tables)  # type: ignore[method-assign]
    # Replaced where `run_months` looks it up.
    vars(crm_assets.run)["stale_months"] = timers.timed(lambda *_: "what is out of date", stale_months)

    check_before = vars(crm_assets.run)["_check_before"]
    vars(crm_assets.run)["_check_before"] = timers.timed(lambda *_: "checks before the run", check_before)

    settings = load_settings(
        source_url="simulator:", lake_url=str(folder / "lake"), home=folder / "home", dataset="simulator"
    )
    ready = time.perf_counter()
    result = crm_assets.run.run_months(settings, None, force=False, show_progress=False)
    wall = time.perf_counter() - ready
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        (run,) = instance.get_runs()
        events = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_SUCCESS)
        steps = {
            entry.dagster_event.step_key: entry.dagster_event.step_success_data.duration_ms / 1000
            for entry in events
            if entry.dagster_event
        }
    tell(
        months=len(result.made),
        assets=len(ASSETS),
        seconds=wall,
        import_seconds=imported,
        dagster_import_seconds=dagster_imported,
        parts=dict(timers.seconds),
        steps=steps,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
