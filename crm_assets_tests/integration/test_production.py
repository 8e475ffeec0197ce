"""A deployment as a team leaves it running: months that land in S3 are made by Dagster's own daemon, all on servers."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import polars as pl
import pytest

from crm_assets.calendar import Month
from crm_assets.client import Platform, State, silent
from crm_assets.defs.assets import ASSETS
from crm_assets.defs.landing import CONTENT_TAG
from crm_assets.defs.run_tags import COMPLETE_TAG, MONTHS_TAG, REASON_TAG, TRIGGER_TAG, Trigger
from crm_assets.lake import Lake
from crm_assets.registry import Registry
from crm_assets.settings import load_settings
from crm_assets_tests.client.small import contents
from crm_assets_tests.graph.conftest import Command, command  # noqa: F401 - a fixture
from crm_assets_tests.integration.dagster_server import DagsterServer, dagster_server
from crm_assets_tests.integration.mlflow_server import MlflowServer
from crm_assets_tests.integration.postgres_server import PostgresServer
from crm_assets_tests.integration.s3_server import S3Server

pytestmark = pytest.mark.slow

SIMULATOR = "simulator:?opportunities=600&seed=11&months=2017-01:2017-06"
"""Its sixth month is the first of which a model is trained; a rung of the cold-start ladder becomes champion."""
BEFORE, LAST = 5, Month(2017, 6)
VALUES = {
    "CRM_TREES": "10",
    "CRM_BACKTEST_MONTHS": "1",
    "CRM_MIN_TRAINING_WINS": "10",
    "CRM_CANDIDATES": "logistic",
    "CRM_FIRST_MONTH": "2017-01",
    # So few opportunities drift by chance.
    "CRM_RETRAIN_CAP": "0",
    "CRM_DATASET": "crm",
}
PATIENCE_SECONDS = 300
"""For each thing that is waited for, on a busy machine."""

_RUNS = "{ runsOrError { ... on Runs { results { runId status jobName tags { key value } } } } }"
_SENSOR = """
query Sensor($sensor: SensorSelector!) {
  sensorOrError(sensorSelector: $sensor) {
    ... on Sensor { sensorState { status ticks(limit: 1000) { status runIds } } }
  }
}"""
_LANDING = {
    "sensorName": "landing",
    "repositoryName": "__repository__",
    "repositoryLocationName": "crm_assets.definitions",
}


def runs_of(server: DagsterServer) -> list[dict[str, Any]]:
    """Runs, oldest first, each with its tags as a dictionary; those of the weekly schedule left out."""
    told = server.ask(_RUNS)["runsOrError"]["results"]
    runs = [{**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in reversed(told)]
    return [run for run in runs if run["tags"].get(TRIGGER_TAG) != Trigger.SCHEDULE]


def landed(server: DagsterServer, months: str) -> str:
    """Id of the run that the sensor asked for over these months, once it has."""

    def found() -> str | None:
        wanted = (Trigger.LANDING, months)
        for run in runs_of(server):
            if (run["tags"].get(TRIGGER_TAG), run["tags"].get(MONTHS_TAG)) == wanted:
                return str(run["runId"])
        return None

    return server.until(f"the sensor's run of {months}", found, PATIENCE_SECONDS)


def tagged_as_documented(runs: list[dict[str, Any]]) -> None:
    """What docs/automation.md says of a run over months that landed, of one month, and of a client's backfill."""
    documented = (TRIGGER_TAG, MONTHS_TAG, COMPLETE_TAG)
    assert [tuple(run["tags"].get(tag) for tag in documented) for run in runs] == [
        ("landing", "2017-01:2017-05", "true"),
        ("landing", "2017-06", "true"),
        ("backfill", "2017-05:2017-06", "true"),
    ]
    assert [run["tags"].get(REASON_TAG) for run in runs[1:]] == ["2017-06 landed", None]
    assert all(run["tags"].get(CONTENT_TAG) for run in runs[:2])


@dataclass(frozen=True)
class Deployment:
    """What is running."""

    server: DagsterServer
    postgres: PostgresServer
    databases: dict[str, str]
    s3: S3Server
    bucket: str


@pytest.fixture
def deployment(
    command: Command,  # noqa: F811 - the fixture
    s3_environment: S3Server,
    postgres_server: PostgresServer,
    tmp_path: Path,
) -> Iterator[Deployment]:
    """Every service, with the first months landed before Dagster starts; all are stopped at the end."""
    bucket = s3_environment.new_bucket()
    databases = {name: postgres_server.new_database() for name in ("dagster", "mlflow")}
    (tmp_path / "mlflow").mkdir()
    mlflow = MlflowServer(
        tmp_path / "mlflow", database=postgres_server.url(databases["mlflow"]), artifacts=f"s3://{bucket}/models"
    )
    environment = {
        **VALUES,
        "CRM_PROFILE": "production",
        "CRM_SOURCE_URL": f"s3://{bucket}/landing/crm",
        "CRM_LAKE_URL": f"s3://{bucket}/lake",
        "CRM_MLFLOW_TRACKING_URI": mlflow.url,
        "CRM_DAGSTER_POSTGRES_URL": postgres_server.url(databases["dagster"]),
    }
    with contextlib.ExitStack() as running:
        running.callback(mlflow.stop)
        with ThreadPoolExecutor(1) as beside:
            started = beside.submit(mlflow.start)
            told = command("advance", "--simulator", SIMULATOR, "--months", str(BEFORE), **environment)
            assert told.exit_code == 0, told.output
            written = subprocess.run(
                [sys.executable, "-m", "crm_assets.dagster_home"], capture_output=True, text=True, check=True
            )
            home = Path(written.stdout.strip()).absolute()
            assert "env: CRM_DAGSTER_POSTGRES_URL" in (home / "dagster.yaml").read_text()
            server = running.enter_context(dagster_server(tmp_path, environment, home))
            started.result()
        yield Deployment(server, postgres_server, databases, s3_environment, bucket)
    for url in (server.url, mlflow.url):
        with contextlib.closing(socket.socket()) as probe:
            assert probe.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) != 0, f"{url} was not stopped"
    assert not [path for path in tmp_path.rglob("*.db") if path.is_file()], "nothing is kept in SQLite beside"


def test_months_land_are_made_and_made_again(
    command: Command,  # noqa: F811 - the fixture
    deployment: Deployment,
) -> None:
    server = deployment.server
    sensor = server.ask(_SENSOR, {"sensor": _LANDING})["sensorOrError"]["sensorState"]
    assert sensor["status"] == "RUNNING", "it is on from the start where extracts land"
    platform = Platform.connect(server.url)
    first = landed(server, "2017-01:2017-05")
    # Lands while the months before are made.
    told = command("advance", "--json")
    assert json.loads(told.stdout)["landed"] == [str(LAST)], told.output
    assert platform.wait(first, PATIENCE_SECONDS, silent).state is State.DONE
    second = landed(server, str(LAST))
    assert platform.wait(second, PATIENCE_SECONDS, silent).state is State.DONE

    settings = load_settings()
    made = contents(settings)
    assert made.keys() == {(asset.name, f"2017-{month:02}") for asset in ASSETS for month in range(1, 7)}
    registry = Registry(settings.tracking_uri, settings.model_name)
    champion, versions = registry.champion(), registry.versions()
    lake = Lake.open(settings.dataset_url, create=False)
    row = pl.read_parquet(lake.table_path("win_model", LAST)).row(0, named=True)
    assert champion is not None
    assert row["champion_version"] == champion.version
    assert row["champion_rung"] is not None
    assert row["model_version"] in versions

    done = platform.backfill(
        start=str(LAST.previous), end=str(LAST), force=True, on_progress=silent, timeout=PATIENCE_SECONDS
    )
    assert (done.state, done.done, done.total) == (State.DONE, 2 * len(ASSETS), 2 * len(ASSETS))
    assert contents(settings) == made
    assert (registry.champion(), registry.versions()) == (champion, versions)

    runs = runs_of(server)
    assert [(run["runId"], run["status"], run["jobName"]) for run in runs] == [
        (first, "SUCCESS", "backfill"),
        (second, "SUCCESS", "monthly"),
        (done.run_ids[0], "SUCCESS", "backfill"),
    ], "nothing else was asked for"
    tagged_as_documented(runs)
    ticks = server.ask(_SENSOR, {"sensor": _LANDING})["sensorOrError"]["sensorState"]["ticks"]
    assert {tick["status"] for tick in ticks} <= {"SUCCESS", "SKIPPED", "STARTED"}, ticks
    assert [run for tick in ticks for run in tick["runIds"]] == [second, first]

    postgres, databases = deployment.postgres, deployment.databases
    assert postgres.run("SELECT min(status), max(status) FROM runs", databases["dagster"]) == [("SUCCESS", "SUCCESS")]
    assert postgres.run("SELECT count(*) FROM model_versions", databases["mlflow"]) == [(len(versions),)]
    models = deployment.s3.client().list_objects_v2(Bucket=deployment.bucket, Prefix="models/").get("Contents", [])
    assert any(model["Key"].endswith("MLmodel") for model in models)
