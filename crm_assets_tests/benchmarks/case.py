"""One case in this process: `python -m ... ENGINE RAW OUT MONTH...` makes the tables of the months, one by one."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Literal, Protocol

from crm_assets.calendar import Month
from crm_assets.contracts import Table
from crm_assets_tests.benchmarks.process import cpu_seconds, peak_megabytes, tell

OURS: dict[str, Literal["polars", "duckdb"]] = {"polars": "polars", "duckdb": "duckdb"}
PANDAS: dict[str, Literal["plain", "arrow"]] = {"pandas": "plain", "pandas+arrow": "arrow"}


class MakeMonth(Protocol):
    """Makes quarantine, snapshots, daily closings and features of a month from one folder as Parquet in another."""

    def __call__(self, raw: Path, out: Path, month: Month) -> None: ...


def with_engine(name: Literal["polars", "duckdb"]) -> MakeMonth:
    """The platform's tables on one of its engines, each read, computed and written as its asset does."""
    from crm_assets.engines import open_engine
    from crm_assets.features.registry import FEATURE_TABLE, features
    from crm_assets.history.closings import DAILY_CLOSINGS, daily_closings
    from crm_assets.history.snapshots import QUARANTINE, SNAPSHOTS, snapshot
    from crm_assets.lake.enforcement import fitted_to

    engine = open_engine(name)

    def make(raw: Path, out: Path, month: Month) -> None:
        def write(frame: Any, table: Table) -> Any:
            path = out / f"{table.name}.parquet"
            engine.sink(fitted_to(frame, table, str(path)), path)
            return engine.scan(path)

        pipeline, products, teams = (
            engine.scan(raw / f"{name}.parquet") for name in ("sales_pipeline", "products", "sales_teams")
        )
        good, bad = snapshot(pipeline, products, teams, month)
        write(bad, QUARANTINE)
        snapshots = write(good, SNAPSHOTS)
        closings = write(daily_closings(snapshots), DAILY_CLOSINGS)
        write(features(snapshots, closings, month), FEATURE_TABLE)

    return make


def with_pandas(types: Literal["plain", "arrow"]) -> MakeMonth:
    """The same tables in pandas."""
    import pandas as pd  # noqa: F401  # imports are not part of what is measured

    from crm_assets_tests.benchmarks.pandas_features import month_tables, write

    def make(raw: Path, out: Path, month: Month) -> None:
        for name, table in month_tables(raw, month, types).items():
            write(table, out / f"{name}.parquet")

    return make


def main(engine: str, raw: Path, out: Path, months: list[Month]) -> None:
    make = with_pandas(PANDAS[engine]) if engine in PANDAS else with_engine(OURS[engine])
    began, began_cpu = time.perf_counter(), cpu_seconds()
    for month in months:
        make(raw / str(month), out, month)
        tell(
            month=str(month),
            seconds=time.perf_counter() - began,
            cpu_seconds=cpu_seconds() - began_cpu,
            peak_megabytes=peak_megabytes(),
        )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), [Month.parse(text) for text in sys.argv[4:]])
