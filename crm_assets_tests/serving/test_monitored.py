"""What is told of monitoring, and from what."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest
from fastapi.testclient import TestClient

from crm_assets.alerts import sent_log
from crm_assets.alerts.alert import Message
from crm_assets.monitoring.drift_columns import DRIFT
from crm_assets.serving.monitoring_messages import VERDICTS, AlertsAnswer, MonitoringAnswer
from crm_assets_tests.alerts.samples import START, alert
from crm_assets_tests.serving.conftest import Deployment
from crm_assets_tests.serving.small_lake import LAST, MONTHS, Business
from crm_assets_tests.serving.trust_lake import PAGE, put, store_monitoring


@pytest.fixture
def monitored(deployment: Deployment, business: Business, client: TestClient) -> TestClient:
    store_monitoring(deployment.lake, business, deployment.scores, LAST)
    return client


def told(client: TestClient, **asked: str) -> MonitoringAnswer:
    answer = client.get("/v1/monitoring", params=asked)
    assert answer.status_code == 200, answer.text
    return MonitoringAnswer.model_validate(answer.json())


def test_without_a_report_the_reason_is_told(client: TestClient) -> None:
    answer = client.get("/v1/monitoring")
    assert answer.status_code == 503
    assert "holds no drift_report" in answer.json()["detail"]


def test_the_month_and_its_columns(monitored: TestClient) -> None:
    answer = told(monitored)
    assert (answer.month, answer.months, answer.has_report) == (str(LAST), [str(LAST)], True)
    assert answer.drift == answer.history[-1]
    columns = {(column.part, column.column): column for column in answer.columns}
    price = columns["intake", "list_price"]
    assert price.p_limit == pytest.approx(0.02 / 4)
    assert (price.psi_limit, price.unit, price.change_limit) == (0.02, "USD", None)
    assert columns["closings", "all closings"].change_limit == 0.15
    scores = columns["book", "probability"]
    assert scores.psi_limit == 0.75
    for column in (price, scores):
        assert column.distribution is not None
        for side in ("current", "reference"):
            assert sum(getattr(one, side) for one in column.distribution.bins) == pytest.approx(1)
    assert [side.part for side in answer.sides] == ["intake", "book", "closings"]
    assert answer.reference_months == ["2017-05"]
    verdicts = [column.verdict for column in answer.columns]
    assert verdicts == sorted(verdicts, key=VERDICTS.index)
    assert columns["book", "probability"].verdict == "moved"
    assert verdicts[0] == "moved"


def test_scores_that_have_matured_and_those_that_have_not(monitored: TestClient) -> None:
    before, newest = told(monitored).performance
    assert (before.month, before.matured, before.compared) == (str(LAST.previous), True, True)
    wins = before.figures["wins"]
    assert wins.realised == before.wins
    assert wins.low is not None
    assert wins.high is not None
    assert wins.inside is (wins.low <= float(before.wins or 0) <= wins.high)
    assert (newest.month, newest.matured, newest.wins, newest.realised_revenue) == (str(LAST), False, None, None)
    assert newest.figures["brier"].realised is None
    assert newest.figures["brier"].estimate is not None


def test_quality_traffic_and_segments(monitored: TestClient) -> None:
    answer = told(monitored)
    assert [month.month for month in answer.quality] == [str(month) for month in MONTHS]
    assert (answer.quality[-1].score, answer.quality[-1].quarantined) == (0.9, 2)
    assert [(month.requests, month.level) for month in answer.traffic] == [(3, None)]
    assert {part.level for part in answer.segments} == {"regional_office", "product"}


def test_a_month_without_scores_says_why(deployment: Deployment, monitored: TestClient) -> None:
    nothing = pl.DataFrame(schema=DRIFT.polars_schema())
    put(deployment.lake, DRIFT, LAST, nothing, {"status": "not compared", "reason": "no scores"})
    answer = told(monitored)
    assert (answer.drift.level, answer.drift.reason, answer.columns) == (None, "no scores", [])


@pytest.mark.parametrize(("month", "status"), [("2030-01", 404), ("2017-00", 422)])
def test_a_month_that_is_none(monitored: TestClient, month: str, status: int) -> None:
    for path in ("/v1/monitoring", "/v1/monitoring/report"):
        assert monitored.get(path, params={"month": month}).status_code == status


def test_the_report_is_a_page_that_reaches_nothing(monitored: TestClient) -> None:
    answer = monitored.get("/v1/monitoring/report", params={"month": str(LAST)})
    assert answer.content == PAGE
    assert "sandbox allow-scripts" in answer.headers["content-security-policy"]
    assert "allow-same-origin" not in answer.headers["content-security-policy"]


def test_alerts_that_were_sent(deployment: Deployment, client: TestClient) -> None:
    assert client.get("/v1/monitoring/alerts").json() == {"receivers": 0, "alerts": []}
    sent = Message(alert(), START, 2)
    sent_log.record(deployment.lake, [("mailto", sent)], datetime(2026, 11, 5, 5, tzinfo=UTC))
    (one,) = AlertsAnswer.model_validate(client.get("/v1/monitoring/alerts").json()).alerts
    assert (one.target, one.what, one.severity, one.count) == ("mailto", sent.alert.what, "warning", 2)
    assert one.recovered_at is None
