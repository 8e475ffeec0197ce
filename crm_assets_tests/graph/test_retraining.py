"""From drift in the source to a retrain, the promotion gate's decision and the alert of it, by real ticks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from pydantic import SecretStr

from crm_assets.calendar import Month
from crm_assets.dagster_home import dagster_home
from crm_assets.defs import retraining
from crm_assets.defs.assets import ASSETS
from crm_assets.defs.checks import Verdict
from crm_assets.defs.composition import build_definitions
from crm_assets.defs.platform import Platform
from crm_assets.defs.provenance import RETRAINED, stale_months
from crm_assets.defs.run_tags import REASON_TAG, retrained_for
from crm_assets.defs.training import candidates_of
from crm_assets.lake import Lake
from crm_assets.modelling import promotion
from crm_assets.settings import Settings
from crm_assets.sources import open_source
from crm_assets_tests.graph.conftest import SOURCE
from crm_assets_tests.graph.test_alerting import Sensor as AlertsSensor
from crm_assets_tests.integration.alert_sinks import Sinks
from crm_assets_tests.integration.alert_sinks import sinks as sinks  # noqa: PLC0414 - a fixture

LAST = Month(2017, 12)
DRIFTED = f"{SOURCE}&drift=region_mix@2017-12:0.6:West&drift=price@2017-12:0.5"


class Deployment:
    """A deployment whose sensor is ticked by hand and whose jobs run in this process."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance, source: str = SOURCE) -> None:
        self.instance = instance
        self.platform = Platform(settings)
        self.platform.lake = Lake.open(settings.dataset_url, create=False)
        self.platform.source = open_source(source)
        self.definitions = build_definitions(settings, self.platform)
        self.cursor: str | None = None

    def tick(self) -> dg.RunRequest | str:
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, repository_def=self.definitions.get_repository_def()
        )
        data = self.definitions.resolve_sensor_def("retraining").evaluate_tick(context)
        self.cursor = data.cursor
        if not data.run_requests:
            return str(data.skip_message)
        (request,) = data.run_requests
        return request

    def run(self, job: str, tags: dict[str, str]) -> dg.ExecuteInProcessResult:
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance, tags=tags, raise_on_error=False
        )

    def launch(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Run what a tick asked for, as Dagster's daemon does."""
        return self.run("retrain", {**request.tags, "dagster/run_key": str(request.run_key)})

    def notes(self, asset: str, month: Month = LAST) -> dict[str, Any]:
        manifest = Lake.open(self.platform.settings.dataset_url, create=False).manifest(asset, month)
        return dict(manifest.notes) if manifest else {}


@pytest.fixture
def settings(copied: Settings) -> Settings:
    return copied.model_copy(update={"retrain_tuning_seconds": 0.4, "tuning_trials": 3})


@pytest.fixture
def instance(copied: Settings) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(dagster_home(copied))) as found:
        yield found


def at_time(patch: pytest.MonkeyPatch, now: datetime) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]  # the test's own time
            return now

    patch.setattr(retraining, "datetime", Clock)


def test_drift_is_followed_by_one_retrain_the_gates_decision_and_an_alert(
    settings: Settings, instance: dg.DagsterInstance, sinks: Sinks, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = settings.model_copy(update={"alert_urls": SecretStr(sinks.urls)})
    deployment, alerts = Deployment(told, instance, DRIFTED), AlertsSensor(told, instance)
    assert deployment.tick() == "nothing found in 2017-12 calls for a retrain"

    assert deployment.run("monthly", {"dagster/partition": str(LAST)}).success
    assert deployment.notes("drift_report")["level"] == "HIGH"
    assert not deployment.notes("win_model")["promoted"]
    alerts.tick()
    sinks.posts.clear()

    request = deployment.tick()
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == str(LAST)
    assert request.tags[REASON_TAG].startswith("drift of 2017-12 is HIGH, ")
    assert deployment.launch(request).success

    decided = deployment.notes("win_model")
    checks = pl.read_parquet(deployment.platform.lake.table_path("promotion_checks", LAST))
    assert checks.filter(pl.col("check") == "decision")["verdict"].item() == (
        "passed" if decided["promoted"] else "failed"
    )
    manifest = Lake.open(told.dataset_url, create=False).manifest("win_model", LAST)
    assert manifest is not None
    assert manifest.settings[RETRAINED] == request.tags[REASON_TAG]
    assert manifest.settings["tuning_seconds"] == 0.4

    alerts.tick()
    (post,) = [post for post in sinks.posts if "Model version" in post["title"]]
    did = "became champion" if decided["promoted"] else "did not become champion"
    assert post["title"].endswith(f"Model version {decided['model_version']} ({decided['candidate']}) of 2017-12 {did}")
    assert f"It was trained anew, because {request.tags[REASON_TAG]}." in post["message"]

    # What was trained anew is no reason for the next run to make the month again as it was.
    fresh = Deployment(told, instance, DRIFTED)
    assert stale_months(fresh.platform, [asset for asset in ASSETS if asset.group == "model"], [LAST]) == {}

    assert "was retrained for that, and its data is the same since" in str(fresh.tick())
    asked = datetime.now(UTC)
    with monkeypatch.context() as patch:
        patch.setattr(retraining, "_evidence", lambda *_: "landed anew")
        assert "one was asked for on" in str(fresh.tick())
        at_time(patch, asked + timedelta(days=told.retrain_cooldown_days))
        again = fresh.tick()
    assert isinstance(again, dg.RunRequest)
    # Segments count by the margin as well, where it is below 0 the other way round.
    monkeypatch.setattr(promotion, "_segments_kept", lambda *_: [])
    see_a_promotion(told, instance, alerts, sinks, again)


def see_a_promotion(
    told: Settings, instance: dg.DagsterInstance, alerts: AlertsSensor, sinks: Sinks, again: dg.RunRequest
) -> None:
    """Launch the retrain so that its model becomes champion, and look at what follows."""
    # Another candidate, which cannot predict what the champion does, and a gate that asks for nothing: a promotion.
    changes = {"promotion_margin": -1.0, "calibration_limit": 1.0, "candidates": "logistic"}
    lenient = told.model_copy(update=changes)
    promoting = Deployment(lenient, instance, DRIFTED)
    assert promoting.launch(again).success
    promoted = promoting.notes("win_model")
    verdicts = pl.read_parquet(promoting.platform.lake.table_path("promotion_checks", LAST))
    assert promoted["promoted"], verdicts.filter(pl.col("verdict") == "failed").to_dicts()
    assert promoting.notes("scores")["model_version"] == promoted["model_version"]
    champion = promoting.platform.registry.champion()
    assert champion is not None
    assert champion.version == promoted["model_version"]
    sinks.posts.clear()
    alerts.tick()
    titles = [post["title"] for post in sinks.posts]
    assert any(f"Model version {promoted['model_version']} " in t and t.endswith("became champion") for t in titles)
    assert "the model of 2017-12 is champion already" in str(promoting.tick())


def test_a_retrain_tunes_every_candidate_and_shares_all_else(settings: Settings) -> None:
    platform = Platform(settings)
    again = platform.retraining("drift of 2017-12 is HIGH")
    seconds = [candidate.parameters().get("tuning_seconds") for candidate in candidates_of(again.settings)]
    assert seconds[1:] == [0.4, 0.4]
    assert platform.settings.tuning_seconds == 0
    assert platform.retraining("drift of 2017-12 is HIGH") is again
    again.manifest("win_model", LAST)
    platform.forget_manifest("win_model", LAST)
    assert again._manifests == {}


def test_a_storm_of_bad_months_ends_at_the_cap(
    settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every 50 days another month is at fault, and every retrain fails."""
    deployment = Deployment(settings, instance)
    start = datetime.now(UTC)
    fault = Verdict("the scores did not turn out as they should", {}, severe=True)
    monkeypatch.setattr(retraining, "PERFORMANCE_VERDICTS", {"calibrated": lambda *_: fault})
    asked: list[datetime] = []
    for number in range(12):
        at = start + timedelta(days=50 * number)
        at_time(monkeypatch, at)
        monkeypatch.setattr(retraining, "_evidence", lambda *_, number=number: f"data {number}")
        request = deployment.tick()
        if isinstance(request, dg.RunRequest):
            assert retrained_for(request.tags) == "calibrated of 2017-12 failed as an error"
            said_by = [tag for tag, value in request.tags.items() if value == request.tags[REASON_TAG]]
            assert said_by == [REASON_TAG]
            assert "crm_assets/asked_by" not in request.tags, "the trigger tells already who asked"
            asked.append(at)
            run = instance.create_run_for_job(
                deployment.definitions.resolve_job_def("retrain"),
                status=dg.DagsterRunStatus.FAILURE,
                tags={**request.tags, "dagster/partition": str(LAST)},
            )
            age_of(instance, run.run_id, at)
            assert "one was asked for on" in str(deployment.tick())
        else:
            assert "3 were asked for within 365 days" in request
    assert [(at - start).days for at in asked] == [0, 50, 100, 400, 450, 500]


def age_of(instance: dg.DagsterInstance, run_id: str, created: datetime) -> None:
    """Have Dagster remember that a run was created at a time."""
    from dagster._core.storage.runs.schema import RunsTable

    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]  # SQLite's
        stamp = created.replace(tzinfo=None)
        connection.execute(RunsTable.update().where(RunsTable.c.run_id == run_id).values(create_timestamp=stamp))


def test_nothing_is_asked_for_while_a_run_goes_on_or_an_asset_is_missing(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    deployment = Deployment(settings, instance)
    run = instance.create_run_for_job(
        deployment.definitions.resolve_job_def("monthly"), status=dg.DagsterRunStatus.STARTED
    )
    assert f"run {run.run_id} is going on" in str(deployment.tick())
    instance.delete_run(run.run_id)
    for file in Path(settings.dataset_url).glob(f"scores/{LAST}*"):
        file.unlink()
    assert deployment.tick() == "2017-12 is not complete: scores is missing"


def test_without_a_lake_it_says_so(settings: Settings, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    definitions = build_definitions(settings.model_copy(update={"lake_url": str(tmp_path / "none")}))
    context = dg.build_sensor_context(instance=instance, repository_def=definitions.get_repository_def())
    data = definitions.resolve_sensor_def("retraining").evaluate_tick(context)
    assert not data.run_requests
    assert "cannot be told" in str(data.skip_message)


def test_it_runs_by_itself_where_months_go_on_unless_the_cap_is_0(settings: Settings) -> None:
    def status(changed: Settings) -> dg.DefaultSensorStatus:
        return build_definitions(changed).resolve_sensor_def("retraining").default_status

    goes_on = settings.model_copy(update={"source_url": "crm"})
    assert status(settings) is dg.DefaultSensorStatus.STOPPED
    assert status(goes_on) is dg.DefaultSensorStatus.RUNNING
    assert status(goes_on.model_copy(update={"retrain_cap": 0})) is dg.DefaultSensorStatus.STOPPED
