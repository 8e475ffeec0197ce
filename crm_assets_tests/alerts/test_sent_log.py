"""The record of what was sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crm_assets.alerts import sent_log
from crm_assets.alerts.alert import Message
from crm_assets.alerts.folding import Ledger
from crm_assets.alerts.sending import send_all
from crm_assets.lake import Lake
from crm_assets_tests.alerts.samples import START, alert

AT = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(str(tmp_path / "lake"), source="simulator:", create=True)


def test_what_was_sent_comes_back_newest_first_over_months(lake: Lake) -> None:
    assert sent_log.newest(lake, 10) == []
    first, second = Message(alert(), START, 1), Message(alert(), START, 3, AT)
    sent_log.record(lake, [("json", first), ("mailto", first)], AT)
    sent_log.record(lake, [("json", second)], AT + timedelta(minutes=2))
    told = sent_log.newest(lake, 10)
    assert [(one["target"], one["count"]) for one in told] == [("json", 3), ("json", 1), ("mailto", 1)]
    assert [one["recovered_at"] is not None for one in told] == [True, False, False]
    assert told[0]["sent_at"] == "2026-12-01T00:01:00.000+00:00"
    assert len(sent_log.newest(lake, 1)) == 1


def test_nothing_is_written_where_nothing_was_sent(lake: Lake) -> None:
    sent_log.record(lake, [], AT)
    assert lake.log(sent_log.SENT).marks() == {}


def test_who_took_a_message_is_told() -> None:
    class Taking:
        name = "takes"

        def send(self, _: Message) -> str | None:
            return None

    class Refusing:
        name = "refuses"

        def send(self, _: Message) -> str | None:
            return "no"

    message = Message(alert(), START, 1)
    taken: list[tuple[str, Message]] = []
    ledger = Ledger(queues={"takes": (message,), "refuses": (message,)})
    send_all(
        ledger,
        [Taking(), Refusing()],
        lambda *_: None,
        taken_by=lambda target, told: taken.append((target, told)),
    )
    assert taken == [("takes", message)]
