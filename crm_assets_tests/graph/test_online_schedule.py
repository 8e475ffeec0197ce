"""The daily look for months as of which the API has answered, by ticks of its schedule on a lake with logged rows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import narwhals as nw
import polars as pl
import pytest

from crm_assets.calendar import Month
from crm_assets.dagster_home import dagster_home
from crm_assets.defs.checks import online_drift_verdict
from crm_assets.defs.composition import build_definitions
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.io_manager import store
from crm_assets.defs.jobs import logged_since
from crm_assets.defs.monthly import Made
from crm_assets.defs.online import ONLINE_ASSETS, online_drift_report, online_predictions
from crm_assets.defs.platform import Platform
from crm_assets.defs.provenance import out_of_date
from crm_assets.defs.run_tags import ONLY_OUT_OF_DATE_TAG, RANGE_END_TAG, RANGE_START_TAG, TRIGGER_TAG
from crm_assets.defs.scoring import SCORES, scores
from crm_assets.lake import Lake
from crm_assets.monitoring.prediction_log import PREDICTION_LOG
from crm_assets.monitoring.status import NOT_ASKED
from crm_assets.reproduction import Outcome, _reproduced
from crm_assets.settings import Settings, load_settings
from crm_assets_tests.graph.conftest import cleared
from crm_assets_tests.monitoring.books import answer

NOW = datetime(2018, 1, 8, 6, tzinfo=UTC)
NOVEMBER, DECEMBER = Month(2017, 11), Month(2017, 12)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    with cleared():
        return load_settings(source_url=str(tmp_path / "crm"), lake_url=str(tmp_path / "lake"), home=tmp_path / "home")


@pytest.fixture
def platform(settings: Settings) -> Platform:
    """A deployment without a champion, whose lake holds two months and nothing of what the API was asked."""
    platform = Platform(settings)
    platform.lake = Lake.open(settings.dataset_url, source="crm", create=True)
    with platform.writing(print):
        for month in (NOVEMBER, DECEMBER):
            rows = pl.LazyFrame(schema=SCORES.polars_schema())
            store(platform, scores, month, Made(nw.from_native(rows)))
    gather(platform, NOVEMBER, DECEMBER)
    return platform


def gather(platform: Platform, *months: Month) -> None:
    """Make what of the months is out of date, as a run does."""
    with platform.writing(print):
        for month in months:
            for asset in ONLINE_ASSETS:
                if out_of_date(platform, asset, month) is not None:
                    store(platform, asset, month, asset.make(Inputs(asset, platform, month), month))


def log(platform: Platform, month: Month, **given: Any) -> None:
    row = answer(None, snapshot_month=str(month), **given)
    platform.lake.log(PREDICTION_LOG).add(month, pl.DataFrame([row], schema=PREDICTION_LOG.polars_schema()), NOW)


def tick(settings: Settings, instance: dg.DagsterInstance) -> dg.RunRequest | str:
    definitions = build_definitions(settings)
    context = dg.build_schedule_context(
        instance=instance, scheduled_execution_time=NOW, repository_def=definitions.get_repository_def()
    )
    data = definitions.resolve_schedule_def("online_schedule").evaluate_tick(context)
    if not data.run_requests:
        return str(data.skip_message)
    (request,) = data.run_requests
    return request


def test_where_nobody_asks_all_is_quiet(settings: Settings, platform: Platform) -> None:
    for asset in ONLINE_ASSETS:
        manifest = platform.lake.manifest(asset.name, DECEMBER)
        assert manifest is not None
        assert (manifest.rows, manifest.notes.get("documents")) == (0, None)
        assert NOT_ASKED in manifest.notes.values()
        assert out_of_date(platform, asset, DECEMBER) is None
    verdict = online_drift_verdict(platform, DECEMBER)
    assert verdict.fault is None
    assert verdict.skipped == f"online traffic of 2017-12 was not compared: {NOT_ASKED}"
    with dg.DagsterInstance.from_config(str(dagster_home(settings))) as instance:
        assert tick(settings, instance) == "the API was asked nothing that is not gathered yet"


def test_months_that_were_asked_about_are_gathered_once(settings: Settings, platform: Platform) -> None:
    log(platform, DECEMBER)
    with dg.DagsterInstance.from_config(str(dagster_home(settings))) as instance:
        request = tick(settings, instance)
        assert isinstance(request, dg.RunRequest)
        assert request.run_key == "2018-01-08"
        assert [request.tags[tag] for tag in (RANGE_START_TAG, RANGE_END_TAG)] == ["2017-12", "2017-12"]
        assert (request.tags[TRIGGER_TAG], request.tags[ONLY_OUT_OF_DATE_TAG]) == ("schedule", "true")
        gather(platform, DECEMBER)
        assert tick(settings, instance) == "the API was asked nothing that is not gathered yet"
    assert rows_of(platform, DECEMBER) == ["r0"]


def test_gathering_merges_days_that_are_over_and_leaves_the_month_as_it_is(platform: Platform) -> None:
    for number in range(3):
        log(platform, DECEMBER, request_id=f"r{number}")
    gather(platform, DECEMBER)
    folder = Path(platform.settings.dataset_url, "prediction_log", str(DECEMBER), f"{NOW:%Y-%m-%d}")
    assert [file.name.partition("-")[0] for file in folder.iterdir()] == ["merged"]
    assert rows_of(platform, DECEMBER) == ["r0", "r1", "r2"]
    with platform.writing(print):
        assert [out_of_date(platform, asset, DECEMBER) for asset in ONLINE_ASSETS] == [None, None]


def test_rows_that_come_late_to_a_closed_month_make_it_out_of_date(settings: Settings, platform: Platform) -> None:
    log(platform, NOVEMBER)
    log(platform, DECEMBER, request_id="newer")
    gather(platform, NOVEMBER, DECEMBER)
    before = platform.lake.manifest(online_predictions.name, NOVEMBER)
    assert logged_since(settings) == []
    log(platform, NOVEMBER, request_id="late")
    assert logged_since(settings) == [NOVEMBER]
    with platform.writing(print):
        assert out_of_date(platform, online_predictions, NOVEMBER) == "input prediction_log/2017-11 has changed"
        assert out_of_date(platform, online_predictions, DECEMBER) is None
    gather(platform, NOVEMBER, DECEMBER)
    assert rows_of(platform, NOVEMBER) == ["late", "r0"]
    assert before is not None
    # Made once more of the same log, it is the same.
    with platform.writing(print):
        again = [
            store(
                platform,
                online_predictions,
                NOVEMBER,
                online_predictions.make(Inputs(online_predictions, platform, NOVEMBER), NOVEMBER),
            ).sha256
            for _ in range(2)
        ]
    assert again[0] == again[1] != before.sha256


def test_a_month_is_verified_unless_more_was_logged_since(
    settings: Settings, platform: Platform, tmp_path: Path
) -> None:
    log(platform, DECEMBER)
    gather(platform, DECEMBER)

    def verified(folder: str) -> Outcome:
        beside = platform.lake.beside(tmp_path / folder)
        return _reproduced(settings, platform.lake, beside, online_predictions, DECEMBER).outcome

    assert verified("first") is Outcome.IDENTICAL
    log(platform, DECEMBER, request_id="late")
    assert verified("second") is Outcome.INTACT


def test_without_a_champion_there_is_nothing_to_compare(platform: Platform) -> None:
    log(platform, DECEMBER)
    gather(platform, DECEMBER)
    manifest = platform.lake.manifest(online_drift_report.name, DECEMBER)
    assert manifest is not None
    assert manifest.notes == {"status": "not compared", "reason": "no scores"}


def test_it_says_why_there_is_nothing_to_gather(settings: Settings, platform: Platform) -> None:
    log(platform, DECEMBER)
    with dg.DagsterInstance.from_config(str(dagster_home(settings))) as instance:
        before = settings.model_copy(update={"last_month": NOVEMBER})
        assert tick(before, instance) == "the API was asked nothing that is not gathered yet"
        elsewhere = settings.model_copy(update={"lake_url": f"{settings.lake_url}-of-nobody"})
        assert "there is no lake" in str(tick(elsewhere, instance))
        job = build_definitions(settings).resolve_job_def("monthly")
        run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        assert f"run {run.run_id} is going on" in str(tick(settings, instance))


def test_it_is_on_where_further_months_are_expected(settings: Settings) -> None:
    def status(changed: Settings) -> dg.DefaultScheduleStatus:
        return build_definitions(changed).resolve_schedule_def("online_schedule").default_status

    assert status(settings) is dg.DefaultScheduleStatus.RUNNING
    assert status(settings.model_copy(update={"last_month": DECEMBER})) is dg.DefaultScheduleStatus.STOPPED


def rows_of(platform: Platform, month: Month) -> list[str]:
    rows = pl.read_parquet(platform.lake.table_path(online_predictions.name, month))
    return sorted(rows["request_id"].to_list())
