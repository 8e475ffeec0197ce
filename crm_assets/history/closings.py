"""Daily closings: the closed deals of a snapshot counted by day, agent and product, from which history is rolled up."""

from __future__ import annotations

from typing import Any

import narwhals as nw

from crm_assets.contracts import WON, Column, Kind, Table

DAILY_CLOSINGS = Table(
    "daily_closings",
    "One row per day, agent and product with at least one deal closed by the month-end.",
    (
        Column("snapshot_month", Kind.STRING, "Month at whose end the closings were known, YYYY-MM", required=True),
        Column("close_date", Kind.DATE, "Day of the closings", required=True),
        Column("sales_agent", Kind.STRING, "Agent who closed them", required=True),
        Column("manager", Kind.STRING, "Manager of the agent", required=True),
        Column("regional_office", Kind.STRING, "Office of the agent", required=True),
        Column("product", Kind.STRING, "Product sold or not", required=True),
        Column("won", Kind.INTEGER, "Deals won", unit="deals", required=True, minimum=0),
        Column("lost", Kind.INTEGER, "Deals lost", unit="deals", required=True, minimum=0),
        Column(
            "days_to_close",
            Kind.INTEGER,
            "Days from engagement to close, summed over the deals",
            unit="days",
            required=True,
            minimum=0,
        ),
    ),
    key=("close_date", "sales_agent", "product"),
)

_BY = ("snapshot_month", "close_date", "sales_agent", "manager", "regional_office", "product")


def daily_closings(snapshots: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Rows of `DAILY_CLOSINGS` from a snapshot, sorted by day, agent and product.

    Sums are of whole numbers only, so that they are equal to the last bit whatever the order of rows.
    """
    won = (nw.col("deal_stage") == WON).cast(nw.Int64())
    return (
        snapshots.filter(~nw.col("close_date").is_null())
        .with_columns(won.alias("won"), (1 - won).alias("lost"))
        .group_by(*_BY)
        .agg(*(nw.col(name).sum().cast(nw.Int64()) for name in ("won", "lost", "days_to_close")))
        .select(*DAILY_CLOSINGS.column_names)
        .sort("close_date", "sales_agent", "product")
    )
