"""Deployments to disturb: the lake of all months but the last one, to which a run adds the last."""

from __future__ import annotations

import json
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pyarrow.parquet as pq
import pytest

from crm_assets.calendar import Month
from crm_assets.lake import Lake
from crm_assets.registry import Registry
from crm_assets.settings import Settings, load_settings
from crm_assets.storage import open_storage
from crm_assets_tests.graph.conftest import cleared
from crm_assets_tests.integration.mlflow_server import MlflowServer
from crm_assets_tests.integration.s3_server import S3Server
from crm_assets_tests.made_once import made_once
from crm_assets_tests.survival.commands import Commands, commands, contents

SOURCE = "simulator:?opportunities=600&seed=11&months=2017-01:2017-06"
"""Its last month is the first of which a model is trained; a rung of the cold-start ladder becomes champion."""
LAST = Month(2017, 6)
RUN = ("run", "--source", SOURCE)
BACKFILL = ("backfill", str(LAST), "--source", SOURCE, "--yes")


class Place(ABC):
    """Where runs are killed: the lake of all months but the last one is put there anew each time.

    Attributes:
        folder: in which the command runs.
        settings: of the deployment.
    """

    folder: Path
    settings: Settings
    dagster_home: Path | None = None
    """Where Dagster's configuration is, if not where the settings have it."""

    def __init__(self, run: Commands, root: Path) -> None:
        self.command = run
        self.root = root
        self.environment: dict[str, str] = {}

    @abstractmethod
    def renew(self) -> None:
        """Begin anew with the lake of all months but the last."""

    @abstractmethod
    def left(self) -> list[str]:
        """Names of temporary and half files."""

    def run(self, *arguments: str, **how: Any) -> int:
        """The exit code of the command under test, `RUN` by default."""
        options: dict[str, Any] = {**self.environment, **how}
        return self.command(*(arguments or RUN), folder=self.folder, **options)

    def state(self) -> dict[str, Any]:
        """What a run leaves in lake, registry and Dagster."""
        registry = Registry(self.settings.tracking_uri, self.settings.model_name)
        lake = Lake.open(self.settings.dataset_url, create=False)
        newest = pl.read_parquet(lake.table_path("win_model", LAST)).row(0, named=True)
        champion, challenger = registry.champion(), registry.challenger()
        assert champion is not None
        assert champion.version == newest["champion_version"]
        assert (challenger.version if challenger else None) == newest["model_version"]
        client = registry._client
        found = client.get_experiment_by_name(self.settings.model_name)
        assert found is not None
        going_on = client.search_runs([found.experiment_id], "attributes.status = 'RUNNING'")
        with dg.DagsterInstance.from_config(str(self.dagster_home or self.settings.dagster_home)) as instance:
            unfinished = [run.status for run in instance.get_runs() if not run.is_finished]
        return {
            "lake": contents(self.settings.dataset_url),
            "versions": registry.versions(),
            "going on in MLflow": len(going_on),
            "unfinished in Dagster": unfinished,
            "left": self.left() + [path.name for path in (self.root / "tmp").iterdir()],
        }

    def readable(self) -> None:
        """Every file that can be seen is whole."""
        storage = open_storage(self.settings.dataset_url)
        for path in storage.list():
            if path.endswith(".parquet"):
                pq.read_metadata(storage.local_copy(path))
            elif path.endswith(".json"):
                json.loads(storage.read_bytes(path))


def _base(run: Commands, folders: pytest.TempPathFactory) -> Path:
    """A folder with the lake of all months but the last."""

    def make(folder: Path) -> None:
        assert run(*RUN, "--months", "2017-01:2017-05", folder=folder) == 0, run.told()

    return made_once(folders, "but_the_last_month", make)


class InFolder(Place):
    """A lake in a folder with MLflow in a SQLite file."""

    def __init__(self, run: Commands, root: Path, base: Path) -> None:
        super().__init__(run, root)
        self._base = base

    def renew(self) -> None:
        # A new name each time, for MLflow keeps connections to the files that it has opened.
        self.folder = self.root / f"place-{secrets.token_hex(4)}"
        shutil.copytree(self._base, self.folder)
        with cleared():
            self.settings = load_settings(
                source_url=SOURCE, dataset="crm", lake_url=str(self.folder / "lake"), home=self.folder / ".crm_assets"
            )

    def left(self) -> list[str]:
        return [str(path) for path in (self.folder / "lake").rglob(".*") if path.name != ".lock"]


class OnServers(Place):
    """A lake in S3 with an MLflow server."""

    def __init__(
        self, run: Commands, root: Path, *, base: Path, server: S3Server, bucket: str, mlflow: MlflowServer
    ) -> None:
        super().__init__(run, root)
        self._base = base
        self.server, self._bucket, self.mlflow = server, bucket, mlflow
        self.folder = root / "place"

    def renew(self) -> None:
        url = f"s3://{self._bucket}/{secrets.token_hex(6)}"
        with cleared():
            self.settings = load_settings(
                source_url=SOURCE,
                dataset="crm",
                lake_url=url,
                home=self.folder / ".crm_assets",
                mlflow_tracking_uri=self.mlflow.url,
            )
        self.environment = {
            **self.server.environment,
            "CRM_LAKE_URL": url,
            "CRM_MLFLOW_TRACKING_URI": self.mlflow.url,
        }
        storage = open_storage(url)
        lake = self._base / "lake"
        for file in sorted(path for path in lake.rglob("*") if path.is_file() and path.name != ".lock"):
            storage.put_file(file, file.relative_to(lake).as_posix())
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self._base / ".crm_assets", self.folder / ".crm_assets")
        client = Registry(self.mlflow.url, self.settings.model_name)._client
        for model in client.search_registered_models():
            client.delete_registered_model(model.name)

    def left(self) -> list[str]:
        uploads = self.server.client().list_multipart_uploads(Bucket=self._bucket).get("Uploads", [])
        return [upload["Key"] for upload in uploads]


@pytest.fixture(scope="module")
def in_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InFolder]:
    root = tmp_path_factory.mktemp("kills")
    with commands(root) as run:
        yield InFolder(run, root, _base(run, tmp_path_factory))


@pytest.fixture
def on_servers(
    tmp_path_factory: pytest.TempPathFactory, s3_environment: S3Server, s3_bucket: str
) -> Iterator[OnServers]:
    root = tmp_path_factory.mktemp("kills")
    (root / "mlflow").mkdir()
    mlflow = MlflowServer(root / "mlflow")
    try:
        mlflow.start()
        with commands(root) as run:
            base = _base(run, tmp_path_factory)
            yield OnServers(run, root, base=base, server=s3_environment, bucket=s3_bucket, mlflow=mlflow)
    finally:
        mlflow.stop()
