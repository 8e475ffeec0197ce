"""The features: each defined once, here, and used by batch, backfill, training and monitoring alike.

To add one, add a `Feature` to `_FEATURES`. It is refused when it reads a column that is not known while a deal is open.
Its cause is that of its value changing while the deal stays as it is: what reads other opportunities is the world's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import narwhals as nw

from crm_assets.calendar import Month
from crm_assets.contracts import Kind, Table
from crm_assets.engines.dialect import days_between
from crm_assets.features.counts import GROUPS, OLD_DAYS, RECENT_DAYS, counted_book
from crm_assets.features.feature import Cause, Feature, check_features
from crm_assets.history.snapshots import SNAPSHOTS

SMOOTHING = 20
"""Deals by which a group's rate is drawn towards the overall rate: (hits + 20 * overall) / (trials + 20)."""

_OWN = SNAPSHOTS.name
_CLOSED = "daily_closings"


def _number(name: str) -> nw.Expr:
    """A count as float64, 0 where the group has none."""
    return nw.col(name).fill_null(0).cast(nw.Float64())


def _share(hits: nw.Expr, trials: nw.Expr) -> nw.Expr:
    """hits / trials, null where there are no trials."""
    return nw.when(trials > 0).then(hits / trials)


def _smoothed(hits: nw.Expr, trials: nw.Expr, overall: nw.Expr) -> nw.Expr:
    """The share drawn towards `overall`; null while there is no overall rate yet."""
    return (hits + SMOOTHING * overall) / (trials + SMOOTHING)


def _win_rate(prefix: str, suffix: str = "") -> nw.Expr:
    won, lost = _number(f"{prefix}_won{suffix}"), _number(f"{prefix}_lost{suffix}")
    overall_won, overall_lost = _number(f"all_won{suffix}"), _number(f"all_lost{suffix}")
    return _smoothed(won, won + lost, _share(overall_won, overall_won + overall_lost))


def _close_rate(prefix: str) -> nw.Expr:
    def parts(of: str) -> tuple[nw.Expr, nw.Expr]:
        closed = _number(f"{of}_won_recent") + _number(f"{of}_lost_recent")
        return closed, closed + _number(f"{of}_open")

    return _smoothed(*parts(prefix), _share(*parts("all")))


def _share_old(prefix: str, days: int) -> nw.Expr:
    return _smoothed(
        _number(f"{prefix}_open_{days}"),
        _number(f"{prefix}_engaged_{days}"),
        _share(_number(f"all_open_{days}"), _number(f"all_engaged_{days}")),
    )


def _days_to_close(prefix: str) -> nw.Expr:
    def parts(of: str) -> tuple[nw.Expr, nw.Expr]:
        return _number(f"{of}_days_to_close"), _number(f"{of}_won") + _number(f"{of}_lost")

    return _smoothed(*parts(prefix), _share(*parts("all")))


def _category(name: str, description: str) -> Feature:
    return Feature(name, description, Kind.STRING, Cause.DEAL, (f"{_OWN}.{name}",), nw.col(name))


def _group_features(prefix: str) -> tuple[Feature, ...]:
    """Histories of one group: the agent, manager, region or product."""
    by = GROUPS[prefix]
    deals = (f"{_OWN}.{by}", f"{_CLOSED}.won", f"{_CLOSED}.lost")
    recent = (*deals, f"{_CLOSED}.close_date")
    return (
        Feature(
            f"{prefix}_win_rate",
            f"Share of the {prefix}'s closed deals that were won, smoothed",
            Kind.FLOAT,
            Cause.WORLD,
            deals,
            _win_rate(prefix),
            "share",
        ),
        Feature(
            f"{prefix}_win_rate_recent",
            f"Share of the {prefix}'s deals closed in the last {RECENT_DAYS} days that were won, smoothed",
            Kind.FLOAT,
            Cause.WORLD,
            recent,
            _win_rate(prefix, "_recent"),
            "share",
        ),
        Feature(
            f"{prefix}_close_rate_recent",
            f"Deals the {prefix} closed in {RECENT_DAYS} days, as a share of those and the open ones, smoothed",
            Kind.FLOAT,
            Cause.WORLD,
            (*recent, f"{_OWN}.in_book"),
            _close_rate(prefix),
            "share",
        ),
        Feature(
            f"{prefix}_days_to_close",
            f"Mean days from engagement to close of the {prefix}'s closed deals, smoothed",
            Kind.FLOAT,
            Cause.WORLD,
            (*deals, f"{_CLOSED}.days_to_close"),
            _days_to_close(prefix),
            "days",
        ),
    )


_FEATURES = (
    Feature(
        "age_days",
        "Days since the opportunity was engaged",
        Kind.INTEGER,
        Cause.TIME,
        (f"{_OWN}.age_days",),
        nw.col("age_days"),
        "days",
    ),
    Feature(
        "next_quarter_position",
        "Position in its quarter of the month that is predicted: 1, 2 or 3",
        Kind.INTEGER,
        Cause.TIME,
        (f"{_OWN}.as_of",),
        nw.col("next_quarter_position"),
        "month of quarter",
    ),
    Feature(
        "next_month_days",
        "Length of the month that is predicted",
        Kind.INTEGER,
        Cause.TIME,
        (f"{_OWN}.as_of",),
        nw.col("next_month_days"),
        "days",
    ),
    Feature(
        "engage_quarter_position",
        "Position in its quarter of the month of engagement: 1, 2 or 3",
        Kind.INTEGER,
        Cause.DEAL,
        (f"{_OWN}.engage_date",),
        ((nw.col("engage_date").dt.month() - 1) % 3 + 1).cast(nw.Int64()),
        "month of quarter",
    ),
    Feature(
        "engage_fortnight",
        "Fortnights from 1970-01-05 to the day of engagement: with the office, the deal's cohort",
        Kind.INTEGER,
        Cause.DEAL,
        (f"{_OWN}.engage_date",),
        (nw.col("week").cast(nw.Float64()) / 2).floor().cast(nw.Int64()),
        "fortnights",
    ),
    Feature(
        "list_price",
        "List price of the product at the month-end",
        Kind.FLOAT,
        Cause.DEAL,
        (f"{_OWN}.list_price",),
        nw.col("list_price"),
        "USD",
    ),
    _category("product", "Product on offer"),
    _category("series", "Family of the product"),
    _category("sales_agent", "Agent who owns the opportunity"),
    _category("manager", "Manager of the agent"),
    _category("regional_office", "Office of the agent"),
    *(feature for prefix in GROUPS for feature in _group_features(prefix)),
    Feature(
        "agent_open",
        "Open opportunities of the agent",
        Kind.INTEGER,
        Cause.WORLD,
        (f"{_OWN}.sales_agent", f"{_OWN}.in_book"),
        nw.col("agent_open").fill_null(0),
        "opportunities",
    ),
    Feature(
        "agent_closed_recent",
        f"Deals the agent closed in the last {RECENT_DAYS} days",
        Kind.INTEGER,
        Cause.WORLD,
        (f"{_OWN}.sales_agent", f"{_CLOSED}.won", f"{_CLOSED}.lost", f"{_CLOSED}.close_date"),
        nw.col("agent_won_recent").fill_null(0) + nw.col("agent_lost_recent").fill_null(0),
        "deals",
    ),
    *(
        Feature(
            f"agent_share_open_{days}",
            f"Of the agent's opportunities engaged {days} days ago or earlier, the share still open, smoothed",
            Kind.FLOAT,
            Cause.WORLD,
            (f"{_OWN}.sales_agent", f"{_OWN}.age_days", f"{_OWN}.in_book"),
            _share_old("agent", days),
            "share",
        )
        for days in OLD_DAYS
    ),
    Feature(
        "cohort_size",
        "Opportunities engaged in the same region from the week before to the week after",
        Kind.INTEGER,
        Cause.WORLD,
        (f"{_OWN}.regional_office", f"{_OWN}.engage_date"),
        nw.col("cohort_engaged"),
        "opportunities",
    ),
    Feature(
        "cohort_share_open",
        "Of the opportunities engaged in the same region from the week before to the week after, the share still open",
        Kind.FLOAT,
        Cause.WORLD,
        (f"{_OWN}.regional_office", f"{_OWN}.engage_date", f"{_OWN}.in_book"),
        _share(_number("cohort_open"), _number("cohort_engaged")),
        "share",
    ),
    Feature(
        "agent_days_since_close",
        "Days since the agent last closed a deal; empty if never",
        Kind.INTEGER,
        Cause.WORLD,
        (f"{_OWN}.sales_agent", f"{_CLOSED}.close_date"),
        nw.col("agent_days_since_close"),
        "days",
    ),
)

FEATURES: tuple[Feature, ...] = check_features(_FEATURES)
FEATURE_NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
WIN_MODEL_FEATURES: tuple[str, ...] = (
    "age_days",
    "next_quarter_position",
    "cohort_share_open",
    "cohort_size",
    "agent_share_open_100",
    "agent_share_open_138",
)
"""What the win model learns from. A few months of history carry no more: with every feature it is worse out of time."""
AS_OF = "as_of"
"""Column of the feature table that is no feature and that models may read all the same: the date of the row."""
CAUSES: Mapping[str, Cause] = {AS_OF: Cause.TIME, **{feature.name: feature.cause for feature in FEATURES}}
"""Column that a model may read -> what a change of its value counts as."""
CATEGORICAL: tuple[str, ...] = tuple(feature.name for feature in FEATURES if feature.categorical)

FEATURE_TABLE = Table(
    "opportunity_features",
    "One row per opportunity in the book at the month-end, with what was known of it then.",
    (
        *(SNAPSHOTS.column(name) for name in ("opportunity_id", "snapshot_month", "as_of")),
        *(feature.column() for feature in FEATURES),
    ),
    key=("opportunity_id",),
)


def features(snapshots: nw.LazyFrame[Any], closings: nw.LazyFrame[Any], month: Month) -> nw.LazyFrame[Any]:
    """Rows of `FEATURE_TABLE` for the book of `month`, sorted by opportunity_id.

    Args:
        snapshots: rows of `SNAPSHOTS` of that month.
        closings: rows of `DAILY_CLOSINGS` of that month.
        month: the snapshot month; its next month is the one predicted.
    """
    counted = since_last_close(with_next_month(counted_book(snapshots, closings, month), month))
    return counted.select(
        "opportunity_id",
        "snapshot_month",
        "as_of",
        *(feature.expression.alias(feature.name) for feature in FEATURES),
    ).sort("opportunity_id")


def with_next_month(rows: nw.LazyFrame[Any], month: Month) -> nw.LazyFrame[Any]:
    """`rows` with next_quarter_position and next_month_days, which tell of the month after `month`."""
    return rows.with_columns(
        nw.lit(month.next.quarter_position).cast(nw.Int64()).alias("next_quarter_position"),
        nw.lit(month.next.days).cast(nw.Int64()).alias("next_month_days"),
    )


def since_last_close(rows: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """`rows` with agent_days_since_close, the days from agent_last_close to as_of."""
    return rows.with_columns(
        days_between(rows, nw.col("as_of"), nw.col("agent_last_close")).alias("agent_days_since_close")
    )
