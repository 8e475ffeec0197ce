"""The API's new version put beside the old one by CodeDeploy, and requests moved over once it is healthy.

ECS changes every other service itself. CodeDeploy takes requests back by itself when an alarm goes off meanwhile.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from deploy.command import DeployError, output_of

SECONDS = 2400
PAUSE = 15
_RUNNING = frozenset({"Created", "Queued", "InProgress", "Baking", "Ready"})
_MOVED = "Succeeded"
_TASK_DEFINITION = re.compile(r"^arn:aws:ecs:[a-z0-9-]+:\d{12}:task-definition/[\w-]+:\d+$")


@dataclass(frozen=True)
class ApiRelease:
    """What Terraform tells of the API where CodeDeploy releases it.

    Attributes:
        application: CodeDeploy's application.
        group: its group of deployments.
        task_definition: ARN of the version that Terraform made.
        container: the container that takes requests, and its port.
        port: of the container.
    """

    application: str
    group: str
    task_definition: str
    container: str
    port: int

    @classmethod
    def of_output(cls, output: Mapping[str, Any]) -> ApiRelease:
        """From Terraform's output `api_release`. Raises DeployError where it lacks something or names no version."""
        try:
            found = cls(
                output["application"], output["group"], output["task_definition"], output["container"],
                int(output["port"]),
            )  # fmt: skip
        except KeyError as error:
            raise DeployError(f"Terraform's output api_release has no {error}") from None
        if not _TASK_DEFINITION.match(found.task_definition):
            raise DeployError(f"{found.task_definition!r} is no version of a task definition")
        return found

    def revision(self) -> dict[str, Any]:
        """What CodeDeploy is to do, as its command line takes it."""
        target = {
            "Type": "AWS::ECS::Service",
            "Properties": {
                "TaskDefinition": self.task_definition,
                "LoadBalancerInfo": {"ContainerName": self.container, "ContainerPort": self.port},
            },
        }
        content = json.dumps({"version": "0.0", "Resources": [{"TargetService": target}]})
        return {"revisionType": "AppSpecContent", "appSpecContent": {"content": content}}


def released(
    release: ApiRelease,
    ask: Callable[..., Any] | None = None,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> str:
    """Start a release and wait until requests have moved; its number. Raises DeployError when they have not.

    Args:
        release: what is released.
        ask: what AWS's command line answers, as JSON reads it.
        clock: seconds that never go back.
        pause: waits for so many seconds.
    """
    aws = ask or _aws
    created = aws(
        "create-deployment", "--application-name", release.application,
        "--deployment-group-name", release.group, "--revision", json.dumps(release.revision()),
    )  # fmt: skip
    number = str(created["deploymentId"])
    end = clock() + SECONDS
    while True:
        told = aws("get-deployment", "--deployment-id", number)["deploymentInfo"]
        if told["status"] == _MOVED:
            return number
        if told["status"] not in _RUNNING:
            reason = told.get("errorInformation", {}).get("message", "")
            raise DeployError(f"CodeDeploy's {number} has ended as {told['status']}: {reason}".rstrip(": "))
        if clock() >= end:
            # Or the next one would be refused as long as this one waits.
            aws("stop-deployment", "--deployment-id", number, "--auto-rollback-enabled")
            raise DeployError(f"CodeDeploy's {number} is {told['status']} after {SECONDS} s, and was stopped")
        pause(PAUSE)


def _aws(*arguments: str) -> Any:
    return json.loads(output_of(["aws", "deploy", *arguments, "--output", "json"]))
