"""Extracts that have landed and cannot be used, which no run would ever tell of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from crm_assets.alerts.alert import Alert, Cleared, Kind, Link, Observation, Severity

_KEY = "extract "


def unusable(
    faults: Mapping[str, str | None], open_since: Mapping[str, datetime], now: datetime, page: str
) -> list[Observation]:
    """What is to be told of the extracts that have landed.

    Args:
        faults: month, YYYY-MM, of each extract -> why it cannot be used; empty where nothing is wrong, None where it
            was not read yet.
        open_since: key of each open alert -> when it was first seen.
        now: the time of looking.
        page: address of the landing sensor's page in Dagster.
    """
    told: list[Observation] = []
    gone = {key for key in open_since if key.startswith(_KEY)} - {f"{_KEY}{month}" for month in faults}
    told += [Cleared(key, now) for key in sorted(gone)]
    for month, fault in sorted(faults.items()):
        key = f"{_KEY}{month}"
        if fault is None:
            continue
        if not fault:
            told.append(Cleared(key, now, month))
            continue
        told.append(
            Alert(
                key=key,
                kind=Kind.UNUSABLE,
                severity=Severity.ERROR,
                what=f"The extract of {month} cannot be used",
                where="landing",
                # The same sight at the next look is no further one.
                at=open_since.get(key, now),
                month=month,
                how_bad=f"{fault}\nIt is made once the extract has been mended and lands again.",
                links=(Link("Dagster", page),),
            )
        )
    return told
