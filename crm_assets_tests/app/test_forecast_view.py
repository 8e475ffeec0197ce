from __future__ import annotations

from typing import Any

import httpx
import pytest

from crm_assets.app.api import Api
from crm_assets.app.quarter import Quarter
from crm_assets.app.track_record import TrackRecord
from crm_assets.app.wording import dollars
from crm_assets_tests.app.conftest import Draw, texts
from crm_assets_tests.serving.small_lake import LAST


def test_the_forecast_is_told_with_its_range(draw: Draw, sales_api: httpx.BaseTransport) -> None:
    answer = Api("http://testserver", None, sales_api).get("/v1/forecast")
    total = next(line for line in answer["lines"] if line["level"] == "total")
    app = draw("forecast")
    told = texts(app)
    assert (app.metric[0].label, app.metric[0].value) == (f"Revenue in {LAST.next}", dollars(total["expected_revenue"]))
    assert f"between {dollars(total['low_80'])} and {dollars(total['high_80'])}" in told
    assert "closer in 1 of 3 months" in told
    won = sum(one["actual_revenue"] for one in answer["past"] if one["forecast_month"] in ("2017-07", "2017-08"))
    assert f"Won so far: {dollars(won)}" in told


@pytest.mark.parametrize(("chosen", "level"), [("Regions", "region"), ("Products", "product"), ("Agents", "agent")])
def test_it_is_told_apart(draw: Draw, sales_api: httpx.BaseTransport, chosen: str, level: str) -> None:
    lines = Api("http://testserver", None, sales_api).get("/v1/forecast", by=level)["lines"]
    app = draw("forecast", by=chosen)
    names = {line["name"] for line in lines if line["level"] == level}
    assert set(app.dataframe[0].value["Name"]) == names


def test_without_a_month_that_is_over_it_says_so(draw: Draw, sales_api: httpx.BaseTransport) -> None:
    answer = Api("http://testserver", None, sales_api).get("/v1/forecast", by="region")
    young = {**answer, "past": [], "given": None}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=young))
    told = texts(draw("forecast", transport))
    assert "No forecast has been put to the test yet" in told
    assert "there is no figure for the quarter" in told


TOTAL = {"expected_revenue": 10.0, "low_80": 5.0, "high_80": 20.0}


@pytest.mark.parametrize(
    ("month", "past", "expected"),
    [
        ("2018-01", {}, Quarter("2018-Q1", "2018-01", 1, 0, 10, 5, 20)),
        ("2018-02", {"2018-01": 7}, Quarter("2018-Q1", "2018-02", 2, 7, 17, 12, 27)),
        ("2017-12", {"2017-10": 1, "2017-11": 2, "2017-09": 9}, Quarter("2017-Q4", "2017-12", 3, 3, 13, 8, 23)),
        ("2017-12", {"2017-11": 2}, Quarter("2017-Q4", "2017-12", 3, None, None, None, None)),
    ],
)
def test_a_quarter_is_what_came_and_what_is_expected(month: str, past: dict[str, float], expected: Quarter) -> None:
    came = [{"forecast_month": name, "actual_revenue": revenue} for name, revenue in past.items()]
    assert Quarter.of(month, TOTAL, came) == expected


def figure(subject: str, name: str, value: float | None, low: float | None = None, high: float | None = None) -> Any:
    return {"section": "Calibration", "subject": subject, "name": name, "value": value, "low": low, "high": high}


def test_a_track_record_is_that_of_the_nearest_deals() -> None:
    card = [
        {"section": "Data", "subject": "all", "name": "rows", "value": 9.0},
        figure("bin 01", "rows", 100.0),
        figure("bin 01", "predicted", 0.01),
        figure("bin 01", "won", 0.02, -1e-19, 0.04),
        figure("bin 02", "rows", 90.0),
        figure("bin 02", "predicted", 0.3),
        figure("bin 02", "won", 0.25, 0.2, 0.3),
        figure("bin 03", "rows", 9.0),
        figure("bin 03", "predicted", 0.16),
        figure("bin 03", "won", None),
    ]
    assert TrackRecord.near(card, 0.0) == TrackRecord(100, 0.01, 0.02, 0.0, 0.04)
    assert TrackRecord.near(card, 0.26) == TrackRecord(90, 0.3, 0.25, 0.2, 0.3)
    assert TrackRecord.near([], 0.5) is None
    assert TrackRecord.near(None, 0.5) is None
