"""The view of monitoring: the level and what it comes from, how scores turned out, and where there is nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from crm_assets.app import monitoring_plots as plots
from crm_assets.app import monitoring_words as words
from crm_assets.app.stored_page import framed
from crm_assets_tests.app import trust_answers as told
from crm_assets_tests.app.asked import ANSWERS, drawn, said

PATH = "/v1/monitoring"


@pytest.fixture(autouse=True)
def answers() -> Iterator[dict[str, Any]]:
    ANSWERS.clear()
    ANSWERS[PATH] = told.monitoring()
    yield ANSWERS
    ANSWERS.clear()


def page(**query: str) -> AppTest:
    def script() -> None:
        from crm_assets.app.views import monitoring
        from crm_assets_tests.app.asked import user

        monitoring.draw(user())

    return drawn(script, query)


def test_a_quiet_month() -> None:
    text = said(page())
    assert "The month looks like those the model learnt from." in text
    assert "No column changed by as much as matters." in text
    assert "10 deals against 100." in text


def test_a_month_that_changed_says_what_and_how_much(answers: dict[str, Any]) -> None:
    moved = told.column(verdict="moved", psi=0.31, psi_limit=0.02, p_value=0.0001)
    changed = told.drift("2017-12", "MEDIUM", why=["moved: product, regional_office"])
    answers[PATH] = told.monitoring(drift=changed, columns=[moved])
    text = said(page())
    assert "Something differs by as much as matters." in text
    assert "Changed by as much as matters\\: Product, Region." in text
    assert "Changed: Product." in text
    assert "Moved by 0.310 \\(PSI\\); 0.02 and more matters." in text


@pytest.mark.parametrize(
    ("change", "expected"), [(None, "\N{EN DASH}"), (-0.001, "0 %"), (0.021, "+2 %"), (-0.3, "\N{MINUS SIGN}30 %")]
)
def test_a_change_has_its_sign_unless_it_is_none(change: float | None, expected: str) -> None:
    assert words.relative(change) == expected


def test_reasons_name_columns_as_the_page_does() -> None:
    bad = told.drift("2017-12", "HIGH", why=["quality 0.00: age_days (book) wrong units?"])
    assert words.why(bad) == ["Quality 0.00: Age of the deal (open deals) wrong units?"]


def test_a_month_without_scores_says_why_and_what_to_do(answers: dict[str, Any]) -> None:
    nothing = told.drift("2017-12", None, reason="no scores")
    answers[PATH] = told.monitoring(drift=nothing, columns=[], performance=[], has_report=False)
    text = said(page())
    assert "2017-12 was not compared" in text
    assert "comparing begins with the first scores" in text
    assert "Nothing was scored yet" in said(page(part="How scores turned out"))
    assert "There is no report of 2017-12" in said(page(part="Full report"))


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"deals": "Open deals"}, "10 deals against 100 of 2017-09."),
        ({"deals": "Closed deals"}, "All offices"),
        ({"part": "How scores turned out"}, "366 were won by the end of 2017-12; the probabilities promised 331"),
        ({"part": "Data quality"}, "2 rows broke a rule and were kept out, of 8,800."),
        ({"part": "Online traffic"}, "Nothing was asked yet"),
        ({"part": "Full report"}, "with Evidently's pictures"),
    ],
)
def test_the_address_says_what_is_shown(query: dict[str, str], text: str) -> None:
    assert text in said(page(**query))


def test_alerts(answers: dict[str, Any]) -> None:
    answers["/v1/monitoring/alerts"] = {"receivers": 0, "alerts": []}
    assert "`CRM_ALERT_URLS` names no receiver" in said(page(part="Alerts"))
    answers["/v1/monitoring/alerts"] = {"receivers": 1, "alerts": []}
    assert "Nothing has been wrong" in said(page(part="Alerts"))
    one = {"sent_at": "2026-11-05T05:00:00.000+00:00", "target": "mailto", "kind": "failed check", "where": "x"}
    one |= {"severity": "error", "what": "Check no_drift failed", "month": "2017-12", "how_bad": "HIGH", "since": ""}
    ended = {**one, "recovered_at": "2026-11-06T05:00:00.000+00:00"}
    answers["/v1/monitoring/alerts"] = {"receivers": 1, "alerts": [ended, {**one, "recovered_at": None}]}
    text = said(page(part="Alerts"))
    assert text.count("2026-11-05 05\\:00\\:00 UTC, by mailto about 2017-12") == 2
    assert "Check no\\_drift failed." in text
    assert "right again" in text
    assert "error" in text


def test_service_health(answers: dict[str, Any]) -> None:
    ready: dict[str, Any] = {"month": "2017-12", "model_version": "12", "shadow_version": None, "looked_at": None}
    ready |= {"status": "degraded", "since": "2026-11-22T00:32:42+00:00", "troubles": {"lake": "it is away"}}
    answers["/health/ready"] = ready
    text = said(page(part="Service"))
    assert "the last look at its sources failed" in text
    assert "| Trouble with the lake | it is away |" in text
    answers["/health/ready"] = (503, "no champion yet")
    assert "It cannot score: No champion yet." in said(page(part="Service"))


def test_the_report_is_loaded_only_when_it_is_asked_for(answers: dict[str, Any]) -> None:
    page(part="Full report")
    answers["/v1/monitoring/report?month=2017-12"] = b"<p>hello</p>"
    drawn = page(part="Full report", show="true")
    assert drawn.toggle[0].value is True
    del answers["/v1/monitoring/report?month=2017-12"]
    assert "//api/v1/monitoring/report?month=2017-12." in said(page(part="Full report", show="true"))


def test_a_page_in_a_frame_has_an_origin_of_its_own() -> None:
    shown = framed('<script>"x"</script>', "a & b")
    assert 'sandbox="allow-scripts"' in shown
    assert "<script>" not in shown
    assert 'title="a &amp; b"' in shown


def test_a_month_says_its_level_in_words_and_not_by_colour_alone() -> None:
    months = [told.drift("2017-11", None, reason='<b>"odd"'), told.drift("2017-12", "HIGH")]
    shown = plots.strip(months, "2017-12")
    assert "Not compared" in shown
    assert "Very different" in shown
    assert "<b>" not in shown
    assert shown.count('aria-current="true"') == 1


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"failed": ["last month's scores promised other wins than there were"]}, "That is off: last month's scores"),
        ({"compared": False, "reason": "it was a rate"}, "It was a rate."),
        ({}, "That is within what chance allows."),
    ],
)
def test_how_scores_turned_out(changed: dict[str, Any], expected: str) -> None:
    assert expected in words.turned_out([told.performance("2017-11", "2017-12", **changed)])
    waiting = words.turned_out([told.performance("2017-12", "2018-01", known=False)])
    assert "they come with the month-end after it" in waiting


@pytest.mark.parametrize(
    ("low", "high", "unit", "name"),
    [
        (0.0, 0.1, None, "0 % to 10 %"),
        (0.9, None, None, "90 % and more"),
        (0.0, 50.0, "days", "0 to 50 days"),
        (300.0, None, "days", "300 and more days"),
        (1000.0, 2000.0, None, "1,000 to 2,000"),
        (5000.0, None, "USD", "$5,000 and more"),
    ],
)
def test_a_range_is_named(low: float, high: float | None, unit: str | None, name: str) -> None:
    assert plots._bin_name({"name": None, "low": low, "high": high}, unit) == name
