"""What is answered over HTTP is what the batch stored: for every opportunity, month and kind of model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from fastapi.testclient import TestClient

from crm_assets.calendar import Month, month_range
from crm_assets.defs.assets import ASSETS
from crm_assets.defs.drift import DRIFT_ASSETS
from crm_assets.defs.platform import Platform
from crm_assets.defs.scoring import SCORES
from crm_assets.history.snapshots import SNAPSHOTS
from crm_assets.modelling.win_model import WinModel
from crm_assets.registry import Registry
from crm_assets.run import make_range
from crm_assets.serving import messages as msg
from crm_assets.serving.app import build_app
from crm_assets.serving.live import Live
from crm_assets.settings import Settings
from crm_assets_tests.serving.conftest import Deployment
from crm_assets_tests.serving.server_process import api_server
from crm_assets_tests.serving.small_lake import (
    MONTHS,
    RECIPES,
    RUNG_WINS,
    Business,
    replace_in,
    settings_in,
    write_month,
)

COMPARED = ("probability", "expected_value", "probability_lost", "probability_abandoned")
EXACT = ("expected_close_month", "list_price", "age_days")


def assert_as_stored(client: TestClient | httpx.Client, scores: pl.DataFrame, snapshots: pl.DataFrame) -> None:
    """Each row of the book by its id alone and by its fields."""
    stored = {row["opportunity_id"]: row for row in scores.iter_rows(named=True)}
    book = snapshots.filter("in_book").to_dicts()
    assert stored.keys() == {row["opportunity_id"] for row in book}
    by_id = [{"opportunity_id": row["opportunity_id"]} for row in book]
    by_fields = [
        {"sales_agent": row["sales_agent"], "product": row["product"], "engage_date": str(row["engage_date"])}
        for row in book
    ]
    for asked in (by_id, by_fields):
        answer = client.post("/v1/score", json={"opportunities": asked})
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        assert {told["model_version"]} == set(scores["model_version"])
        assert {told["rung"]} == set(scores["rung"])
        assert {told["month"]} == set(scores["snapshot_month"])
        for row, found in zip(book, told["opportunities"], strict=True):
            expected = stored[row["opportunity_id"]]
            for name in COMPARED:
                then, now = expected[name], found[name]
                assert (then is None and now is None) or abs(now - then) <= 1e-9, (name, row["opportunity_id"])
            expected["list_price"] = row["list_price"]
            assert [found[name] for name in EXACT] == [expected[name] for name in EXACT]


@pytest.mark.parametrize("name", [*RUNG_WINS, *RECIPES])
def test_every_kind_of_model_in_every_month(
    deployment: Deployment, business: Business, models: dict[str, WinModel], name: str
) -> None:
    deployment.shelf.put("2", models[name])
    for month in MONTHS:
        scores = write_month(deployment.lake, business, month, models[name], version="2")
        settings = replace_in(deployment.settings, api_month=str(month))
        live = deployment.another(settings)
        with TestClient(build_app(settings, live, watch=False)) as client:
            assert_as_stored(client, scores, business.months[month].snapshots)
        assert_alone_as_stored(live, scores)


def assert_alone_as_stored(live: Live, scores: pl.DataFrame) -> None:
    """Each row of the book computed by itself."""
    assert live.current is not None
    book, scorer = live.current.book, live.current.champion
    for row in scores.iter_rows(named=True):
        (found,) = scorer.computed([book.fields[row["opportunity_id"]]])
        for name in COMPARED:
            then, now = row[name], found[name]
            assert (then is None and now is None) or abs(now - then) <= 1e-9, (name, row["opportunity_id"])
        assert found["expected_close_month"] == row["expected_close_month"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """All that is answered from, of a small simulated CRM: months without a champion, with a rate, with a model."""
    folder = tmp_path_factory.mktemp("run")
    more = {
        "trees": 30,
        "backtest_months": 2,
        "min_training_wins": 20,
        "source_url": "simulator:?opportunities=900&seed=11",
        "mlflow_tracking_uri": "",
    }
    settings = settings_in(folder, **more)
    # Nothing is answered from reports of drift, which take a third of the time.
    answered_from = [asset.name for asset in ASSETS if asset not in DRIFT_ASSETS]
    make_range(Platform(settings), month_range(Month(2017, 1), Month(2017, 5)), assets=answered_from)
    return settings


@pytest.mark.slow
@pytest.mark.parametrize("month", ["2017-03", "2017-05"])
def test_the_stored_scores_of_a_whole_run(run: Settings, month: str) -> None:
    settings = replace_in(run, api_month=month)
    live = Live(settings)
    live.look()
    lake = live._open_lake(settings)
    scores, snapshots = (
        pl.read_parquet(lake.table_path(name, Month.parse(month))) for name in (SCORES.name, SNAPSHOTS.name)
    )
    with TestClient(build_app(settings, live, watch=False)) as client:
        assert_as_stored(client, scores, snapshots)


@pytest.mark.slow
def test_between_a_new_champion_and_its_scores_the_month_before_is_answered_as_in_batch(
    run: Settings, tmp_path: Path
) -> None:
    settings = replace_in(
        run, lake_url=str(tmp_path / "lake"), home=tmp_path / "home", mlflow_tracking_uri=run.tracking_uri
    )
    shutil.copytree(run.lake_url, settings.lake_url)
    promoted = Registry(run.tracking_uri, run.model_name).champion()
    assert promoted is not None
    for month in month_range(promoted.month, Month(2017, 5)):
        for file in Path(settings.dataset_url, SCORES.name).glob(f"{month}.*"):
            file.unlink()
    live = Live(settings)
    live.look()
    assert live.current is not None
    month = live.current.book.month
    assert month == promoted.month.previous
    assert f"trained at the end of {promoted.month}" in str(live.troubles.champion)
    lake = live.lake()
    scores, snapshots = (pl.read_parquet(lake.table_path(name, month)) for name in (SCORES.name, SNAPSHOTS.name))
    assert promoted.version not in set(scores["model_version"])
    with TestClient(build_app(settings, live, watch=False)) as client:
        assert_as_stored(client, scores, snapshots)


@pytest.mark.slow
def test_what_the_lake_tells_of_a_month_is_told(run: Settings) -> None:
    live = Live(run)
    live.look()
    with TestClient(build_app(run, live, watch=False)) as client:
        row = client.get("/v1/pipeline", params={"sort": "age_days"}).json()["opportunities"][0]
        told = msg.OpportunityAnswer.model_validate(client.get(f"/v1/opportunities/{row['opportunity_id']}").json())
        assert told.reasons is not None
        assert told.moved is not None
        assert told.moved.change == pytest.approx(sum(told.moved.parts.values()))
        assert told.history[-1].probability == pytest.approx(row["probability"], abs=1e-9)
        lines = msg.ForecastAnswer.model_validate(client.get("/v1/forecast", params={"by": "region"}).json()).lines
        assert {line.level for line in lines} == {"total", "book", "new business", "region"}
        assert msg.ModelAnswer.model_validate(client.get("/v1/model").json()).card


@pytest.mark.slow
def test_a_server_of_its_own_answers_the_same(run: Settings, tmp_path: Path) -> None:
    lake = Live(run)._open_lake(run)
    month = Month.parse(lake.months(SCORES.name)[-1])
    scores, snapshots = (pl.read_parquet(lake.table_path(name, month)) for name in (SCORES.name, SNAPSHOTS.name))
    variables = {"CRM_SOURCE_URL": run.source_url, "CRM_LAKE_URL": run.lake_url, "CRM_HOME": str(run.home)}
    with (
        api_server(variables, tmp_path) as server,
        httpx.Client(base_url=server.address, timeout=60) as client,
    ):
        assert_as_stored(client, scores, snapshots)
        assert server.stop() in (0, -15)
