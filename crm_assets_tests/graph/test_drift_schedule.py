"""The weekly look at the newest month with scores, by ticks of its schedule."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from crm_assets.calendar import Month
from crm_assets.dagster_home import dagster_home
from crm_assets.defs.composition import build_definitions
from crm_assets.defs.run_tags import TRIGGER_TAG
from crm_assets.lake import Lake, Provenance
from crm_assets.settings import Settings, load_settings
from crm_assets_tests.graph.conftest import cleared

MONDAY = datetime(2018, 1, 8, 5, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    with cleared():
        return load_settings(source_url=str(tmp_path / "crm"), lake_url=str(tmp_path / "lake"), home=tmp_path / "home")


def score(settings: Settings, *months: Month) -> None:
    """Have the lake hold something of the scores of these months."""
    lake = Lake.open(settings.dataset_url, source=settings.source_url, create=True)
    for month in months:
        lake.write_document("scores", month, "json", b"{}", provenance=Provenance("code", {}, {}))


def tick(settings: Settings, instance: dg.DagsterInstance) -> dg.RunRequest | str:
    definitions = build_definitions(settings)
    context = dg.build_schedule_context(
        instance=instance, scheduled_execution_time=MONDAY, repository_def=definitions.get_repository_def()
    )
    data = definitions.resolve_schedule_def("drift_schedule").evaluate_tick(context)
    if not data.run_requests:
        return str(data.skip_message)
    (request,) = data.run_requests
    return request


def test_the_newest_month_with_scores_is_looked_at(settings: Settings) -> None:
    score(settings, Month(2017, 11), Month(2017, 12))
    with dg.DagsterInstance.from_config(str(dagster_home(settings))) as instance:
        request = tick(settings, instance)
        assert isinstance(request, dg.RunRequest)
        assert (request.partition_key, request.run_key) == ("2017-12", "2017-12 2018-01-08")
        assert request.tags[TRIGGER_TAG] == "schedule"


def test_it_says_why_there_is_nothing_to_look_at(settings: Settings) -> None:
    with dg.DagsterInstance.from_config(str(dagster_home(settings))) as instance:
        assert "there is no lake" in str(tick(settings, instance))
        Lake.open(settings.dataset_url, source=settings.source_url, create=True)
        assert tick(settings, instance) == "the lake holds no month with scores"
        score(settings, Month(2017, 12))
        before = settings.model_copy(update={"last_month": Month(2017, 11)})
        assert "2017-12 is not one of the monthly partitions" in str(tick(before, instance))
        job = build_definitions(settings).resolve_job_def("monthly")
        run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        assert f"run {run.run_id} is going on" in str(tick(settings, instance))


def test_it_is_on_where_further_months_are_expected(settings: Settings) -> None:
    def status(changed: Settings) -> dg.DefaultScheduleStatus:
        return build_definitions(changed).resolve_schedule_def("drift_schedule").default_status

    assert status(settings) is dg.DefaultScheduleStatus.RUNNING
    ended = settings.model_copy(update={"last_month": Month(2017, 12)})
    assert status(ended) is dg.DefaultScheduleStatus.STOPPED
