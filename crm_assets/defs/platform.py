"""The parts a deployment runs on, opened from its settings when they are first used."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import narwhals as nw

from crm_assets.calendar import Month
from crm_assets.engines import Engine, choose_engine, open_engine
from crm_assets.lake import Lake, Manifest
from crm_assets.settings import Settings
from crm_assets.sources import Source, open_source
from crm_assets.sources.source import Progress

if TYPE_CHECKING:
    from crm_assets.registry import Registry

T = TypeVar("T")


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
        self._listener: Callable[[str, Month], None] | None = None
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

    def manifest(self, asset: str, month: Month) -> Manifest | None:
        """Manifest of one month of an asset, None when the lake does not hold it; read once, until it is forgotten."""
        key = (asset, month)
        if key not in self._manifests:
            self._manifests[key] = self.lake.manifest(asset, month)
        return self._manifests[key]

    def forget_manifest(self, asset: str, month: Month) -> None:
        """Read the manifest anew next time, because the month was written."""
        self._manifests.pop((asset, month), None)

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
