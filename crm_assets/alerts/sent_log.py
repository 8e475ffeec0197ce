"""The record of what people were told: one row per message that a receiver took, kept in the lake."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from crm_assets.alerts.alert import Kind, Message, Severity
from crm_assets.calendar import Month
from crm_assets.contracts import Column, Table
from crm_assets.contracts import Kind as Type
from crm_assets.lake import Lake

SENT = Table(
    "alert_log",
    "One row per message of an alert that a receiver took.",
    (
        Column("sent_at", Type.STRING, "When it was taken, ISO 8601, UTC", required=True),
        Column("target", Type.STRING, "Name of the receiver, which holds no secret", required=True),
        Column("key", Type.STRING, "What repetitions and the recovery have in common", required=True),
        Column("kind", Type.STRING, "What it is about", required=True, allowed=tuple(Kind)),
        Column("severity", Type.STRING, "How bad it is", required=True, allowed=tuple(map(str, Severity))),
        Column("what", Type.STRING, "One line", required=True),
        Column("where", Type.STRING, "The asset or job", required=True),
        Column("month", Type.STRING, "Month that it is about, YYYY-MM; empty where it is about none"),
        Column("how_bad", Type.STRING, "What was found, in words and figures; may be blank", required=True),
        Column("since", Type.STRING, "When it was first seen, ISO 8601, UTC", required=True),
        Column("count", Type.INTEGER, "How often it happened", required=True, minimum=1),
        Column("recovered_at", Type.STRING, "When it was right again, ISO 8601, UTC; empty for the alert itself"),
    ),
    key=("sent_at", "target", "key"),
)


def record(lake: Lake, taken: list[tuple[str, Message]], at: datetime) -> None:
    """Store which receiver took which message, in the calendar month of `at`. Raises StorageError."""
    if not taken:
        return
    rows = [
        {
            "sent_at": _utc(at),
            "target": target,
            "key": message.alert.key,
            "kind": str(message.alert.kind),
            "severity": str(message.alert.severity),
            "what": message.alert.what,
            "where": message.alert.where,
            "month": message.alert.month,
            "how_bad": message.alert.how_bad,
            "since": _utc(message.since),
            "count": message.count,
            "recovered_at": None if message.recovered_at is None else _utc(message.recovered_at),
        }
        for target, message in taken
    ]
    lake.log(SENT).add(Month.of(at.astimezone(UTC).date()), pl.DataFrame(rows, schema=SENT.polars_schema()), at)


def newest(lake: Lake, most: int) -> list[dict[str, object]]:
    """The newest `most` rows of SENT, newest first; none where nothing was sent.

    Raises StorageError, and LakeError when a file of it cannot be read.
    """
    log, found = lake.log(SENT), pl.DataFrame(schema=SENT.polars_schema())
    for month in sorted(log.marks(), reverse=True):
        found = pl.concat([found, log.scan(month).collect()])
        if found.height >= most:
            break
    return found.sort("sent_at", "target", "key", descending=[True, False, False]).head(most).to_dicts()


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds")
