"""The pandas version makes the tables of the platform, row for row, so that comparing their speed is fair."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crm_assets.calendar import Month
from crm_assets.contracts import Table
from crm_assets.features.registry import FEATURE_TABLE
from crm_assets.history.closings import DAILY_CLOSINGS
from crm_assets.history.snapshots import QUARANTINE, SNAPSHOTS
from crm_assets.simulator import SimulationConfig, simulate
from crm_assets_tests.benchmarks.case import with_engine, with_pandas
from crm_assets_tests.benchmarks.pandas_features import Types

FIRST, MIDDLE, LAST = Month(2016, 10), Month(2017, 6), Month(2017, 12)
TABLES = (QUARANTINE, SNAPSHOTS, DAILY_CLOSINGS, FEATURE_TABLE)


def spoilt(pipeline: pl.DataFrame) -> pl.DataFrame:
    """The pipeline with a few rows that break rules of the contract, one of them two."""
    row = pl.int_range(pl.len())
    return pl.concat([pipeline, pipeline[:3]]).with_columns(
        opportunity_id=pl.when(row == 11).then(None).otherwise("opportunity_id"),
        sales_agent=pl.when(row == 5).then(pl.lit("Nobody")).otherwise("sales_agent"),
        product=pl.when(row == 6).then(None).when(row == 7).then(pl.lit("GTX Zero")).otherwise("product"),
        deal_stage=pl.when(row == 7).then(pl.lit("Lapsed")).otherwise("deal_stage"),
        close_value=pl.when(row == 8).then(-1.0).otherwise("close_value"),
        close_date=pl.when(row == 9).then(date(2030, 1, 1)).otherwise("close_date"),
        engage_date=pl.when(row == 10).then(date(2029, 1, 1)).otherwise("engage_date"),
    )


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw tables of three months of a small CRM."""
    folder = tmp_path_factory.mktemp("raw")
    simulation = simulate(SimulationConfig(opportunities=3000, seed=5))
    for month in (FIRST, MIDDLE, LAST):
        (folder / str(month)).mkdir()
        tables = simulation.tables(month)
        tables["sales_pipeline"] = spoilt(tables["sales_pipeline"])
        for name in ("sales_pipeline", "products", "sales_teams"):
            tables[name].write_parquet(folder / str(month) / f"{name}.parquet")
    return folder


def read(path: Path, table: Table) -> pl.DataFrame:
    return pl.read_parquet(path).cast(dict(table.polars_schema()))  # type: ignore[arg-type]  # a schema is such a mapping


@pytest.mark.parametrize("types", ["plain", "arrow"])
@pytest.mark.parametrize("month", [FIRST, MIDDLE, LAST], ids=str)
def test_pandas_makes_the_same_tables(raw: Path, tmp_path: Path, month: Month, types: Types) -> None:
    ours, pandas = tmp_path / "ours", tmp_path / "pandas"
    ours.mkdir()
    pandas.mkdir()
    with_engine("polars")(raw / str(month), ours, month)
    with_pandas(types)(raw / str(month), pandas, month)
    for table in TABLES:
        expected, found = (read(folder / f"{table.name}.parquet", table) for folder in (ours, pandas))
        assert (expected.height == 0) is (table is DAILY_CLOSINGS and month == FIRST)
        assert_frame_equal(found, expected, check_exact=False, rel_tol=0, abs_tol=1e-9)
