"""How the client talks to what answers, or does not, at an address."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import dagster as dg
import httpx
import pytest
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from crm_assets.backfill_plan import Question
from crm_assets.calendar import Month
from crm_assets.client import (
    ClientError,
    CodeLocationError,
    NoRunError,
    NotDagsterError,
    Platform,
    UnreachableError,
    server,
)
from crm_assets.client.runs import asked_key
from crm_assets.defs.run_tags import PROCESS_TAG
from crm_assets.errors import SettingsError, SourceError
from crm_assets.process import Process

WORKSPACE = {
    "version": "1.13.27",
    "workspaceOrError": {
        "__typename": "Workspace",
        "locationEntries": [
            {
                "name": "crm",
                "loadStatus": "LOADED",
                "locationOrLoadError": {
                    "__typename": "RepositoryLocation",
                    "repositories": [
                        {"name": "all", "jobs": [{"name": "backfill"}], "sensors": [{"name": "backfill_plan"}]}
                    ],
                },
            }
        ],
    },
}
ONE_STEP = {"month": "2017-01", "asset": "scores", "cause": "missing", "detail": "missing"}
PLAN = {"first": "2017-01", "last": "2017-01", "assets": ["scores"], "steps": [ONE_STEP]}
DONE = {
    "__typename": "Run",
    "runId": "r1",
    "status": "SUCCESS",
    "tags": [{"key": "crm_assets/backfill_total", "value": "1"}],
    "eventConnection": {
        "cursor": "1",
        "hasMore": False,
        "events": [{"__typename": "MaterializationEvent", "assetKey": {"path": ["scores"]}, "partition": "2017-01"}],
    },
}


class Script:
    """Answers by the name of the operation; what was asked is kept."""

    def __init__(self, http: HTTPServer) -> None:
        self.asked: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.answers: dict[str, Any] = {
            "CrmWorkspace": WORKSPACE,
            "CrmPlan": tick({"plan": PLAN}),
            "CrmRuns": {"runsOrError": {"__typename": "Runs", "results": []}},
            "CrmLaunch": {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": "r1"}}},
            "CrmRun": {"runOrError": DONE},
        }
        self.url = http.url_for("/").rstrip("/")
        http.expect_request("/graphql", method="POST").respond_with_handler(self._respond)

    def names(self) -> list[str]:
        return [name for name, _, _ in self.asked]

    def _respond(self, request: Request) -> Response:
        sent = json.loads(request.get_data())
        name = sent["query"].split(maxsplit=1)[1].split("{")[0].split("(")[0].strip()
        self.asked.append((name, sent["variables"], dict(request.headers)))
        told = self.answers[name]
        if isinstance(told, list):
            told = told.pop(0) if len(told) > 1 else told[0]
        return told if isinstance(told, Response) else Response(json.dumps({"data": told}))


def tick(answer: dict[str, Any]) -> dict[str, Any]:
    found = {"cursor": json.dumps(answer), "skipReason": "", "error": None}
    return {"sensorDryRun": {"__typename": "DryRunInstigationTick", "evaluationResult": found}}


@pytest.fixture
def script(httpserver: HTTPServer) -> Script:
    return Script(httpserver)


@contextmanager
def connected(script: Script, **options: Any) -> Iterator[server.ServerPlatform]:
    with Platform.connect(script.url, **{"patience": 0, **options}) as platform:
        yield platform


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_nothing_answers() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(UnreachableError, match=rf"nothing answers at {url} .*make dev") as caught:
        Platform.connect(url, patience=0)
    assert caught.value.exit_code == 11


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Response("<html>", status=404), "is no Dagster: /graphql answers 404"),
        (Response("[]"), "is no Dagster: /graphql answers 200 and no GraphQL"),
        (Response("no", status=401), "lets nobody in without permission"),
    ],
)
def test_something_else_answers(script: Script, answer: Response, message: str) -> None:
    script.answers["CrmWorkspace"] = answer
    with pytest.raises(NotDagsterError, match=message):
        Platform.connect(script.url, patience=0)


def test_another_graphql_answers(script: Script) -> None:
    script.answers["CrmWorkspace"] = Response(json.dumps({"errors": [{"message": "Cannot query field 'version'"}]}))
    with pytest.raises(ClientError, match="does not understand crm-assets: Cannot query field"):
        Platform.connect(script.url, patience=0)


@pytest.mark.parametrize("url", ["localhost:3000", "ftp://host", "http://"])
def test_a_wrong_address_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="is no address of Dagster"):
        Platform.connect(url)


def test_a_secret_in_the_address_is_refused_and_not_told() -> None:
    with pytest.raises(SettingsError, match="must not hold credentials") as caught:
        Platform.connect("http://me:secret@host:3000")
    assert "secret" not in str(caught.value)


def test_questions_are_repeated_while_the_server_is_away(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("crm_assets.client.graphql.time.sleep", waits.append)
    away = Response("", status=503)
    script.answers["CrmWorkspace"] = [away, away, away, WORKSPACE]
    with connected(script, patience=60):
        assert script.names() == ["CrmWorkspace"] * 4
    assert 0 < waits[0] < waits[2], "the waits grow"


def test_headers_are_sent(script: Script) -> None:
    with connected(script, headers={"Dagster-Cloud-Api-Token": "abc"}):
        assert script.asked[0][2]["Dagster-Cloud-Api-Token"] == "abc"


def test_a_code_location_that_failed_to_load_is_told(script: Script) -> None:
    broken = {"__typename": "PythonError", "message": "CRM_TREES is 'many'"}
    entry = {"name": "crm", "loadStatus": "LOADED", "locationOrLoadError": broken}
    workspace = {"__typename": "Workspace", "locationEntries": [entry]}
    script.answers["CrmWorkspace"] = {"version": "1", "workspaceOrError": workspace}
    with pytest.raises(CodeLocationError, match="crm failed to load: CRM_TREES is 'many'"):
        Platform.connect(script.url, patience=0)


def test_another_code_location_is_told_by_name(script: Script) -> None:
    with pytest.raises(CodeLocationError, match="no code location 'other': its code locations are crm"):
        Platform.connect(script.url, patience=0, location="other")
    script.answers["CrmWorkspace"] = json.loads(json.dumps(WORKSPACE).replace("backfill_plan", "another"))
    with pytest.raises(CodeLocationError, match="none with a job 'backfill' and a sensor 'backfill_plan'"):
        Platform.connect(script.url, patience=0)


def test_errors_of_the_code_location_come_back_as_what_they_were(script: Script) -> None:
    told = {"type": "SourceError", "message": "exports/crm has no month", "exit_code": 3}
    script.answers["CrmPlan"] = tick({"error": told})
    with connected(script) as platform, pytest.raises(SourceError, match="exports/crm has no month") as caught:
        platform.plan(start="2017-01")
    assert caught.value.exit_code == 3


def test_one_run_over_the_range_is_launched(script: Script) -> None:
    seen: list[Any] = []
    with connected(script) as platform:
        done = platform.backfill(["scores"], "2017-01", on_progress=seen.append)
    assert (done.state, done.done, done.total, done.run_ids) == ("done", 1, 1, ("r1",))
    assert done.urls == (f"{script.url}/runs/r1",)
    assert (seen[-1].done, seen[-1].month, seen[-1].asset) == (1, "2017-01", "scores")
    (params,) = [sent["params"] for name, sent, _ in script.asked if name == "CrmLaunch"]
    tags = {tag["key"]: tag["value"] for tag in params["executionMetadata"]["tags"]}
    assert tags["dagster/asset_partition_range_start"] == "2017-01"
    assert tags["crm_assets/only_out_of_date"] == "true"
    assert params["selector"]["assetSelection"] == [{"path": ["scores"]}]


def test_nothing_is_launched_where_nothing_is_to_do(script: Script) -> None:
    script.answers["CrmPlan"] = tick({"plan": {**PLAN, "steps": []}})
    with connected(script) as platform:
        done = platform.backfill(["scores"], "2017-01")
    assert (done.state, done.run_ids) == ("up to date", ())
    assert "CrmLaunch" not in script.names()


def test_a_run_that_is_going_on_is_joined(script: Script) -> None:
    found = {"__typename": "Runs", "results": [{"runId": "r1", "status": "STARTED"}]}
    script.answers["CrmRuns"] = {"runsOrError": found}
    with connected(script) as platform:
        done = platform.backfill(["scores"], "2017-01")
    assert done.joined
    assert "CrmLaunch" not in script.names()
    (asked,) = [sent["filter"] for name, sent, _ in script.asked if name == "CrmRuns"]
    # The last two are of no run that Dagster itself starts.
    over = {*FINISHED_STATUSES, dg.DagsterRunStatus.MANAGED, dg.DagsterRunStatus.SUSPENDED}
    going_on = {*dg.DagsterRunStatus} - over
    assert set(asked["statuses"]) == {status.value for status in going_on}


def test_what_is_joined_is_what_was_asked_for() -> None:
    first, last = Month(2017, 1), Month(2017, 2)
    assert asked_key(Question(first, last, ("b", "a"))) == asked_key(Question(first, last, ("a", "b", "a")))
    others = [Question(first, last), Question(first, last, ("a",)), Question(first, last, force=True)]
    assert len({asked_key(asked) for asked in [*others, Question(first, first)]}) == 4


def test_the_names_that_load_no_dagster_are_those_of_dagster() -> None:
    from crm_assets.client import runs
    from crm_assets.defs import jobs, planning

    assert (jobs.BACKFILL.name, planning.SENSOR) == (runs.JOB, runs.SENSOR)


def test_a_launch_whose_answer_was_lost_is_looked_for_and_not_repeated(script: Script) -> None:
    there = {"runsOrError": {"__typename": "Runs", "results": [{"runId": "r1", "status": "STARTED"}]}}
    script.answers["CrmLaunch"] = Response("", status=502)
    script.answers["CrmRuns"] = [{"runsOrError": {"__typename": "Runs", "results": []}}, there]
    with connected(script) as platform:
        assert platform.backfill(["scores"], "2017-01").run_ids == ("r1",)
    assert script.names().count("CrmLaunch") == 1
    (sent,) = [sent["params"]["executionMetadata"]["tags"] for name, sent, _ in script.asked if name == "CrmLaunch"]
    looked = [sent["filter"] for name, sent, _ in script.asked if name == "CrmRuns"][-1]
    assert looked["tags"][0] in sent, "it is looked for by the tag it was launched with"


def test_a_launch_that_no_connection_came_about_for_is_sent_again(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = httpx.Client.post
    refused: list[str] = []

    def refuses_once(client: httpx.Client, url: str, *, json: dict[str, Any]) -> httpx.Response:
        if "mutation CrmLaunch" in json["query"] and not refused:
            refused.append(url)
            raise httpx.ConnectError("refused")
        return post(client, url, json=json)

    with connected(script, patience=5) as platform:
        monkeypatch.setattr(httpx.Client, "post", refuses_once)
        assert platform.backfill(["scores"], "2017-01").run_ids == ("r1",)
    assert refused
    assert script.names().count("CrmLaunch") == 1


def test_a_launch_that_cannot_be_found_again_is_told(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_SECONDS_BETWEEN_LOOKS", 0)
    script.answers["CrmLaunch"] = Response("", status=502)
    with connected(script) as platform, pytest.raises(UnreachableError, match="the same call joins it if it was"):
        platform.backfill(["scores"], "2017-01")
    assert script.names().count("CrmLaunch") == 1


def test_a_failed_run_tells_what_failed_and_where(script: Script) -> None:
    from crm_assets.client import RunFailedError

    cause = {"className": "LakeError", "message": "crm_assets.errors.LakeError: the disk is full\n"}
    error = {"className": "DagsterExecutionError", "message": "in step", "errorChain": [{"error": cause}]}
    event = {"__typename": "ExecutionStepFailureEvent", "stepKey": "scores", "error": error}
    log = {"cursor": "1", "hasMore": False, "events": [event]}
    script.answers["CrmRun"] = {"runOrError": {**DONE, "status": "FAILURE", "eventConnection": log}}
    with connected(script) as platform, pytest.raises(RunFailedError) as caught:
        platform.backfill(["scores"], "2017-01")
    told = str(caught.value)
    assert told == f"run r1 failed: scores: LakeError: the disk is full; its page is {script.url}/runs/r1"
    assert (caught.value.backfill.state, caught.value.exit_code) == ("failed", 12)


def test_waiting_ends_in_time(script: Script) -> None:
    from crm_assets.client import WaitTimeoutError

    script.answers["CrmRun"] = {"runOrError": {**DONE, "status": "QUEUED"}}
    with connected(script) as platform, pytest.raises(WaitTimeoutError, match=r"goes on; .*does dagster-daemon run"):
        platform.wait("r1", timeout=0)


def tagged(status: str, process: Process | None) -> dict[str, Any]:
    tags = [{"key": PROCESS_TAG, "value": f"r1 {process}"}] if process else []
    return {"runOrError": {**DONE, "status": status, "tags": tags}}


@pytest.mark.parametrize("process", [Process.current(), replace(Process.current(), host="elsewhere", pid=1), None])
def test_a_run_whose_process_may_live_stays_as_it_is_cancelled(script: Script, process: Process | None) -> None:
    from crm_assets.client import WaitTimeoutError

    script.answers["CrmTerminate"] = {"terminateRun": {"__typename": "TerminateRunFailure", "message": "Unable"}}
    script.answers["CrmRun"] = tagged("CANCELING", process)
    with connected(script) as platform, pytest.raises(WaitTimeoutError, match="CANCELING") as caught:
        platform.cancel("r1", timeout=0)
    assert (process.name if process else "its process") in str(caught.value)
    policies = [sent["policy"] for name, sent, _ in script.asked if name == "CrmTerminate"]
    assert policies == ["SAFE_TERMINATE"]


def test_a_run_whose_process_is_gone_is_written_down_as_cancelled(script: Script) -> None:
    script.answers["CrmTerminate"] = {"terminateRun": {"__typename": "TerminateRunFailure", "message": "Unable"}}
    # The first process of the machine is there, yet did not start when this one did.
    gone = tagged("CANCELING", replace(Process.current(), pid=1))
    script.answers["CrmRun"] = [gone, gone, tagged("CANCELED", None)]
    with connected(script) as platform:
        assert platform.cancel("r1", timeout=0).state == "canceled"
    policies = [sent["policy"] for name, sent, _ in script.asked if name == "CrmTerminate"]
    assert policies == ["SAFE_TERMINATE", "MARK_AS_CANCELED_IMMEDIATELY"]


def test_a_run_that_nobody_knows(script: Script) -> None:
    script.answers["CrmRun"] = {"runOrError": {"__typename": "RunNotFoundError", "message": "not found"}}
    with connected(script) as platform, pytest.raises(NoRunError, match="has no run nope: not found"):
        platform.status("nope")


def test_a_run_per_month_is_launched_when_the_one_before_is_done(script: Script) -> None:
    two = [{**ONE_STEP, "month": month} for month in ("2017-01", "2017-02")]
    script.answers["CrmPlan"] = tick({"plan": {**PLAN, "last": "2017-02", "steps": two}})
    script.answers["CrmLaunch"] = [
        {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": run_id}}} for run_id in ("r1", "r2")
    ]
    seen: list[Any] = []
    with connected(script) as platform:
        done = platform.backfill(["scores"], "2017-01", "2017-02", per_month=True, on_progress=seen.append)
    assert (done.run_ids, done.done, done.total, done.state) == (("r1", "r2"), 2, 2, "done")
    assert [progress.done for progress in seen] == [1, 2]
    order = [name for name in script.names() if name in {"CrmLaunch", "CrmRun"}]
    assert order[:2] == ["CrmLaunch", "CrmRun"]
    assert order.count("CrmLaunch") == 2
    ranges = [
        {tag["value"] for tag in sent["params"]["executionMetadata"]["tags"] if "range" in tag["key"]}
        for name, sent, _ in script.asked
        if name == "CrmLaunch"
    ]
    assert ranges == [{"2017-01"}, {"2017-02"}]


def test_per_month_needs_to_wait(script: Script) -> None:
    with connected(script) as platform, pytest.raises(SettingsError, match="per_month needs wait=True"):
        platform.backfill(start="2017-01", per_month=True, wait=False)


def test_arguments_are_looked_at_before_anything_is_asked(script: Script) -> None:
    with connected(script) as platform:
        before = len(script.asked)
        with pytest.raises(SettingsError, match=r"write \['scores'\]"):
            platform.plan("scores", "2017-01")
        with pytest.raises(SettingsError, match="start is missing"):
            platform.plan()
        with pytest.raises(SettingsError, match="'2017-1' is not a month"):
            platform.plan(start="2017-1")
        assert len(script.asked) == before
