from __future__ import annotations

from datetime import timedelta

import pytest

from crm_assets.alerts.alert import Kind, Message, Severity
from crm_assets.alerts.rendering import Format, duration, letter
from crm_assets_tests.alerts.samples import START, alert

TEXT = """\
Check no_drift of drift_report failed.

Where: drift_report, month 2026-10, data set crm
How bad: warning. drift of 2026-10 is HIGH
prediction psi 0.31
Since: 2026-11-05 04:30 UTC, seen 3 times, the last time 2026-11-05 06:30 UTC
Dagster: http://localhost:3000/assets/drift_report?view=checks&checkDetail=no_drift
Report: /lake/crm/drift_report/2026-10.html"""
LATER = alert(at=START + timedelta(hours=2))
MESSAGE = Message(LATER, START, 3)


def test_text() -> None:
    told = letter(MESSAGE, "crm", "text")
    assert told.title == "[crm_assets crm] warning: Check no_drift of drift_report failed (2026-10)"
    assert told.body == TEXT


def test_recovery() -> None:
    told = letter(Message(LATER, START, 1, START + timedelta(hours=27, minutes=5)), "crm", "text")
    assert told.title == "[crm_assets crm] recovered: Check no_drift of drift_report failed (2026-10)"
    assert told.body.startswith("Recovered: Check no_drift of drift_report failed.\n")
    assert "\nWas: warning. drift of 2026-10 is HIGH\n" in told.body
    assert "\nSince: 2026-11-05 04:30 UTC\n" in told.body
    assert "\nRecovered: 2026-11-06 07:35 UTC, after 1 day 3 hours\n" in told.body


def test_what_happened_once_has_a_time_and_no_beginning() -> None:
    told = letter(Message(alert(kind=Kind.PROMOTION, severity=Severity.INFO), START, 1), "crm", "text")
    assert "When: 2026-11-05 04:30 UTC" in told.body
    assert "Since" not in told.body
    assert "Why: drift" in told.body


def test_html_is_escaped_and_links_what_can_be_opened() -> None:
    body = letter(Message(alert(how_bad="<b>5 & 6</b>\nrows"), START, 1), "crm", "html").body
    assert "&lt;b&gt;5 &amp; 6&lt;/b&gt;<br>rows" in body
    assert 'href="http://localhost:3000/assets/drift_report?view=checks&amp;checkDetail=no_drift"' in body
    assert "Report: /lake/crm/drift_report/2026-10.html" in body


def test_markdown_links_what_can_be_opened() -> None:
    body = letter(MESSAGE, "crm", "markdown").body
    assert body.startswith("**Check no_drift of drift_report failed.**")
    assert "[Dagster](http://localhost:3000/" in body
    assert "Report: `/lake/crm/drift_report/2026-10.html`" in body


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_every_fact_is_told_in_every_format(form: Format) -> None:
    body = letter(MESSAGE, "crm", form).body
    for fact in ("drift_report", "2026-10", "warning", "is HIGH", "0.31", "04:30 UTC", "seen 3 times", "checkDetail"):
        assert fact in body, fact


def test_title_is_one_line_and_body_not_endless() -> None:
    told = letter(Message(alert(what="a\r\nBcc: b", how_bad="x" * 10_000), START, 1), "crm", "text")
    assert told.title == "[crm_assets crm] warning: a Bcc: b (2026-10)"
    assert len(told.body) < 2_000


@pytest.mark.parametrize(
    ("minutes", "told"),
    [(0, "less than a minute"), (1, "1 minute"), (61, "1 hour 1 minute"), (1440, "1 day"), (3061, "2 days 3 hours")],
)
def test_duration(minutes: int, told: str) -> None:
    assert duration(timedelta(minutes=minutes)) == told


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
@pytest.mark.parametrize("room", [1_000, 1_024, 2_000])
def test_where_there_is_little_room_the_links_are_kept(form: Format, room: int) -> None:
    """Teams takes 1,000 characters and PagerDuty 1,024; `<` takes more room in HTML than it has."""
    for found in ("x<y " * 1_000, "short"):
        told = letter(Message(alert(how_bad=found), START, 1), "crm", form, room)
        assert len(told.title) + len(told.body) < room
        assert "checkDetail" in told.body
        assert told.body.rstrip("`</p>").endswith("2026-10.html")
        assert found[:5] in told.body.replace("&lt;", "<")
