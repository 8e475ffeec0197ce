"""Alerts as the tests raise them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from crm_assets.alerts.alert import Alert, Kind, Link, Severity

START = datetime(2026, 11, 5, 4, 30, tzinfo=UTC)


def alert(key: str = "check drift_report:no_drift", at: datetime = START, **changes: Any) -> Alert:
    values: dict[str, Any] = {
        "kind": Kind.FAILED_CHECK,
        "severity": Severity.WARNING,
        "what": "Check no_drift of drift_report failed",
        "where": "drift_report",
        "month": "2026-10",
        "how_bad": "drift of 2026-10 is HIGH\nprediction psi 0.31",
        "links": (
            Link("Dagster", "http://localhost:3000/assets/drift_report?view=checks&checkDetail=no_drift"),
            Link("Report", "/lake/crm/drift_report/2026-10.html"),
        ),
    }
    return Alert(key=key, at=at, **{**values, **changes})
