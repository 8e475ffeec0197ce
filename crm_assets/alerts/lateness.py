"""Which month should be there by now, and what of it is not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from crm_assets.alerts.alert import Alert, Cleared, Kind, Link, Observation, Severity
from crm_assets.alerts.rendering import moment
from crm_assets.calendar import Month

DEADLINE_DAY, DEADLINE_HOUR = 5, 4
"""Of the month that follows, UTC: three days after the schedule has started its run."""

WORSE_AFTER = timedelta(days=3)
"""Time from the deadline after which a warning becomes an error."""

KEY = "late"
_NAMED = 6


def deadline(month: Month) -> datetime:
    """When every asset of a month should have been made."""
    after = month.next
    return datetime(after.year, after.number, DEADLINE_DAY, DEADLINE_HOUR, tzinfo=UTC)


def due_month(now: datetime) -> Month:
    """The newest month whose deadline has passed."""
    last = Month.of(now).previous
    return last if deadline(last) <= now else last.previous


def lateness(month: Month, missing: Sequence[str], assets: int, now: datetime, page: str) -> Observation:
    """What is to be told of a month whose deadline has passed: which assets are missing, or that none is.

    Args:
        month: as `due_month` gives it.
        missing: names of the assets that were not made for it.
        assets: how many there are.
        now: the time of looking.
        page: address of the assets' page in Dagster.
    """
    if not missing:
        return Cleared(KEY, now, str(month))
    due = deadline(month)
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    return Alert(
        key=KEY,
        kind=Kind.LATE,
        severity=Severity.ERROR if now - due >= WORSE_AFTER else Severity.WARNING,
        what=f"{month} is late",
        where=f"{', '.join(missing[:_NAMED])}{more}",
        at=due,
        month=str(month),
        how_bad=f"{len(missing)} of {assets} assets were not made by {moment(due)}: land the month's extract; where "
        "nothing lands, run `crm-assets run` or turn on monthly_schedule. If its run failed, its page says why.",
        links=(Link("Dagster", page),),
    )
