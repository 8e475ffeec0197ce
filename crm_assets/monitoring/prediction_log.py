"""The contracts of what the API logs of its answers, and of the months that are gathered from it."""

from __future__ import annotations

from crm_assets.contracts import Column, Kind, Table
from crm_assets.features.registry import FEATURE_TABLE
from crm_assets.modelling.cold_start import RUNGS

PREDICTION_LOG = Table(
    "prediction_log",
    "One row per opportunity that the API scored.",
    (
        Column("request_id", Kind.STRING, "Request that asked for it", required=True),
        Column("place", Kind.INTEGER, "Its place in the request, from 0", required=True, minimum=0),
        Column("asked_at", Kind.STRING, "When, ISO 8601, UTC", required=True),
        Column("asker", Kind.STRING, "Name of the key, or subject of the token", required=True),
        Column("snapshot_month", Kind.STRING, "Month as of whose end it was scored, YYYY-MM", required=True),
        Column("opportunity_id", Kind.STRING, "Empty for one that was told by its fields"),
        Column("sales_agent", Kind.STRING, "Agent it was scored with", required=True),
        Column("product", Kind.STRING, "Product it was scored with", required=True),
        Column("engage_date", Kind.DATE, "Day of engagement it was scored with", required=True),
        FEATURE_TABLE.column("age_days"),
        FEATURE_TABLE.column("list_price"),
        Column("probability", Kind.FLOAT, "The champion's", unit="probability", required=True, minimum=0),
        Column("model_version", Kind.STRING, "Version of the champion", required=True),
        Column("rung", Kind.STRING, "Rung of the cold-start ladder", required=True, allowed=RUNGS),
        Column("shadow_probability", Kind.FLOAT, "The challenger's", unit="probability", minimum=0),
        Column("shadow_version", Kind.STRING, "Version of the challenger, in shadow mode"),
    ),
    # Who asks may give two requests the same id.
    key=("asked_at", "request_id", "place"),
)

ONLINE_PREDICTIONS = Table(
    "online_predictions",
    "One row per opportunity that the API scored as of the month, as often as it was asked.",
    PREDICTION_LOG.columns,
    PREDICTION_LOG.key,
)
