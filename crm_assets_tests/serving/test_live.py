"""The champion is followed, and whatever goes wrong with it, what was served goes on."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import polars as pl
import pytest
from fastapi.testclient import TestClient

from crm_assets.calendar import Month
from crm_assets.errors import LakeError
from crm_assets.features.lookups import FEATURE_LOOKUPS
from crm_assets.features.registry import FEATURE_TABLE
from crm_assets.history.snapshots import SNAPSHOTS
from crm_assets.modelling.win_model import WinModel
from crm_assets.serving.app import build_app
from crm_assets.serving.book import fingerprint, read_book
from crm_assets.serving.live import Live, State
from crm_assets_tests.serving.conftest import Deployment
from crm_assets_tests.serving.small_lake import LAST, MONTHS, Business, replace_in, write, write_month


def version_told(client: TestClient, deployment: Deployment) -> str:
    (row,) = deployment.scores[LAST].head(1).to_dicts()
    answer = client.post("/v1/score", json={"opportunities": [{"opportunity_id": row["opportunity_id"]}]})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["model_version"])


def test_a_new_champion_is_swapped_in_by_the_next_look(
    deployment: Deployment, client: TestClient, models: dict[str, WinModel]
) -> None:
    assert version_told(client, deployment) == "1"
    deployment.shelf.put("2", models["lightgbm"])
    assert version_told(client, deployment) == "1"
    deployment.live.look()
    assert version_told(client, deployment) == "2"


def test_nothing_is_loaded_or_swapped_while_nothing_is_new(deployment: Deployment) -> None:
    before, loads = deployment.live.current, deployment.shelf.loads
    deployment.live.look()
    assert deployment.live.current is before
    assert (deployment.shelf.loads, deployment.live.swaps) == (loads, 1)


def test_a_newer_month_is_swapped_in(business: Business, deployment: Deployment, models: dict[str, WinModel]) -> None:
    for asset in ("scores", "opportunity_features"):
        for file in Path(deployment.settings.dataset_url, asset).glob(f"{LAST}.*"):
            file.unlink()
    live = deployment.another(deployment.settings)
    assert live.current is not None
    assert live.current.book.month == MONTHS[-2]
    write_month(deployment.lake, business, LAST, models["blend"])
    live.look()
    assert live.current.book.month == LAST


@pytest.mark.parametrize("shadow", [False, True])
def test_a_champion_of_a_month_without_scores_does_not_answer_of_the_month_before(
    deployment: Deployment, models: dict[str, WinModel], shadow: bool
) -> None:
    settings = replace_in(deployment.settings, api_shadow=shadow)
    live = deployment.another(settings)
    deployment.shelf.put("2", models["lightgbm"])
    deployment.shelf.put("3", models["logistic"], alias="challenger")
    deployment.shelf.trained |= {"2": LAST.next, "3": LAST.next}
    for seen in (live, deployment.another(settings)):
        seen.look()
        with TestClient(build_app(settings, seen, watch=False)) as client:
            assert version_told(client, deployment) == "1"
            ready = client.get("/health/ready").json()
        assert ready["status"] == "degraded"
        assert ready["shadow_version"] is None
        assert f"version 2, was trained at the end of {LAST.next}" in ready["troubles"]["champion"]
        assert ("challenger" in ready["troubles"]) is shadow
    deployment.shelf.trained["2"] = LAST
    live.look()
    assert live.current is not None
    assert live.current.champion.served.version == "2"
    assert live.troubles.champion is None


def test_when_the_newest_month_goes_no_champion_of_it_answers_of_the_month_before(
    deployment: Deployment, models: dict[str, WinModel]
) -> None:
    deployment.shelf.put("2", models["lightgbm"])
    deployment.shelf.trained["2"] = LAST
    live = deployment.another(deployment.settings)
    newest = live.current
    assert newest is not None
    assert newest.champion.served.version == "2"
    for file in Path(deployment.settings.dataset_url, "scores").glob(f"{LAST}.*"):
        file.unlink()
    deployment.shelf.away = "the server does not answer"
    live.look()
    assert live.current is newest
    # Nor does the one that was kept for the next start.
    assert deployment.another(deployment.settings).current is None
    deployment.shelf.away = None
    live.look()
    assert live.current is not None
    assert (live.current.book.month, live.current.champion.served.version) == (MONTHS[-2], "1")


def test_while_the_registry_is_away_the_last_good_one_serves_and_it_is_said(
    deployment: Deployment, client: TestClient
) -> None:
    deployment.shelf.away = "the server does not answer"
    deployment.live.look()
    assert version_told(client, deployment) == "1"
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert ready.json()["troubles"] == {"registry": "the server does not answer"}
    assert 'crm_api_trouble{about="registry"} 1.0' in client.get("/metrics").text
    deployment.shelf.away = None
    deployment.live.look()
    assert client.get("/health/ready").json()["status"] == "ready"
    assert 'crm_api_trouble{about="registry"} 0.0' in client.get("/metrics").text


def test_started_while_the_registry_is_away_the_champion_of_before_serves(deployment: Deployment) -> None:
    deployment.shelf.away = "the server does not answer"
    live = deployment.another(deployment.settings)
    assert live.current is not None
    assert live.current.champion.served.version == "1"
    assert live.troubles.registry == "the server does not answer"


def test_of_one_that_was_kept_and_altered_nothing_is_taken(deployment: Deployment) -> None:
    deployment.shelf.away = "the server does not answer"
    for file in (deployment.settings.home / "serving").iterdir():
        kept = json.loads(file.read_bytes())
        kept["training"] = {**kept["training"], "rows": 1}
        file.write_text(json.dumps(kept))
    assert deployment.another(deployment.settings).current is None


def test_a_pinned_month_does_not_take_the_place_of_the_champion_that_is_kept(
    deployment: Deployment, business: Business, models: dict[str, WinModel]
) -> None:
    deployment.shelf.versions["2"] = models["lightgbm"]
    write_month(deployment.lake, business, MONTHS[0], models["lightgbm"], "2")
    pinned = deployment.another(replace_in(deployment.settings, api_month=str(MONTHS[0])))
    assert pinned.current is not None
    assert pinned.current.champion.served.version == "2"
    deployment.shelf.away = "the server does not answer"
    unpinned = deployment.another(deployment.settings)
    assert unpinned.current is not None
    assert unpinned.current.champion.served.version == "1"


def test_the_champion_of_another_registry_is_not_taken(deployment: Deployment) -> None:
    assert len(list((deployment.settings.home / "serving").iterdir())) == 1
    deployment.shelf.away = "the server does not answer"
    assert deployment.another(replace_in(deployment.settings, mlflow_tracking_uri="http://127.0.0.1:1")).current is None


def test_a_champion_that_fails_to_load_keeps_the_old_one(
    deployment: Deployment, client: TestClient, models: dict[str, WinModel]
) -> None:
    deployment.shelf.put("2", models["lightgbm"])
    deployment.shelf.broken.add("2")
    deployment.live.look()
    assert version_told(client, deployment) == "1"
    assert client.get("/health/ready").json()["troubles"] == {"champion": "version 2 is damaged"}


def test_a_champion_that_cannot_score_the_book_keeps_the_old_one(
    deployment: Deployment, client: TestClient, models: dict[str, WinModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.shelf.put("2", models["lightgbm"])

    def fails(*_: object) -> None:
        raise RuntimeError("it divides by zero")

    monkeypatch.setattr("crm_assets.modelling.lightgbm_trees.FittedTrees.predict", fails)
    deployment.live.look()
    assert version_told(client, deployment) == "1"
    assert client.get("/health/ready").json()["troubles"] == {"champion": "it divides by zero"}


def test_without_the_month_there_is_a_503_that_says_why(deployment: Deployment) -> None:
    live = deployment.another(replace_in(deployment.settings, api_month="2019-01"))
    with TestClient(build_app(deployment.settings, live, watch=False)) as client:
        answers = [client.get("/health/ready"), client.get("/v1/pipeline")]
        assert client.get("/health/live").status_code == 200
    assert [answer.status_code for answer in answers] == [503, 503]
    assert all("of 2019-01: run crm-assets run --months 2019-01" in answer.json()["detail"] for answer in answers)


def test_without_a_champion_there_is_a_503_that_says_why(deployment: Deployment) -> None:
    deployment.shelf.aliases.clear()
    for file in (deployment.settings.home / "serving").iterdir():
        file.unlink()
    live = deployment.another(deployment.settings)
    with TestClient(build_app(deployment.settings, live, watch=False)) as client:
        answer = client.post("/v1/score", json={"opportunities": [{"opportunity_id": "a"}]})
    assert answer.status_code == 503
    assert "no champion yet" in answer.json()["detail"]
    assert answer.headers["retry-after"] == "5"


def test_a_month_that_is_being_made_again_is_not_mixed(deployment: Deployment, business: Business) -> None:
    before = deployment.live.current
    other = {f"opportunity_snapshots/{LAST}": "0" * 64}
    write(deployment.lake, FEATURE_TABLE, LAST, business.months[LAST].features.head(3), other)
    deployment.live.look()
    assert deployment.live.current is before
    assert "different snapshots" in str(deployment.live.troubles.lake)


@pytest.mark.parametrize("times", [1, 9])
def test_a_month_that_is_made_again_while_it_is_read_is_not_mixed(
    deployment: Deployment, business: Business, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    path, left = deployment.lake.table_path, list(range(times))
    made = business.months[LAST]

    def made_again_before(asset: str, month: Month) -> Path:
        if asset == FEATURE_TABLE.name and left:
            fewer = made.features.head(3 + left.pop())
            of = pl.col("opportunity_id").is_in(fewer["opportunity_id"].to_list())
            snapshot = write(deployment.lake, SNAPSHOTS, LAST, made.snapshots.with_columns(pl.col("in_book") & of))
            inputs = {f"{SNAPSHOTS.name}/{LAST}": snapshot}
            write(deployment.lake, FEATURE_TABLE, LAST, fewer, inputs)
            write(deployment.lake, FEATURE_LOOKUPS, LAST, business.lookups(LAST), inputs)
        return path(asset, month)

    monkeypatch.setattr(deployment.lake, "table_path", made_again_before)
    if times > 1:
        with pytest.raises(LakeError, match="2017-08 is being made again"):
            read_book(deployment.lake, LAST)
    else:
        book = read_book(deployment.lake, LAST)
        assert len(book.fields) == 3
        assert book.fields.keys() == book.at.keys()
        assert book.fingerprint == fingerprint(deployment.lake, LAST)


def test_the_challenger_scores_in_the_shadow(deployment: Deployment, models: dict[str, WinModel]) -> None:
    deployment.shelf.put("2", models["lightgbm"], alias="challenger")
    settings = replace_in(deployment.settings, api_shadow=True)
    live = deployment.another(settings)
    row = deployment.scores[LAST].row(0, named=True)
    book = business_row(live, row["opportunity_id"])
    asked = {"opportunities": [{"opportunity_id": row["opportunity_id"]}, book]}
    with TestClient(build_app(settings, live, watch=False)) as client:
        told = client.post("/v1/score", json=asked).json()
    assert (told["model_version"], told["shadow_version"]) == ("1", "2")
    assert live.current is not None
    assert live.current.challenger is not None
    expected = live.current.challenger.known[row["opportunity_id"]]["probability"]
    assert expected != row["probability"]
    assert [one["shadow_probability"] for one in told["opportunities"]] == pytest.approx([expected] * 2, abs=1e-9)
    deployment.shelf.broken.add("3")
    deployment.shelf.put("3", models["logistic"], alias="challenger")
    live.look()
    assert live.current.challenger is not None
    assert live.troubles.challenger == "version 3 is damaged"


def test_a_challenger_that_fails_takes_nobodys_answer(
    deployment: Deployment, models: dict[str, WinModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.shelf.put("2", models["lightgbm"], alias="challenger")
    settings = replace_in(deployment.settings, api_shadow=True)
    live = deployment.another(settings)
    assert live.current is not None
    assert live.current.challenger is not None

    def fails(*_: object) -> None:
        raise RuntimeError("it divides by zero")

    monkeypatch.setattr(live.current.challenger, "scores", fails)
    (row,) = deployment.scores[LAST].head(1).to_dicts()
    with TestClient(build_app(settings, live, watch=False)) as client:
        answer = client.post("/v1/score", json={"opportunities": [{"opportunity_id": row["opportunity_id"]}]})
        assert answer.status_code == 200
        (told,) = answer.json()["opportunities"]
        assert "crm_api_shadow_failures_total 1.0" in client.get("/metrics").text
    assert told["probability"] == pytest.approx(row["probability"], abs=1e-9)
    assert told["shadow_probability"] is None


def business_row(live: Live, opportunity: str) -> dict[str, str]:
    assert live.current is not None
    fields = live.current.book.fields[opportunity]
    return {"sales_agent": fields.sales_agent, "product": fields.product, "engage_date": str(fields.engage_date)}


def test_no_request_is_dropped_or_mixed_while_champions_are_swapped(
    deployment: Deployment, client: TestClient, models: dict[str, WinModel]
) -> None:
    deployment.shelf.put("2", models["lightgbm"])
    deployment.shelf.put("1", models["blend"])
    ids = deployment.scores[LAST]["opportunity_id"].to_list()
    expected = {
        version: dict(zip(ids, models[name].predict(deployment_features(deployment)), strict=True))
        for version, name in (("1", "blend"), ("2", "lightgbm"))
    }
    faults: list[str] = []
    done = threading.Event()
    told_of = {version: threading.Event() for version in "12"}

    def swap() -> None:
        for turn in range(12):
            version = "12"[turn % 2]
            deployment.shelf.aliases["champion"] = version
            deployment.live.look()
            # Not faster than requests: each of them is to be seen.
            if not told_of[version].wait(30):
                break
        done.set()

    swapping = threading.Thread(target=swap)
    swapping.start()
    seen = set()
    while not done.is_set():
        answer = client.post("/v1/score", json={"opportunities": [{"opportunity_id": name} for name in ids]})
        told = answer.json()
        seen.add(told["model_version"])
        told_of[told["model_version"]].set()
        for name, one in zip(ids, told["opportunities"], strict=True):
            if abs(one["probability"] - expected[told["model_version"]][name]) > 1e-9:
                faults.append(name)
    swapping.join()
    assert not faults
    assert seen == {"1", "2"}


def deployment_features(deployment: Deployment):  # type: ignore[no-untyped-def]  # a frame of pandas
    assert deployment.live.current is not None
    return deployment.live.current.book.rows.to_pandas()


def test_the_thread_looks_and_ends(deployment: Deployment, models: dict[str, WinModel]) -> None:
    settings = replace_in(deployment.settings, api_look_seconds=0.01)
    live = Live(settings, deployment.shelf, lambda _: deployment.lake)
    looked = threading.Event()
    first = live.look

    def look() -> State | None:
        found = first()
        if live.swaps > 1:
            looked.set()
        return found

    live.look = look  # type: ignore[method-assign]  # to be told of it
    with TestClient(build_app(settings, live)) as client:
        while client.get("/health/ready").status_code != 200:
            pass
        deployment.shelf.put("2", models["lightgbm"])
        assert looked.wait(30)
        assert client.get("/health/ready").json()["model_version"] == "2"
    assert live._thread is not None
    assert not live._thread.is_alive()
