"""The sensor that tells people: it reads finished runs and late assets, and leaves the rest to `alerts`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from pydantic import TypeAdapter, ValidationError

from crm_assets.alerts import sent_log
from crm_assets.alerts.alert import Message, Observation, Severity
from crm_assets.alerts.folding import Ledger, Policy, fold
from crm_assets.alerts.lateness import DEADLINE_DAY, DEADLINE_HOUR, due_month, lateness
from crm_assets.alerts.observing import CheckResult, Fault, FinishedRun, Pages, observations
from crm_assets.alerts.sending import open_targets, send_all
from crm_assets.alerts.unusable import unusable
from crm_assets.calendar import Month, month_range
from crm_assets.defs.assets import ASSETS
from crm_assets.defs.checks import CHECKS
from crm_assets.defs.landing import SENSOR as LANDING
from crm_assets.defs.landing import known_extracts
from crm_assets.defs.run_tags import PARTITION_TAG, RANGE_END_TAG, RANGE_START_TAG
from crm_assets.errors import LakeError
from crm_assets.lake import Lake
from crm_assets.modelling.promotion import WIN_MODEL
from crm_assets.settings import Settings
from crm_assets.storage import StorageError

SECONDS_BETWEEN_TICKS = 60
FIRST_LOOK_BACK = timedelta(days=1)
"""How far back the first tick looks for runs that ended before the sensor was turned on."""

_OVERLAP = timedelta(minutes=5)
"""A run may show in Dagster's storage a little after one that ended later."""

_RUNS_A_TICK = 25
_ASSET_OF_STEP = {"__".join(asset.key): asset.name for asset in ASSETS}
_CHECK_OF_STEP = {f"{check.asset.replace('/', '__')}_{check.name}": (check.asset, check.name) for check in CHECKS}
_REPORT = "html_report"


def freshness_policy(partitions: dg.MonthlyPartitionsDefinition) -> dg.FreshnessPolicy | None:
    """When each month must be there, as Dagster's pages show it; None where the months have a fixed end.

    Then no further month is expected, and nothing can be late.
    """
    if partitions.end is not None:
        return None
    since_month_began = timedelta(days=DEADLINE_DAY - 1, hours=DEADLINE_HOUR)
    return dg.FreshnessPolicy.cron(f"0 {DEADLINE_HOUR} {DEADLINE_DAY} * *", lower_bound_delta=since_month_began)


@dataclass(frozen=True)
class SensorState:
    """What the sensor keeps from tick to tick, as its cursor.

    Attributes:
        ledger: what is open and what waits to be sent.
        runs_until: end of the newest run that was read; None before the first tick.
        read: ids of runs that were read and may be found again, with their ends.
        complete: newest month of which every asset was found in the lake.
    """

    ledger: Ledger = field(default_factory=Ledger)
    runs_until: datetime | None = None
    read: Mapping[str, datetime] = field(default_factory=dict)
    complete: str = ""


_STATE: TypeAdapter[SensorState] = TypeAdapter(SensorState)


def alerts_sensor(settings: Settings, partitions: dg.MonthlyPartitionsDefinition) -> dg.SensorDefinition:
    """The sensor; it runs from the start where `CRM_ALERT_URLS` names somebody to tell."""
    anybody = bool(settings.alert_targets)

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
        default_status=dg.DefaultSensorStatus.RUNNING if anybody else dg.DefaultSensorStatus.STOPPED,
        description="Tells people of failed checks, failed runs, late months and new champions: docs/alerts.md.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        targets = open_targets(settings)
        if not targets:
            return dg.SkipReason("CRM_ALERT_URLS is not set: there is nobody to tell")
        policy = Policy(
            tuple(target.name for target in targets),
            Severity.named(settings.alert_level),
            timedelta(hours=settings.alert_repeat_hours),
        )

        def failed(target: str, message: Message, reason: str) -> None:
            context.log.warning(f"{target} was not told '{message.alert.what}', the next tick tries again: {reason}")

        now = datetime.now(UTC)
        state, seen = _look(context, settings, partitions, _read_state(context), now)
        told: list[tuple[str, Message]] = []
        ledger, taken = send_all(
            fold(state.ledger, seen, policy, now),
            targets,
            failed,
            taken_by=lambda target, message: told.append((target, message)),
        )
        _record(context, settings, told)
        context.update_cursor(_STATE.dump_json(replace(state, ledger=ledger)).decode())
        return dg.SkipReason(f"{taken} sent, {ledger.waiting} waiting, {len(ledger.open)} open")

    return alerts


def _record(context: dg.SensorEvaluationContext, settings: Settings, told: list[tuple[str, Message]]) -> None:
    """Keep what was sent in the lake, for people to look at; the sending does not depend on it."""
    try:
        if told:
            sent_log.record(Lake.open(settings.dataset_url, create=False), told, datetime.now(UTC))
    except (LakeError, StorageError) as error:
        context.log.warning(f"{len(told)} messages were sent and are not in the record of alerts: {error}")


def _read_state(context: dg.SensorEvaluationContext) -> SensorState:
    if not context.cursor:
        return SensorState()
    try:
        return _STATE.validate_json(context.cursor)
    except ValidationError:
        context.log.warning("the cursor is none that this version wrote: the runs of the last day are read again")
        return SensorState()


def _look(
    context: dg.SensorEvaluationContext,
    settings: Settings,
    partitions: dg.MonthlyPartitionsDefinition,
    state: SensorState,
    now: datetime,
) -> tuple[SensorState, list[Observation]]:
    """Everything that was seen since the last tick, and the state once it is dealt with."""
    pages = Pages(settings.dagster_url)
    since = (state.runs_until or now - FIRST_LOOK_BACK) - (_OVERLAP if state.runs_until else timedelta())
    runs = [found for found in _ended_after(context.instance, since) if found.dagster_run.run_id not in state.read]
    seen = [
        told for record in runs[:_RUNS_A_TICK] for told in observations(finished_run(context.instance, record), pages)
    ]
    ends = {record.dagster_run.run_id: _end(record) for record in runs[:_RUNS_A_TICK]}
    until = max([*ends.values(), state.runs_until or since])
    read = {run: end for run, end in {**state.read, **ends}.items() if end >= until - 2 * _OVERLAP}
    state = replace(state, runs_until=until, read=read)
    seen += _landed(context, state.ledger, pages, now)
    month = due_month(now)
    if partitions.end is not None or str(month) == state.complete or not partitions.has_partition_key(str(month)):
        return state, seen
    try:
        missing = missing_assets(settings, str(month))
    except StorageError as error:
        # What runs have told is sent all the same.
        context.log.warning(f"whether {month} is late cannot be told, the next tick tries again: {error}")
        return state, seen
    late = lateness(month, missing, len(ASSETS), now, pages.assets)
    return replace(state, complete=state.complete if missing else str(month)), [*seen, late]


def _landed(context: dg.SensorEvaluationContext, ledger: Ledger, pages: Pages, now: datetime) -> Iterable[Observation]:
    faults, place = known_extracts(context)
    page = pages.sensor(*place, LANDING) if place else pages.assets
    return unusable(faults, {key: one.since for key, one in ledger.open.items()}, now, page)


def missing_assets(settings: Settings, month: str) -> list[str]:
    """Names of the assets that the lake does not hold for a month; all of them where there is no lake yet."""
    try:
        lake = Lake.open(settings.dataset_url, create=False)
    except LakeError:
        return [asset.name for asset in ASSETS]
    return [asset.name for asset in ASSETS if month not in lake.months(asset.name)]


def _ended_after(instance: dg.DagsterInstance, since: datetime) -> list[dg.RunRecord]:
    """Finished runs of whatever process, those of `crm-assets run` included, by the time they ended.

    A sensor on a run's status would pass those over: they belong to no code location.
    """
    finished = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    found = instance.get_run_records(dg.RunsFilter(statuses=finished, updated_after=since))
    # A run is also updated when somebody tags it, long after it ended.
    return sorted((record for record in found if _end(record) > since), key=_end)


def _end(record: dg.RunRecord) -> datetime:
    ended = datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.update_timestamp
    return ended.astimezone(UTC)


def finished_run(instance: dg.DagsterInstance, record: dg.RunRecord) -> FinishedRun:
    """What Dagster recorded of a finished run."""
    run = record.dagster_run
    checks, made, decisions, reports = [], dict[str, set[str]](), dict[str, dict[str, Any]](), {}
    for event in _events(instance, run.run_id, dg.DagsterEventType.ASSET_CHECK_EVALUATION):
        checks.append(_check(event.asset_check_evaluation_data))
    for event in _events(instance, run.run_id, dg.DagsterEventType.ASSET_MATERIALIZATION):
        materialization = event.step_materialization_data.materialization
        asset, month = materialization.asset_key.to_user_string(), materialization.partition
        if month is None:
            continue
        made.setdefault(asset, set()).add(month)
        if _REPORT in materialization.metadata:
            reports[asset, month] = str(materialization.metadata[_REPORT].value)
        if asset == WIN_MODEL.name:
            decisions[month] = {name: value.value for name, value in materialization.metadata.items()}
    return FinishedRun(
        run_id=run.run_id,
        job=run.job_name,
        succeeded=run.status is dg.DagsterRunStatus.SUCCESS,
        canceled=run.status is dg.DagsterRunStatus.CANCELED,
        ended_at=_end(record),
        months=_months(run, made),
        checks=tuple(checks),
        made={asset: frozenset(months) for asset, months in made.items()},
        decisions=decisions,
        reports=reports,
        faults=tuple(_faults(instance, run.run_id)) if run.status is dg.DagsterRunStatus.FAILURE else (),
    )


def _events(instance: dg.DagsterInstance, run_id: str, kind: dg.DagsterEventType) -> Iterable[dg.DagsterEvent]:
    for record in instance.get_records_for_run(run_id, of_type=kind).records:
        if record.event_log_entry.dagster_event is not None:
            yield record.event_log_entry.dagster_event


def _check(evaluation: Any) -> CheckResult:
    return CheckResult(
        asset=evaluation.asset_key.to_user_string(),
        name=evaluation.check_name,
        passed=evaluation.passed,
        severe=evaluation.severity is dg.AssetCheckSeverity.ERROR,
        blocking=bool(evaluation.blocking),
        description=evaluation.description or "",
        figures={name: value.value for name, value in evaluation.metadata.items() if _is_plain(value)},
    )


def _is_plain(value: dg.MetadataValue[Any]) -> bool:
    plain = (dg.TextMetadataValue, dg.IntMetadataValue, dg.FloatMetadataValue, dg.BoolMetadataValue)
    return isinstance(value, plain)


def _months(run: dg.DagsterRun, made: Mapping[str, set[str]]) -> tuple[str, ...]:
    """The months a run was asked for, as far as its tags or what it made tell."""
    first, last = run.tags.get(RANGE_START_TAG), run.tags.get(RANGE_END_TAG)
    if first and last:
        return tuple(map(str, month_range(Month.parse(first), Month.parse(last))))
    if partition := run.tags.get(PARTITION_TAG):
        return (partition,)
    return tuple(sorted(set().union(*made.values())))


def _faults(instance: dg.DagsterInstance, run_id: str) -> Iterable[Fault]:
    steps = 0
    for event in _events(instance, run_id, dg.DagsterEventType.STEP_FAILURE):
        steps += 1
        step = event.step_key or ""
        yield Fault(step, _said(event.step_failure_data.error), _ASSET_OF_STEP.get(step), _CHECK_OF_STEP.get(step))
    if steps:
        return
    for event in _events(instance, run_id, dg.DagsterEventType.RUN_FAILURE):
        data = event.job_failure_data
        # Without data where no process of the run was left to say why, as Dagster's run monitoring finds it.
        yield Fault("", _said(data.error) if data and data.error else event.message or "")


def _said(error: Any) -> str:
    """What was raised first: Dagster wraps it in errors of its own."""
    while error is not None and error.cause is not None:
        error = error.cause
    return str(error.message) if error else ""
