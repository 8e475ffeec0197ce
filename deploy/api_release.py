"""The API's new version put beside the old one by CodeDeploy, and requests moved over once it is healthy.

ECS changes every other service itself. CodeDeploy takes requests back by itself when an alarm goes off meanwhile. The
version before stands for as long as Terraform's `keep_minutes` after that, so that a smoke test can still send requests
back to it; nobody waits here for it to go.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from deploy.command import DeployError, aws

SECONDS = 1200
"""For new tasks to start, and for requests to move in steps; deploy.yml has time for two of these."""
PAUSE = 15
_RUNNING = frozenset({"Created", "Queued", "InProgress", "Baking", "Ready"})
_WELL = "Succeeded"
_BUSY = re.compile(r"DeploymentLimitExceeded.*\b(?P<number>d-[A-Z0-9]+)\b", re.DOTALL)
_TASK_DEFINITION = re.compile(r"^arn:aws:ecs:[a-z0-9-]+:\d{12}:task-definition/[\w-]+:\d+$")


@dataclass(frozen=True)
class ApiRelease:
    """What Terraform tells of the API where CodeDeploy releases it.

    Attributes:
        application: CodeDeploy's application.
        group: its group of deployments.
        target: what is changed, as CodeDeploy names it: cluster and service.
        task_definition: ARN of the version that Terraform made.
        container: the container that takes requests, and its port.
        port: of the container.
    """

    application: str
    group: str
    target: str
    task_definition: str
    container: str
    port: int

    @classmethod
    def of_output(cls, output: Mapping[str, Any], target: str) -> ApiRelease:
        """From Terraform's output `api_release`. Raises DeployError where it lacks something or names no version."""
        try:
            found = cls(
                output["application"], output["group"], target, output["task_definition"], output["container"],
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


def _codedeploy(*arguments: str) -> Any:
    return aws("deploy", *arguments)


@dataclass(frozen=True)
class CodeDeploy:
    """What is asked of CodeDeploy, and how long.

    Attributes:
        ask: what AWS's command line answers, as JSON reads it.
        clock: seconds that never go back.
        pause: waits for so many seconds.
    """

    ask: Callable[..., Any] = _codedeploy
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep

    def release(self, release: ApiRelease, started: Callable[[str], None]) -> str:
        """Start a release and wait until all requests have moved; its number. Raises DeployError when they have not.

        Args:
            release: what is released.
            started: is told the number before the wait, so that whoever takes the release back knows it.
        """
        number = self._started(release)
        started(number)
        if self._until(lambda: self._moved(number, release.target)):
            return number
        # Or the next one would be refused as long as this one waits.
        self._stop(number)
        raise DeployError(f"CodeDeploy's {number} has not moved all requests in {SECONDS} s, and was stopped")

    def take_back(self, number: str) -> bool:
        """Send requests back to the version before, where it still stands; whether it did. Raises DeployError.

        Args:
            number: of the release.
        """
        if self._info(number)["status"] not in _RUNNING:
            return False
        self._stop(number)
        if not self._until(lambda: self._ended(number)):
            raise DeployError(f"CodeDeploy's {number} was stopped, and goes on after {SECONDS} s")
        back = (self._info(number).get("rollbackInfo") or {}).get("rollbackDeploymentId")
        if back and not (self._until(lambda: self._ended(back)) and self._info(back)["status"] == _WELL):
            raise DeployError(f"CodeDeploy's {back}, which takes {number} back, is {self._info(back)['status']}")
        return True

    def _started(self, release: ApiRelease) -> str:
        create = [
            "create-deployment", "--application-name", release.application,
            "--deployment-group-name", release.group, "--revision", json.dumps(release.revision()),
        ]  # fmt: skip
        try:
            return str(self.ask(*create)["deploymentId"])
        except DeployError as error:
            busy = _BUSY.search(str(error))
            if not busy:
                raise
        # The last release keeps what was before it, which nobody goes back to any more.
        last = busy["number"]
        self.ask("continue-deployment", "--deployment-id", last, "--deployment-wait-type", "TERMINATION_WAIT")
        if not self._until(lambda: self._ended(last)):
            raise DeployError(f"CodeDeploy's {last}, the release before, goes on after {SECONDS} s")
        return str(self.ask(*create)["deploymentId"])

    def _moved(self, number: str, target: str) -> bool:
        told = self._info(number)
        if told["status"] == _WELL:
            return True
        if told["status"] not in _RUNNING:
            reason = (told.get("errorInformation") or {}).get("message", "")
            raise DeployError(f"CodeDeploy's {number} has ended as {told['status']}: {reason}".rstrip(": "))
        if told["status"] in {"Created", "Queued"}:
            # It has no target yet.
            return False
        asked = self.ask("get-deployment-target", "--deployment-id", number, "--target-id", target)
        # The deployment itself is done only once the version before is gone.
        return bool(asked["deploymentTarget"]["ecsTarget"]["status"] == _WELL)

    def _ended(self, number: str) -> bool:
        return self._info(number)["status"] not in _RUNNING

    def _info(self, number: str) -> Any:
        return self.ask("get-deployment", "--deployment-id", number)["deploymentInfo"]

    def _stop(self, number: str) -> None:
        self.ask("stop-deployment", "--deployment-id", number, "--auto-rollback-enabled")

    def _until(self, done: Callable[[], bool]) -> bool:
        end = self.clock() + SECONDS
        while not done():
            if self.clock() >= end:
                return False
            self.pause(PAUSE)
        return True
