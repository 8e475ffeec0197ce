"""The simulated CRM, month by month: lands the next month's extract in a folder or S3 prefix, as a CRM would over time.

Which CRM it is, and what was landed of it with which content, stands in a small file beside the extracts, so that the
next call goes on with the same one.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from crm_assets.calendar import Month
from crm_assets.contracts import CRM_TABLES, LOST, SALES_PIPELINE, WON
from crm_assets.errors import SettingsError
from crm_assets.simulator import Drift, SimulationConfig, simulate
from crm_assets.simulator.writing import write_tables
from crm_assets.sources.reading import SUFFIXES
from crm_assets.storage import MissingError, Storage, open_storage, sha256_of

if TYPE_CHECKING:
    from crm_assets.simulator import Simulation

STATE = "crm_assets_simulation.json"
"""The small file beside the extracts. No source reads it."""

DEFAULT = "simulator:?opportunities=160000&months=2016-10:2036-12"
"""The CRM that is landed unless another is named: as `simulator:` month by month, but it goes on for twenty years."""

_LOCK = ".crm_assets_simulation.lock"
_FORMAT = 1
_PARTIAL, _REMOVED = ".partial-", ".removed-"
_LAST = f"{SALES_PIPELINE.name}.csv"
"""Where files appear one by one, this is the last: without it a month is not there."""
_TABLE_FILES = {f"{table.name}{suffix}" for table in CRM_TABLES for suffix in SUFFIXES}


@dataclass(frozen=True)
class LandedMonth:
    """What a landed extract holds.

    Attributes:
        month: its month.
        opportunities: rows of its pipeline.
        created: rows more than the month before.
        won, lost: deals that closed in the month.
    """

    month: Month
    opportunities: int
    created: int
    won: int
    lost: int


@dataclass(frozen=True)
class _State:
    """Which CRM is landed, and month -> name of a file -> SHA-256 of its content, of all that was landed."""

    config: SimulationConfig
    months: Mapping[Month, Mapping[str, str]] = field(default_factory=dict)

    def to_json(self) -> bytes:
        months = {str(month): dict(files) for month, files in sorted(self.months.items())}
        told = {"format": _FORMAT, "simulator": self.config.url(), "months": months}
        return json.dumps(told, indent=1).encode() + b"\n"


class Landing:
    """A folder or S3 prefix in which a simulated CRM lands.

    Args:
        url: the folder, which is made when something lands, or `s3://bucket/prefix`.

    Every method raises SettingsError when the place holds what was not landed here, and StorageError when it cannot be
    used.
    """

    def __init__(self, url: str) -> None:
        if not url.startswith("s3://") and (":" in url.partition("/")[0] or not url):
            raise SettingsError(
                f"{url!r} is no place to land extracts in: name a folder or s3://bucket/prefix with --to, or in "
                "CRM_SOURCE_URL"
            )
        self.url = url
        self._folder = None if url.startswith("s3://") else Path(url).expanduser().absolute()

    def simulator(self) -> str | None:
        """URL of the CRM that lands here; None when none has yet."""
        state = self._state()
        return state.config.url() if state else None

    def months(self) -> list[Month]:
        """Months that have landed and are there."""
        state, there = self._state(), set(self._listed())
        return [month for month in sorted(state.months) if _complete(state, month, there)] if state else []

    def advance(
        self,
        count: int,
        *,
        simulator: str | None = None,
        drifts: Sequence[Drift] = (),
        landed: Callable[[LandedMonth], None] = lambda month: None,
    ) -> list[Month]:
        """Land the next months, each whole or not at all: in a folder by one rename, on S3 with its pipeline last.

        A month that was landed and is not there any more, or not whole, is landed again first.

        Args:
            count: how many months.
            simulator: URL of the CRM, when the first month is landed; `DEFAULT` when None.
            drifts: changes of the CRM from a month on that has not landed yet, besides those that it has.
            landed: told of each month once it is there.

        Raises SettingsError also when another CRM has landed there, a drift is to begin in a month that has landed,
        the CRM ends, or the code of the simulator is not that which made the months before.
        """
        with self._alone():
            storage = open_storage(self.url, create=True)
            state = self._checked_state(simulator, drifts)
            simulation = simulate(state.config)
            self._refuse_break(state, simulation)
            made = []
            for _ in range(count):
                month = self._next(state)
                tables = simulation.tables(month)
                with self._written(tables, month) as files:
                    hashes = {file.name: sha256_of(file) for file in sorted(files.iterdir())}
                    # Known before it is there: what a killed process leaves is its own, and is completed.
                    state = replace(state, months={**state.months, month: hashes})
                    storage.write_bytes(STATE, state.to_json())
                    self._land(storage, month, files)
                made.append(month)
                landed(_told(simulation, month, tables[SALES_PIPELINE.name]))
        return made

    def planned_reset(self) -> list[Month]:
        """Months that `reset` would remove, newest first.

        Raises SettingsError also when a file of theirs was changed or another lies beside it.
        """
        state, there = self._state(), self._listed()
        if state is None:
            raise SettingsError(f"{self.url} holds no simulated CRM: nothing to reset")
        self._refuse_foreign(state, there)
        storage = open_storage(self.url)
        for month, files in state.months.items():
            beside = [path for path in there if path.startswith(f"{month}/") and path.partition("/")[2] not in files]
            present = [path for path in _paths(files, month) if path in there]
            changed = [path for path in present if storage.fingerprint(path) != files[_name(path)]]
            if beside or changed:
                raise SettingsError(
                    f"{self.url}: {', '.join(beside + changed)} is not as it was landed, and so is not removed: move "
                    "it away first"
                )
        held = [month for month, files in state.months.items() if not set(there).isdisjoint(_paths(files, month))]
        return sorted(held, reverse=True)

    def reset(self) -> list[Month]:
        """Remove every landed month, newest first, and then what is known of the CRM. Nothing else is removed."""
        with self._alone():
            months = self.planned_reset()
            storage = open_storage(self.url)
            state = self._state()
            assert state is not None, "planned_reset raises without one"
            for month in months:
                if self._folder is not None:
                    away = self._folder / f".{month}{_REMOVED}{secrets.token_hex(4)}"
                    (self._folder / str(month)).rename(away)
                    shutil.rmtree(away)
                    continue
                for path in sorted(_paths(state.months[month], month), key=lambda path: _name(path) != _LAST):
                    storage.delete(path)
            storage.delete(STATE)
        return months

    def _checked_state(self, simulator: str | None, drifts: Sequence[Drift]) -> _State:
        """What lands from now on, once it is known to go on with what has landed."""
        state, there = self._state(), self._listed()
        self._refuse_foreign(state, there)
        if state is None:
            config = SimulationConfig.from_url(simulator or DEFAULT)
            return _State(replace(config, drifts=(*config.drifts, *drifts)))
        config = state.config
        if simulator is not None and SimulationConfig.from_url(simulator) != config:
            raise SettingsError(
                f"{self.url} holds the CRM {config.url()}, not {simulator}: leave --simulator out to go on with it, or "
                "begin anew with --reset"
            )
        new = [drift for drift in drifts if drift not in config.drifts]
        last = max(state.months, default=None)
        late = [drift for drift in new if last is not None and drift.start <= last]
        if last is not None and late:
            raise SettingsError(
                f"drift {late[0]} begins in a month that has landed: let it begin in {last.next} or later, or begin "
                "anew with --reset"
            )
        return replace(state, config=replace(config, drifts=(*config.drifts, *new)))

    def _refuse_break(self, state: _State, simulation: Simulation) -> None:
        """Raise SettingsError unless the newest landed month comes out as it was landed."""
        if not state.months:
            return
        last = max(state.months)
        with tempfile.TemporaryDirectory(prefix="crm-assets-landing-") as folder:
            write_tables(simulation.tables(last), Path(folder), "csv")
            now = {file.name: sha256_of(file) for file in Path(folder).iterdir()}
        if now != dict(state.months[last]):
            raise SettingsError(
                f"{self.url}: this version simulates {last} otherwise than it was landed, so that the CRM would not go "
                "on as the same: begin anew with --reset"
            )

    def _next(self, state: _State) -> Month:
        there = set(self._listed())
        gone = [month for month in sorted(state.months) if not _complete(state, month, there)]
        month = gone[0] if gone else max(state.months).next if state.months else state.config.first
        if month > state.config.last:
            raise SettingsError(
                f"the CRM {state.config.url()} ends with {state.config.last}: begin anew with --reset, and name one "
                "with more months"
            )
        return month

    @contextmanager
    def _written(self, tables: dict[str, pl.DataFrame], month: Month) -> Iterator[Path]:
        """A folder with the files of a month, which no source sees: for a folder in it, so that it can be renamed."""
        folder: Path | None = None
        try:
            folder = Path(tempfile.mkdtemp(prefix=f".{month}{_PARTIAL}", dir=self._folder))
            # Temporary folders are for their user alone; extracts are for whoever may read what is around them.
            folder.chmod(0o777 & ~_umask())
            write_tables(tables, folder, "csv")
            yield folder
        except OSError as error:
            raise SettingsError(
                f"{self.url}: cannot land {month}: {error.strerror or error}; free the place or choose another"
            ) from error
        finally:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)

    def _land(self, storage: Storage, month: Month, files: Path) -> None:
        if self._folder is not None and not (self._folder / str(month)).exists():
            for file in files.iterdir():
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())
            files.rename(self._folder / str(month))
            return
        for file in sorted(files.iterdir(), key=lambda file: (file.name == _LAST, file.name)):
            storage.put_file(file, f"{month}/{file.name}")

    def _state(self) -> _State | None:
        try:
            storage = open_storage(self.url)
            if not storage.exists(STATE):
                return None
            told: Any = json.loads(storage.read_bytes(STATE))
        except MissingError:
            return None
        except ValueError:
            told = None
        try:
            if told["format"] != _FORMAT:
                raise SettingsError(
                    f"{self.url}/{STATE} is of format {told['format']}, which this version does not know: use the "
                    "version that wrote it"
                )
            months = {Month.parse(month): dict(files) for month, files in told["months"].items()}
            return _State(SimulationConfig.from_url(told["simulator"]), months)
        except (TypeError, KeyError, AttributeError, ValueError):
            raise SettingsError(
                f"{self.url}/{STATE} cannot be read: bring it back as it was, or name another place"
            ) from None

    def _listed(self) -> list[str]:
        try:
            return open_storage(self.url).list()
        except MissingError:
            return []

    def _refuse_foreign(self, state: _State | None, there: Sequence[str]) -> None:
        """Raise SettingsError when tables lie there that were not landed."""
        known = {str(month) for month in state.months} if state else set()
        foreign = [path for path in there if _name(path) in _TABLE_FILES and path.partition("/")[0] not in known]
        if foreign:
            raise SettingsError(
                f"{self.url} holds extracts that were not landed by advance, such as {foreign[0]}: name another place "
                "with --to, so that a simulated CRM does not mix with them"
            )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the place against another process that lands there, and clear what a killed one left of a folder."""
        if self._folder is None:
            storage = open_storage(self.url)
            lock = storage.lock()
            if holder := storage.take(lock):
                raise SettingsError(f"{holder} is landing in {self.url}: wait until it has ended")
            try:
                yield
            finally:
                lock.give_back()
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            file = (self._folder / _LOCK).open("w")
        except OSError as error:
            raise SettingsError(f"{self.url} cannot be used ({error.strerror}): choose another place") from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SettingsError(f"another process is landing in {self.url}: wait until it has ended") from None
            for left in (*self._folder.glob(f".*{_PARTIAL}*"), *self._folder.glob(f".*{_REMOVED}*")):
                shutil.rmtree(left, ignore_errors=True)
            yield


def _complete(state: _State, month: Month, there: set[str]) -> bool:
    return there.issuperset(_paths(state.months[month], month))


def _paths(files: Mapping[str, str], month: Month) -> list[str]:
    return [f"{month}/{name}" for name in files]


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _umask() -> int:
    found = os.umask(0)
    os.umask(found)
    return found


def _told(simulation: Simulation, month: Month, pipeline: pl.DataFrame) -> LandedMonth:
    before = 0
    if month > simulation.config.first:
        before = simulation.tables(month.previous)[SALES_PIPELINE.name].height
    closed = pipeline.filter(pl.col("close_date").is_between(month.start, month.end))["deal_stage"]
    counts = {stage: int((closed == stage).sum()) for stage in (WON, LOST)}
    return LandedMonth(month, pipeline.height, pipeline.height - before, counts[WON], counts[LOST])
