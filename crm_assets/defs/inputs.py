"""What a monthly asset reads: other assets' months in the lake, the source, the registry and the settings."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import narwhals as nw
import polars as pl

from crm_assets.calendar import Month, month_range
from crm_assets.contracts import SALES_PIPELINE, Table
from crm_assets.defs.monthly import MonthlyAsset, Needs
from crm_assets.errors import LakeError
from crm_assets.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

    from crm_assets.defs.platform import Platform
    from crm_assets.engines import Engine
    from crm_assets.lake.lake import DocumentSuffix
    from crm_assets.registry import Registry
    from crm_assets.sources import Source

T = TypeVar("T")


class Inputs:
    """Reads for one month of one asset, what it declares and nothing else.

    Every method raises LookupError for an asset or a month that the declaration does not name.

    Args:
        asset: the asset that reads.
        platform: the deployment's parts.
        month: the month it makes.
        last_month: the newest month this run makes; `month` when None.
        step: Dagster's step that makes it; None outside of one, as when a stored month is verified.
    """

    def __init__(
        self,
        asset: MonthlyAsset,
        platform: Platform,
        month: Month,
        last_month: Month | None = None,
        step: dg.AssetExecutionContext | None = None,
    ) -> None:
        self._asset = asset
        self._platform = platform
        self._month = month
        self.last_month = last_month or month
        self.step = step

    @property
    def platform(self) -> Platform:
        """Everything, for an asset that declares to probe the source."""
        if not self._asset.probes_source:
            raise LookupError(f"{self._asset.name} does not declare that it probes the source")
        return self._platform

    @property
    def source(self) -> Source:
        """Where raw tables come from, for an asset that declares to read it."""
        if not (self._asset.source_fingerprint or self._asset.probes_source):
            raise LookupError(f"{self._asset.name} does not declare that it reads the source")
        return self._platform.source

    @property
    def registry(self) -> Registry:
        """The model registry, which is waited for when it is away for a moment."""
        registry = self._platform.registry
        registry.bear_outages()
        return registry

    @property
    def settings(self) -> Settings:
        """The deployment's settings."""
        return self._platform.settings

    def held(self, asset: str) -> list[Month]:
        """Every month of an asset that the lake holds."""
        return [Month.parse(month) for month in self._platform.lake.months(asset)]

    def _declared(self, asset: str) -> Needs:
        """What the reading asset declares to read of another; what it does not declare, it may not read."""
        for needs in self._asset.needs:
            if needs.asset == asset:
                return needs
        raise LookupError(f"{self._asset.name} reads {asset} and does not declare it in its needs")

    def months(self, asset: str, month: Month) -> list[Month]:
        """The months up to `month`, as far back as declared, that the lake holds of an asset.

        Raises LakeError when a month between the first and `month` is missing: months are made in order.
        """
        first = month.shift(self._declared(asset).first)
        held = {m for m in map(Month.parse, self._platform.lake.months(asset)) if first <= m <= month}
        wanted = month_range(min(held), month) if held else []
        gap = [str(m) for m in wanted if m not in held]
        if gap:
            raise LakeError(
                f"months out of order: {self._asset.name} of {month} needs {asset} of {gap[0]}, which is not in the "
                f"lake; run --months {gap[0]}:{self.last_month}"
            )
        return wanted

    def engine_frames(self, *assets: str, month: Month) -> tuple[nw.LazyFrame[Any], ...]:
        """The month's tables of several assets, lazy, on one engine chosen by the size of the month's pipeline."""
        engine = self._engine(month)
        return tuple(engine.scan(self._path(asset, month)) for asset in assets)

    def engine_frames_of(self, asset: str, months: Sequence[Month]) -> tuple[nw.LazyFrame[Any], ...]:
        """Several months of one asset, lazy, on one engine chosen by the size of the last month's pipeline."""
        engine = self._engine(months[-1])
        return tuple(engine.scan(self._path(asset, month)) for month in months)

    def _path(self, asset: str, month: Month) -> Path:
        self._check(asset, month)
        return self._platform.lake.table_path(asset, month)

    def stored_at(self, asset: str, month: Month) -> str:
        """Where the lake has a month's table, for who reads it there while the run holds the lake.

        Raises LakeError as `Lake.table` does.
        """
        self._check(asset, month)
        lake = self._platform.lake
        if not lake.is_intact(asset, month):
            # It says what is wrong.
            lake.table(asset, month)
        return lake.location(asset, month)

    def _check(self, asset: str, month: Month) -> None:
        """Raise LookupError unless the asset's `month` is among those declared for the month that is made."""
        needs = self._declared(asset)
        if not self._month.shift(needs.first) <= month <= self._month.shift(needs.last):
            raise LookupError(f"{self._asset.name} of {self._month} reads {asset} of {month} and does not declare it")

    def _engine(self, month: Month) -> Engine:
        manifest = self._platform.manifest(f"raw/{SALES_PIPELINE.name}", month)
        return self._platform.engine_for((manifest.rows if manifest else None) or 0)

    def frame(self, asset: str, month: Month, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """One month of an asset, read: all columns, or those named."""
        return pl.read_parquet(self._path(asset, month), columns=None if columns is None else list(columns))

    def scan(self, asset: str, month: Month) -> pl.LazyFrame:
        """One month of an asset, not read yet."""
        return pl.scan_parquet(self._path(asset, month))

    def logged(self, month: Month) -> pl.LazyFrame:
        """The rows of the log that the asset declares to be gathered from, of the month it makes.

        Those of days that are over are merged into one file a day.
        """
        if self._asset.log is None or month != self._month:
            raise LookupError(f"{self._asset.name} of {self._month} reads a log of {month} and does not declare it")
        log = self._platform.lake.log(self._asset.log)
        # It is read again with each day that is added.
        log.merge(month, datetime.now(UTC).date())
        return log.scan(month)

    def document(self, asset: str, month: Month, suffix: DocumentSuffix) -> bytes:
        """What an asset stored beside its table of a month."""
        self._check(asset, month)
        return self._platform.lake.document(asset, month, suffix)

    def location(self, asset: str, month: Month, suffix: str) -> str:
        """Where the lake has, or will have, a file of an asset, for people."""
        return self._platform.lake.location(asset, month, suffix)

    def history(self, asset: str, month: Month, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The months of an asset up to `month`, as far back as declared, one below the other.

        Raises LakeError when there is none.
        """
        self._check(asset, month)
        return self._concatenated(asset, month, columns)

    def run_history(self, asset: str, columns: Sequence[str]) -> pl.DataFrame:
        """The months of an asset up to the newest that the run makes, for a training that cuts off by itself.

        Its steps share one training over all months, so that each model is fitted once. That later rows have no
        influence is probed by the leakage gate, and by training the models that become champion once more without them.
        """
        return self._concatenated(asset, self.last_month, columns)

    def run_frame(self, asset: str, month: Month, columns: Sequence[str]) -> pl.DataFrame:
        """One month of an asset, not later than the newest that the run makes; like `run_history`, for a training."""
        if month not in self.months(asset, self.last_month):
            raise LookupError(f"{self._asset.name} of {self._month} reads {asset} of {month}, which is not there")
        return pl.read_parquet(self._platform.lake.table_path(asset, month), columns=list(columns))

    def _concatenated(self, asset: str, month: Month, columns: Sequence[str] | None) -> pl.DataFrame:
        months = self.months(asset, month)
        if not months:
            raise LakeError(
                f"{self._asset.name} of {month} needs {asset}, which has no month yet; run --months {month}"
            )
        files = [self._platform.lake.table_path(asset, m) for m in months]
        wanted = None if columns is None else list(columns)
        return pl.concat([pl.read_parquet(file, columns=wanted) for file in files])

    def notes(self, asset: str, month: Month) -> Mapping[str, Any]:
        """The notes of one month of an asset; empty when the lake does not hold it."""
        manifest = self._platform.manifest(asset, month)
        return manifest.notes if manifest else {}

    def fingerprint(self, asset: str, month: Month) -> str:
        """Content hash of one month of an asset; empty when the lake does not hold it."""
        manifest = self._platform.manifest(asset, month)
        return manifest.sha256 if manifest else ""

    def no_rows(self, table: Table) -> nw.LazyFrame[Any]:
        """A table without rows."""
        return nw.from_native(pl.LazyFrame(schema=table.polars_schema()))

    def shared(self, kind: str, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` returns, kept for other steps of the run that ask for the kind with an equal key."""
        return self._platform.shared(kind, key, make)
