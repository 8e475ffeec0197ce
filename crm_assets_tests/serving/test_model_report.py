"""The report about the model: what is told of it, and from what."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from crm_assets.calendar import Month
from crm_assets.leakage.finding import LEAKAGE_REPORT, Probe, Verdict
from crm_assets.serving.model_report import CLAIMS
from crm_assets.serving.model_report_messages import ModelReport
from crm_assets_tests.serving.conftest import Deployment
from crm_assets_tests.serving.small_lake import FIRST, LAST, MONTHS, write
from crm_assets_tests.serving.trust_lake import PAGE, leakage, store_report

PATH = "/v1/model/report"


def told(client: TestClient, month: Month | None = None) -> ModelReport:
    answer = client.get(PATH, params={"month": str(month)} if month else {})
    assert answer.status_code == 200, answer.text
    return ModelReport.model_validate(answer.json())


def test_without_a_card_the_reason_is_told(client: TestClient) -> None:
    answer = client.get(PATH)
    assert answer.status_code == 503
    assert "holds no model_card" in answer.json()["detail"]


def test_every_section_of_the_card_is_told(deployment: Deployment, client: TestClient) -> None:
    store_report(deployment.lake, LAST)
    report = told(client)
    assert (report.month, report.months, report.judged) == (str(LAST), list(map(str, MONTHS)), True)
    champion = report.champion
    assert champion is not None
    assert (champion.version, champion.month, champion.champion_since) == ("1", str(FIRST), str(MONTHS[0]))
    assert (champion.candidate, champion.recipe, champion.rows, champion.wins) == ("blend", "mean of two", 500, 90)
    assert (report.figures["mean_auc"].low, report.figures["mean_auc"].high) == (0.7, 0.9)
    assert report.figures["auc"].value is None
    (month,) = report.backtest
    assert (month.month, month.rows, month.wins, month.expected_wins) == ("2017-05", 40, 7, 6.5)
    assert not month.seen_by_champion
    assert set(month.figures) == {"brier"}
    (one,) = report.calibration
    assert (one.predicted, one.won.value, one.won.low, one.wins) == (0.25, 0.3, 0.1, 6)
    assert [(point.worked, point.model) for point in report.gain] == [(0.0, 0.0), (0.2, 0.6)]
    assert [(column.name, column.share) for column in report.importance] == [("age_days", 0.75), ("sales_agent", 0.25)]
    assert all(column.description for column in report.importance)
    assert [(part.level, part.name, part.rows) for part in report.segments] == [("region", "West", 20)]
    assert [(left.level, left.parts, left.rows) for left in report.left_out] == [("agent", 2, 9)]
    assert [(one.name, one.months_chosen) for one in report.candidates] == [("blend", 1)]
    assert [(book.month, book.deals, book.won) for book in report.books] == [("2017-05", 40, None)]


def test_promotions_are_told_newest_first_with_their_checks(deployment: Deployment, client: TestClient) -> None:
    store_report(deployment.lake, LAST)
    report = told(client)
    assert [one.month for one in report.promotions] == [str(month) for month in reversed(MONTHS)]
    assert [check.name for check in report.promotions[0].checks] == ["brier"]
    earlier = told(client, MONTHS[1])
    assert earlier.month == str(MONTHS[1])
    assert [one.month for one in earlier.promotions] == [str(month) for month in MONTHS[1::-1]]


def test_a_model_that_could_not_be_judged_says_so(deployment: Deployment, client: TestClient) -> None:
    store_report(deployment.lake, LAST, judged=False)
    report = told(client)
    assert not report.judged
    assert (report.figures, report.backtest, report.calibration, report.gain) == ({}, [], [], [])


def test_the_leakage_gate_names_what_came_closest_and_what_failed(deployment: Deployment, client: TestClient) -> None:
    store_report(deployment.lake, LAST)
    found = told(client).leakage
    assert found is not None
    assert (found.passed, found.failed, found.faults) == (3, 0, [])
    assert [(one.probe, one.passed, one.column, one.measured) for one in found.probes] == [
        (Probe.WON_FROM_LOST, 2, "b", 0.7),
        (Probe.CUT_OFF, 1, None, None),
    ]
    # Made again, it is told again.
    write(deployment.lake, LEAKAGE_REPORT, LAST, leakage(LAST, Verdict.FAILED))
    found = told(client).leakage
    assert found is not None
    assert (found.failed, len(found.faults)) == (1, 1)


def test_every_probe_has_a_claim() -> None:
    assert set(CLAIMS) == set(Probe)


@pytest.mark.parametrize(("month", "status"), [("2030-01", 404), ("2017-13", 422), ("x", 422)])
def test_a_month_that_is_none(deployment: Deployment, client: TestClient, month: str, status: int) -> None:
    store_report(deployment.lake, LAST)
    for path in (PATH, "/v1/model/card"):
        assert client.get(path, params={"month": month}).status_code == status


def test_the_card_is_a_page_that_reaches_nothing(deployment: Deployment, client: TestClient) -> None:
    store_report(deployment.lake, LAST)
    answer = client.get("/v1/model/card")
    assert (answer.content, answer.headers["content-type"]) == (PAGE, "text/html; charset=utf-8")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none'")
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    refused = client.get("/v1/model/card", params={"month": str(MONTHS[0])})
    assert refused.status_code == 404
    assert refused.headers["content-security-policy"].startswith("default-src 'none'")
    assert refused.headers["x-frame-options"] == "DENY"
