"""From an extract that lands to scores, by real ticks of the sensor and real runs of what it asks for."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import narwhals as nw
import polars as pl
import pytest

from crm_assets.calendar import Month, month_range
from crm_assets.dagster_home import dagster_home
from crm_assets.defs import landing
from crm_assets.defs.assets import ASSETS
from crm_assets.defs.composition import build_definitions
from crm_assets.defs.monthly import SOURCE, MonthlyAsset
from crm_assets.defs.raw import RAW_ASSETS
from crm_assets.defs.run_tags import MONTHS_TAG, RANGE_END_TAG, RANGE_START_TAG, REASON_TAG, TRIGGER_TAG
from crm_assets.engines import open_engine
from crm_assets.lake import Lake, Provenance
from crm_assets.run import run_months
from crm_assets.settings import Settings, load_settings
from crm_assets.sources import open_source
from crm_assets.storage import StorageError, _Folder
from crm_assets_tests.graph.conftest import SMALL, cleared
from crm_assets_tests.graph.landing import Deployment, extracts, land

JANUARY, FEBRUARY, MARCH = Month(2017, 1), Month(2017, 2), Month(2017, 3)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return extracts(tmp_path_factory.mktemp("exported") / "crm")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "crm").mkdir()
    with cleared():
        return load_settings(
            source_url=str(tmp_path / "crm"),
            lake_url=str(tmp_path / "lake"),
            home=tmp_path / "home",
            first_month=JANUARY,
            **SMALL,
        )


@pytest.fixture
def deployment(settings: Settings) -> Iterator[Deployment]:
    with dg.DagsterInstance.from_config(str(dagster_home(settings))) as instance:
        yield Deployment(settings, instance)


@pytest.mark.slow
def test_months_land_change_and_are_made(deployment: Deployment, settings: Settings, exported: Path) -> None:
    folder = Path(settings.source_url)
    assert "holds no table" in str(deployment.tick())

    land(exported / "2017-01", folder)
    land(exported / "2017-02", folder)
    assert "2017-01 has just landed and waits until it was listed alike twice" in str(deployment.tick())
    request = deployment.tick()
    assert isinstance(request, dg.RunRequest)
    assert (request.tags[RANGE_START_TAG], request.tags[RANGE_END_TAG]) == ("2017-01", "2017-02")
    assert request.tags[MONTHS_TAG] == "2017-01:2017-02"
    assert request.tags[TRIGGER_TAG] == "landing"
    assert deployment.run(request).success
    assert deployment.months("scores") == ["2017-01", "2017-02"]
    assert deployment.tick() == "the lake has every month as it landed, the newest 2017-02"

    # The same bytes under a new time, and a file that is no table.
    products = folder / "2017-02" / "products.csv"
    os.utime(products, (1, 1))
    (folder / "2017-02" / "notes.txt").write_text("see products")
    assert deployment.tick() == "2017-02 is still being written and waits until it was listed alike twice"
    assert deployment.tick() == "the lake has every month as it landed, the newest 2017-02"

    products.write_text(products.read_text() + "GTX Late,GTX,77\n")
    deployment.tick()
    request = deployment.tick()
    assert isinstance(request, dg.RunRequest)
    assert (request.job_name, request.partition_key) == ("monthly", "2017-02")
    assert request.tags[REASON_TAG] == "2017-02 has changed"
    assert deployment.run(request).success
    assert deployment.tick() == "the lake has every month as it landed, the newest 2017-02"

    # The sensor's runs leave nothing for a person to run, and what a person runs is not asked for again.
    assert run_months(settings, None, force=False, show_progress=False).made == ()
    land(exported / "2017-03", folder)
    assert run_months(settings, None, force=False, show_progress=False).made == (MARCH,)
    deployment.tick()
    assert deployment.tick() == "the lake has every month as it landed, the newest 2017-03"


def test_a_half_uploaded_month_waits_and_says_for_what(
    deployment: Deployment, settings: Settings, exported: Path
) -> None:
    folder = Path(settings.source_url)
    land(exported / "2017-01", folder, "accounts", "products", "sales_pipeline")
    assert deployment.tick() == "2017-01 waits for sales_teams.csv"
    assert deployment.tick() == "2017-01 waits for sales_teams.csv"
    land(exported / "2017-01", folder)
    pipeline = folder / "2017-01" / "sales_pipeline.csv"
    half = pipeline.read_bytes()[:-20]
    pipeline.write_bytes(half)
    assert "2017-01 is still being written" in str(deployment.tick())
    assert "2017-01 cannot be used: " in str(deployment.tick())
    assert str(pipeline) in str(deployment.tick())


def test_a_listing_that_fails_is_no_empty_folder(
    deployment: Deployment, settings: Settings, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(exported / "2017-01", Path(settings.source_url))
    deployment.tick()
    before = deployment.cursor
    for path in ("crm_assets.storage._Folder.stamps", "crm_assets.storage._Folder.fingerprint"):
        with monkeypatch.context() as patch:
            patch.setattr(path, _fail)
            assert "the next tick looks again: s3 said 503" in str(deployment.tick())
        assert deployment.cursor == before
    assert isinstance(deployment.tick(), dg.RunRequest)


def _fail(*_: object) -> None:
    raise StorageError("s3 said 503", transient=True)


def test_a_run_that_goes_on_and_one_that_failed(deployment: Deployment, settings: Settings, exported: Path) -> None:
    land(exported / "2017-01", Path(settings.source_url))
    deployment.tick()
    instance, job = deployment.instance, deployment.definitions.resolve_job_def("monthly")
    other = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert deployment.tick() == f"2017-01 waits for run {other.run_id} to end"
    instance.delete_run(other.run_id)
    request = deployment.tick()
    assert isinstance(request, dg.RunRequest)
    asked = instance.create_run_for_job(job, status=dg.DagsterRunStatus.FAILURE, tags=dict(request.tags))
    assert deployment.tick() == (
        f"2017-01: the same content was asked for before, in run {asked.run_id}, FAILURE: start it again from its page"
    )
    deployment.cursor = None
    deployment.tick()
    assert "was asked for before" in str(deployment.tick())
    instance.delete_run(asked.run_id)
    assert isinstance(deployment.tick(), dg.RunRequest)


def test_a_run_that_died_after_the_raw_tables_is_named(
    deployment: Deployment, settings: Settings, exported: Path
) -> None:
    land(exported / "2017-01", Path(settings.source_url))
    deployment.tick()
    request = deployment.tick()
    assert isinstance(request, dg.RunRequest)
    instance, job = deployment.instance, deployment.definitions.resolve_job_def("monthly")
    tags = {**job.tags, **request.tags}
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=tags)
    hold(settings, [JANUARY])
    # A run that goes on may yet make the rest.
    assert deployment.tick() == "the lake has every month as it landed, the newest 2017-01"
    instance.report_run_failed(run, "its process is gone")
    lacking = len(ASSETS) - len(RAW_ASSETS)
    told = str(deployment.tick())
    assert told == (
        f"2017-01 lacks {ASSETS[len(RAW_ASSETS)].name} and {lacking - 1} more: run {run.run_id}, FAILURE, did not make "
        "all of it; start it again from its page, or run `crm-assets run --months 2017-01`"
    )
    hold(settings, [JANUARY], assets=ASSETS[len(RAW_ASSETS) :])
    assert str(deployment.tick()).startswith(f"2017-01 may be out of date: run {run.run_id}, FAILURE, ")
    instance.create_run_for_job(job, status=dg.DagsterRunStatus.SUCCESS, tags=tags)
    assert deployment.tick() == "the lake has every month as it landed, the newest 2017-01"


def test_months_without_a_partition_are_told(deployment: Deployment, settings: Settings, exported: Path) -> None:
    limited = Deployment(
        settings.model_copy(update={"first_month": FEBRUARY, "last_month": FEBRUARY}), deployment.instance
    )
    for month in ("2017-01", "2017-02", "2017-03"):
        land(exported / month, Path(settings.source_url))
    told = str(limited.tick())
    assert "2017-01 is before the first month: set CRM_FIRST_MONTH to have it made" in told
    assert "2017-03 is after the last month, 2017-02: unset CRM_LAST_MONTH to have it made" in told
    request = limited.tick()
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "2017-02"


def test_it_runs_by_itself_where_extracts_land_and_says_so_where_none_do(
    deployment: Deployment, settings: Settings
) -> None:
    def status(**changed: object) -> dg.DefaultSensorStatus:
        found = build_definitions(settings.model_copy(update=changed)).resolve_sensor_def("landing")
        return found.default_status

    assert status() is dg.DefaultSensorStatus.RUNNING
    assert status(source_url="s3://bucket/crm") is dg.DefaultSensorStatus.RUNNING
    assert status(last_month=MARCH) is dg.DefaultSensorStatus.STOPPED
    assert status(source_url="simulator:") is dg.DefaultSensorStatus.STOPPED
    simulated = Deployment(settings.model_copy(update={"source_url": "simulator:"}), deployment.instance)
    assert simulated.tick() == "extracts land in a folder or in S3, and CRM_SOURCE_URL is simulator:"


@pytest.mark.parametrize(
    "cursor", ['{"2017-01": 7}', '{"2017-01": {"facts": "a"}}', '{"seen": {"May": {"facts": "a"}}}']
)
def test_a_cursor_of_another_version_begins_anew(
    deployment: Deployment, settings: Settings, exported: Path, cursor: str
) -> None:
    land(exported / "2017-01", Path(settings.source_url))
    deployment.cursor = cursor
    assert "2017-01 has just landed" in str(deployment.tick())


METHODS = ("exists", "fingerprint", "read_bytes", "list", "stamps", "local_copy")


def counted(deployment: Deployment, patch: pytest.MonkeyPatch) -> tuple[dg.RunRequest | str, Counter[str]]:
    """What a tick says, and how often it asked a folder for what."""
    calls: Counter[str] = Counter()

    def counting(name: str) -> Callable[..., Any]:
        method = getattr(_Folder, name)

        def call(*given: Any, **named: Any) -> Any:
            calls[name] += 1
            return method(*given, **named)

        return call

    with patch.context() as each:
        for name in METHODS:
            each.setattr(_Folder, name, counting(name))
        return deployment.tick(), calls


def hold(settings: Settings, months: list[Month], *, assets: Iterable[MonthlyAsset] = RAW_ASSETS) -> Lake:
    """A lake whose tables of these months were made, without rows, from the extracts that lie in the source."""
    source = open_source(settings.source_url)
    lake = Lake.open(settings.dataset_url, source=source.url, create=True)
    for asset in assets:
        frame = nw.from_native(pl.LazyFrame(schema=asset.table.polars_schema()))
        for month in months:
            made_from = Provenance("1", {SOURCE: source.fingerprint(month)})
            sink = open_engine("polars", "1GB").sink
            lake.write_table(asset.name, month, frame, asset.table, sink=sink, provenance=made_from)
    return lake


def test_a_tick_reads_only_what_has_changed(
    deployment: Deployment, settings: Settings, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    months = month_range(JANUARY, Month(2018, 12))
    folder = Path(settings.source_url)
    for month in months:
        shutil.copytree(exported / "2017-01", folder / str(month))
    lake = hold(settings, months)
    _, first = counted(deployment, monkeypatch)
    assert first["read_bytes"] == 1 + len(months) * len(RAW_ASSETS)
    deployment.tick()
    told, steady = counted(deployment, monkeypatch)
    assert str(told).startswith("2017-01 lacks ")
    # The lake's marker, and a listing of the source and of the lake.
    assert steady == {"exists": 1, "read_bytes": 1, "stamps": 2, "list": 2}

    hold(settings, [months[7]], assets=[RAW_ASSETS[0]])
    _, changed = counted(deployment, monkeypatch)
    assert changed["read_bytes"] == 1 + len(RAW_ASSETS)

    Path(lake.location(RAW_ASSETS[0].name, months[-1])).unlink()
    request = deployment.tick()
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "2018-12"


def test_a_lake_that_is_slow_to_read_is_read_over_several_ticks(
    deployment: Deployment, settings: Settings, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    months = month_range(JANUARY, MARCH)
    for month in months:
        land(exported / str(month), Path(settings.source_url))
    hold(settings, months[:2])

    class OneLook:
        """Time for one reading a tick."""

        def __init__(self, seconds: float) -> None:
            self.left = 1

        @property
        def spent(self) -> bool:
            self.left -= 1
            return self.left < 0

    monkeypatch.setattr(landing, "_Budget", OneLook)
    ticks = [deployment.tick() for _ in range(6)]
    assert ticks[0] == "1 of the lake's 2 months wait to be read at the next look"
    requests = [tick for tick in ticks if isinstance(tick, dg.RunRequest)]
    assert requests[0].partition_key == "2017-03"
