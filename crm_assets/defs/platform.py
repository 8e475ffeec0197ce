"""The parts a deployment runs on, opened from its settings when they are first used."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import narwhals as nw

from crm_assets.calendar import Month
from crm_assets.contracts import Table
from crm_assets.engines import Engine, choose_engine, open_engine
from crm_assets.errors import LakeError
from crm_assets.lake import Lake, Manifest
from crm_assets.locks import Lock
from crm_assets.settings import Settings
from crm_assets.sources import Source, open_source
from crm_assets.sources.source import Progress

if TYPE_CHECKING:
    from crm_assets.registry import Registry

T = TypeVar("T")


@dataclass
class _Writing:
    """The lock on the lake, shared by all that stand for one deployment in this process."""

    lock: Lock | None = None
    depth: int = 0


class Platform:
    """Source, lake, model registry and engines of one deployment.

    Args:
        settings: the deployment's settings.
        progress: told in one line what the source takes a while for.
    """

    def __init__(self, settings: Settings, progress: Progress | None = None) -> None:
        self.settings = settings
        self._progress = progress
        self._shared: dict[str, tuple[Hashable, Any]] = {}
        self._manifests: dict[tuple[str, Month], Manifest | None] = {}
        self._marks: dict[str, Mapping[Month, str]] = {}
        self._listener: Callable[[str, Month], None] | None = None
        self._writing = _Writing()
        self.retrained_for: str | None = None
        """Why models are trained anew with tuned candidates; None when they are trained as ever."""

    @cached_property
    def source(self) -> Source:
        """The source. Raises SourceError when it cannot be opened."""
        return open_source(self.settings.source_url, progress=self._progress, exported_on=self.settings.exported_on)

    @cached_property
    def lake(self) -> Lake:
        """The source's part of the lake, made if it is not there. Raises LakeError when it cannot be used."""
        return Lake.open(self.settings.dataset_url, source=self.source.url, create=True)

    @cached_property
    def registry(self) -> Registry:
        """The model registry. Raises RegistryError when it cannot be reached."""
        from crm_assets.registry import Registry

        return Registry(self.settings.tracking_uri, self.settings.model_name)

    def retraining(self, reason: str) -> Platform:
        """This deployment, training with candidates tuned for `CRM_RETRAIN_TUNING_SECONDS`; for equal reasons the same.

        Lake, source and registry are the same, and what each of the two reads and forgets of manifests.
        """

        def make() -> Platform:
            other = copy(self)
            seconds = max(self.settings.tuning_seconds, self.settings.retrain_tuning_seconds)
            other.settings = self.settings.model_copy(update={"tuning_seconds": seconds})
            other._shared = {}
            other.retrained_for = reason
            return other

        return self.shared("retraining", reason, make)

    @contextmanager
    def writing(self, tell: Callable[[str], None]) -> Iterator[None]:
        """Keep other processes from writing to the lake while the block runs; blocks may stand in one another.

        Args:
            tell: told who is writing, if it has to be waited for.

        Raises LakeError when another process has not ended within `CRM_WAIT_SECONDS`.
        """
        if self._writing.depth == 0:
            with self.lake.held(self.settings.wait_seconds, tell) as lock:
                # What was read before may have been written since.
                self._manifests.clear()
                self._marks.clear()
                self._shared.clear()
                self._writing.lock, self._writing.depth = lock, 1
                try:
                    yield
                finally:
                    self._writing.lock, self._writing.depth = None, 0
            return
        self._writing.depth += 1
        try:
            yield
        finally:
            self._writing.depth -= 1

    def check_lock(self) -> None:
        """Raise LakeError when another process may write to the lake by now, as after this one was asleep for long."""
        lost = self._writing.lock.lost if self._writing.lock else None
        if lost:
            raise LakeError(f"{self.lake.url}: the lock on it is lost, {lost}; nothing more was written, run it again")

    def manifest(self, asset: str, month: Month) -> Manifest | None:
        """Manifest of one month of an asset, None when the lake does not hold it; read once, until it is forgotten."""
        key = (asset, month)
        if key not in self._manifests:
            self._manifests[key] = self.lake.manifest(asset, month)
        return self._manifests[key]

    def forget_manifest(self, asset: str, month: Month) -> None:
        """Read the manifest anew next time, because the month was written."""
        self._manifests.pop((asset, month), None)

    def log_marks(self, table: Table) -> Mapping[Month, str]:
        """`Log.marks` of a log in the lake, listed once until something may have been written."""
        if table.name not in self._marks:
            self._marks[table.name] = self.lake.log(table).marks()
        return self._marks[table.name]

    def listen(self, listener: Callable[[str, Month], None]) -> None:
        """Have `listener` told of each asset and month that is stored."""
        self._listener = listener

    def tell(self, asset: str, month: Month) -> None:
        """Tell the listener, if there is one, that a month of an asset was stored."""
        if self._listener:
            self._listener(asset, month)

    def engine_for(self, rows: int) -> Engine:
        """The engine for a month of `rows` opportunities."""
        settings = self.settings
        name = choose_engine(settings.engine, rows, settings.duckdb_from_rows)
        return open_engine(name, settings.duckdb_memory_limit)

    def engine_of(self, frame: nw.LazyFrame[Any]) -> Engine:
        """The engine a frame was opened with."""
        implementation = frame.implementation
        if implementation.is_polars():
            return open_engine("polars", self.settings.duckdb_memory_limit)
        name = "duckdb" if implementation.is_duckdb() else "spark"
        return open_engine(name, self.settings.duckdb_memory_limit)

    def shared(self, kind: str, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` returns, so that steps of one run share costly work.

        It is kept until the same kind is asked for with another key.
        """
        if kind not in self._shared or self._shared[kind][0] != key:
            self._shared[kind] = (key, make())
        value: T = self._shared[kind][1]
        return value
