"""The view of the model: what it says of a model, and where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from crm_assets.app import model_words as words
from crm_assets_tests.app import trust_answers as told
from crm_assets_tests.app.asked import ANSWERS, drawn, said

PATH = "/v1/model/report"


@pytest.fixture(autouse=True)
def answers() -> Iterator[dict[str, Any]]:
    ANSWERS.clear()
    ANSWERS[PATH] = told.report()
    yield ANSWERS
    ANSWERS.clear()


def page(**query: str) -> AppTest:
    def script() -> None:
        from crm_assets.app.views import model
        from crm_assets_tests.app.asked import user

        model.draw(user())

    return drawn(script, query)


def test_who_decides_and_how_good_it_is() -> None:
    drawn = page()
    text = said(drawn)
    assert "**Version 12** decides since 2017-09." in text
    assert "17,295 views of open deals at the ends of 2017-02 to 2017-08" in text
    assert "version 13 (`lightgbm`)" in text
    assert [(one.label, one.value, one.delta) for one in drawn.metric] == [
        ("In the right order", "25 %", "50 % is chance"),
        ("Less error", "25 %", "than the base rate"),
        ("Off on average", "25.0 %", "0 % is perfect"),
        ("Wins", "90", "88 expected"),
    ]


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (
            "Calibration",
            "1,136 deals, counted once a month, that it gave about 32 %, 30 % were won (95 % interval: 27 % to 33 %).",
        ),
        ("Gain", "The top 20 % of the list held 50 % of the wins."),
        ("What it looks at", "25 % of it is about the agent who sells."),
        ("Segments", "Expected and come should lie close together."),
        ("Promotions", "Its list was not surely better ordered."),
        ("Leakage gate", "All 34 checks passed"),
        ("Model card", "with what it must not be used for"),
    ],
)
def test_the_address_says_what_is_shown(part: str, text: str) -> None:
    assert text in said(page(part=part))


def test_an_earlier_month_is_asked_for_by_the_address(answers: dict[str, Any]) -> None:
    answers[f"{PATH}?month=2017-11"] = told.report(month="2017-11", challenger=None)
    drawn = page(month="2017-11")
    assert drawn.selectbox[0].value == "2017-11"
    assert "version 13 (`lightgbm`)" not in said(drawn)


def test_before_there_is_a_model_it_says_what_to_do(answers: dict[str, Any]) -> None:
    nothing: dict[str, Any] = {
        **{name: [] for name in ("backtest", "calibration", "gain", "importance", "segments")},
        "figures": {},
        "judged": False,
        "challenger": None,
    }
    answers[PATH] = told.report(champion=None, why_no_champion="no deal has closed", **nothing)
    text = said(page())
    assert "No model decides yet" in text
    assert "No deal has closed." in text
    assert "crm-assets run" in text
    rung = {"version": "2", "month": "2017-03", "champion_since": "2017-03", "candidate": "overall_rate"}
    rung |= {"rung": "overall_rate", "rung_in_words": "win rate of all open deals"}
    answers[PATH] = told.report(champion=rung, **nothing)
    drawn = page()
    assert "no trained model yet but the win rate of all open deals" in said(drawn)
    assert "How good it is cannot be told yet" in said(drawn)
    assert not drawn.metric


def test_a_leak_is_told(answers: dict[str, Any]) -> None:
    answers[PATH] = told.report(leakage=told.leakage(passed=33, failed=1, faults=["t.a of 2017-11 fails"]))
    text = said(page(part="Leakage gate"))
    assert "1 of 34 checks failed, so this model may not decide." in text
    assert "T.a of 2017-11 fails." in text


def test_names_of_the_data_are_no_markup() -> None:
    drawn = page(part="Segments", by="By product")
    (shown,) = (one.value for one in drawn.markdown if "GTX" in one.value)
    assert r"GTX \*Pro\*" in shown
    assert "1 with too few deals" in said(drawn)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"promoted": True}, "It was surely better"),
        ({"promoted": True, "champion_rung": "quarter_rate"}, "There is no model that could decide"),
        ({"trained": False}, "Too few deals had been won"),
        ({"checks": [told.check("segments by agent", "failed")]}, "It was worse for a region, product or agent."),
        ({"reason": "it is odd"}, "It is odd."),
    ],
)
def test_a_decision_in_short(changed: dict[str, Any], expected: str) -> None:
    assert words.in_short(told.promotion("2017-12", **changed)).startswith(expected)


def test_an_api_that_is_away_is_told_in_words(answers: dict[str, Any]) -> None:
    answers[PATH] = (503, "the lake holds no model_card")
    text = said(page())
    assert "There is nothing to show yet" in text
    assert "The lake holds no model\\_card." in text
