"""From questions to a real server, over its log, to the month that is gathered and the drift report of it."""

from __future__ import annotations

from typing import Any

import httpx
import polars as pl
import pytest

from crm_assets.calendar import month_range
from crm_assets.defs.checks import online_drift_verdict
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.io_manager import store
from crm_assets.defs.jobs import logged_since
from crm_assets.defs.monthly import MonthlyAsset
from crm_assets.defs.online import online_drift_report, online_predictions
from crm_assets.defs.platform import Platform
from crm_assets.defs.provenance import out_of_date
from crm_assets.lake import Manifest
from crm_assets.modelling.win_model import WinModel
from crm_assets.monitoring.drift import MonthRows, compare
from crm_assets.monitoring.drift_level import HIGH, MEDIUM
from crm_assets.monitoring.reference import BOOK, INTAKE, REFERENCE, reference_set
from crm_assets.monitoring.reference_rows import book_rows, comparable, intake_rows
from crm_assets.monitoring.traffic import askable
from crm_assets_tests.serving.conftest import Deployment
from crm_assets_tests.serving.small_lake import FIRST, LAST, Business, write

ASKED_AT_ONCE = 100


@pytest.fixture
def normal(business: Business, models: dict[str, WinModel]) -> pl.DataFrame:
    """A reference for the champion: the months before, and the book of one at the same month of the quarter."""
    before = month_range(FIRST, LAST.previous)
    new = [intake_rows(business.months[m].features, business.months[m].snapshots, m) for m in before]
    book = business.months[LAST.shift(-3)].features
    predicted = pl.Series("probability", models["blend"].predict(book.to_pandas()))
    scored = book.select("opportunity_id", "snapshot_month").with_columns(predicted)
    parts = {INTAKE: pl.concat(new).to_pandas(), BOOK: book_rows(book, scored).to_pandas()}
    made = reference_set(parts, model_version="1", made_in=LAST)
    return pl.from_pandas(made, schema_overrides=dict(REFERENCE.polars_schema()))


@pytest.fixture
def platform(deployment: Deployment, normal: pl.DataFrame) -> Platform:
    """The deployment, whose lake also holds what is normal."""
    write(deployment.lake, REFERENCE, LAST, normal)
    platform = Platform(deployment.settings)
    platform.lake = deployment.lake
    return platform


def made(platform: Platform, asset: MonthlyAsset) -> Manifest:
    with platform.writing(print):
        return store(platform, asset, LAST, asset.make(Inputs(asset, platform, LAST), LAST))


def ask(deployment: Deployment, *requests: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What a server of its own answers, which is told to stop then."""
    with deployment.server() as address, httpx.Client(base_url=f"http://{address}", timeout=60) as client:
        answers = [client.post(path, json=asked) for path, asked in requests]
    assert [answer.status_code for answer in answers] == [200] * len(requests)
    return [answer.json() for answer in answers]


def scored(*opportunities: Any) -> tuple[str, dict[str, Any]]:
    named = [{"opportunity_id": one} if isinstance(one, str) else one for one in opportunities]
    return "/v1/score", {"opportunities": named}


def test_what_a_server_answered_is_gathered_and_compared(
    deployment: Deployment, platform: Platform, business: Business, normal: pl.DataFrame
) -> None:
    ids = deployment.scores[LAST]["opportunity_id"].to_list()
    assert deployment.live.current is not None
    fields = deployment.live.current.book.fields[ids[0]]
    made_up = {"sales_agent": fields.sales_agent, "product": fields.product, "age_days": 3, "list_price": 1e6}
    requests = [scored(*ids[at : at + ASKED_AT_ONCE]) for at in range(0, len(ids), ASKED_AT_ONCE)]
    what_if = ("/v1/explain", {"opportunity": {"opportunity_id": ids[0]}, "change": {"age_days": 200}})
    ask(deployment, *requests, scored(*[made_up] * 50), what_if)

    gathered = made(platform, online_predictions)
    told = gathered.notes
    assert gathered.rows == len(ids) + 50
    assert (told["requests"], told["callers"], told["opportunities"]) == (len(requests) + 1, 1, len(ids))
    assert (told["by_id"], told["by_fields"], told["unlike_scores"]) == (len(ids), 50, 0)

    report = made(platform, online_drift_report).notes
    assert report["callers"] == 1
    # Who asks about the whole book, and about some that are made up, gets what is to be said of the book.
    features = business.months[LAST].features
    open_deals = business.months[LAST].snapshots.filter("in_book")
    book = book_rows(features, deployment.scores[LAST])
    whole = MonthRows(intake_rows(features, open_deals, LAST).to_pandas(), book.to_pandas(), None)
    expected, _ = compare(whole, comparable(askable(normal), LAST), month=LAST, model_version="1")
    assert expected.level is not None
    assert {**report, **{name: value for name, value in expected.summary().items() if value is not None}} == report
    assert b"Drift of online traffic in 2017-08" in platform.lake.document(online_drift_report.name, LAST, "html")
    fault = online_drift_verdict(platform, LAST).fault
    assert (fault is not None) == (expected.level in (MEDIUM, HIGH))


def test_what_is_asked_later_makes_the_month_out_of_date(deployment: Deployment, platform: Platform) -> None:
    first, second = deployment.scores[LAST]["opportunity_id"].to_list()[:2]
    ask(deployment, scored(first))
    assert logged_since(deployment.settings) == [LAST]
    assert made(platform, online_predictions).rows == 1
    assert made(platform, online_drift_report).notes["status"] == "not compared"
    assert logged_since(deployment.settings) == []
    ask(deployment, scored(first, second))
    assert logged_since(deployment.settings) == [LAST]
    with platform.writing(print):
        assert out_of_date(platform, online_predictions, LAST) == "input prediction_log/2017-08 has changed"
    assert made(platform, online_predictions).rows == 3
    assert made(platform, online_drift_report).notes["book_rows"] == 2
