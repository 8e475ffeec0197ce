"""Whether an environment works, as the smoke test sees it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pytest_httpserver import HTTPServer

from crm_assets_tests.containers.compose import DOCKER
from crm_assets_tests.deploy.programs import Programs, stand_ins
from deploy import smoke
from deploy.smoke import (
    PAUSE,
    QUESTIONS,
    Answer,
    addresses,
    asked,
    faults_of_answers,
    faults_of_images,
    faults_of_services,
    until_well,
)

URLS = {name: f"https://{name}.crm.example" for name in ("api", "page", "webserver", "mlflow")}
OLD, NEW = f"sha256:{'0' * 64}", f"sha256:{'1' * 64}"


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
        (f"{URLS['webserver']}/server_info", Answer(200), "Dagster lets nobody in who is no operator"),
        (f"{URLS['mlflow']}/health", Answer(200), "MLflow lets nobody in who is no operator"),
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


def test_tasks_from_before_that_codedeploy_keeps_are_not_counted() -> None:
    sets = [
        {"status": "PRIMARY", "runningCount": 2, "computedDesiredCount": 2},
        {"status": "ACTIVE", "runningCount": 2, "computedDesiredCount": 2},
    ]
    assert faults_of_services([service(runningCount=4, desiredCount=2, taskSets=sets)]) == []
    sets[0]["runningCount"] = 1
    assert faults_of_services([service(runningCount=3, desiredCount=2, taskSets=sets)]) == [
        "crm-assets-prod-code runs 1 of 2 tasks"
    ]


def test_a_service_that_is_missing_is_told() -> None:
    assert faults_of_services([], [{"arn": "crm-assets-prod-api", "reason": "MISSING"}]) == [
        "crm-assets-prod-api: MISSING"
    ]


def test_a_service_that_runs_another_image_is_told() -> None:
    moved = [{"status": "PRIMARY", "taskDefinition": "api:2"}, {"status": "ACTIVE", "taskDefinition": "api:1"}]
    services = [
        service(taskDefinition="code:1"),
        # Terraform made it with the first version, and CodeDeploy has changed it since.
        service(serviceName="crm-assets-prod-api", taskDefinition="api:1", taskSets=moved),
    ]
    digests = {"code:1": OLD, "api:1": OLD, "api:2": NEW}
    assert faults_of_images(services, NEW, digests.__getitem__) == [f"crm-assets-prod-code runs {OLD}"]


def test_addresses_are_those_of_services() -> None:
    urls = {"page": None, "api": "https://api.crm.example/v1", "dagster": "https://dagster.crm.example"}
    assert addresses(urls) == {"api": "https://api.crm.example", "webserver": "https://dagster.crm.example"}


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
    for name, value in {
        "ENVIRONMENT": "prod", "TERRAFORM_STATE_BUCKET": "state", "AWS_REGION": "eu-central-1", "DIGEST": NEW,
        "SMOKE_SECONDS": "0",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setattr(smoke, "faults_of_answers", lambda urls: faults_of_answers(urls, answers()))
    programs = stand_ins(tmp_path / "programs", monkeypatch, "terraform", "aws")
    urls = {"api": f"{URLS['api']}/v1", "page": URLS["page"], "dagster": URLS["webserver"], "mlflow": URLS["mlflow"]}
    programs.answer("output", out=json.dumps({"urls": {"value": urls}}))
    running = {"services": [service(status="ACTIVE", taskDefinition="code:7")], "failures": []}
    programs.answer("describe-services", out=json.dumps(running))
    return programs


def shown(digest: str) -> str:
    return json.dumps({"taskDefinition": {"containerDefinitions": [{"image": f"registry.example/crm@{digest}"}]}})


def test_the_whole_passes_on_a_healthy_environment(programs: Programs) -> None:
    programs.answer("describe-task-definition", "code:7", out=shown(NEW))
    assert smoke.main() == 0
    (asked_for,) = [call for call in programs.calls if "describe-services" in call]
    assert [f"crm-assets-prod-{name}" for name in smoke.SERVICES] == [
        word for word in asked_for if word.startswith("crm-assets-prod-")
    ]


def test_the_whole_fails_on_an_old_image(programs: Programs, capsys: pytest.CaptureFixture[str]) -> None:
    programs.answer("describe-task-definition", "code:7", out=shown(OLD))
    assert smoke.main() == 1
    assert f"crm-assets-prod-code runs {OLD}" in capsys.readouterr().err


@pytest.mark.parametrize(("closed", "code"), [("closed", 0), ("", 1), ("close", 1)])
def test_where_the_addresses_are_closed_ecs_alone_is_asked(
    closed: str, code: int, programs: Programs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.answer("describe-task-definition", "code:7", out=shown(NEW))
    monkeypatch.setattr(smoke, "faults_of_answers", lambda urls: ["timed out"])
    monkeypatch.setenv("SMOKE_ADDRESSES", closed)
    assert smoke.main() == code
    assert ("its addresses were not asked" in capsys.readouterr().out) == (code == 0)


def test_every_service_of_the_stack_is_asked_for() -> None:
    stack = set(yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"])
    # What AWS has instead: RDS, S3 and Terraform.
    assert set(smoke.SERVICES) == stack - {"postgres", "minio", "buckets"}
