"""The API's release by CodeDeploy, with a clock of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deploy.api_release import PAUSE, SECONDS, ApiRelease, released
from deploy.command import DeployError

OUTPUT = {
    "application": "crm-assets-prod-api",
    "group": "crm-assets-prod-api",
    "container": "api",
    "task_definition": "arn:aws:ecs:eu-central-1:123456789012:task-definition/crm-assets-prod-api:7",
    "port": 8000,
}


class Aws:
    """Answers with one status after the other, and the last for ever; its clock goes on with each pause."""

    def __init__(self, *statuses: str) -> None:
        self.statuses = list(statuses)
        self.now = 0.0
        self.calls: list[str] = []

    def __call__(self, *arguments: str) -> Any:
        self.calls.append(arguments[0])
        if arguments[0] == "create-deployment":
            return {"deploymentId": "d-1"}
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return {"deploymentInfo": {"status": status, "errorInformation": {"message": "an alarm went off"}}}

    def clock(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def release(aws: Aws) -> str:
    return released(ApiRelease.of_output(OUTPUT), aws, aws.clock, aws.pause)


def test_it_waits_until_requests_have_moved() -> None:
    aws = Aws("Created", "InProgress", "Ready", "Succeeded")
    assert release(aws) == "d-1"
    assert aws.now == 3 * PAUSE


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_a_release_that_codedeploy_took_back_fails(status: str) -> None:
    with pytest.raises(DeployError, match=f"d-1 has ended as {status}: an alarm went off"):
        release(Aws("InProgress", status))


def test_a_release_that_does_not_end_is_stopped_and_taken_back() -> None:
    aws = Aws("InProgress")
    with pytest.raises(DeployError, match="was stopped"):
        release(aws)
    assert aws.calls[-1] == "stop-deployment"
    assert aws.now == pytest.approx(SECONDS, abs=PAUSE)


def test_what_codedeploy_is_told() -> None:
    revision = ApiRelease.of_output(OUTPUT).revision()
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
        ApiRelease.of_output(output)
