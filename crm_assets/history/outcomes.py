"""Outcomes: what a snapshot tells about the book of the month before; what it does not tell yet is censored."""

from __future__ import annotations

from typing import Any

import narwhals as nw

from crm_assets.contracts import ENGAGING, LOST, WON, Column, Kind, Table
from crm_assets.history.snapshots import book

WON_OUTCOME, LOST_OUTCOME, OPEN_OUTCOME = OUTCOMES_ALLOWED = ("won", "lost", "open")

OUTCOMES = Table(
    "opportunity_outcomes",
    "One row per opportunity in the book of the month before, with what became of it by this month-end.",
    (
        Column("opportunity_id", Kind.STRING, "Identifier of the opportunity", required=True),
        Column("snapshot_month", Kind.STRING, "Month whose book it was in, YYYY-MM", required=True),
        Column("matured_month", Kind.STRING, "Month at whose end the outcome was known, YYYY-MM", required=True),
        Column(
            "outcome",
            Kind.STRING,
            "Won, lost or still open a month after the snapshot",
            required=True,
            allowed=OUTCOMES_ALLOWED,
        ),
        Column("close_date", Kind.DATE, "Day it closed; empty if still open"),
        Column("close_value", Kind.FLOAT, "Revenue; 0 when lost, empty if still open", unit="USD", minimum=0),
    ),
    key=("opportunity_id",),
)


def outcomes(previous: nw.LazyFrame[Any], current: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Rows of `OUTCOMES`, sorted by opportunity_id.

    Args:
        previous: snapshot of the month before.
        current: snapshot of this month.

    An opportunity of the earlier book that the later snapshot lacks (deleted, merged, quarantined) has no row: nothing
    is known of its outcome, so it stays censored and is never counted as lost.
    """
    stage = nw.col("deal_stage")
    outcome = (
        nw.when(stage == WON)
        .then(nw.lit(WON_OUTCOME))
        .otherwise(nw.when(stage == LOST).then(nw.lit(LOST_OUTCOME)).otherwise(nw.lit(OPEN_OUTCOME)))
    )
    now = current.filter(stage.is_in([WON, LOST, ENGAGING])).select(
        "opportunity_id",
        nw.col("snapshot_month").alias("matured_month"),
        outcome.alias("outcome"),
        "close_date",
        "close_value",
    )
    return (
        book(previous)
        .select("opportunity_id", "snapshot_month")
        .join(now, on="opportunity_id", how="inner")
        .select(*OUTCOMES.column_names)
        .sort("opportunity_id")
    )
