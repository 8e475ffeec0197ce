"""The sensor that asks for months whose extracts are new or have changed; which, is decided by `crm_assets.landing`."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, TypeAlias

import dagster as dg
from pydantic import ConfigDict, TypeAdapter, ValidationError

from crm_assets.calendar import Month, month_range
from crm_assets.defs.assets import ASSETS
from crm_assets.defs.jobs import BACKFILL, DRIFT, MONTHLY, ONLINE, RETRAIN
from crm_assets.defs.monthly import SOURCE
from crm_assets.defs.partitions import outside_partitions
from crm_assets.defs.platform import Platform
from crm_assets.defs.raw import RAW_ASSETS
from crm_assets.defs.run_tags import (
    COMPLETE_TAG,
    PARTITION_TAG,
    RANGE_END_TAG,
    RANGE_START_TAG,
    TRIGGER_TAG,
    Trigger,
    asked_by,
    months_tag,
    range_tags,
    run_going_on,
)
from crm_assets.errors import CrmAssetsError, LakeError, SettingsError, SourceError, may_pass
from crm_assets.lake import Lake
from crm_assets.lake.lake import NoLakeError
from crm_assets.landing import Decision, Held, Known, Seen, decide, known, look
from crm_assets.settings import Settings
from crm_assets.sources.folder import FolderSource
from crm_assets.storage import StorageError

SECONDS_BETWEEN_TICKS = 5
READING_SECONDS = 30
"""After this long a tick reads no further extract; Dagster gives it 60 seconds."""
CONTENT_TAG = "crm_assets/landed_content"
"""Tag of a run that was asked for here: the key of the request."""

Stamps: TypeAlias = Mapping[tuple[str, str], str]
"""(asset, month) of each table in the lake -> what the listing tells of it."""

SENSOR = "landing"
_RUNS = 100
"""Newest runs among which that of an unfinished month is looked for."""
_FAILED = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


@dataclass(frozen=True)
class _Cursor:
    """What a tick leaves to the next.

    Attributes:
        seen: month -> what is known of its extract.
        lake: month -> what is known of it in the lake.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    seen: dict[str, Seen] = field(default_factory=dict)
    lake: dict[str, Known] = field(default_factory=dict)


_CURSOR: TypeAdapter[_Cursor] = TypeAdapter(_Cursor)


def months_land(settings: Settings) -> bool:
    """Whether the source is a place where extracts land, as far as its URL tells."""
    return not settings.source_url.startswith(("simulator:", "kaggle:"))


def landing_sensor(settings: Settings, partitions: dg.MonthlyPartitionsDefinition) -> dg.SensorDefinition:
    """The sensor; it runs from the start where extracts land and further months are expected."""
    runs = months_land(settings) and partitions.end is None

    @dg.sensor(
        name=SENSOR,
        jobs=[MONTHLY, BACKFILL],
        minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
        default_status=dg.DefaultSensorStatus.RUNNING if runs else dg.DefaultSensorStatus.STOPPED,
        description="Makes the months whose extracts are new or have changed, and what follows them, in one run: "
        "docs/automation.md.",
    )
    def landing(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if not months_land(settings):
            return dg.SkipReason(f"extracts land in a folder or in S3, and CRM_SOURCE_URL is {settings.source_url}")
        cursor = _read_cursor(context)
        before = {Month.parse(month): one for month, one in cursor.seen.items()}
        budget = _Budget(READING_SECONDS)
        try:
            # Opened anew, so that a place that was away is found when it is back.
            platform = Platform(settings)
            source = platform.source
            if not isinstance(source, FolderSource):
                return dg.SkipReason(f"no extract lands in {source.url}")
            now = source.extracts()
            stamps, opened = _tables(settings, source.url)
            listed = _raw_tables(stamps)
            lake = known(
                {Month.parse(month): one for month, one in cursor.lake.items()},
                listed,
                partial(_read_manifests, opened, stamps, budget),
            )
            seen = look(before, now, partial(_read, source, budget))
        except (SourceError, LakeError, StorageError, SettingsError) as error:
            return dg.SkipReason(f"nothing is known of what landed, the next tick looks again: {error}")
        context.update_cursor(
            _CURSOR.dump_json(
                _Cursor(
                    {str(month): one for month, one in seen.items()}, {str(month): one for month, one in lake.items()}
                )
            ).decode()
        )
        if unread := listed.keys() - lake.keys():
            return dg.SkipReason(f"{len(unread)} of the lake's {len(listed)} months wait to be read at the next look")
        held = {month: one.held for month, one in lake.items()}
        going_on = run_going_on(context.instance)
        decision = decide(
            before,
            now,
            seen,
            held,
            asked=_asked(context.instance),
            outside=partial(outside_partitions, partitions),
            going_on=f"run {going_on}" if going_on else None,
            unfinished={} if going_on else _unfinished(context.instance, stamps, held),
        )
        if decision.months is None:
            return dg.SkipReason(decision.told or f"the lake has every month as it landed, the newest {max(now)}")
        if decision.notes:
            context.log.info(decision.told)
        return _request(decision, held)

    return landing


def known_extracts(context: dg.SensorEvaluationContext) -> tuple[dict[str, str | None], tuple[str, str] | None]:
    """What the sensor of the same code location knew at its last tick.

    Returns month, YYYY-MM, of each extract -> why it cannot be used, empty where nothing is wrong, None where it was
    not read yet; and code location and repository, None where the sensor has not looked or was stopped.
    """
    here = context.code_location_origin
    if context.instance.schedule_storage is None:
        return {}, None  # an instance in memory keeps no ticks
    for state in context.instance.all_instigator_state():
        selector, data = state.repository_selector, state.instigator_data
        if state.name != SENSOR or not state.is_running or not (cursor := getattr(data, "cursor", None)):
            continue
        if here is not None and here.location_name != selector.location_name:
            continue
        try:
            seen = _CURSOR.validate_json(cursor).seen
        except ValidationError:
            continue
        # Where the place itself was at fault, the sensor looks again and nobody has to mend a file.
        told = {
            month: one.fault if (one.content or one.fault) and not one.again else None for month, one in seen.items()
        }
        return told, (selector.location_name, selector.repository_name)
    return {}, None


class _Budget:
    """Time that a tick may spend on reading."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    @property
    def spent(self) -> bool:
        return time.monotonic() >= self._until


def _read(source: FolderSource, budget: _Budget, month: Month, facts: str) -> Seen | None:
    """Fingerprint of an extract, and its fault if it has one. Raises SourceError while the place cannot be read."""
    if budget.spent:
        return None
    try:
        content = source.fingerprint(month)
        source.tables(month)
    except SourceError as error:
        if may_pass(error):
            raise
        return Seen(facts, fault=str(error), again=isinstance(error.__cause__, StorageError))
    return Seen(facts, content)


def _tables(settings: Settings, source_url: str) -> tuple[Stamps, Lake | None]:
    """What one listing tells of the lake's tables, and the lake; nothing where there is none yet.

    Raises LakeError when the lake is another source's.
    """
    try:
        lake = Lake.open(settings.dataset_url, source=source_url, create=False)
    except NoLakeError:
        return {}, None
    return lake.table_stamps(), lake


def _raw_tables(stamps: Stamps) -> dict[Month, str]:
    """For each month with a raw table in the lake, a digest of what the listing told of them."""
    raw = sorted(asset.name for asset in RAW_ASSETS)
    listed = {}
    for month in sorted({month for asset, month in stamps if asset in raw}):
        told = [f"{asset} {stamps.get((asset, month))}" for asset in raw]
        listed[Month.parse(month)] = hashlib.sha256("\n".join(told).encode()).hexdigest()
    return listed


def _unfinished(instance: dg.DagsterInstance, stamps: Stamps, held: Mapping[Month, Held]) -> dict[Month, str]:
    """The newest months whose raw tables were made and whose run ended before the rest was, and what to do.

    A month that was made before has all of its tables, though out of date, so that only its run tells of it.
    """
    ended = _newest_runs(instance)
    found = {}
    for month in sorted(held, reverse=True):
        missing = [asset.name for asset in ASSETS if (asset.name, str(month)) not in stamps]
        run = next((run for months, run in ended if month in months), None)
        failed = run if run and run.status in _FAILED else None
        if not missing and not failed:
            break
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        state = f"lacks {missing[0]}{more}" if missing else "may be out of date"
        why = f"run {failed.run_id}, {failed.status.value}, did not make all of it" if failed else "no run makes it"
        remedy = "start it again from its page, or run" if failed else "run"
        after = "" if missing else ", and delete it once that finds nothing to make"
        found[month] = f"{month} {state}: {why}; {remedy} `crm-assets run --months {month}`{after}"
    return found


def _newest_runs(instance: dg.DagsterInstance) -> list[tuple[frozenset[Month], dg.DagsterRun]]:
    """Runs that were to make months from raw tables on and have ended, the newest first, with their months."""
    statuses = [dg.DagsterRunStatus.SUCCESS, *_FAILED]
    records = instance.get_run_records(dg.RunsFilter(tags={COMPLETE_TAG: "true"}, statuses=statuses), limit=_RUNS)
    found = []
    for record in records:
        run = record.dagster_run
        one = run.tags.get(PARTITION_TAG, "")
        first, last = run.tags.get(RANGE_START_TAG, one), run.tags.get(RANGE_END_TAG, one)
        if first and last and run.job_name not in {RETRAIN.name, DRIFT.name, ONLINE.name}:
            found.append((frozenset(month_range(Month.parse(first), Month.parse(last))), run))
    return found


def _read_manifests(lake: Lake | None, stamps: Stamps, budget: _Budget, month: Month) -> Held | None:
    """What the lake's raw tables of a month were made from."""
    if lake is None or budget.spent:
        return None
    manifests = [
        lake.manifest(asset.name, month) if (asset.name, str(month)) in stamps else None for asset in RAW_ASSETS
    ]
    contents = {str(found.inputs.get(SOURCE, "")) if found else "" for found in manifests}
    stamp = " ".join(f"{found.sha256[:8]} {found.written_at}" for found in manifests if found)
    return Held(contents.pop() if len(contents) == 1 else "", stamp)


def _asked(instance: dg.DagsterInstance) -> Mapping[str, str]:
    """Requests made before, as Dagster keeps their runs: also after the sensor was reset."""
    asked: dict[str, str] = {}
    for record in instance.get_run_records(dg.RunsFilter(tags={TRIGGER_TAG: str(Trigger.LANDING)})):
        run = record.dagster_run
        if CONTENT_TAG in run.tags:
            ended = f"run {run.run_id}, {run.status.value}: start it again from its page"
            asked.setdefault(run.tags[CONTENT_TAG], ended)
    return asked


def _request(decision: Decision, held: Mapping[Month, Held]) -> dg.RunRequest:
    assert decision.months is not None
    first, last = decision.months
    reason = ", ".join(f"{month} {'has changed' if month in held else 'landed'}" for month in decision.changed)
    tags = {**asked_by(Trigger.LANDING, reason), CONTENT_TAG: decision.key}
    # Should a tick be repeated before its run shows, Dagster starts no second one for the same key.
    if first == last:
        return dg.RunRequest(
            run_key=decision.key,
            job_name=MONTHLY.name,
            partition_key=str(first),
            tags={**tags, **months_tag(first, last)},
        )
    return dg.RunRequest(run_key=decision.key, job_name=BACKFILL.name, tags={**tags, **range_tags(first, last)})


def _read_cursor(context: dg.SensorEvaluationContext) -> _Cursor:
    if not context.cursor:
        return _Cursor()
    try:
        read = _CURSOR.validate_json(context.cursor)
        for month in {**read.seen, **read.lake}:
            Month.parse(month)
    except (ValidationError, CrmAssetsError):
        context.log.warning("the cursor is none that this version wrote: every extract is looked at anew")
        return _Cursor()
    return read
