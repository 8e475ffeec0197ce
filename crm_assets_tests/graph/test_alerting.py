"""The alerts sensor by real ticks: what finished runs and late months give reaches a mail server and a web server."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pydantic import SecretStr

from crm_assets import dev
from crm_assets.alerts import sent_log
from crm_assets.alerts.lateness import deadline, due_month
from crm_assets.calendar import Month
from crm_assets.dagster_home import dagster_home
from crm_assets.defs import alerting
from crm_assets.defs.assets import ASSETS
from crm_assets.defs.composition import build_definitions
from crm_assets.defs.platform import Platform
from crm_assets.errors import CrmAssetsError, SettingsError
from crm_assets.lake import Lake
from crm_assets.run import run_months
from crm_assets.settings import Settings
from crm_assets_tests.graph.conftest import Finished
from crm_assets_tests.integration.alert_sinks import SECRET, Sinks
from crm_assets_tests.integration.alert_sinks import sinks as sinks  # noqa: PLC0414 - a fixture

LAST = Month(2017, 12)


class Sensor:
    """The sensor of a deployment, ticked by hand; its cursor goes from tick to tick as Dagster keeps it."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self._definitions = build_definitions(settings)
        self.definition = self._definitions.resolve_sensor_def("alerts")
        self.cursor: str | None = None

    def tick(self) -> str:
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, repository_def=self._definitions.get_repository_def()
        )
        data = self.definition.evaluate_tick(context)
        assert not data.run_requests
        self.cursor = data.cursor
        return str(data.skip_message)


@pytest.fixture
def told(copied: Settings, sinks: Sinks) -> Settings:
    """The copied deployment, which tells both sinks; the check of the forecast's intervals is its only warning."""
    return copied.model_copy(update={"alert_urls": SecretStr(sinks.urls)})


def check_only(settings: Settings, instance: dg.DagsterInstance, month: Month) -> dg.ExecuteInProcessResult:
    """A run of one check, which is not blocking, on a month."""
    definitions = build_definitions(settings)
    selection = dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("opportunity_snapshots"), "quality"))
    selected = dg.define_asset_job("one_check", selection).resolve(asset_graph=definitions.resolve_asset_graph())
    return selected.execute_in_process(
        instance=instance, resources={"platform": Platform(settings)}, tags={"dagster/partition": str(month)}
    )


@pytest.fixture
def sensor(told: Settings) -> Any:
    with dg.DagsterInstance.from_config(str(dagster_home(told))) as instance:
        yield Sensor(told, instance)


def test_a_failed_check_of_a_green_run_its_repetition_and_its_recovery(
    told: Settings, sensor: Sensor, sinks: Sinks, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sensor.tick() == "0 sent, 0 waiting, 0 open"
    with monkeypatch.context() as patch:
        patch.setattr("crm_assets.defs.checks.LOWEST_QUALITY", 1.1)
        assert check_only(told, sensor.instance, LAST).success
    assert sensor.tick() == "2 sent, 0 waiting, 1 open"
    (mail,), (post,) = sinks.mails, sinks.posts
    assert mail["Subject"].startswith("[crm_assets simulator")
    assert mail["Subject"].endswith("] warning: Check quality of opportunity_snapshots failed (2017-12)")
    body = mail.get_body(("html",))
    assert body is not None
    for shown in (body.get_content(), post["message"]):
        assert "is below 1.1" in shown
        assert "month 2017-12" in shown
        assert "http://localhost:3000/runs/" in shown
    assert "http://localhost:3000/assets/opportunity_snapshots?view=checks&checkDetail=quality" in post["message"]

    with monkeypatch.context() as patch:
        patch.setattr("crm_assets.defs.checks.LOWEST_QUALITY", 1.1)
        check_only(told, sensor.instance, LAST)
    assert sensor.tick() == "0 sent, 0 waiting, 1 open"

    check_only(told, sensor.instance, LAST)
    assert sensor.tick() == "2 sent, 0 waiting, 0 open"
    assert sinks.mails[-1]["Subject"].endswith("] recovered: Check quality of opportunity_snapshots failed (2017-12)")
    assert sinks.posts[-1]["type"] == "success"
    assert "seen 2 times" in sinks.posts[-1]["message"]
    assert sensor.tick() == "0 sent, 0 waiting, 0 open"
    assert SECRET not in str(sensor.cursor)
    recorded = sent_log.newest(Lake.open(told.dataset_url, create=False), 10)
    assert [one["recovered_at"] is not None for one in recorded] == [True, True, False, False]
    assert {one["target"] for one in recorded} == {"mailto", "json"}
    assert SECRET not in str(recorded)


def test_who_could_not_be_reached_is_told_by_another_process_later(
    told: Settings, sensor: Sensor, sinks: Sinks, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor.tick()
    with monkeypatch.context() as patch:
        patch.setattr("crm_assets.defs.checks.LOWEST_QUALITY", 1.1)
        check_only(told, sensor.instance, LAST)
    sinks.status = 500
    assert sensor.tick() == "1 sent, 1 waiting, 1 open"
    sinks.status = 200
    later = Sensor(told, sensor.instance)
    later.cursor = sensor.cursor
    assert later.tick() == "1 sent, 0 waiting, 1 open"
    assert (len(sinks.mails), len(sinks.posts)) == (1, 1)


def test_a_run_of_the_command_line_that_fails_and_is_mended(
    told: Settings, sensor: Sensor, sinks: Sinks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Months are made again, one asset raises, and a later run makes what it did not."""
    sensor.tick()
    make = next(asset for asset in ASSETS if asset.name == "opportunity_outcomes")

    def broken(*_: object) -> Any:
        raise CrmAssetsError("no room on the disk; free some")

    months = [LAST]
    before = make.make
    object.__setattr__(make, "make", broken)
    try:
        with pytest.raises(CrmAssetsError, match="no room"):
            run_months(told, months, force=True, show_progress=False)
    finally:
        object.__setattr__(make, "make", before)
    assert sensor.tick() == "2 sent, 0 waiting, 1 open"
    assert sinks.posts[0]["title"].endswith("error: opportunity_outcomes could not be made (2017-12)")
    assert "no room on the disk; free some" in sinks.posts[0]["message"]
    assert sinks.posts[0]["type"] == "failure"

    run_months(told, months, force=True, show_progress=False)
    sensor.tick()
    titles = [post["title"].partition("] ")[2] for post in sinks.posts[1:]]
    assert "recovered: opportunity_outcomes could not be made (2017-12)" in titles
    assert any("info: Model version" in title for title in titles), titles


def test_a_run_whose_process_died_is_told(told: Settings, sensor: Sensor, sinks: Sinks) -> None:
    job = build_definitions(told).resolve_job_def("monthly")
    run = sensor.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    sensor.instance.report_run_failed(run, "its process is gone")
    sensor.tick()
    (post,) = [post for post in sinks.posts if "Job monthly failed" in post["title"]]
    assert "its process is gone" in post["message"]
    sinks.posts.clear()
    sensor.tick()
    assert not sinks.posts


def test_a_blocking_check_that_stops_a_run_is_told_once(told: Settings, sensor: Sensor, sinks: Sinks) -> None:
    sensor.tick()
    strict = told.model_copy(update={"quarantine_limit": -1.0})
    with pytest.raises(CrmAssetsError, match="the limit is"):
        run_months(strict, [LAST], force=True, show_progress=False)
    assert sensor.tick() == "2 sent, 0 waiting, 1 open"
    (post,) = sinks.posts
    assert post["title"].endswith("error: Check below_limit of quarantined_opportunities failed (2017-12)")
    assert "It stopped the run." in post["message"]


def test_promotions_and_refusals_of_a_range_are_told_of_the_newest(finished: Finished, sinks: Sinks) -> None:
    settings = finished.settings.model_copy(update={"alert_urls": SecretStr(sinks.urls)})
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        Sensor(settings, instance).tick()
    decided = [post for post in sinks.posts if "Model version" in post["title"]]
    assert [post["title"].partition("of 2017-")[2][:2] for post in decided][-1] == "12"
    assert len(decided) <= 2
    assert all("model_card" in post["message"] for post in decided)
    assert len(sinks.mails) == len(sinks.posts)


def at_time(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]  # the test's own time
            return now

    monkeypatch.setattr(alerting, "datetime", Clock)


def test_a_month_that_is_late_and_then_made(
    finished: Finished, copied: Settings, sinks: Sinks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source that goes on, whose newest month is missing in the lake, is late from the deadline on."""
    settings = copied.model_copy(
        update={
            "alert_urls": SecretStr(sinks.urls),
            "source_url": "crm",
            "dataset": finished.settings.dataset_name,
            "first_month": Month(2016, 10),
        }
    )
    lake = Path(settings.dataset_url)
    kept = lake.parent / "kept"
    kept.mkdir()
    for file in lake.glob("scores/2017-12.*"):
        shutil.move(file, kept / file.name)
    due = deadline(LAST)
    with dg.DagsterInstance.ephemeral() as instance:
        sensor = Sensor(settings, instance)
        at_time(monkeypatch, due - timedelta(minutes=1))
        assert sensor.tick() == "0 sent, 0 waiting, 0 open"
        at_time(monkeypatch, due)
        assert sensor.tick() == "2 sent, 0 waiting, 1 open"
        assert sinks.posts[-1]["title"].endswith("warning: 2017-12 is late")
        assert f"1 of {len(ASSETS)} assets were not made by 2018-01-05 04:00 UTC" in sinks.posts[-1]["message"]
        assert "Where: scores, month 2017-12" in sinks.posts[-1]["message"]
        at_time(monkeypatch, due + timedelta(hours=23))
        assert sensor.tick() == "0 sent, 0 waiting, 1 open"
        at_time(monkeypatch, due + timedelta(days=3))
        assert sensor.tick() == "2 sent, 0 waiting, 1 open"
        assert sinks.posts[-1]["title"].endswith("error: 2017-12 is late")
        for file in kept.iterdir():
            shutil.move(file, lake / "scores" / file.name)
        assert sensor.tick() == "2 sent, 0 waiting, 0 open"
        assert sinks.posts[-1]["title"].endswith("recovered: 2017-12 is late")
        assert sensor.tick() == "0 sent, 0 waiting, 0 open"


def test_nothing_is_late_where_no_further_month_is_expected(finished: Finished) -> None:
    definitions = build_definitions(finished.settings)
    assert {spec.freshness_policy for spec in definitions.resolve_all_asset_specs()} == {None}


def test_every_asset_of_a_source_that_goes_on_has_a_deadline(finished: Finished) -> None:
    settings = finished.settings.model_copy(update={"source_url": "crm"})
    policies = {spec.freshness_policy for spec in build_definitions(settings).resolve_all_asset_specs()}
    (policy,) = policies
    assert policy == dg.FreshnessPolicy.cron("0 4 5 * *", lower_bound_delta=timedelta(days=4, hours=4))
    assert due_month(datetime(2018, 1, 5, 4, tzinfo=UTC)) == LAST


def test_the_sensor_runs_where_there_is_somebody_to_tell(told: Settings, copied: Settings) -> None:
    def status(settings: Settings) -> dg.DefaultSensorStatus:
        return build_definitions(settings).resolve_sensor_def("alerts").default_status

    assert status(copied) is dg.DefaultSensorStatus.STOPPED
    assert status(told) is dg.DefaultSensorStatus.RUNNING
    with dg.DagsterInstance.ephemeral() as instance:
        assert "CRM_ALERT_URLS is not set" in Sensor(copied, instance).tick()


def test_a_cursor_of_another_version_begins_anew(told: Settings) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        sensor = Sensor(told, instance)
        sensor.cursor = '{"ledger": 7}'
        assert sensor.tick() == "0 sent, 0 waiting, 0 open"


def test_dagster_is_not_opened_with_a_url_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CRM_ALERT_URLS", f"slak://{SECRET}")
    with pytest.raises(SystemExit) as ended:
        dev.main()
    assert ended.value.code == SettingsError.exit_code
    told = capsys.readouterr().err
    assert told.startswith("SettingsError: CRM_ALERT_URLS: of 1 URLs, number 1 (slak://...) cannot be used")
    assert SECRET not in told
