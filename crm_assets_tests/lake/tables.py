"""A small table of every kind, and the two engines, for tests of the lake."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw
import polars as pl

from crm_assets.calendar import Month
from crm_assets.contracts import Column, Kind, Table
from crm_assets.lake import Provenance

MAY = Month(2017, 5)
MADE_BY = Provenance("1", {"raw/sales_pipeline/2017-05": "ab" * 32}, {"seed": 7})

DEALS = Table(
    "deals",
    "One row per deal.",
    (
        Column("id", Kind.STRING, "Identifier", required=True),
        Column("days", Kind.INTEGER, "Age", unit="days", required=True),
        Column("value", Kind.FLOAT, "Value", unit="USD"),
        Column("won", Kind.BOOLEAN, "Whether it was won"),
        Column("closed", Kind.DATE, "Day it was closed"),
    ),
    key=("id",),
)


def deals(**columns: Any) -> pl.DataFrame:
    """Three deals; `columns` take the place of some of their columns."""
    frame = pl.DataFrame(
        {
            "id": ["A", "B", "C"],
            "days": [1, 2, 3],
            "value": [1.5, None, 0.0],
            "won": [True, None, False],
            "closed": [date(2017, 5, 3), None, date(2017, 5, 31)],
        }
    )
    return frame.with_columns(**columns)


def lazy(frame: pl.DataFrame) -> nw.LazyFrame[Any]:
    return nw.from_native(frame.lazy())


def polars_sink(frame: nw.LazyFrame[Any], path: Path) -> None:
    frame.to_native().sink_parquet(path)


def duckdb_sink(frame: nw.LazyFrame[Any], path: Path) -> None:
    relation: duckdb.DuckDBPyRelation = frame.to_native()
    relation.write_parquet(str(path))


def versioned(version: int) -> pl.DataFrame:
    """A table whose every value and length follow from `version`."""
    rows = pl.int_range(1000 * (1 + version % 5), eager=True)
    return pl.DataFrame({"id": rows.cast(pl.String), "days": rows * 0 + version}).with_columns(
        value=pl.lit(float(version)), won=pl.lit(value=True), closed=pl.lit(date(2017, 5, 31))
    )
