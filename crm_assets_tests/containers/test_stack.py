"""The containers for real: the image is built, the stack brought up, used, hurt and taken down. `make test-containers`.

It needs a Docker engine, and Docker Hub and Quay or the stand-ins that standins/prepare.sh makes.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from crm_assets_tests.containers.compose import COMPOSE_FILE, DOCKER, EXAMPLE, REPOSITORY, compose

pytestmark = pytest.mark.containers

STANDINS = Path(__file__).parent / "standins"
IMAGE, MINIO_IMAGE = "crm-assets:0.1.0", "crm-assets-minio:RELEASE.2025-09-07T16-13-09Z"
PORTS = {
    "DAGSTER_PORT": 13000,
    "MLFLOW_PORT": 15000,
    "S3_PORT": 19000,
    "API_PORT": 18000,
    "S3_CONSOLE_PORT": 19001,
    "PAGE_PORT": 18501,
}
# Nobody signs in there, so nothing asks it.
ISSUER = {
    "CRM_API_OIDC_ISSUER": "https://id.example",
    "CRM_API_OIDC_AUDIENCE": "crm",
    "CRM_APP_OIDC_CLIENT_ID": "page",
    "CRM_APP_OIDC_CLIENT_SECRET": "unused",
}
LANDED = ("2016-10", "2017-12")
MONTHS = ("2016-10", "2017-03")
"""The months that are made: enough of them for a model, few enough to be made twice."""
RUN_SECONDS = 900

T = TypeVar("T")


def docker(*arguments: str, timeout: float = 1800) -> str:
    """What a Docker command prints; it fails the test when it fails."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=timeout, check=False, env=_environment()
    )
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr[-3000:]}"
    return done.stdout


def _environment() -> dict[str, str]:
    # Without buildx, which some engines have not, only the older builder is there.
    plugin = subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False).returncode == 0
    return {**os.environ, "DOCKER_BUILDKIT": "1" if plugin else "0"}


def told(what: str, value: object) -> None:
    """Print a figure: they are what this suite is for."""
    print(f"\n  {what:<58} {value}", end="", flush=True)  # noqa: T201 - shown by make test-containers


def within(seconds: float, what: str, look: Callable[[], T | None]) -> T:
    """What `look` finds, once it is something; the test fails when it has not been by then."""
    end, last = time.monotonic() + seconds, ""
    while time.monotonic() < end:
        try:
            if (found := look()) is not None:
                return found
        except (urllib.error.URLError, ConnectionError, TimeoutError, AssertionError) as error:
            last = str(error)
        time.sleep(1)
    pytest.fail(f"{what}: not within {seconds:g} s {last}")


@dataclass
class Stack:
    """One running stack, private to the test.

    Attributes:
        env_file: its `.env`.
        files: the files Compose reads.
        project: its name, which containers and volumes carry.
        up_seconds: time from `up` until every service was healthy.
    """

    env_file: Path
    files: tuple[Path, ...]
    project: str = field(default_factory=lambda: f"crm-test-{secrets.token_hex(3)}")
    up_seconds: float = 0

    def compose(self, *arguments: str, timeout: float = 300) -> str:
        """What a Compose command prints; it fails the test when it fails."""
        done = compose(
            *arguments, env_file=self.env_file, files=self.files, project=self.project, timeout=timeout,
            environment=PORTS_ENVIRONMENT,
        )  # fmt: skip
        assert done.returncode == 0, f"compose {' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-3000:]}"
        return done.stdout

    def inside(self, *command: str, timeout: float = 300) -> str:
        """What a command in the code location prints."""
        return self.compose("exec", "--no-TTY", "code", *command, timeout=timeout)

    def graphql(self, query: str, **variables: Any) -> Any:
        """The data that Dagster's webserver answers a query with."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{PORTS['DAGSTER_PORT']}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            answered = json.load(answer)
        assert "errors" not in answered, answered["errors"]
        return answered["data"]

    def container(self, service: str) -> str:
        """Id of a service's container."""
        return self.compose("ps", "--quiet", service).strip()

    def processor_seconds(self) -> float:
        """Processor time of all running containers, which a busy machine does not make longer."""
        read = "cat /sys/fs/cgroup/cpu.stat /sys/fs/cgroup/cpuacct/cpuacct.usage 2>/dev/null || true"
        seconds = 0.0
        for container in self.compose("ps", "--quiet").split():
            for line in docker("exec", container, "sh", "-c", read).splitlines():
                if line.startswith("usage_usec "):
                    seconds += int(line.split()[1]) / 1e6
                elif line.isdigit():
                    seconds += int(line) / 1e9
        return seconds

    def healthy(self, service: str) -> bool | None:
        """True once the service's health check passes."""
        state = docker("inspect", "--format", "{{.State.Health.Status}}", self.container(service)).strip()
        return True if state == "healthy" else None


PORTS_ENVIRONMENT = {**{name: str(port) for name, port in PORTS.items()}, "COMPOSE_PROFILES": "page"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack with every service healthy, on images built of this work tree; taken down with its volumes."""
    if shutil.which("docker") is None:
        pytest.fail("no `docker` command: install Docker Engine, or its client and DOCKER_HOST")
    engine = subprocess.run(["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, check=False)
    if engine.returncode != 0:
        pytest.fail(f"no Docker engine answers: start one, or set DOCKER_HOST ({engine.stderr.decode().strip()})")
    standins = subprocess.run(["docker", "image", "inspect", "crm-standin/python"], capture_output=True, check=False)
    base: list[str] = []
    minio: list[str] = []
    files: tuple[Path, ...] = (COMPOSE_FILE,)
    if standins.returncode == 0:
        base, minio = ["--build-arg=BASE_IMAGE=crm-standin/python"], ["--build-arg=MINIO_IMAGE=crm-standin/minio"]
        files = (COMPOSE_FILE, STANDINS / "compose.yaml")
    told("images", "stand-ins" if base else "as published")
    started = time.monotonic()
    docker("build", *base, "--tag", IMAGE, "--file", f"{DOCKER}/Dockerfile", str(REPOSITORY))
    told("image built in, s", f"{time.monotonic() - started:.0f}")
    docker("build", *minio, "--tag", MINIO_IMAGE, "--file", f"{DOCKER}/minio.Dockerfile", str(DOCKER))
    told("size of the image, MB", int(docker("image", "inspect", "--format", "{{.Size}}", IMAGE)) // 10**6)

    folder = tmp_path_factory.mktemp("stack")
    (folder / "keys").mkdir()
    (folder / "keys" / "api_keys").touch()
    # The container's user is none of this machine's.
    for path in (folder, folder / "keys", folder / "keys" / "api_keys"):
        path.chmod(0o755)
    env_file = folder / "some.env"
    lines = EXAMPLE.read_text().replace("=CHANGE_ME", f"={secrets.token_hex(16)}").splitlines()
    # The last one of a name holds.
    lines += [f"{name}={value}" for name, value in ISSUER.items()]
    lines += [f"CRM_FIRST_MONTH={LANDED[0]}", f"CRM_LAST_MONTH={LANDED[1]}", f"API_KEYS={folder / 'keys'}"]
    env_file.write_text("\n".join(lines))
    it = Stack(env_file, files)
    try:
        started = time.monotonic()
        it.compose("up", "--detach", "--no-build", "--wait", "--wait-timeout", "300", timeout=400)
        it.up_seconds = time.monotonic() - started
        yield it
    except BaseException:
        logs = compose("logs", "--tail", "40", env_file=env_file, files=files, project=it.project)
        told("logs", logs.stdout)
        raise
    finally:
        it.compose("down", "--volumes", "--timeout", "20")


LAND = """
import pathlib, boto3
client, root = boto3.client("s3"), pathlib.Path("/tmp/simulated")
for file in sorted(path for path in root.rglob("*") if path.is_file()):
    client.upload_file(str(file), "landing", f"crm/{file.relative_to(root)}")
"""
LIST = """
import sys, boto3
pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=sys.argv[1])
print("\\n".join(entry["Key"] for page in pages for entry in page.get("Contents", [])))
"""
LAUNCH = """
mutation($tags: [ExecutionTag!]) { launchRun(executionParams: {
  selector: {repositoryLocationName: "crm_assets", repositoryName: "__repository__", jobName: "backfill"},
  executionMetadata: {tags: $tags}
}) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""
RUN = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status startTime endTime } } }"


def _launch(stack: Stack) -> str:
    tags = [
        {"key": f"dagster/asset_partition_range_{end}", "value": month}
        for end, month in zip(("start", "end"), MONTHS, strict=True)
    ]
    launched = stack.graphql(LAUNCH, tags=tags)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run_id: str = launched["run"]["runId"]
    return run_id


def _run(stack: Stack, run_id: str) -> Any:
    return stack.graphql(RUN, id=run_id)["runOrError"]


def _ended(stack: Stack, run_id: str) -> str | None:
    status: str = _run(stack, run_id)["status"]
    return status if status in {"SUCCESS", "FAILURE", "CANCELED"} else None


def _retry_of(stack: Stack, run_id: str) -> str | None:
    query = "query($filter: RunsFilter) { runsOrError(filter: $filter) { ... on Runs { results { runId } } } }"
    found = stack.graphql(query, filter={"tags": [{"key": "dagster/parent_run_id", "value": run_id}]})
    runs = found["runsOrError"]["results"]
    return str(runs[0]["runId"]) if runs else None


def _champion() -> Any:
    wanted = "/api/2.0/mlflow/registered-models/alias?name=crm_win_model&alias=champion"
    with urllib.request.urlopen(f"http://127.0.0.1:{PORTS['MLFLOW_PORT']}{wanted}", timeout=30) as answer:
        return json.load(answer)["model_version"]


def test_the_stack_is_up(stack: Stack) -> None:
    told("from up to all services healthy, s", f"{stack.up_seconds:.0f}")
    told("processor time that took, s", f"{stack.processor_seconds():.0f}")
    with urllib.request.urlopen(f"http://127.0.0.1:{PORTS['DAGSTER_PORT']}/", timeout=30) as page:
        assert b"Dagster" in page.read()
    entries = "locationEntries { name loadStatus locationOrLoadError { __typename } }"
    workspace = stack.graphql(f"{{ workspaceOrError {{ ... on Workspace {{ {entries} }} }} }}")
    loaded = workspace["workspaceOrError"]["locationEntries"]
    assert loaded == [
        {"name": "crm_assets", "loadStatus": "LOADED", "locationOrLoadError": {"__typename": "RepositoryLocation"}}
    ]
    daemons = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"
    statuses = stack.graphql(daemons)["instance"]["daemonHealth"]["allDaemonStatuses"]
    assert {status["daemonType"] for status in statuses if status["required"]} >= {"SENSOR", "QUEUED_RUN_COORDINATOR"}
    assert [status for status in statuses if status["required"] and not status["healthy"]] == []
    assert stack.inside("id", "-u").strip() == "10001"


def test_no_service_can_write_to_its_own_files(stack: Stack) -> None:
    asked = "{{.HostConfig.ReadonlyRootfs}} {{.Config.User}}"
    for service in ("postgres", "minio", "mlflow", "code", "webserver", "daemon", "api", "page"):
        read_only, user = docker("inspect", "--format", asked, stack.container(service)).split()
        assert read_only == "true", service
        assert user.partition(":")[0] not in {"", "0", "root"}, service
    for service in ("mlflow", "code", "webserver", "daemon", "api", "page"):
        # Its home, which belongs to its user, so that no other right keeps it from writing.
        written = stack.compose("exec", "--no-TTY", service, "sh", "-c", "touch /home/crm/x 2>&1 || true")
        assert "Read-only file system" in written, service


def test_memory_at_rest(stack: Stack) -> None:
    ids = stack.compose("ps", "--quiet").split()
    shown = subprocess.run([DOCKER / "stats.sh", *ids], capture_output=True, text=True, check=True).stdout
    told("memory at rest\n", "\n" + shown.replace(stack.project, "").rstrip())
    assert float(shown.split()[-2]) < 3000


def test_months_that_landed_are_made_though_the_code_location_is_killed(stack: Stack) -> None:
    stack.inside("crm-assets", "simulate", "--months", ":".join(LANDED), "--out", "/tmp/simulated")
    stack.inside("python", "-c", LAND)
    killed = _launch(stack)
    within(120, "run started", lambda: _run(stack, killed)["status"] == "STARTED" or None)
    within(120, "something is stored", lambda: stack.inside("python", "-c", LIST, "lake").strip() or None)
    started = time.monotonic()
    docker("kill", "--signal", "KILL", stack.container("code"))
    stack.compose("up", "--detach", "--no-build", "--wait", timeout=300)
    assert within(300, "run taken for dead", lambda: _ended(stack, killed)) == "FAILURE"
    told("code location killed; its run is known to be dead after, s", f"{time.monotonic() - started:.0f}")
    again = within(300, "second run", lambda: _retry_of(stack, killed))
    before = stack.processor_seconds()
    assert within(RUN_SECONDS, "second run's end", lambda: _ended(stack, again)) == "SUCCESS"
    times = _run(stack, again)
    told(f"the second run makes {MONTHS[0]} to {MONTHS[1]} in, s", f"{times['endTime'] - times['startTime']:.0f}")
    told("processor time that took, s", f"{stack.processor_seconds() - before:.0f}")

    stored = stack.inside("python", "-c", LIST, "lake").splitlines()
    assert [key for key in stored if "/scores/" in key and MONTHS[1] in key], stored[:20]
    assert [key for key in stack.inside("python", "-c", LIST, "mlflow").splitlines() if "model" in key]
    assert _champion()["status"] == "READY"
    assert json.loads(stack.inside("crm-assets", "scores", "--as-of", MONTHS[1], "--json"))["scores"]
    # Made once more from what landed, it is the same.
    stack.inside("crm-assets", "verify", "--month", MONTHS[1])


def _asked(path: str, body: Any = None, key: str | None = None) -> Any:
    """What the API answers; with its status where that is an error."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{PORTS['API_PORT']}{path}",
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json", **({"X-API-Key": key} if key else {})},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code


def test_the_api_answers_with_the_scores_of_the_batch(stack: Stack) -> None:
    assert _asked("/v1/pipeline") == 401
    key, entry = (line.split()[1] for line in stack.inside("crm-assets", "api-key", "somebody").splitlines())
    with (stack.env_file.parent / "keys" / "api_keys").open("a") as keys:
        keys.write(f"{entry}\n")
    within(120, "the API has the month", lambda: _asked("/health/ready") != 503 or None)
    batch = json.loads(stack.inside("crm-assets", "scores", "--as-of", MONTHS[1], "--json"))["scores"][:3]
    wanted = [{"opportunity_id": row["opportunity_id"]} for row in batch]
    answered = _asked("/v1/score", {"opportunities": wanted}, key)
    assert [row["probability"] for row in answered["opportunities"]] == pytest.approx(
        [row["probability"] for row in batch], abs=1e-9
    )
    stack.compose("restart", "api")
    logged = stack.inside("python", "-c", LIST, "lake").splitlines()
    assert [name for name in logged if "/prediction_log/" in name], (
        "what was answered is in the lake once it has stopped"
    )


def test_the_page_answers(stack: Stack) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{PORTS['PAGE_PORT']}/", timeout=30) as page:
        assert b"<title>Sales pipeline</title>" in page.read()
        assert "connect-src 'self'" in page.headers["content-security-policy"]


def test_an_operator_starts_a_backfill_over_the_api(stack: Stack) -> None:
    told = stack.inside("crm-assets", "api-key", "operator", "--scopes", "operate").splitlines()
    key, entry = (line.split()[1] for line in told)
    with (stack.env_file.parent / "keys" / "api_keys").open("a") as keys:
        keys.write(f"{entry}\n")
    asked = {"start": MONTHS[1], "end": MONTHS[1]}
    started = within(60, "the key is known", lambda: _answer(_asked("/v1/operations/backfills", asked, key)))
    if started["id"]:
        within(
            RUN_SECONDS, "its end", lambda: _asked(f"/v1/operations/backfills/{started['id']}", key=key)["over"] or None
        )
    assert _asked("/v1/operations", key=key)["dagster"]["answers"]


def _answer(told: Any) -> Any:
    return told if isinstance(told, dict) else None


def test_postgres_may_be_restarted(stack: Stack) -> None:
    started = time.monotonic()
    stack.compose("restart", "postgres")
    within(180, "PostgreSQL is healthy again", lambda: stack.healthy("postgres"))
    # Each of Dagster's storages has connections of its own, and notices with the first request that they are gone.
    reads = "{ runsOrError(limit: 1) { __typename } assetsOrError { __typename } }"
    within(180, "webserver reads again", lambda: stack.graphql(reads))
    within(180, "MLflow reads again", _champion)
    run_id = within(180, "a run can be launched again", lambda: _launch(stack))
    within(180, "and is taken from the queue", lambda: _run(stack, run_id)["status"] in {"STARTING", "STARTED"} or None)
    told("PostgreSQL restarted, and all can be used again after, s", f"{time.monotonic() - started:.0f}")
    for service in ("webserver", "mlflow", "daemon", "code", "api", "page"):
        assert within(60, f"{service} is healthy", lambda service=service: stack.healthy(service))  # type: ignore[misc]
