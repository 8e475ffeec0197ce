"""Whether an environment works, as the smoke test sees it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from crm_assets_tests.containers.compose import DOCKER
from crm_assets_tests.deploy.programs import Programs, stand_ins
from deploy import smoke
from deploy.smoke import (
    PAUSE,
    QUESTIONS,
    Answer,
    asked,
    faults_of_answers,
    faults_of_images,
    faults_of_services,
    until_well,
)

URLS = {name: f"https://{name}.crm.example" for name in ("api", "page", "webserver", "mlflow")}
IMAGE = f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/crm-assets@sha256:{'1' * 64}"
OLD = f"{IMAGE.partition('@')[0]}@sha256:{'0' * 64}"


def answers(change: Mapping[str, Answer] | None = None) -> Any:
    """What a healthy environment answers, but for the URLs that are named."""

    def ask(url: str) -> Answer:
        if change and url in change:
            return change[url]
        if url.startswith("http://"):
            return Answer(301, url.replace("http://", "https://"))
        (question,) = [each for each in QUESTIONS if url == f"{URLS[each.service]}{each.path}"]
        return Answer(200 if 200 in question.good else min(question.good))

    return ask


def test_a_healthy_environment_has_no_faults() -> None:
    assert faults_of_answers(URLS, answers()) == []


@pytest.mark.parametrize(
    ("url", "answer", "told"),
    [
        (f"{URLS['api']}/health/live", Answer(503), "503: not seen that the API answers"),
        (f"{URLS['api']}/v1/pipeline", Answer(200), "200: not seen that the API lets nobody in without a key"),
        (f"{URLS['page']}/_stcore/health", Answer(None, error="timed out"), "answers timed out"),
        (f"{URLS['webserver']}/server_info", Answer(200), "Dagster lets nobody in who has not signed in"),
        (f"{URLS['mlflow']}/health", Answer(200), "MLflow lets nobody in who has not signed in"),
        ("http://api.crm.example/", Answer(200), "answers 200 without encryption"),
        ("http://api.crm.example/", Answer(302, "http://elsewhere.example/"), "without encryption"),
    ],
)
def test_what_is_not_as_it_should_be_is_told(url: str, answer: Answer, told: str) -> None:
    (fault,) = faults_of_answers(URLS, answers({url: answer}))
    assert told in fault


def test_an_address_without_encryption_is_a_fault() -> None:
    faults = faults_of_answers({"api": "http://api.crm.example"}, lambda _: Answer(200))
    assert "api: http://api.crm.example is not encrypted" in faults


def test_a_closed_port_is_as_good_as_a_redirect() -> None:
    closed = {"http://api.crm.example/": Answer(None, error="ConnectionRefusedError")}
    assert faults_of_answers({"api": URLS["api"]}, answers(closed)) == []


def test_the_questions_are_those_the_containers_ask_themselves() -> None:
    healthy = (DOCKER / "healthy.py").read_text()
    for question in QUESTIONS:
        if question.path != "/v1/pipeline":
            assert f'"{question.path}"' in healthy


def test_an_answer_is_read_from_a_server(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/x").respond_with_data(status=302, headers={"Location": "https://sign-in.example"})
    assert asked(httpserver.url_for("/x")) == Answer(302, "https://sign-in.example")


def test_a_server_that_is_not_there_is_an_answer_too(httpserver: HTTPServer) -> None:
    port = httpserver.port
    httpserver.stop()
    assert "ConnectionRefusedError" in asked(f"http://127.0.0.1:{port}/").error
    assert asked(f"https://127.0.0.1:{port}/").status is None


def service(**change: Any) -> dict[str, Any]:
    return {"serviceName": "crm-assets-prod-code", "runningCount": 1, "desiredCount": 1, "deployments": [], **change}


def test_services_that_run_what_they_should_have_no_faults() -> None:
    done = service(deployments=[{"rolloutState": "COMPLETED"}])
    assert faults_of_services([done, service(deployments=[{}])]) == []


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (service(runningCount=0), "runs 0 of 1 tasks"),
        (
            service(deployments=[{"rolloutState": "FAILED", "rolloutStateReason": "tasks failed"}]),
            "FAILED tasks failed",
        ),
        (service(deployments=[{"rolloutState": "IN_PROGRESS"}]), "is being rolled out: IN_PROGRESS"),
    ],
)
def test_a_service_that_does_not_is_told(found: dict[str, Any], told: str) -> None:
    (fault,) = faults_of_services([found])
    assert told in fault


def test_a_service_that_is_missing_is_told() -> None:
    assert faults_of_services([], [{"arn": "crm-assets-prod-api", "reason": "MISSING"}]) == [
        "crm-assets-prod-api: MISSING"
    ]


def test_a_task_that_runs_another_image_is_told() -> None:
    tasks = [
        {"group": "service:api", "containers": [{"image": IMAGE}]},
        {"group": "service:code", "containers": [{"image": OLD}, {"image": "amazon/agent:1"}]},
    ]
    assert faults_of_images(tasks, IMAGE) == [f"service:code runs {OLD}"]


class Clock:
    """Goes on with each pause alone."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def test_it_asks_until_all_is_well() -> None:
    clock, left = Clock(), [["starting"], ["starting"], []]
    assert until_well(lambda: left.pop(0), 900, clock.time, clock.pause) == []
    assert clock.now == 2 * PAUSE


def test_it_gives_up_in_time() -> None:
    clock = Clock()
    assert until_well(lambda: ["starting"], 60, clock.time, clock.pause) == ["starting"]
    assert clock.now == 60


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENVIRONMENT", "prod")
    monkeypatch.setenv("TERRAFORM_STATE_BUCKET", "crm-assets-state")
    monkeypatch.setenv("SMOKE_SECONDS", "0")
    monkeypatch.setenv("IMAGE", IMAGE)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setattr(smoke, "faults_of_answers", lambda urls: faults_of_answers(urls, answers()))
    programs = stand_ins(tmp_path / "programs", monkeypatch, "terraform", "aws")
    told = {"cluster": "crm-assets-prod", "services": ["crm-assets-prod-code"], "urls": URLS}
    programs.answer("output", out=json.dumps({name: {"value": value} for name, value in told.items()}))
    programs.answer("describe-services", out=json.dumps({"services": [service()], "failures": []}))
    programs.answer("list-tasks", out=json.dumps({"taskArns": ["arn:1", "arn:2"]}))
    return programs


def test_the_whole_passes_on_a_healthy_environment(programs: Programs) -> None:
    tasks = [
        {"group": "service:crm-assets-prod-code", "containers": [{"image": IMAGE}]},
        # A run that began before the release.
        {"group": "family:crm-assets-prod-run", "containers": [{"image": OLD}]},
    ]
    programs.answer("describe-tasks", out=json.dumps({"tasks": tasks}))
    assert smoke.main() == 0


def test_the_whole_fails_on_an_old_image(programs: Programs, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = [{"group": "service:crm-assets-prod-code", "containers": [{"image": OLD}]}]
    programs.answer("describe-tasks", out=json.dumps({"tasks": tasks}))
    assert smoke.main() == 1
    assert f"service:crm-assets-prod-code runs {OLD}" in capsys.readouterr().err
