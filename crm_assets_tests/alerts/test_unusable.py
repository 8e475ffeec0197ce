from __future__ import annotations

from datetime import UTC, datetime, timedelta

from crm_assets.alerts.alert import Alert, Observation, Severity
from crm_assets.alerts.folding import Ledger, Policy, fold
from crm_assets.alerts.unusable import unusable

NOW = datetime(2026, 11, 2, 6, tzinfo=UTC)
POLICY = Policy(("json",), Severity.INFO, timedelta(days=1))
PAGE = "http://localhost:3000/locations/all@crm/sensors/landing"


def seen(ledger: Ledger, faults: dict[str, str | None], now: datetime) -> list[Observation]:
    return unusable(faults, {key: one.since for key, one in ledger.open.items()}, now, PAGE)


def test_an_extract_that_cannot_be_used_is_told_once_and_so_is_its_end() -> None:
    ledger = Ledger()
    for minute in range(5):
        now = NOW + timedelta(minutes=minute)
        found = seen(ledger, {"2026-09": "", "2026-10": "accounts.csv has no column account"}, now)
        ledger = fold(ledger, found, POLICY, now)
    (message,) = ledger.queues["json"]
    assert message.alert.what == "The extract of 2026-10 cannot be used"
    assert message.alert.how_bad.startswith("accounts.csv has no column account")
    assert (message.since, message.count) == (NOW, 1)
    later = NOW + timedelta(hours=1)
    ledger = fold(ledger, seen(ledger, {"2026-09": "", "2026-10": None}, later), POLICY, later)
    assert set(ledger.open) == {"extract 2026-10"}, "it has landed again and was not read yet"
    ledger = fold(ledger, seen(ledger, {"2026-09": "", "2026-10": ""}, later), POLICY, later)
    assert ledger.open == {}
    assert ledger.queues["json"][-1].recovered_at == later


def test_months_at_fault_are_told_apart_and_one_that_is_gone_is_over() -> None:
    both = fold(Ledger(), seen(Ledger(), {"2026-09": "one", "2026-10": "other"}, NOW), POLICY, NOW)
    assert set(both.open) == {"extract 2026-09", "extract 2026-10"}
    later = NOW + timedelta(hours=1)
    left = fold(both, seen(both, {"2026-09": "one"}, later), POLICY, later)
    assert set(left.open) == {"extract 2026-09"}
    assert fold(left, seen(left, {}, later), POLICY, later).open == {}


def test_other_alerts_are_left_alone() -> None:
    other = fold(Ledger(), seen(Ledger(), {"2026-10": "x"}, NOW), POLICY, NOW).open["extract 2026-10"]
    assert unusable({}, {"late": other.since}, NOW, PAGE) == []
    (alert,) = unusable({"2026-10": "x"}, {}, NOW, PAGE)
    assert isinstance(alert, Alert)
    assert alert.links[0].target == PAGE
