from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from crm_assets.alerts.alert import Alert, Cleared, Severity
from crm_assets.alerts.folding import Ledger, Policy, fold
from crm_assets.alerts.lateness import deadline, due_month, lateness
from crm_assets.calendar import Month

times = st.datetimes(datetime(2016, 1, 1), datetime(2040, 1, 1)).map(lambda found: found.replace(tzinfo=UTC))


@given(times)
def test_the_due_month_is_the_newest_whose_deadline_has_passed(now: datetime) -> None:
    month = due_month(now)
    assert deadline(month) <= now < deadline(month.next)
    assert month.end < now.date()


def test_deadline_is_after_the_schedules_run() -> None:
    assert deadline(Month(2026, 12)) == datetime(2027, 1, 5, 4, tzinfo=UTC)
    assert due_month(datetime(2026, 11, 5, 3, 59, tzinfo=UTC)) == Month(2026, 9)
    assert due_month(datetime(2026, 11, 5, 4, tzinfo=UTC)) == Month(2026, 10)


def told(now: datetime, missing: list[str]) -> Alert | Cleared:
    return lateness(due_month(now), missing, 26, now, "http://localhost:3000/assets")


def test_missing_assets_are_named_and_become_worse_with_time() -> None:
    due = deadline(Month(2026, 10))
    late = told(due, ["scores", "win_model"])
    assert isinstance(late, Alert)
    assert (late.what, late.where, late.severity) == ("2026-10 is late", "scores, win_model", Severity.WARNING)
    assert late.at == due
    assert late.how_bad.startswith("2 of 26 assets were not made by 2026-11-05 04:00 UTC")
    worse = told(due + timedelta(days=3), [f"asset {number}" for number in range(26)])
    assert isinstance(worse, Alert)
    assert worse.severity is Severity.ERROR
    assert worse.where.endswith("asset 5 and 20 more")


def test_late_is_told_each_day_and_then_its_end() -> None:
    due = deadline(Month(2026, 10))
    policy = Policy(("json",), Severity.INFO, timedelta(days=1))
    ledger, hours = Ledger(), []
    for hour in range(80):
        before = ledger.open["late"].sent_at if ledger.open else None
        ledger = fold(ledger, [told(due + timedelta(hours=hour), ["scores"])], policy, due + timedelta(hours=hour))
        if ledger.open["late"].sent_at != before:
            hours.append(hour)
    assert hours == [0, 24, 48, 72]
    assert ledger.open["late"].count == 1
    done = fold(ledger, [told(due + timedelta(hours=81), [])], policy, due + timedelta(hours=81))
    assert done.open == {}
    assert done.queues["json"][-1].recovered_at == due + timedelta(hours=81)
