"""Traffic: the open opportunities that the API was asked about by their ids, as drift reports compare them.

What was asked by fields is none: nobody can tell a new deal from one that somebody made up.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from crm_assets.calendar import Month
from crm_assets.monitoring.drift import MonthRows
from crm_assets.monitoring.reference import BOOK_NUMBERS, INTAKE, INTAKE_READ

_AS_STORED = 1e-9
_BY_ID = pl.col("opportunity_id").is_not_null()
_SCORED_WITH = ("product", "list_price", "age_days")
"""Columns of the intake and the book that the log holds as they were scored."""


def figures(asked: pl.LazyFrame, scores: pl.LazyFrame) -> dict[str, Any]:
    """What was asked in a month, as figures for people; empty when nothing was.

    Args:
        asked: rows of ONLINE_PREDICTIONS of one month.
        scores: `opportunity_id`, `model_version` and `probability` that the batch stored for it.

    Returns `requests`, `callers`, `opportunities` asked by id, each counted once; rows `by_id` and `by_fields`;
    `unlike_scores`, those by id that the batch scored with the same version and to another probability;
    `model_versions`, `first_asked_at` and `last_asked_at`.
    """
    stored = scores.select("opportunity_id", "model_version", pl.col("probability").alias("stored"))
    beside = asked.join(stored, on=["opportunity_id", "model_version"], how="left")
    found = beside.select(
        pl.len().alias("rows"),
        pl.col("request_id").n_unique().alias("requests"),
        pl.col("asker").n_unique().alias("callers"),
        pl.col("opportunity_id").drop_nulls().n_unique().alias("opportunities"),
        _BY_ID.sum().alias("by_id"),
        (~_BY_ID).sum().alias("by_fields"),
        ((pl.col("probability") - pl.col("stored")).abs() > _AS_STORED).sum().alias("unlike_scores"),
        pl.col("model_version").unique().sort().str.join(", ").alias("model_versions"),
        pl.col("asked_at").min().alias("first_asked_at"),
        pl.col("asked_at").max().alias("last_asked_at"),
    )
    (told,) = found.collect().to_dicts()
    return {} if told.pop("rows") == 0 else told


def traffic_rows(asked: pl.LazyFrame, features: pl.DataFrame, month: Month, model_version: str) -> MonthRows:
    """The traffic of a month as `drift.drift_report` takes it: every opportunity once, by its last answer.

    Args:
        asked: rows of ONLINE_PREDICTIONS of the month.
        features: the month's book, with INTAKE_READ.
        month: as of whose end they were scored.
        model_version: the champion's. What another version answered, as around a promotion, is left out.

    Returns rows of open opportunities; none among them has closed.
    """
    last = (
        asked.filter(_BY_ID & (pl.col("model_version") == model_version))
        .sort("asked_at", "request_id", "place")
        .unique("opportunity_id", keep="last", maintain_order=True)
        .collect()
    )
    rest = features.select("opportunity_id", *(name for name in INTAKE_READ if name not in _SCORED_WITH))
    rows = last.join(rest, on="opportunity_id", how="inner", maintain_order="left")
    new = rows.filter(pl.col("engage_date").is_between(month.start, month.end))
    return MonthRows(
        intake=new.select("opportunity_id", *INTAKE_READ, "snapshot_month").to_pandas(),
        book=rows.select("opportunity_id", "snapshot_month", *BOOK_NUMBERS, "probability").to_pandas(),
        closings=None,
    )


def askable(reference: pl.DataFrame) -> pl.DataFrame:
    """The reference without the deals that closed in the month they were engaged in, which nobody can ask about.

    They are up to half of an intake, and more in some regions, so that traffic would differ where nothing is wrong.
    """
    # Of closed deals the reference knows no age.
    return reference.filter((pl.col("part") != INTAKE) | pl.col("age_days").is_not_null())
