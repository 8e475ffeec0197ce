"""The sensor that asks for a retrain when monitoring calls for one; when, is decided by `monitoring.retraining`."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from crm_assets.calendar import Month
from crm_assets.defs.alerting import missing_assets
from crm_assets.defs.checks import PERFORMANCE_VERDICTS
from crm_assets.defs.jobs import RETRAIN
from crm_assets.defs.platform import Platform
from crm_assets.defs.run_tags import PARTITION_TAG, TRIGGER_TAG, Trigger, asked_by, months_tag, run_going_on
from crm_assets.errors import LakeError
from crm_assets.features.registry import FEATURE_TABLE
from crm_assets.history.outcomes import OUTCOMES
from crm_assets.history.snapshots import SNAPSHOTS
from crm_assets.lake import Lake
from crm_assets.modelling.promotion import WIN_MODEL
from crm_assets.monitoring.drift_columns import DRIFT
from crm_assets.monitoring.performance_comparison import COMPARISON
from crm_assets.monitoring.retraining import Asked, Failure, Found, Limits, decide
from crm_assets.settings import Settings
from crm_assets.storage import StorageError

SECONDS_BETWEEN_TICKS = 300
_EVIDENCE_TAG = "crm_assets/retrain_evidence"
_PARENT_TAG = "dagster/parent_run_id"
_SENSOR = "retraining"


def retraining_sensor(settings: Settings, partitions: dg.MonthlyPartitionsDefinition) -> dg.SensorDefinition:
    """The sensor; it runs from the start where further months are expected and `CRM_RETRAIN_CAP` is not 0."""
    runs = partitions.end is None and settings.retrain_cap > 0

    @dg.sensor(
        name=_SENSOR,
        job=RETRAIN,
        minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
        default_status=dg.DefaultSensorStatus.RUNNING if runs else dg.DefaultSensorStatus.STOPPED,
        description="Trains the newest month's model anew after a HIGH drift level or when scores turned out otherwise "
        "than promised: docs/monitoring.md.",
    )
    def retraining(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if going_on := run_going_on(context.instance):
            return dg.SkipReason(f"run {going_on} is going on, what it makes is looked at when it is done")
        try:
            platform = Platform(settings)
            platform.lake = Lake.open(settings.dataset_url, create=False)
            month = _newest_month(platform.lake)
            if month is None or not partitions.has_partition_key(str(month)):
                return dg.SkipReason("the lake holds no month of which every asset was made")
            if missing := missing_assets(settings, str(month)):
                return dg.SkipReason(f"{month} is not complete: {missing[0]} is missing")
            found = what_was_found(platform, month)
        except (LakeError, StorageError) as error:
            return dg.SkipReason(f"what monitoring found cannot be told, the next tick tries again: {error}")
        limits = Limits(
            timedelta(days=settings.retrain_cooldown_days),
            settings.retrain_cap,
            timedelta(days=settings.retrain_cap_days),
        )
        decision = decide(found, list(_asked(context.instance)), limits, datetime.now(UTC))
        if not decision.retrain:
            return dg.SkipReason(decision.reason)
        return dg.RunRequest(
            # Should a tick be repeated before its run shows, Dagster starts no second one.
            run_key=f"{month} {found.evidence} {decision.attempt}",
            partition_key=str(month),
            tags={
                **asked_by(Trigger.RETRAIN, decision.reason),
                **months_tag(month, month),
                _EVIDENCE_TAG: found.evidence,
            },
        )

    return retraining


def _newest_month(lake: Lake) -> Month | None:
    held = lake.months(DRIFT.name)
    return Month.parse(held[-1]) if held else None


def what_was_found(platform: Platform, month: Month) -> Found:
    """What the lake holds of monitoring's findings about a month, the same as its checks tell of."""
    drift = platform.lake.manifest(DRIFT.name, month)
    model = platform.lake.manifest(WIN_MODEL.name, month)
    has_before = str(month.previous) in platform.lake.months(COMPARISON.name)
    failures = {}
    for name, verdict in PERFORMANCE_VERDICTS.items():
        now = verdict(platform, month)
        if now.fault:
            lasting = has_before and verdict(platform, month.previous).fault is not None
            failures[name] = Failure(now.severe, lasting)
    return Found(
        month=month,
        evidence=_evidence(platform.lake, month),
        level=str(drift.notes["level"]) if drift and drift.notes.get("level") else None,
        why=str(drift.notes.get("why") or "") if drift else "",
        failures=failures,
        promoted=bool(model and model.notes.get("promoted")),
    )


def _evidence(lake: Lake, month: Month) -> str:
    """Fingerprint of the month's share in what its model is trained on."""
    manifests = [lake.manifest(table.name, month) for table in (FEATURE_TABLE, OUTCOMES, SNAPSHOTS)]
    return hashlib.sha256(" ".join(found.sha256 for found in manifests if found).encode()).hexdigest()[:16]


def _asked(instance: dg.DagsterInstance) -> Iterator[Asked]:
    """Retrains that were asked for, as Dagster keeps them: also after the sensor was reset."""
    again: dict[str, dg.DagsterRunStatus] = {}
    # Newest first, so that a run's repetitions are known before it.
    for record in instance.get_run_records(dg.RunsFilter(tags={TRIGGER_TAG: str(Trigger.RETRAIN)})):
        run = record.dagster_run
        if _EVIDENCE_TAG not in run.tags:
            # A person gave it the trigger.
            continue
        if _PARENT_TAG in run.tags:
            # The same retrain, started once more.
            again.setdefault(run.root_run_id or "", run.status)
            continue
        yield Asked(
            at=record.create_timestamp.astimezone(UTC),
            month=Month.parse(run.tags[PARTITION_TAG]),
            evidence=run.tags[_EVIDENCE_TAG],
            failed=again.get(run.run_id, run.status) in {dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED},
        )
