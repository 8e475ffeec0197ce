"""The chosen deals in figures, for somebody who looks at all of them at once."""

from __future__ import annotations

from typing import Any

import polars as pl

from crm_assets.modelling.risk import HIGH
from crm_assets.serving.choice import chosen
from crm_assets.serving.open_deals import ID, OpenDeals
from crm_assets.serving.pages import COLUMNS
from crm_assets.serving.pipeline_messages import FIELDS, RANKED, Filters, Point, Thresholds
from crm_assets.settings import Settings

EDGES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Of the histogram: narrow where there are many deals."""
MOST_POINTS = 500
"""Deals up to which each is a point of its own."""
_VALUABLE = 100
"""Points of a sample that are there for their expected value."""
_RANKS = 12


def summary(deals: OpenDeals, asked: Filters, settings: Settings) -> dict[str, Any]:
    """The fields of `SummaryAnswer`, but for those of `AsOf`."""
    rows = chosen(deals.rows, asked)
    before = None if deals.before is None else chosen(deals.before, asked)
    then = {} if before is None else _sums(before)
    if deals.before is not None and deals.before["is_abandoned"].is_null().all():
        # The model of that month could not tell yet, which is not the same as none.
        del then["abandoned"]
    sums = {name: {"now": now, "before": then.get(name)} for name, now in _sums(rows).items()}
    if deals.rows["is_abandoned"].is_null().all():
        sums["abandoned"] = None  # type: ignore[assignment]  # nobody can tell
    points = _points(rows)
    valuable = rows.sort(["expected_value", ID], descending=[True, False])
    return {
        "month_before": None if before is None else str(deals.month.previous),
        "total": deals.rows.height,
        **sums,
        "thresholds": thresholds(settings),
        "histogram": _histogram(rows),
        "points": points.select(list(Point.model_fields)).to_dicts(),
        "points_are": "all" if points.height == rows.height else "sample",
        "top": valuable.head(_RANKS).select(COLUMNS).to_dicts(),
        "ranking": {name: _ranked(rows, name) for name in RANKED},
        "facets": {name: _facet(deals.rows, asked, name) for name in FIELDS},
        "ages": {"min": deals.rows["age_days"].min(), "max": deals.rows["age_days"].max()},
    }


def thresholds(settings: Settings) -> dict[str, float]:
    """The fields of `Thresholds`."""
    return {name: getattr(settings, name) for name in Thresholds.model_fields}


def _sums(rows: pl.DataFrame) -> dict[str, float]:
    at_risk = pl.col("risk") == HIGH
    (sums,) = rows.select(
        pl.len().alias("opportunities"),
        pl.col("list_price").sum().alias("list_value"),
        pl.col("expected_value").sum().alias("expected_revenue"),
        at_risk.sum().alias("at_risk"),
        pl.col("list_price").filter(at_risk).sum().alias("at_risk_value"),
        pl.col("is_abandoned").sum().alias("abandoned"),
    ).to_dicts()
    return {name: round(value, _CENTS) for name, value in sums.items()}


def _in_cents(column: str) -> pl.Expr:
    """A sum to the cent: threads add up in any order, and the same question must have the same answer."""
    return pl.col(column).sum().round(_CENTS)


_CENTS = 2


def _histogram(rows: pl.DataFrame) -> list[dict[str, Any]]:
    inside = pl.sum_horizontal((pl.col("probability") >= edge).cast(pl.Int64) for edge in EDGES[1:-1]).alias("bin")
    counted = rows.group_by(inside).agg(
        pl.len().alias("opportunities"), pl.col("is_abandoned").sum().alias("abandoned"), _in_cents("expected_value")
    )
    every = pl.DataFrame(
        {"bin": range(len(EDGES) - 1), "low": EDGES[:-1], "high": EDGES[1:]}, schema_overrides={"bin": pl.Int64}
    )
    found = every.join(counted, on="bin", how="left", maintain_order="left").drop("bin")
    return found.with_columns(pl.col("opportunities", "abandoned", "expected_value").fill_null(0)).to_dicts()


def _points(rows: pl.DataFrame) -> pl.DataFrame:
    """All rows, or the most valuable and every n-th by id of the others: the same ones each time."""
    if rows.height <= MOST_POINTS:
        return rows
    ranked = rows.sort(["expected_value", ID], descending=[True, False])
    others = ranked.slice(_VALUABLE).sort(ID)
    step = -(-others.height // (MOST_POINTS - _VALUABLE))
    return pl.concat([ranked.head(_VALUABLE), others.gather_every(step)])


def _ranked(rows: pl.DataFrame, name: str) -> list[dict[str, Any]]:
    groups = rows.group_by(pl.col(name).alias("name")).agg(
        pl.len().alias("opportunities"),
        _in_cents("list_price").alias("list_value"),
        _in_cents("expected_value"),
    )
    return groups.sort(["expected_value", "name"], descending=[True, False]).head(_RANKS).to_dicts()


def _facet(rows: pl.DataFrame, asked: Filters, name: str) -> list[dict[str, Any]]:
    """Every value of a field in the book, with how many of the deals have it that the other filters leave."""
    left = chosen(rows, asked, but=[name]).group_by(pl.col(name).alias("value")).agg(pl.len().alias("opportunities"))
    every = rows.select(pl.col(name).alias("value")).unique()
    found = every.join(left, on="value", how="left").with_columns(pl.col("opportunities").fill_null(0))
    return found.sort("value").to_dicts()
