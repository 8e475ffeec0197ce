"""The small programs that the containers and their make targets run."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from crm_assets_tests.containers.compose import DOCKER, EXAMPLE, REPOSITORY
from crm_assets_tests.integration.s3_server import S3Server


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCKER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("status", "works"), [(200, True), (503, False)])
def test_a_server_works_when_it_answers_well(status: int, works: bool, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/health").respond_with_data(status=status)
    assert _script("healthy")._answers(httpserver.port, "/health") is works


def test_a_check_ends_with_an_error_where_nobody_answers() -> None:
    # Bound, so that nobody else gets the port, and not listening.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionError):
            _script("healthy")._answers(taken.getsockname()[1], "/health")


@pytest.mark.parametrize(("age", "works"), [(3.0, True), (119.0, True), (121.0, False), (None, False)])
def test_the_daemon_works_when_its_heart_beat_lately(
    age: float | None, works: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Connection:
        def __enter__(self) -> Connection:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def cursor(self) -> Connection:
            return self

        def execute(self, query: str) -> None:
            asked.append(query)

        def fetchone(self) -> tuple[Any]:
            return (age,)

        def close(self) -> None:
            asked.append("closed")

    def connect(url: str, connect_timeout: int) -> Connection:
        asked.append(url)
        return Connection()

    monkeypatch.setitem(sys.modules, "psycopg2", SimpleNamespace(connect=connect))
    monkeypatch.setenv("CRM_DAGSTER_POSTGRES_URL", "postgresql+psycopg2://crm:x@postgres:5432/dagster")
    assert _script("healthy").daemon() is works
    assert asked[0] == "postgresql://crm:x@postgres:5432/dagster"
    assert asked[-1] == "closed"


def test_every_health_check_of_compose_is_one_of_the_script() -> None:
    named = re.findall(r"healthy\.py, (\w+)\]", (DOCKER / "compose.yaml").read_text())
    assert sorted(named) == sorted(_script("healthy").CHECKS)


@pytest.mark.slow
def test_buckets_are_made_once(s3_environment: S3Server) -> None:
    make_buckets = _script("make_buckets")
    make_buckets.main(["crm-landing", "crm-lake"])
    s3_environment.client().put_object(Bucket="crm-lake", Key="kept", Body=b"1")
    make_buckets.main(["crm-landing", "crm-lake", "crm-models"])
    names = {bucket["Name"] for bucket in s3_environment.client().list_buckets()["Buckets"]}
    assert {"crm-landing", "crm-lake", "crm-models"} <= names
    assert s3_environment.client().get_object(Bucket="crm-lake", Key="kept")["Body"].read() == b"1"


def test_make_writes_an_env_file_of_its_own_secrets_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    shutil.copy(EXAMPLE, tmp_path / "docker")
    made = tmp_path / "docker" / ".env"

    def make() -> dict[str, str]:
        command = ["make", "--file", str(REPOSITORY / "Makefile"), "docker/.env"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        return dict(line.split("=", 1) for line in made.read_text().splitlines() if re.match("[A-Z]", line))

    first = make()
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    secrets = [first["POSTGRES_PASSWORD"], first["S3_SECRET_KEY"]]
    assert all(re.fullmatch(r"[0-9a-f]{40}", secret) for secret in secrets)
    assert "CHANGE_ME" not in first.values()
    assert first["CRM_LAKE_URL"] == "s3://lake"
    assert make() == first
    made.unlink()
    second = make()
    assert not {*secrets} & {second["POSTGRES_PASSWORD"], second["S3_SECRET_KEY"]}


def test_git_ignores_the_env_file_alone() -> None:
    command = ["git", "check-ignore", "docker/.env", "docker/.env.example"]
    ignored = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if "not a git repository" in ignored.stderr:
        pytest.skip("the tests do not run in a git repository")
    assert ignored.stdout.split() == ["docker/.env"]


def test_stats_adds_the_memory_of_all_units(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nprintf 'b 1.5GiB / 4GiB\\na 512KiB / 1GiB\\nc 100.4MiB / 1GiB\\n'\n")
    docker.chmod(0o755)
    shown = subprocess.run(
        [DOCKER / "stats.sh", "1", "2"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = [line.split()[:2] for line in shown.splitlines()]
    assert [name for name, _ in rows] == ["a", "b", "c", "all"]
    assert rows[1:] == [["b", "1536"], ["c", "100"], ["all", "1637"]]


def test_stats_of_nothing_says_what_to_do() -> None:
    shown = subprocess.run([DOCKER / "stats.sh"], capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stderr) == (1, "no container is running: make up\n")
