"""Makes a stored month again, beside the lake, and compares: `crm-assets verify`."""

from __future__ import annotations

import enum
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from crm_assets.calendar import Month
from crm_assets.defs.assets import ASSETS
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.io_manager import store
from crm_assets.defs.monthly import MonthlyAsset
from crm_assets.defs.platform import Platform
from crm_assets.defs.provenance import is_intact
from crm_assets.errors import CrmAssetsError, LakeError
from crm_assets.lake import Lake, Manifest
from crm_assets.leakage.identity import differences
from crm_assets.settings import Settings
from crm_assets.stored import stored_month

if TYPE_CHECKING:
    from crm_assets.registry import Registry


class Outcome(enum.StrEnum):
    """What the comparison of one asset's month came to."""

    IDENTICAL = "identical"
    """Made again, it is the stored file, byte for byte."""
    INTACT = "intact"
    """It cannot be made again from the lake, but is the file that its manifest describes."""
    DIFFERENT = "different"
    """Made again it is another file, or the stored one is not the one its manifest describes."""
    NOT_MADE = "not made again"
    """What it is made from is at fault."""


@dataclass(frozen=True)
class Reproduced:
    """One asset of the month.

    Attributes:
        asset: its name.
        outcome: what the comparison came to.
        detail: content hash and rows, or where the first difference is.
        notes: what else should be known: another code version, other settings.
    """

    asset: str
    outcome: Outcome
    detail: str
    notes: tuple[str, ...] = ()

    @property
    def wrong(self) -> bool:
        """Whether the stored month is not what its inputs give."""
        return self.outcome in {Outcome.DIFFERENT, Outcome.NOT_MADE}


class _Beside(Platform):
    """A deployment that reads the lake and the registry and writes to neither."""

    def __init__(self, settings: Settings, lake: Lake) -> None:
        super().__init__(settings)
        self.lake = lake

    @cached_property
    def registry(self) -> Registry:
        """The registry, which gives back the versions it has and takes no others."""
        from crm_assets.registry import ReadOnlyRegistry

        return ReadOnlyRegistry(self.settings.tracking_uri, self.settings.model_name)


def beside_platform(settings: Settings, lake: Lake) -> Platform:
    """A deployment that reads a lake made by `Lake.beside`, and the registry, and writes to neither."""
    return _Beside(settings, lake)


def verify(settings: Settings, month: Month) -> Iterator[Reproduced]:
    """Make every asset of a month again from the stored raw tables and the stored earlier months, and compare.

    What the month's own assets make of each other is made again too, so that an altered table shows itself and does not
    hide behind those that were made from it.

    Args:
        settings: the deployment's; those recorded with each asset take their place.
        month: to verify.

    Raises LakeError when there is no lake, or it does not hold the month.
    """
    lake, _ = stored_month(settings, "scores", "scores", month)
    with tempfile.TemporaryDirectory(prefix="crm-assets-verify-") as folder:
        beside = lake.beside(Path(folder))
        for asset in ASSETS:
            yield _reproduced(settings, lake, beside, asset, month)


def _more_was_logged(lake: Lake, asset: MonthlyAsset, month: Month, manifest: Manifest) -> bool:
    """Whether the log that a month was gathered from is another by now, so that it would come out otherwise."""
    if asset.log is None:
        return False
    return lake.log(asset.log).marks().get(month) != manifest.inputs.get(f"{asset.log.name}/{month}")


def _reproduced(settings: Settings, lake: Lake, beside: Lake, asset: MonthlyAsset, month: Month) -> Reproduced:
    try:
        path, manifest = lake.table(asset.name, month)
    except LakeError as error:
        return Reproduced(asset.name, Outcome.DIFFERENT, str(error))
    if not is_intact(lake, asset.name, month, manifest):
        return Reproduced(asset.name, Outcome.DIFFERENT, "a document is not the one its manifest describes")
    shown = f"{manifest.rows:,} rows, SHA-256 {manifest.sha256[:12]}"
    more = _more_was_logged(lake, asset, month, manifest)
    if asset.source_fingerprint or asset.probes_source or more:
        return Reproduced(asset.name, Outcome.INTACT, f"{shown}; more was logged since" if more else shown)
    recorded = settings.as_recorded(manifest.settings)
    platform = _Beside(recorded, beside)
    try:
        made = asset.make(Inputs(asset, platform, month), month)
        again = store(platform, asset, month, made)
    except CrmAssetsError as error:
        return Reproduced(asset.name, Outcome.NOT_MADE, str(error), _notes(asset, settings, manifest))
    if again.sha256 == manifest.sha256:
        return Reproduced(asset.name, Outcome.IDENTICAL, shown, _notes(asset, settings, manifest))
    stored, found = pl.read_parquet(path), pl.read_parquet(beside.table_path(asset.name, month))
    faults = differences(stored, found, list(asset.table.key) or asset.table.column_names)
    told = "; ".join(f"column {fault.column}: {fault}" for fault in faults[:3])
    return Reproduced(
        asset.name,
        Outcome.DIFFERENT,
        f"{lake.location(asset.name, month)} is not what it is made from gives: {told or 'same rows, other bytes'}",
        _notes(asset, settings, manifest),
    )


def _notes(asset: MonthlyAsset, settings: Settings, manifest: Manifest) -> tuple[str, ...]:
    notes = []
    if manifest.code_version != asset.code_version:
        notes.append(f"made by code version {manifest.code_version}, this is {asset.code_version}")
    now = settings.model_dump(mode="json", include=set(asset.settings))
    for name, value in manifest.settings.items():
        if now.get(name) != value:
            notes.append(f"made with {name} {value}, which is {now.get(name)} now")
    return tuple(notes)
