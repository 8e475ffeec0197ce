"""A deployment whose lake is a dictionary of manifests: what `planned` asks of one, and nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, cast

from crm_assets.calendar import Month
from crm_assets.defs.assets import ASSETS
from crm_assets.defs.monthly import MonthlyAsset
from crm_assets.defs.platform import Platform
from crm_assets.defs.provenance import current
from crm_assets.lake import Manifest
from crm_assets.settings import Settings, load_settings

BY_NAME = {asset.name: asset for asset in ASSETS}


@dataclass
class InMemory:
    """Stands for deployment, lake, source and registry at once."""

    settings: Settings = field(default_factory=lambda: load_settings(source_url="simulator:"))
    held: dict[tuple[str, Month], Manifest] = field(default_factory=dict)
    damaged: set[tuple[str, Month]] = field(default_factory=set)
    url: str = "the lake"
    retrained_for: str | None = None

    @property
    def deployment(self) -> Platform:
        return cast("Platform", self)

    @property
    def lake(self) -> InMemory:
        return self

    @property
    def source(self) -> InMemory:
        return self

    @property
    def registry(self) -> InMemory:
        return self

    def fingerprint(self, month: Month) -> str:
        return f"source of {month}"

    def versions(self) -> dict[str, str]:
        return {}

    def shared(self, _kind: str, _key: object, make: Any) -> Any:
        return make()

    def manifest(self, asset: str, month: Month) -> Manifest | None:
        return self.held.get((asset, month))

    def log_marks(self, _table: object) -> dict[Month, str]:
        return {}

    def is_intact(self, asset: str, month: Month, _suffix: str = "parquet") -> bool:
        return (asset, month) not in self.damaged

    def months(self, asset: str) -> list[str]:
        return sorted(str(month) for name, month in self.held if name == asset)

    def store(self, asset: MonthlyAsset, month: Month, content: str = "") -> None:
        """Store what is made of the month's inputs as they are now."""
        made_from = current(self.deployment, asset, month)
        self.damaged.discard((asset.name, month))
        content = content or f"{asset.name} {month} {sorted(made_from.inputs.items())}"
        self.held[asset.name, month] = Manifest(
            asset=asset.name,
            month=str(month),
            path=f"{asset.name}/{month}.parquet",
            rows=1,
            sha256=hashlib.sha256(content.encode()).hexdigest(),
            size_bytes=1,
            schema={},
            code_version=made_from.code_version,
            inputs=dict(made_from.inputs),
            settings=dict(made_from.settings),
            notes={},
            written_at="2026-01-01T00:00:00+00:00",
        )
