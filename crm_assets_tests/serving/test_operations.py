"""Running the platform over the API, with a Dagster that answers what a test has it answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from crm_assets.serving.access import entry, new_key
from crm_assets.settings import Settings
from crm_assets.simulated_landing import Landing
from crm_assets_tests.serving.conftest import Deployment
from crm_assets_tests.serving.fake_dagster import RUN_ID, FakeDagster, fake_dagster, run, serving
from crm_assets_tests.serving.small_lake import LAST, replace_in

NOBODY = "http://127.0.0.1:9"
PEOPLE = "https://dagster.example"
SIMULATOR = "simulator:?months=2017-01:2017-03&opportunities=60&seed=5"


@pytest.fixture
def dagster() -> FakeDagster:
    return fake_dagster()


Client = Callable[..., TestClient]


@pytest.fixture
def client(deployment: Deployment) -> Iterator[Client]:
    def client(**given: object) -> TestClient:
        settings = replace_in(deployment.settings, **{"api_dagster_url": NOBODY, "dagster_url": PEOPLE, **given})
        return deployment.client(settings)

    yield client


@pytest.fixture
def running(client: Client, dagster: FakeDagster) -> Iterator[TestClient]:
    with serving(dagster) as address:
        yield client(api_dagster_url=address)


def test_months_are_told_from_the_lake_while_dagster_is_away(client: Client) -> None:
    told = client().get("/v1/operations", params={"months": 4}).json()
    # The source goes on where the lake ends.
    assert told["months"][0] == "2017-12"
    assert told["next_before"] == told["months"][-1] == "2017-09"
    assert not told["compared"]
    assert "make dev" in told["dagster"]["why"]
    assert told["dagster"] == {"address": PEOPLE, "answers": False, "why": told["not_compared_because"]}
    older = client().get("/v1/operations", params={"months": 2, "before": "2017-09"}).json()
    assert older["months"] == ["2017-08", "2017-07"]
    assert older["newest_month"] == told["newest_month"] == "2017-12"
    states = {asset["name"]: [month["state"] for month in asset["months"]] for asset in older["assets"]}
    assert states["scores"] == ["made", "made"]
    scores = next(asset for asset in older["assets"] if asset["name"] == "scores")["months"][0]
    assert (scores["month"], scores["why"]) == (str(LAST), None)
    assert scores["rows"] > 0
    names = list(states)
    assert names.index("opportunity_snapshots") < names.index("opportunity_features")


def test_what_dagster_would_make_anew_is_out_of_date_and_why(running: TestClient) -> None:
    told = running.get("/v1/operations", params={"months": 3, "before": "2017-09"}).json()
    assert (told["compared"], told["dagster"]["answers"]) == (True, True)
    states = {asset["name"]: [(month["state"], month["why"]) for month in asset["months"]] for asset in told["assets"]}
    assert states["scores"] == [
        ("out of date", "input y has changed"),
        ("out of date", "input x has changed"),
        ("made", None),
    ]
    assert [past["months"] for past in told["runs"]] == [["2017-06", "2017-08"]]
    last = told["runs"][0]
    assert (last["trigger"], last["state"], last["started_at"], last["ended_at"]) == (
        "landing", "done", "1970-01-01T00:00:02+00:00", None,
    )  # fmt: skip
    assert last["url"] == f"{PEOPLE}/runs/{RUN_ID}"


def test_the_plan_is_told_by_asset_and_cause(running: TestClient, dagster: FakeDagster) -> None:
    told = running.post("/v1/operations/plan", json={"start": "2017-06", "end": "2017-08"}).json()
    assert (told["total"], told["assets"]) == (3, 2)
    assert told["steps"][0] == {
        "asset": "scores",
        "cause": "inputs changed",
        "detail": "input x has changed",
        "months": ["2017-07", "2017-08"],
    }
    assert "CrmLaunch" not in [name for name, _ in dagster.asked]


def test_a_backfill_is_started_watched_and_stopped(running: TestClient, dagster: FakeDagster) -> None:
    started = running.post("/v1/operations/backfills", json={"start": "2017-06", "assets": ["scores"], "force": True})
    assert started.json()["id"] == RUN_ID
    launched = dict(dagster.asked)["CrmLaunch"]["params"]
    assert launched["selector"]["assetSelection"]
    now = running.get(f"/v1/operations/backfills/{RUN_ID}").json()
    assert (now["state"], now["over"], now["done"], now["total"]) == ("running", False, 1, 4)
    assert now["url"] == f"{PEOPLE}/runs/{RUN_ID}"
    slow = running.post(f"/v1/operations/backfills/{RUN_ID}/cancel").json()
    assert (slow["over"], slow["state"]) == (False, "running")
    assert "stays STARTED" in slow["reason"]
    dagster.answers["CrmRun"] = {"runOrError": run("CANCELED")}
    assert running.post(f"/v1/operations/backfills/{RUN_ID}/cancel").json()["state"] == "canceled"


@pytest.mark.parametrize("path", ["plan", "backfills"])
def test_what_there_is_not_is_refused_by_the_field(running: TestClient, dagster: FakeDagster, path: str) -> None:
    error = {"type": "UnknownAssetError", "message": "there is no asset 'score'", "exit_code": 2}
    tick = {"cursor": json.dumps({"error": error}), "skipReason": "", "error": None}
    dagster.answers["CrmPlan"] = {"sensorDryRun": {"__typename": "DryRunInstigationTick", "evaluationResult": tick}}
    refused = running.post(f"/v1/operations/{path}", json={"start": "2017-06", "assets": ["score"]})
    assert refused.status_code == 422
    assert refused.json()["errors"] == [{"pointer": "/assets", "detail": "there is no asset 'score'"}]
    early = running.post(f"/v1/operations/{path}", json={"start": "2017-06", "end": "2017-05"})
    assert "2017-05 is before 2017-06" in early.json()["detail"]
    assert running.post(f"/v1/operations/{path}", json={"start": "June"}).status_code == 422


def test_a_run_that_there_is_not_is_not_found(running: TestClient, dagster: FakeDagster) -> None:
    dagster.answers["CrmRun"] = {"runOrError": {"__typename": "RunNotFoundError", "message": "no"}}
    assert running.get(f"/v1/operations/backfills/{RUN_ID}").status_code == 404
    assert running.get("/v1/operations/backfills/none").status_code == 422


@pytest.mark.parametrize("path", ["plan", "backfills", f"backfills/{RUN_ID}/cancel"])
def test_orders_need_dagster(client: Client, path: str) -> None:
    refused = client().post(f"/v1/operations/{path}", json={"start": "2017-06"})
    assert (refused.status_code, "make dev" in refused.json()["detail"]) == (503, True)


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    landing = Landing(str(tmp_path / "landed"))
    landing.advance(1, simulator=SIMULATOR)
    return landing


def test_the_simulated_crm_goes_on_and_is_reset_only_by_its_name(client: Client, landing: Landing) -> None:
    api = client(source_url=landing.url)
    told = api.get("/v1/operations").json()["landing"]
    assert (told["name"], told["landed"], told["next_month"]) == ("landed", ["2017-01"], "2017-02")
    landed = api.post("/v1/operations/simulation/advance", json={"months": 2}).json()["landed"]
    assert [month["month"] for month in landed] == ["2017-02", "2017-03"]
    assert landed[0]["opportunities"] > landed[0]["created"] > 0
    assert api.get("/v1/operations").json()["landing"]["next_month"] is None
    over = api.post("/v1/operations/simulation/advance", json={})
    assert (over.status_code, "ends with 2017-03" in over.json()["detail"]) == (409, True)
    wrong = api.post("/v1/operations/simulation/reset", json={"confirm": "landing"})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/confirm")
    assert len(landing.months()) == 3
    removed = api.post("/v1/operations/simulation/reset", json={"confirm": "landed"}).json()["removed"]
    assert removed == ["2017-03", "2017-02", "2017-01"]
    assert landing.months() == []


@pytest.mark.parametrize("order", ["advance", "reset"])
def test_a_crm_that_is_not_simulated_is_left_alone(client: Client, tmp_path: Path, order: str) -> None:
    for url in ("simulator:", str(tmp_path)):
        body = {"confirm": "x"} if order == "reset" else {}
        refused = client(source_url=url).post(f"/v1/operations/simulation/{order}", json=body)
        assert refused.status_code == 409
        assert "no simulated CRM lands" in refused.json()["detail"]


def test_an_operator_is_needed(client: Client) -> None:
    keys = {scopes: new_key() for scopes in ("read+score", "operate")}
    api = client(api_keys=" ".join(entry(scopes[:4], scopes, key) for scopes, key in keys.items()))
    looked = {scopes: api.get("/v1/operations", headers={"X-API-Key": key}) for scopes, key in keys.items()}
    assert {scopes: answer.status_code for scopes, answer in looked.items()} == {"read+score": 403, "operate": 200}
    reader = {"X-API-Key": keys["read+score"]}
    assert api.post("/v1/operations/backfills", json={"start": "2017-06"}, headers=reader).status_code == 403


def test_a_lake_that_is_not_there_yet_is_told_of(client: Client, tmp_path: Path) -> None:
    told = client(lake_url=str(tmp_path / "nothing")).get("/v1/operations").json()
    assert told["assets"] == []
    assert "crm-assets run" in told["troubles"]["lake"]


def test_settings_take_an_address_only() -> None:
    with pytest.raises(ValueError, match="http://host:port"):
        Settings(_env_file=None, api_dagster_url="webserver")  # type: ignore[call-arg]  # pydantic-settings' own


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8000", "Origin": "http://[::1]:8501"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "["}, 403),
    ],
)
def test_without_keys_only_this_machine_operates(deployment: Deployment, headers: dict[str, str], status: int) -> None:
    """Whatever a page of another site has the browser send, its name for this machine included."""
    with deployment.client() as client:
        assert client.get("/v1/operations", headers=headers).status_code == status
