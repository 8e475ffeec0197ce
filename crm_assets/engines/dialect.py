"""Where engines differ and Narwhals does not hide it."""

from __future__ import annotations

from typing import Any

import narwhals as nw


def days_between(frame: nw.LazyFrame[Any], later: nw.Expr, earlier: nw.Expr) -> nw.Expr:
    """Whole days from `earlier` to `later` (both dates) as Int64, negative when `later` comes first.

    Polars subtracts dates to a duration; DuckDB and Spark to a number of days.
    """
    difference = later - earlier
    if frame.implementation.is_polars():
        return difference.dt.total_minutes().cast(nw.Int64()) // (24 * 60)
    return difference.cast(nw.Int64())
