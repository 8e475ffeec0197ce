"""Won deals of a snapshot, counted by month, group and price: what revenue is compared with and learnt from."""

from __future__ import annotations

from typing import Any

import narwhals as nw

from crm_assets.contracts import WON, Column, Kind, Table

WINS = Table(
    "wins",
    "One row per month, region, product, agent and list price with at least one deal won by the month-end.",
    (
        Column("won_month", Kind.STRING, "Month the deals were won in, YYYY-MM", required=True),
        Column("is_new", Kind.BOOLEAN, "Whether they were engaged in the month they were won in", required=True),
        Column("regional_office", Kind.STRING, "Office of the agent", required=True),
        Column("product", Kind.STRING, "Product sold", required=True),
        Column("sales_agent", Kind.STRING, "Agent who won them", required=True),
        Column("list_price", Kind.FLOAT, "List price of one", unit="USD", required=True, minimum=0),
        Column("wins", Kind.INTEGER, "Deals won", unit="deals", required=True, minimum=1),
        Column("close_value", Kind.FLOAT, "Their revenue at close", unit="USD", required=True, minimum=0),
    ),
    key=("won_month", "is_new", "regional_office", "product", "sales_agent", "list_price"),
)


def won_deals(snapshots: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Rows of `WINS` from a snapshot, sorted by its key."""
    closed = nw.col("close_date")
    number = closed.dt.month()
    text = number.cast(nw.String())
    two_digits = nw.when(number < 10).then(nw.concat_str(nw.lit("0"), text)).otherwise(text)
    return (
        snapshots.filter((nw.col("deal_stage") == WON) & ~closed.is_null())
        .with_columns(
            nw.concat_str(closed.dt.year().cast(nw.String()), nw.lit("-"), two_digits).alias("won_month"),
            # On the nth of a month less than n days ago is this month.
            (nw.col("days_to_close") < closed.dt.day().cast(nw.Int64())).alias("is_new"),
        )
        .group_by(*WINS.key)
        .agg(nw.len().cast(nw.Int64()).alias("wins"), nw.col("close_value").sum().alias("close_value"))
        .select(*WINS.column_names)
        .sort(*WINS.key)
    )
