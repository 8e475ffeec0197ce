"""A run that is killed at any moment, and the same command again: nothing shows that it was killed."""

from __future__ import annotations

import json
import random
import secrets
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pyarrow.parquet as pq
import pytest

from crm_assets.defs.interrupted import PROCESS_TAG
from crm_assets.lake import Lake
from crm_assets.process import Process
from crm_assets.registry import Registry
from crm_assets.settings import Settings, load_settings
from crm_assets.storage import open_storage
from crm_assets_tests.graph.conftest import cleared
from crm_assets_tests.integration.mlflow_server import mlflow_server
from crm_assets_tests.integration.s3_server import S3Server
from crm_assets_tests.survival.commands import KILLED, Commands, Moment, commands, contents
from crm_assets_tests.survival.killed import AFTER, BEFORE, DURING

SOURCE = "simulator:?opportunities=600&seed=11&months=2017-01:2017-06"
"""Its last month is the first of which a model is trained; a rung of the cold-start ladder becomes champion."""
RUN = ("run", "--source", SOURCE)
DRAWN, BY_TIME, SEED = 24, 6, 20170601


class Place(ABC):
    """Where runs are killed: the lake of all months but the last one is put there anew each time.

    Attributes:
        folder: in which the command runs.
        settings: of the deployment.
    """

    folder: Path
    settings: Settings

    def __init__(self, run: Commands, root: Path) -> None:
        self._run = run
        self._root = root
        self._environment: dict[str, str] = {}

    @abstractmethod
    def renew(self) -> None:
        """Begin anew with the lake of all months but the last."""

    @abstractmethod
    def left(self) -> list[str]:
        """Names of temporary and half files."""

    def run(self, **how: Any) -> int:
        """The exit code of the command under test."""
        return self._run(*RUN, folder=self.folder, **how, **self._environment)

    def state(self) -> dict[str, Any]:
        """What a run leaves in lake, registry and Dagster."""
        registry = Registry(self.settings.tracking_uri, self.settings.model_name)
        lake = Lake.open(self.settings.dataset_url, create=False)
        newest = pl.read_parquet(lake.table_path("win_model", self.settings_last)).row(0, named=True)
        champion, challenger = registry.champion(), registry.challenger()
        assert champion is not None
        assert champion.version == newest["champion_version"]
        assert (challenger.version if challenger else None) == newest["model_version"]
        client = registry._client
        found = client.get_experiment_by_name(self.settings.model_name)
        assert found is not None
        going_on = client.search_runs([found.experiment_id], "attributes.status = 'RUNNING'")
        with dg.DagsterInstance.from_config(str(self.settings.dagster_home)) as instance:
            unfinished = [run.status for run in instance.get_runs() if not run.is_finished]
        return {
            "lake": contents(self.settings.dataset_url),
            "versions": registry.versions(),
            "going on in MLflow": len(going_on),
            "unfinished in Dagster": unfinished,
            "left": self.left() + [path.name for path in (self._root / "tmp").iterdir()],
        }

    @property
    def settings_last(self) -> Any:
        from crm_assets.calendar import Month

        return Month(2017, 6)

    def readable(self) -> None:
        """Every file that can be seen is whole."""
        storage = open_storage(self.settings.dataset_url)
        for path in storage.list():
            if path.endswith(".parquet"):
                pq.read_metadata(storage.local_copy(path))
            elif path.endswith(".json"):
                json.loads(storage.read_bytes(path))


def _base(run: Commands, root: Path) -> Path:
    """A folder with the lake of all months but the last."""
    base = root / "base"
    base.mkdir()
    assert run(*RUN, "--months", "2017-01:2017-05", folder=base) == 0, run.told()
    return base


class InFolder(Place):
    """A lake in a folder with MLflow in a SQLite file."""

    def __init__(self, run: Commands, root: Path) -> None:
        super().__init__(run, root)
        self._base = _base(run, root)

    def renew(self) -> None:
        # A new name each time, for MLflow keeps connections to the files that it has opened.
        self.folder = self._root / f"place-{secrets.token_hex(4)}"
        shutil.copytree(self._base, self.folder)
        with cleared():
            self.settings = load_settings(
                source_url=SOURCE, dataset="crm", lake_url=str(self.folder / "lake"), home=self.folder / ".crm_assets"
            )

    def left(self) -> list[str]:
        return [str(path) for path in (self.folder / "lake").rglob(".*") if path.name != ".lock"]


class OnServers(Place):
    """A lake in S3 with an MLflow server."""

    def __init__(self, run: Commands, root: Path, server: S3Server, bucket: str, mlflow_url: str) -> None:
        super().__init__(run, root)
        self._base = _base(run, root)
        self._server, self._bucket, self._mlflow = server, bucket, mlflow_url
        self.folder = root / "place"

    def renew(self) -> None:
        url = f"s3://{self._bucket}/{secrets.token_hex(6)}"
        with cleared():
            self.settings = load_settings(
                source_url=SOURCE,
                dataset="crm",
                lake_url=url,
                home=self.folder / ".crm_assets",
                mlflow_tracking_uri=self._mlflow,
            )
        self._environment = {**self._server.environment, "CRM_LAKE_URL": url, "CRM_MLFLOW_TRACKING_URI": self._mlflow}
        storage = open_storage(url)
        lake = self._base / "lake"
        for file in sorted(path for path in lake.rglob("*") if path.is_file() and path.name != ".lock"):
            storage.put_file(file, file.relative_to(lake).as_posix())
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self._base / ".crm_assets", self.folder / ".crm_assets")
        client = Registry(self._mlflow, self.settings.model_name)._client
        for model in client.search_registered_models():
            client.delete_registered_model(model.name)

    def left(self) -> list[str]:
        uploads = self._server.client().list_multipart_uploads(Bucket=self._bucket).get("Uploads", [])
        return [upload["Key"] for upload in uploads]


@pytest.fixture(scope="module")
def in_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InFolder]:
    root = tmp_path_factory.mktemp("kills")
    with commands(root) as run:
        yield InFolder(run, root)


@pytest.fixture
def on_servers(
    tmp_path_factory: pytest.TempPathFactory, s3_environment: S3Server, s3_bucket: str
) -> Iterator[OnServers]:
    root = tmp_path_factory.mktemp("kills")
    (root / "mlflow").mkdir()
    with mlflow_server(root / "mlflow") as url, commands(root) as run:
        yield OnServers(run, root, s3_environment, s3_bucket, url)


def drawn(counts: dict[str, int]) -> list[Moment]:
    """Moments of a run: every kind of call once and then again, each at a call and a point of it drawn at random."""
    draw = random.Random(SEED)
    names = sorted(counts)
    moments = []
    for number in range(DRAWN):
        if number % len(names) == 0:
            draw.shuffle(names)
        name = names[number % len(names)]
        when = BEFORE if name == "folder.rename" else draw.choice([BEFORE, DURING, AFTER])
        moments.append((name, draw.randint(1, counts[name]), when))
    return moments


def survives(place: Place, undisturbed: dict[str, Any], *, moment: Moment | None = None, seconds: float = 0) -> None:
    """Kill a run, run it again and compare."""
    place.renew()
    code = place.run(moment=moment, seconds=None if moment else seconds)
    assert code == KILLED, (code, place._run.told())
    place.readable()
    assert place.run() == 0, place._run.told()
    assert place.state() == undisturbed


def undisturbed_run(place: Place, tmp_path: Path) -> tuple[dict[str, Any], dict[str, int], float]:
    """What a run leaves, how often it calls what, and how long it takes in seconds."""
    place.renew()
    began = time.monotonic()
    assert place.run(counts=tmp_path / "counts") == 0, place._run.told()
    seconds = time.monotonic() - began
    state = place.state()
    assert not state["left"]
    assert not state["unfinished in Dagster"]
    assert state["going on in MLflow"] == 0
    return state, json.loads((tmp_path / "counts").read_text()), seconds


DELICATE: list[Moment] = [
    ("folder.put_file", 20, DURING),
    ("mlflow.create_model_version", 1, AFTER),
    ("mlflow.set_registered_model_alias", 1, BEFORE),
    ("dagster.event", 120, AFTER),
]
"""Half a table written, a version registered that no month names, a decision stored and not followed, a step begun."""


@pytest.mark.slow
def test_the_most_delicate_moments(in_folder: InFolder, tmp_path: Path) -> None:
    state, _, _ = undisturbed_run(in_folder, tmp_path)
    for moment in DELICATE:
        survives(in_folder, state, moment=moment)


def _thirty(place: Place, tmp_path: Path) -> None:
    state, counts, seconds = undisturbed_run(place, tmp_path)
    draw = random.Random(SEED)
    moments = drawn(counts)
    killed = {}
    for moment in moments:
        began = time.monotonic()
        survives(place, state, moment=moment)
        killed[" ".join(map(str, moment))] = time.monotonic() - began
    for _ in range(BY_TIME):
        after = draw.uniform(0.05, 0.6) * seconds
        survives(place, state, seconds=after)
        killed[f"after {after:.1f} s"] = 0
    for name in killed:
        print(f"identical after a kill {name}")  # noqa: T201 - figures for people
    print(f"{len(killed)} kills, {len(killed)} identical lakes of {len(state['lake'])} files")  # noqa: T201


@pytest.mark.survival
def test_thirty_moments_in_a_folder(in_folder: InFolder, tmp_path: Path) -> None:
    _thirty(in_folder, tmp_path)


@pytest.mark.survival
def test_thirty_moments_on_servers(on_servers: OnServers, tmp_path: Path) -> None:
    _thirty(on_servers, tmp_path)


def test_only_runs_of_processes_that_are_gone_are_marked(tmp_path: Path) -> None:
    from dataclasses import replace

    from crm_assets.defs.interrupted import fail_interrupted

    @dg.job
    def nothing() -> None: ...

    here = Process.current()
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:

        def started(process: str | None) -> str:
            run = instance.create_run_for_job(
                nothing, status=dg.DagsterRunStatus.STARTED, tags={} if process is None else {PROCESS_TAG: process}
            )
            return run.run_id

        # The first process of the machine is there, yet did not start when this one did.
        gone = started(str(replace(here, pid=1)))
        kept = [started(str(here)), started(str(replace(here, host="elsewhere", pid=1))), started(None), started("?")]
        assert fail_interrupted(instance) == [gone]
        statuses = {run.run_id: run.status for run in instance.get_runs()}
    assert statuses == {gone: dg.DagsterRunStatus.FAILURE, **dict.fromkeys(kept, dg.DagsterRunStatus.STARTED)}
