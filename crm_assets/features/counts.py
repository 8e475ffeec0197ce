"""Whole-number counts of a snapshot by agent, manager, region, product and cohort, which features are made of.

Only whole numbers are summed, so that the result is equal to the last bit on every engine and for every order of rows.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import narwhals as nw

from crm_assets.calendar import FIRST_MONDAY, Month
from crm_assets.engines.dialect import days_between
from crm_assets.features.feature import UNKNOWN_WHILE_OPEN
from crm_assets.history.snapshots import SNAPSHOTS, book

GROUPS = {"agent": "sales_agent", "manager": "manager", "region": "regional_office", "product": "product"}
"""Prefix of the count columns -> the column they are counted by."""
ALL = "all"
"""Prefix of the counts of all deals."""
CLOSED = ("won", "lost", "won_recent", "lost_recent", "days_to_close")
"""Counts of closed deals, by their names behind the prefix."""
RECENT_DAYS = 90
OLD_DAYS = (100, 138)
"""Ages past which an open opportunity is counted as old, in days."""
ENGAGED = ("open", *(f"{kind}_{days}" for days in OLD_DAYS for kind in ("engaged", "open")))
"""Counts of engaged opportunities, by their names behind the prefix."""


def _whole(expression: nw.Expr) -> nw.Expr:
    return expression.cast(nw.Int64())


def closed_counts(closings: nw.LazyFrame[Any], by: str | None, prefix: str, month: Month) -> nw.LazyFrame[Any]:
    """Deals won and lost by the month-end and in its last 90 days, and days to close, per value of `by`."""
    recent = _whole(nw.col("close_date") > nw.lit(month.end - timedelta(days=RECENT_DAYS)))
    counted = closings.with_columns(
        (nw.col("won") * recent).alias("won_recent"), (nw.col("lost") * recent).alias("lost_recent")
    )
    sums = [_whole(nw.col(name).sum()).alias(f"{prefix}_{name}") for name in CLOSED]
    return counted.select(*sums) if by is None else counted.group_by(by).agg(*sums)


def engaged_counts(snapshots: nw.LazyFrame[Any], by: str | None, prefix: str) -> nw.LazyFrame[Any]:
    """Opportunities ever engaged past each old age, those of them still open, and the book, per value of `by`."""
    in_book = _whole(nw.col("in_book"))
    counted = snapshots.filter(~nw.col("age_days").is_null()).with_columns(
        in_book.alias("open"),
        *(_whole(nw.col("age_days") >= days).alias(f"engaged_{days}") for days in OLD_DAYS),
        *((_whole(nw.col("age_days") >= days) * in_book).alias(f"open_{days}") for days in OLD_DAYS),
    )
    sums = [_whole(nw.col(name).sum()).alias(f"{prefix}_{name}") for name in ENGAGED]
    return counted.select(*sums) if by is None else counted.group_by(by).agg(*sums)


def week_of(frame: nw.LazyFrame[Any], column: str) -> nw.Expr:
    """Weeks from the first Monday to the date, as Int64."""
    days = days_between(frame, nw.col(column), nw.lit(FIRST_MONDAY))
    return _whole((days / 7).floor())


def cohort_counts(snapshots: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Per region and engage week: opportunities engaged from the week before to the week after; those still open."""
    engaged = snapshots.filter(~nw.col("engage_date").is_null())
    weekly = (
        engaged.with_columns(week_of(engaged, "engage_date").alias("week"))
        .group_by("regional_office", "week")
        .agg(_whole(nw.len()).alias("engaged"), _whole(_whole(nw.col("in_book")).sum()).alias("open"))
    )
    shifted = nw.concat([weekly.with_columns((nw.col("week") + shift).alias("week")) for shift in (-1, 0, 1)])
    return shifted.group_by("regional_office", "week").agg(
        _whole(nw.col("engaged").sum()).alias("cohort_engaged"), _whole(nw.col("open").sum()).alias("cohort_open")
    )


def counted_book(snapshots: nw.LazyFrame[Any], closings: nw.LazyFrame[Any], month: Month) -> nw.LazyFrame[Any]:
    """The book of `month` with every count joined to it.

    Args:
        snapshots: rows of `SNAPSHOTS` of one month.
        closings: rows of `DAILY_CLOSINGS` of the same month.
        month: that month.

    Returns:
        One row per opportunity in the book: the snapshot's columns that are known while it is open; per group g of
        `GROUPS` and for `all`: g_won, g_lost, g_won_recent, g_lost_recent (deals, last 90 days), g_days_to_close (sum,
        days), g_open, g_engaged_100, g_open_100, g_engaged_138, g_open_138 (opportunities); cohort_engaged,
        cohort_open; agent_last_close; week.
    """
    # No expression can read what a feature is not allowed to, whatever it declares.
    rows = book(snapshots).drop(*(column.name for column in SNAPSHOTS.columns if column.known in UNKNOWN_WHILE_OPEN))
    counted = rows.with_columns(week_of(rows, "engage_date").alias("week"))
    for prefix, by in (*GROUPS.items(), (ALL, None)):
        counted = with_counts(counted, snapshots, closings, month, prefix=prefix, by=by)
    return counted.join(cohort_counts(snapshots), on=["regional_office", "week"], how="left").join(
        last_closes(closings), on="sales_agent", how="left"
    )


def with_counts(
    rows: nw.LazyFrame[Any],
    snapshots: nw.LazyFrame[Any],
    closings: nw.LazyFrame[Any],
    month: Month,
    *,
    prefix: str,
    by: str | None,
) -> nw.LazyFrame[Any]:
    """`rows` with the counts of their value of `by`, empty where it has none; of all deals when `by` is None."""
    counts = closed_counts(closings, by, prefix, month), engaged_counts(snapshots, by, prefix)
    for counted in counts:
        rows = rows.join(counted, how="cross") if by is None else rows.join(counted, on=by, how="left")
    return rows


def last_closes(closings: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Per sales_agent the agent_last_close, the day of the last deal closed."""
    return closings.group_by("sales_agent").agg(nw.col("close_date").max().alias("agent_last_close"))
