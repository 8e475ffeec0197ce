"""Dagster's storage on a real PostgreSQL server, and the doctor on servers that live and that do not."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from crm_assets.dagster_home import check_storage, open_instance
from crm_assets.errors import RunStorageError, SettingsError
from crm_assets.lake import Lake
from crm_assets.settings import Settings, load_settings
from crm_assets_tests.graph.conftest import Command, cleared, command  # noqa: F401 - a fixture
from crm_assets_tests.integration.mlflow_server import mlflow_server
from crm_assets_tests.integration.postgres_server import PostgresServer
from crm_assets_tests.integration.s3_server import S3Server

SMALL_CRM = "simulator:?opportunities=900&seed=11&months=2016-10:2017-04"
PATIENCE_SECONDS = 15
"""What looking at one dead server may take, on a busy machine."""


@dg.op
def one() -> int:
    return 1


@dg.job
def tiny() -> None:
    one()


def settings_on(url: str, folder: Path) -> Settings:
    with cleared():
        return load_settings(dagster_postgres_url=url, home=folder / "home", lake_url=str(folder / "lake"))


@pytest.fixture
def silent() -> Iterator[str]:
    """Host and port of a server that takes connections and never says anything."""
    with contextlib.closing(socket.socket()) as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed() -> Iterator[str]:
    """Host and port where nothing listens."""
    with contextlib.closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{unused.getsockname()[1]}"


def test_runs_are_kept_in_postgres(postgres_server: PostgresServer, tmp_path: Path) -> None:
    database = postgres_server.new_database()
    settings = settings_on(postgres_server.url(database), tmp_path)
    assert check_storage(settings).endswith("the first start makes Dagster's tables")
    with open_instance(settings) as instance:
        assert tiny.execute_in_process(instance=instance).success
        assert instance.get_runs_count() == 1
        assert instance.get_concurrency_config().pool_config.default_pool_limit == 1
    assert postgres_server.run("SELECT count(*), min(status) FROM runs", database) == [(1, "SUCCESS")]
    assert check_storage(settings).endswith("Dagster's tables are there")
    with open_instance(settings) as instance:
        assert instance.get_runs_count() == 1, "another process sees the same runs"
    for file in (tmp_path / "home").rglob("*"):
        assert file.suffix != ".db"
        assert file.is_dir() or postgres_server.password.encode() not in file.read_bytes()


def test_what_postgres_refuses_is_told_with_the_remedy(
    postgres_server: PostgresServer, tmp_path: Path, closed: str, silent: str
) -> None:
    database = postgres_server.new_database()
    postgres_server.run(f"CREATE ROLE {database}_guest LOGIN PASSWORD 'guest'")
    cases = {
        postgres_server.url(database, password="hunter2"): "correct user and password in CRM_DAGSTER_POSTGRES_URL",
        postgres_server.url("crm_nowhere"): 'database "crm_nowhere" does not exist; create it, or correct its name',
        postgres_server.url(database, user=f"{database}_guest", password="guest"): "may not make tables there: grant",
        f"postgresql+psycopg2://me:hunter2@{closed}/dagster": "Connection refused",
        f"postgresql+psycopg2://me:hunter2@{silent}/dagster": "timeout expired; check that the server runs",
    }
    for url, wanted in cases.items():
        with pytest.raises(RunStorageError) as caught:
            check_storage(settings_on(url, tmp_path))
        assert wanted in str(caught.value), url
        assert "hunter2" not in str(caught.value)
    assert not (tmp_path / "home").exists(), "looking makes nothing"


def test_missing_driver_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "dagster_postgres", None)
    with pytest.raises(SettingsError, match=r"pip install 'crm-assets\[postgres\]'"):
        check_storage(settings_on("postgresql+psycopg2://me@db/dagster", tmp_path))


def test_doctor_on_dead_services(
    command: Command,  # noqa: F811 - the fixture
    s3_environment: S3Server,
    silent: str,
    closed: str,
) -> None:
    for dead in (closed, silent):
        command.patch.setenv("AWS_ENDPOINT_URL", f"http://{dead}")
        told = command(
            "doctor",
            "--json",
            CRM_PROFILE="production",
            CRM_SOURCE_URL="s3://landing/crm",
            CRM_LAKE_URL="s3://lake/crm",
            CRM_MLFLOW_TRACKING_URI=f"http://{dead}",
            CRM_DAGSTER_POSTGRES_URL=f"postgresql+psycopg2://me:hunter2@{dead}/dagster",
        )
        findings = {finding["what"]: finding for finding in json.loads(told.stdout)["findings"]}
        for what in ("source", "lake", "registry", "dagster"):
            assert not findings[what]["ok"], what
            assert findings[what]["seconds"] < PATIENCE_SECONDS, what
        assert told.exit_code == 3, "that of the first fault"
        assert "hunter2" not in told.output
        assert s3_environment.secret not in told.output
    assert list(command.folder.iterdir()) == []


def test_doctor_says_what_is_missing(command: Command) -> None:  # noqa: F811 - the fixture
    told = command("doctor", CRM_PROFILE="production")
    assert told.exit_code == 2
    assert "CRM_LAKE_URL is not set" in told.output
    assert "CRM_DAGSTER_POSTGRES_URL is not set" in told.output


@pytest.mark.slow
def test_whole_graph_on_services(
    command: Command,  # noqa: F811 - the fixture
    s3_environment: S3Server,
    postgres_server: PostgresServer,
    tmp_path: Path,
) -> None:
    database = postgres_server.new_database()
    bucket = s3_environment.new_bucket()
    (tmp_path / "mlflow").mkdir()
    with mlflow_server(tmp_path / "mlflow") as mlflow:
        services = {
            "CRM_PROFILE": "production",
            "CRM_SOURCE_URL": SMALL_CRM,
            "CRM_LAKE_URL": f"s3://{bucket}/lake",
            "CRM_MLFLOW_TRACKING_URI": mlflow,
            "CRM_DAGSTER_POSTGRES_URL": postgres_server.url(database),
            "CRM_DATASET": "crm",
        }
        before = command("doctor", **services)
        assert before.exit_code == 0, before.output
        assert "not there yet, the first run makes it; wrote, read and deleted doctor_probe" in before.output
        told = command("run", "--json")
        assert told.exit_code == 0, told.output
        assert len(json.loads(told.stdout)["made"]) == 7
        after = json.loads(command("doctor", "--json").stdout)
    assert after["ok"], after
    shown = {setting["variable"]: (setting["value"], setting["origin"]) for setting in after["settings"]}
    assert shown["CRM_REQUIRE_SERVICES"] == ("true", "profile production")
    assert shown["CRM_DAGSTER_POSTGRES_URL"] == ("***", "environment")
    assert shown["CRM_LAKE_URL"] == (f"s3://{bucket}/lake", "environment")
    assert postgres_server.password not in json.dumps(after) + before.output
    texts = {finding["what"]: finding["text"] for finding in after["findings"]}
    assert "champion is version" in texts["registry"]
    assert "Dagster's tables are there" in texts["dagster"]
    lake = Lake.open(f"s3://{bucket}/lake/crm", create=False)
    assert len(lake.months("scores")) == 7
    assert "doctor_probe" not in str(s3_environment.client().list_objects_v2(Bucket=bucket).get("Contents"))
    assert postgres_server.run("SELECT count(*), min(status) FROM runs", database) == [(1, "SUCCESS")]
    ((events,),) = postgres_server.run("SELECT count(*) FROM event_logs", database)
    assert events > 7 * 20
    link = f"SELECT count(*) FROM event_logs WHERE event LIKE '%{mlflow}/#/experiments/%/runs/%'"
    assert postgres_server.run(link, database) != [(0,)]
    assert not list((command.folder / ".crm_assets").rglob("*.db")), "nothing is kept in SQLite beside"
