"""The API's release by CodeDeploy, with a clock of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deploy.api_release import PAUSE, SECONDS, ApiRelease, CodeDeploy
from deploy.command import DeployError

OUTPUT = {
    "application": "crm-assets-prod-api",
    "group": "crm-assets-prod-api",
    "container": "api",
    "task_definition": "arn:aws:ecs:eu-central-1:123456789012:task-definition/crm-assets-prod-api:7",
    "port": 8000,
}


TARGET = "crm-assets-prod:crm-assets-prod-api"


class Aws:
    """Answers with one status after the other, and the last for ever; its clock goes on with each pause.

    A status is that of the deployment, and behind a slash that of its target.
    """

    def __init__(self, *statuses: str, back: str = "") -> None:
        self.statuses = list(statuses)
        self.back = back
        self.busy = ""
        self.now = 0.0
        self.calls: list[tuple[str, ...]] = []
        self.told: list[str] = []

    def __call__(self, *arguments: str) -> Any:
        self.calls.append(arguments)
        return getattr(self, arguments[0].replace("-", "_"))(arguments)

    def create_deployment(self, arguments: tuple[str, ...]) -> Any:
        if self.busy:
            raise DeployError(self.busy)
        return {"deploymentId": "d-1"}

    def get_deployment(self, arguments: tuple[str, ...]) -> Any:
        if self.back and arguments[2] == "d-BACK":
            return {"deploymentInfo": {"status": self.back}}
        self.last = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        info = {"status": self.last.partition("/")[0], "errorInformation": {"message": "an alarm went off"}}
        return {"deploymentInfo": {**info, "rollbackInfo": {"rollbackDeploymentId": "d-BACK"}} if self.back else info}

    def get_deployment_target(self, arguments: tuple[str, ...]) -> Any:
        assert arguments[1:] == ("--deployment-id", "d-1", "--target-id", TARGET)
        return {"deploymentTarget": {"ecsTarget": {"status": self.last.partition("/")[2] or "InProgress"}}}

    def stop_deployment(self, arguments: tuple[str, ...]) -> Any:
        assert arguments[-1] == "--auto-rollback-enabled"

    def continue_deployment(self, arguments: tuple[str, ...]) -> None:
        assert arguments[-1] == "TERMINATION_WAIT"
        self.busy = ""

    def clock(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds

    @property
    def verbs(self) -> list[str]:
        return [call[0] for call in self.calls]

    @property
    def deploy(self) -> CodeDeploy:
        return CodeDeploy(self, self.clock, self.pause)


def release(aws: Aws) -> str:
    return aws.deploy.release(ApiRelease.of_output(OUTPUT, TARGET), aws.told.append)


def test_it_waits_until_requests_have_moved_and_not_until_the_version_before_is_gone() -> None:
    aws = Aws("Created", "InProgress", "InProgress/InProgress", "InProgress/Succeeded", "InProgress/Failed")
    assert release(aws) == "d-1"
    assert aws.now == 3 * PAUSE
    assert aws.told == ["d-1"]
    assert "stop-deployment" not in aws.verbs


def test_a_release_that_is_over_already_has_moved_requests() -> None:
    assert release(Aws("Succeeded")) == "d-1"


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_a_release_that_codedeploy_took_back_fails(status: str) -> None:
    with pytest.raises(DeployError, match=f"d-1 has ended as {status}: an alarm went off"):
        release(Aws("InProgress", status))


def test_a_release_that_does_not_end_is_stopped_and_taken_back() -> None:
    aws = Aws("InProgress")
    with pytest.raises(DeployError, match="was stopped"):
        release(aws)
    assert aws.verbs[-1] == "stop-deployment"
    assert aws.now == pytest.approx(SECONDS, abs=PAUSE)


def test_what_a_release_before_keeps_is_let_go_for_the_next() -> None:
    aws = Aws("InProgress", "Succeeded")
    aws.busy = (
        "(DeploymentLimitExceededException): The Deployment Group 'api' already has an active Deployment 'd-OLD1'"
    )
    assert release(aws) == "d-1"
    assert aws.calls[1][2] == "d-OLD1"
    assert aws.verbs == [
        "create-deployment", "continue-deployment", "get-deployment", "get-deployment", "create-deployment",
        "get-deployment",
    ]  # fmt: skip


def test_another_refusal_is_told() -> None:
    aws = Aws("InProgress")
    aws.busy = "AccessDeniedException"
    with pytest.raises(DeployError, match="AccessDenied"):
        release(aws)
    assert aws.verbs == ["create-deployment"]


def test_requests_go_back_while_the_version_before_stands() -> None:
    aws = Aws("InProgress/Succeeded", "InProgress", "Stopped", back="Succeeded")
    assert aws.deploy.take_back("d-1")
    assert "stop-deployment" in aws.verbs
    assert aws.calls[-1][-1] == "d-BACK"


def test_what_is_over_is_not_stopped() -> None:
    aws = Aws("Succeeded")
    assert not aws.deploy.take_back("d-1")
    assert aws.verbs == ["get-deployment"]


@pytest.mark.parametrize("status", ["Failed", "InProgress"])
def test_requests_that_do_not_go_back_are_told(status: str) -> None:
    with pytest.raises(DeployError, match=f"d-BACK, which takes d-1 back, is {status}"):
        Aws("InProgress", "Stopped", back=status).deploy.take_back("d-1")


def test_what_codedeploy_is_told() -> None:
    revision = ApiRelease.of_output(OUTPUT, TARGET).revision()
    assert json.loads(revision["appSpecContent"]["content"]) == {
        "version": "0.0",
        "Resources": [
            {
                "TargetService": {
                    "Type": "AWS::ECS::Service",
                    "Properties": {
                        "TaskDefinition": OUTPUT["task_definition"],
                        "LoadBalancerInfo": {"ContainerName": "api", "ContainerPort": 8000},
                    },
                }
            }
        ],
    }


@pytest.mark.parametrize(
    ("change", "told"),
    [({"task_definition": "crm-assets-prod-api"}, "is no version of a task definition"), ({"port": None}, "has no")],
)
def test_what_terraform_does_not_tell_is_refused(change: dict[str, Any], told: str) -> None:
    output = {name: value for name, value in {**OUTPUT, **change}.items() if value is not None}
    with pytest.raises(DeployError, match=told):
        ApiRelease.of_output(output, TARGET)
