"""Runs the graph for a range of months in this process, as `crm-assets run` does."""

from __future__ import annotations

import signal
import sqlite3
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from crm_assets.calendar import Month, month_range
from crm_assets.contracts import CRM_TABLES
from crm_assets.dagster_home import dagster_home, kept_because, open_instance, records_fault
from crm_assets.defs.assets import ASSETS
from crm_assets.defs.checks import contract_fault
from crm_assets.defs.composition import build_definitions
from crm_assets.defs.interrupted import fail_interrupted
from crm_assets.defs.jobs import BACKFILL
from crm_assets.defs.model import point_aliases
from crm_assets.defs.online import ONLINE_ASSETS
from crm_assets.defs.platform import Platform
from crm_assets.defs.provenance import stale_months
from crm_assets.defs.run_tags import ONLY_OUT_OF_DATE_TAG, TRIGGER_TAG, Trigger, process_tags, range_tags
from crm_assets.defs.training import candidates_of
from crm_assets.errors import CrmAssetsError, LakeError, QualityError, SourceError
from crm_assets.modelling.promotion import WIN_MODEL
from crm_assets.settings import Settings
from crm_assets.stored import command_line

if TYPE_CHECKING:
    from rich.progress import Progress

_BATCH = [asset for asset in ASSETS if asset not in ONLINE_ASSETS]
"""What makes a month out of date, with all that comes after it; nothing is made of what the API was asked."""
_KEPT = {ONLY_OUT_OF_DATE_TAG: "true"}
_FAULTS = 5


@dataclass(frozen=True)
class RunResult:
    """What a run did.

    Attributes:
        platform: the deployment it ran on.
        months: the months that were asked for, in order.
        made: those that had to be made; the others were up to date.
        gathered: others of which only what the API was asked had to be gathered.
        outdated: other months in the lake, which were not asked for and are out of date.
    """

    platform: Platform
    months: tuple[Month, ...]
    made: tuple[Month, ...]
    gathered: tuple[Month, ...]
    outdated: tuple[Month, ...]


def run_months(settings: Settings, wanted: list[Month] | None, *, force: bool, show_progress: bool) -> RunResult:
    """Make every asset of every month that is not up to date, as one Dagster run over the range.

    Args:
        settings: the deployment's settings.
        wanted: months in order; None for all the source has.
        force: make them all, up to date or not.
        show_progress: whether to tell on standard error what takes a while, and to draw a progress bar.

    Raises:
        CrmAssetsError: whatever is wrong with the source, the lake, the data or the registry. Nothing is stored of a
            source with a fault in any of the months.
    """
    platform = Platform(settings, _tell if show_progress else None)
    months = _readable(platform, wanted)
    kept = kept_because(settings)
    if kept and show_progress:
        _tell(kept)
    with recovering(platform):
        known = _known(platform, months)
        stale = months if force else [m for m in stale_months(platform, _BATCH, known) if m in months]
        # What comes after a month that is made again is made of it.
        made = month_range(stale[0], months[-1]) if stale else []
        if made:
            with _progress(platform, len(made), show=show_progress):
                make_range(platform, made)
        gathered = list(stale_months(platform, ONLINE_ASSETS, [m for m in months if m not in made]))
        if gathered:
            online = [asset.name for asset in ONLINE_ASSETS]
            make_range(platform, month_range(gathered[0], gathered[-1]), assets=online, tags=_KEPT)
    known = _known(platform, months)
    outdated = [m for m in stale_months(platform, _BATCH, known) if m not in months] if len(known) > len(months) else []
    return RunResult(platform, tuple(months), tuple(made), tuple(gathered), tuple(outdated))


@contextmanager
def recovering(platform: Platform) -> Iterator[None]:
    """Have the lake to the block, and finish what a run that was killed began.

    Before the block the runs in Dagster whose process is gone are marked as failed; after it, as far as no error was
    raised, the registry's aliases are pointed as the newest decision of the lake says.
    Raises LakeError as `Platform.writing`, RunStorageError and RegistryError.
    """
    with platform.writing(_tell):
        with open_instance(platform.settings) as instance:
            fail_interrupted(instance)
        yield
        newest = platform.lake.months(WIN_MODEL.name)
        decision = platform.manifest(WIN_MODEL.name, Month.parse(newest[-1])) if newest else None
        if decision is not None and decision.notes.get("champion_version"):
            point_aliases(platform, decision)


def make_range(
    platform: Platform,
    months: list[Month],
    *,
    assets: Sequence[str] | None = None,
    tags: Mapping[str, str] | None = None,
    run_id: str | None = None,
) -> None:
    """Make assets of a range of months as one Dagster run in this process.

    Args:
        platform: the deployment; its listener is told of every month of an asset that is done.
        months: in order, without a gap.
        assets: their names; None for all.
        tags: of the run, besides those of its range.
        run_id: of the run; a new one by default.

    Raises CrmAssetsError as `run_months` does.
    """
    with platform.writing(_tell):
        _check_before(platform, months)
        settings = _with_partitions(platform.settings, platform, months)
        job = build_definitions(settings, platform).resolve_job_def(BACKFILL.name)
        run_id = run_id or str(uuid.uuid4())
        of_run = {
            TRIGGER_TAG: str(Trigger.MANUAL),
            **(tags or {}),
            **range_tags(months[0], months[-1]),
            **process_tags(run_id),
        }
        keys = None if assets is None else [dg.AssetKey(name.split("/")) for name in assets]
        _execute(job, settings, of_run, keys, run_id)


class _Lines:
    """Tells of each asset when its first month is stored: a run makes all months of an asset before the next."""

    def __init__(self) -> None:
        self._begun: set[str] = set()

    def __call__(self, asset: str, month: Month) -> None:
        if asset not in self._begun:
            self._begun.add(asset)
            _tell(f"{len(self._begun)} of {len(ASSETS)}: {asset}, from {month}")


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _readable(platform: Platform, wanted: list[Month] | None) -> list[Month]:
    """The wanted months, once every table of every one has been read without a fault."""
    held = platform.source.months()
    if not held:
        raise SourceError(f"{platform.source.url} has no month: check CRM_SOURCE_URL or --source")
    months = month_range(held[0], held[-1]) if wanted is None else wanted
    for month in months:
        platform.source.tables(month)
    return months


def _known(platform: Platform, months: list[Month]) -> list[Month]:
    """The months and every month in the lake, in order."""
    return sorted({*months, *map(Month.parse, platform.lake.months(ASSETS[0].name))})


def _check_before(platform: Platform, made: list[Month]) -> None:
    """Raise what would stop the run half-way, before anything is stored."""
    earlier = [month for month in _known(platform, made) if month < made[0]]
    if earlier and earlier[-1] != made[0].previous:
        gap = earlier[-1].next
        raise LakeError(
            f"months out of order: {platform.lake.url} ends with {earlier[-1]}, so {gap} is missing before {made[0]}; "
            f"run {command_line(platform.settings, 'run', '--months', f'{gap}:{made[-1]}')}"
        )
    faults = [
        fault
        for month in made
        for table in CRM_TABLES
        # A pipeline that is made from field history fits, for its changes were checked when they were read.
        if (rows := platform.source.tables(month).get(table.name)) is not None
        and (fault := contract_fault(table, rows, month))
    ]
    if faults:
        raise QualityError(" | ".join(faults[:_FAULTS]))
    candidates_of(platform.settings)
    platform.registry.check()
    if platform.settings.engine != "auto":
        platform.engine_for(0)


def _with_partitions(settings: Settings, platform: Platform, months: list[Month]) -> Settings:
    """The settings with monthly partitions that reach over the source and the wanted months."""
    held = [*platform.source.months(), *months]
    first = min([*held, settings.first_month] if settings.first_month else held)
    last = max([*held, settings.last_month] if settings.last_month else held)
    return settings.model_copy(update={"first_month": first, "last_month": last})


def _execute(
    job: dg.JobDefinition, settings: Settings, tags: dict[str, str], assets: list[dg.AssetKey] | None, run_id: str
) -> None:
    with _sigterm_as_it_was(), _event_log_without_fsync(dagster_home(settings)), open_instance(settings) as instance:
        try:
            result = job.execute_in_process(
                instance=instance,
                run_id=run_id,
                tags=tags,
                asset_selection=assets,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
        except Exception as error:
            # Dagster wraps what an asset or the lake raised; the user's mistake is somewhere in the chain of causes.
            fault = _fault_in(error) or _records_fault_in(settings, error) or _failed_check(instance, run_id)
            if fault is None:
                raise
            raise fault from error
    if not result.success:
        raise CrmAssetsError(f"run {result.run_id} failed: see its page in Dagster (make dev)")


@contextmanager
def _sigterm_as_it_was() -> Iterator[None]:
    # Dagster leaves SIGTERM handled as SIGINT is, which what a shell script starts in the background ignores: then
    # neither this process nor what a later run starts to follow its logs could be told to end.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        # None is what was not set from Python.
        if handler is not None:
            signal.signal(signal.SIGTERM, handler)


def _fault_in(error: BaseException) -> CrmAssetsError | None:
    return next((link for link in _chain(error) if isinstance(link, CrmAssetsError)), None)


def _records_fault_in(settings: Settings, error: BaseException) -> CrmAssetsError | None:
    from sqlalchemy.exc import SQLAlchemyError

    found = next((link for link in _chain(error) if isinstance(link, SQLAlchemyError | sqlite3.Error)), None)
    return records_fault(settings, found) if found else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    # Exceptions that were raised again may stand in their own chain.
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        yield link
        seen.add(id(link))
        link = link.__cause__ or link.__context__


def _failed_check(instance: dg.DagsterInstance, run_id: str) -> QualityError | None:
    """What the blocking checks that failed in a run said."""
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    events = [record.event_log_entry.dagster_event for record in records]
    found = [event.asset_check_evaluation_data for event in events if event is not None]
    told = [str(check.description) for check in found if check.blocking and not check.passed]
    return QualityError(" | ".join(told)) if told else None


@contextmanager
def _event_log_without_fsync(home: Path) -> Iterator[None]:
    """Let the SQLite files below `home` be written through the system's cache while the block runs.

    Dagster commits each of a run's thousands of events by itself, and waits for the disk each time. In the WAL mode it
    uses, `synchronous=NORMAL` still survives a killed process; a power cut may cost the newest events, never the lake.
    It also closes its connection after each event, and SQLite flushes whatever the last connection to a file leaves: so
    one more is kept open meanwhile.
    """
    from sqlalchemy import Engine, event

    held: dict[str, sqlite3.Connection] = {}

    def relax(connection: sqlite3.Connection, _record: object) -> None:
        if not isinstance(connection, sqlite3.Connection):
            return
        file = connection.execute("PRAGMA database_list").fetchone()[2]
        if not file or not Path(file).is_relative_to(home.resolve()):
            return
        connection.execute("PRAGMA synchronous=NORMAL")
        if file not in held:
            held[file] = sqlite3.connect(file, check_same_thread=False)
            held[file].execute("PRAGMA journal_mode=WAL")
            held[file].execute("SELECT count(*) FROM sqlite_master").fetchone()

    event.listen(Engine, "connect", relax)
    try:
        yield
    finally:
        event.remove(Engine, "connect", relax)
        for connection in held.values():
            connection.close()


@contextmanager
def _progress(platform: Platform, months: int, *, show: bool) -> Iterator[None]:
    """A bar of all assets times all months on standard error while the block runs; in a log, a line per asset."""
    if not show:
        yield
        return
    if not sys.stderr.isatty():
        platform.listen(_Lines())
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<42}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar: Progress
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("starting", total=len(ASSETS) * months)
        platform.listen(lambda asset, month: bar.update(task, advance=1, description=f"{asset} {month}"))
        yield
        bar.update(task, description="done")
