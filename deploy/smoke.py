"""Whether an environment works after a deployment: its services run the image, and answer as they should.

`python -m deploy.smoke` reads where they are from Terraform's outputs, and asks until all is well or SMOKE_SECONDS are
over: the load balancer and Fargate take their time. Where SMOKE_ADDRESSES is `closed`, ECS alone is asked: a balancer
that lets few networks in does not answer this one.
"""

from __future__ import annotations

import http.client
import os
import ssl
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deploy.command import DeployError, aws, summarise
from deploy.image import checked_digest
from deploy.release import Target, digest_of, primary_versions

SECONDS = 900
PAUSE = 10
TIMEOUT = 20
CLOSED = frozenset({302, 401, 403, 404})
"""What who is no operator is told: to sign in, to stay out, or by the balancer that there is nothing."""
SERVICES = ("webserver", "daemon", "code", "mlflow", "api", "page")


@dataclass(frozen=True)
class Question:
    """What is asked of a service, and which answers are good.

    Attributes:
        service: as Compose and ECS name it.
        path: behind the service's address.
        good: the status codes that are well.
        why: what a good answer shows.
    """

    service: str
    path: str
    good: frozenset[int]
    why: str


QUESTIONS = (
    Question("api", "/health/live", frozenset({200}), "the API answers"),
    Question("api", "/v1/pipeline", frozenset({401}), "the API lets nobody in without a key"),
    Question("page", "/_stcore/health", frozenset({200}), "the page's server answers"),
    Question("webserver", "/server_info", CLOSED, "Dagster lets nobody in who is no operator"),
    Question("mlflow", "/health", CLOSED, "MLflow lets nobody in who is no operator"),
)
"""The daemon and the code location have no address; whether they run is told by ECS."""


@dataclass(frozen=True)
class Answer:
    """A status code and where it leads, or why there was none."""

    status: int | None
    location: str = ""
    error: str = ""


def asked(url: str) -> Answer:
    """The answer to a GET of an https:// or http:// address, without following where it leads."""
    parts = urlsplit(url)
    port = parts.port
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        connection = http.client.HTTPSConnection(parts.hostname or "", port, timeout=TIMEOUT, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", port, timeout=TIMEOUT)
    try:
        connection.request("GET", parts.path or "/", headers={"User-Agent": "crm-assets-smoke"})
        answered = connection.getresponse()
        return Answer(answered.status, answered.getheader("Location", ""))
    except (OSError, http.client.HTTPException) as error:
        return Answer(None, error=f"{type(error).__name__}: {error}")
    finally:
        connection.close()


def faults_of_answers(urls: Mapping[str, str], ask: Callable[[str], Answer] = asked) -> list[str]:
    """What is wrong with what the services answer.

    Args:
        urls: service -> its https:// address; a service without one is not asked.
        ask: what is answered to a GET.
    """
    faults = []
    for question in QUESTIONS:
        if question.service not in urls:
            continue
        url = f"{urls[question.service].rstrip('/')}{question.path}"
        answer = ask(url)
        if answer.status not in question.good:
            faults.append(f"{url} answers {answer.status or answer.error}: not seen that {question.why}")
    for service, url in urls.items():
        faults += [f"{service}: {told}" for told in _not_encrypted(url, ask)]
    return faults


def _not_encrypted(url: str, ask: Callable[[str], Answer]) -> Iterable[str]:
    if not url.startswith("https://"):
        yield f"{url} is not encrypted"
        return
    plain = f"http://{urlsplit(url).hostname}/"
    answer = ask(plain)
    # Refused is as good as sent on.
    if answer.status is not None and not (
        answer.status in {301, 302, 307, 308} and answer.location.startswith("https://")
    ):
        yield f"{plain} answers {answer.status} without encryption"


def faults_of_services(services: Iterable[Mapping[str, Any]], failures: Iterable[Mapping[str, Any]] = ()) -> list[str]:
    """What is wrong with services as `aws ecs describe-services` tells them; empty once all run what they should."""
    faults = [f"{failure.get('arn')}: {failure.get('reason')}" for failure in failures]
    for service in services:
        name = service["serviceName"]
        running, wanted = _tasks(service)
        if running != wanted:
            faults.append(f"{name} runs {running} of {wanted} tasks")
        for deployment in service.get("deployments", []):
            state = deployment.get("rolloutState", "COMPLETED")
            if state != "COMPLETED":
                faults.append(
                    f"{name} is being rolled out: {state} {deployment.get('rolloutStateReason', '')}".rstrip()
                )
    return faults


def _tasks(service: Mapping[str, Any]) -> tuple[int, int]:
    # After CodeDeploy has moved requests, the tasks from before stand for a while and are counted with the service.
    for each in service.get("taskSets", []):
        if each["status"] == "PRIMARY":
            return each["runningCount"], each["computedDesiredCount"]
    return service["runningCount"], service["desiredCount"]


def faults_of_images(services: Iterable[Mapping[str, Any]], digest: str, look: Callable[[str], str]) -> list[str]:
    """Services that take requests with another image than the one with this digest.

    Args:
        services: as `aws ecs describe-services` tells them.
        digest: of the image.
        look: version of a task definition -> digest of its image.
    """
    return [
        f"{service['serviceName']} runs {found}"
        for service in services
        for version in primary_versions(service)
        if (found := look(version)) != digest
    ]


def addresses(urls: Mapping[str, str | None]) -> dict[str, str]:
    """Service -> its address, from Terraform's output `urls`; a service that is not there has none."""
    names = {"dagster": "webserver"}
    # The API's has the version of its answers behind it.
    return {names.get(name, name): url.removesuffix("/v1") for name, url in urls.items() if url}


def until_well(
    faults: Callable[[], list[str]],
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> list[str]:
    """The faults that are left once there are none, or the time is over."""
    end = clock() + seconds
    while True:
        found = faults()
        if not found or clock() >= end:
            return found
        pause(PAUSE)


def _faults(target: Target, urls: Mapping[str, str], digest: str) -> list[str]:
    names = [f"{target.name}-{service}" for service in SERVICES if service != "page" or "page" in urls]
    described = aws("ecs", "describe-services", "--cluster", target.name, "--services", *names)
    faults = faults_of_services(described["services"], described["failures"])
    if digest:
        faults += faults_of_images(described["services"], digest, digest_of)
    return faults if _closed() else faults + faults_of_answers(urls)


def _closed() -> bool:
    told = os.environ.get("SMOKE_ADDRESSES", "")
    # Whatever else it says, a typing mistake must not leave the questions out.
    if told not in {"", "closed"}:
        raise DeployError(f"SMOKE_ADDRESSES is {told!r}, and neither empty nor closed")
    return told == "closed"


def main() -> int:
    """Ask until all is well; 1 and what is not where it is not in time."""
    try:
        target = Target.named(os.environ, Path())
        digest = os.environ.get("DIGEST", "")
        wanted = checked_digest(digest) if digest else ""
        urls = addresses(target.outputs()["urls"])
        faults = until_well(lambda: _faults(target, urls, wanted), float(os.environ.get("SMOKE_SECONDS", SECONDS)))
    except DeployError as error:
        faults = [str(error)]
    except KeyError as error:
        faults = [f"Terraform has no output {error}, which the smoke test needs"]
    if faults:
        print("\n".join(faults), file=sys.stderr)
        return 1
    seen = "runs what it should, its addresses were not asked" if _closed() else "answers as it should"
    summarise(f"{target.environment} {seen}, on {digest or 'what was there'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
