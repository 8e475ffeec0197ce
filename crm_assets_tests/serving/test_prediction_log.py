from __future__ import annotations

import threading
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crm_assets.calendar import Month
from crm_assets.errors import LakeError
from crm_assets.lake import Lake
from crm_assets.monitoring.prediction_log import PREDICTION_LOG
from crm_assets.serving.prediction_log import PredictionLog
from crm_assets_tests.serving.conftest import Deployment
from crm_assets_tests.serving.small_lake import LAST, logged, new_lake, replace_in

MAY = Month(2017, 5)


def row(request: str, month: Month = MAY, place: int = 0) -> dict[str, Any]:
    return {
        "request_id": request,
        "place": place,
        "asker": "crm",
        "snapshot_month": str(month),
        "opportunity_id": None,
        "sales_agent": "Anna",
        "product": "GTX Pro",
        "engage_date": date(2017, 5, 1),
        "age_days": 30,
        "list_price": None,
        "probability": 0.25,
        "model_version": "1",
        "rung": "model",
        "shadow_probability": None,
        "shadow_version": None,
    }


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return new_lake(tmp_path / "lake")


def test_rows_stand_in_the_lake_by_month_and_day(lake: Lake, tmp_path: Path) -> None:
    log = PredictionLog(lambda: lake, clock=lambda: 0.0)
    log.put([row("a"), row("a", place=1)])
    log.put([row("b", MAY.next)])
    assert log.flush()
    found = logged(lake, MAY)
    assert found.schema == PREDICTION_LOG.polars_schema()
    assert found.select("request_id", "place", "asked_at").rows() == [
        ("a", place, "1970-01-01T00:00:00.000+00:00") for place in (0, 1)
    ]
    assert logged(lake, MAY.next)["request_id"].to_list() == ["b"]
    assert logged(lake, MAY.previous).is_empty()
    assert len(list((tmp_path / "lake" / "prediction_log" / "2017-05" / "1970-01-01").glob("*.parquet"))) == 1
    assert lake.months(PREDICTION_LOG.name) == []


def test_requests_that_share_an_id_are_both_kept(lake: Lake) -> None:
    now = [0.0]
    log = PredictionLog(lambda: lake, clock=lambda: now[0])
    for now[0] in (1.0, 2.0):
        log.put([row("a")])
    assert log.flush()
    assert logged(lake, MAY)["asked_at"].to_list() == ["1970-01-01T00:00:01.000+00:00", "1970-01-01T00:00:02.000+00:00"]


def test_what_finds_no_room_is_counted(lake: Lake) -> None:
    dropped: list[int] = []
    log = PredictionLog(lambda: lake, limit=3, dropped=dropped.append)
    for request in "abc":
        log.put([row(request), row(request, place=1)])
    assert dropped == [2, 2]
    log.flush()
    assert set(logged(lake, MAY)["request_id"]) == {"a"}


def test_what_cannot_be_written_is_tried_again_in_its_order(lake: Lake) -> None:
    away = True

    def opened() -> Lake:
        if away:
            raise LakeError("the server does not answer")
        return lake

    log = PredictionLog(opened)
    log.put([row("a")])
    assert not log.flush()
    assert log.trouble == "the server does not answer"
    log.put([row("b")])
    away = False
    assert log.flush()
    assert log.trouble is None
    assert set(logged(lake, MAY)["request_id"]) == {"a", "b"}


def test_a_stop_loses_nothing_while_many_write(lake: Lake) -> None:
    written: list[int] = []
    log = PredictionLog(lambda: lake, at_once=50, every_seconds=0.01, written=written.append)
    log.start()

    def write(name: str) -> None:
        for number in range(200):
            log.put([row(f"{name}{number}")])

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.stop()
    assert logged(lake, MAY).height == sum(written) == 800


def test_a_stop_that_cannot_write_says_what_is_lost() -> None:
    def away() -> Lake:
        raise LakeError("the server does not answer")

    dropped: list[int] = []
    log = PredictionLog(away, dropped=dropped.append)
    log.put([row("a"), row("b")])
    log.stop()
    assert dropped == [2]


def test_whatever_goes_wrong_nothing_is_lost(lake: Lake) -> None:
    faults = [RuntimeError("the library is confused"), MemoryError(), pl.exceptions.ComputeError("no such thing")]

    def opened() -> Lake:
        if faults:
            raise faults.pop(0)
        return lake

    log = PredictionLog(opened)
    log.put([row("a"), row("b")])
    for said in ("the library is confused", "MemoryError", "no such thing"):
        assert not log.flush()
        assert (log.trouble, log.waiting) == (said, 2)
    assert log.flush()
    assert (log.trouble, log.waiting) == (None, 0)
    assert set(logged(lake, MAY)["request_id"]) == {"a", "b"}


@pytest.mark.parametrize("wrong", [{"age_days": "old"}, {"snapshot_month": "never"}, {"snapshot_month": None}])
def test_a_row_that_no_table_holds_keeps_no_other_waiting(lake: Lake, wrong: dict[str, Any]) -> None:
    dropped: list[int] = []
    log = PredictionLog(lambda: lake, dropped=dropped.append)
    log.put([row("a"), {**row("b"), **wrong}, row("c", MAY.next)])
    assert log.flush()
    assert dropped == [1]
    assert logged(lake, MAY)["request_id"].to_list() == ["a"]
    assert logged(lake, MAY.next)["request_id"].to_list() == ["c"]


def test_a_month_that_cannot_be_written_keeps_no_other_waiting(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    log = PredictionLog(lambda: lake)
    write = log._write

    def fails(month: Month, rows: Any) -> None:
        if month == MAY:
            raise OSError("no such folder")
        write(month, rows)

    monkeypatch.setattr(log, "_write", fails)
    log.put([row("a"), row("b", MAY.next)])
    assert not log.flush()
    assert log.waiting == 1
    assert logged(lake, MAY.next)["request_id"].to_list() == ["b"]


def test_a_stop_waits_no_longer_than_it_is_told_to(lake: Lake) -> None:
    opening, go_on = threading.Event(), threading.Event()
    dropped: list[int] = []

    def hangs() -> Lake:
        opening.set()
        go_on.wait(60)
        return lake

    log = PredictionLog(hangs, at_once=1, dropped=dropped.append)
    log.start()
    log.put([row("a"), row("b")])
    assert opening.wait(30)
    log.stop(0.01)
    assert dropped == [2]
    go_on.set()


def test_a_log_that_cannot_be_written_is_told(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"opportunities": [{"opportunity_id": deployment.scores[LAST]["opportunity_id"][0]}]}
    kept: list[PredictionLog] = []
    started = PredictionLog.start

    def start(log: PredictionLog) -> None:
        kept.append(log)
        started(log)

    monkeypatch.setattr(PredictionLog, "start", start)

    def away() -> Lake:
        raise RuntimeError("the disk is full")

    with deployment.client() as client:
        client.post("/v1/score", json=asked)
        assert "crm_api_predictions_waiting 1.0" in client.get("/metrics").text
        opened, kept[0]._open_lake = kept[0]._open_lake, away
        assert not kept[0].flush()
        ready = client.get("/health/ready").json()
        assert (ready["status"], ready["troubles"]) == ("degraded", {"prediction_log": "the disk is full"})
        assert 'crm_api_trouble{about="prediction_log"} 1.0' in client.get("/metrics").text
        kept[0]._open_lake = opened
    assert logged(deployment.lake, LAST).height == 1


def test_what_was_answered_is_logged(deployment: Deployment) -> None:
    stored = deployment.scores[LAST].row(0, named=True)
    assert deployment.live.current is not None
    fields = deployment.live.current.book.fields[stored["opportunity_id"]]
    told = {"sales_agent": fields.sales_agent, "product": fields.product, "age_days": 3, "list_price": 9.0}
    asked = {"opportunities": [{"opportunity_id": stored["opportunity_id"]}, told]}
    with deployment.client() as client:
        answers = client.post("/v1/score", json=asked, headers={"x-request-id": "mine"}).json()["opportunities"]
        client.post("/v1/score", json={"opportunities": [{"opportunity_id": "none"}]})
        text = client.get("/metrics").text
    assert "crm_api_predictions_dropped_total 0.0" in text
    found = logged(deployment.lake, LAST)
    assert found["request_id"].to_list() == ["mine", "mine"]
    assert found["probability"].to_list() == [answer["probability"] for answer in answers]
    assert found["opportunity_id"].to_list() == [stored["opportunity_id"], None]
    assert found["list_price"].to_list()[1] == 9.0
    assert found["asker"].unique().to_list() == ["anonymous"]


def test_a_setting_turns_it_off(deployment: Deployment) -> None:
    asked = {"opportunities": [{"opportunity_id": deployment.scores[LAST]["opportunity_id"][0]}]}
    with deployment.client(replace_in(deployment.settings, api_prediction_log=False)) as client:
        client.post("/v1/score", json=asked)
    assert logged(deployment.lake, LAST).equals(pl.DataFrame(schema=PREDICTION_LOG.polars_schema()))
