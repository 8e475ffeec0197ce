"""Scores as they were given: the stored rows, and all they followed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from crm_assets.calendar import Month
from crm_assets.defs.monthly import SOURCE
from crm_assets.defs.scoring import SCORES
from crm_assets.errors import LakeError
from crm_assets.lake import Lake, Manifest
from crm_assets.settings import Settings
from crm_assets.sources import canonical_url


@dataclass(frozen=True)
class PublishedScores:
    """The scores of one month-end.

    Attributes:
        month: whose book was scored.
        rows: of `SCORES`, as they are stored.
        file: a local copy of the stored file, byte for byte.
        place: where it is stored.
        manifest: content hash, code version, input hashes, settings, and when it was written.
        lineage: `asset/2017-05` -> manifest of everything the scores were made from, down to the raw tables, as far as
            the lake still holds what they were made from.
        replaced: manifests of scores of the month that were given earlier and came out otherwise, oldest first.
    """

    month: Month
    rows: pl.DataFrame
    file: Path
    place: str
    manifest: Manifest
    replaced: tuple[Manifest, ...]
    lineage: Mapping[str, Manifest]

    @property
    def model_version(self) -> str | None:
        """Version of the champion that gave them; None while there was none."""
        version = self.manifest.notes.get("model_version")
        return None if version is None else str(version)

    def ranked(self) -> pl.DataFrame:
        """The rows, most expected value first."""
        return self.rows.sort(["expected_value", "opportunity_id"], descending=[True, False])

    def _settings(self) -> dict[str, Any]:
        """Every setting that shaped anything the scores were made from, at its nearest."""
        merged: dict[str, Any] = {}
        for made in (*reversed(list(self.lineage.values())), self.manifest):
            merged |= made.settings
        return merged

    def provenance(self) -> dict[str, Any]:
        """What the scores followed from, as plain values."""
        return {
            "place": self.place,
            "sha256": self.manifest.sha256,
            "written_at": self.manifest.written_at,
            "model_version": self.model_version,
            "model_sha256": self.manifest.notes.get("model_sha256"),
            "code_version": self.manifest.code_version,
            "inputs": {name: made.sha256 for name, made in self.lineage.items()} | dict(self.manifest.inputs),
            "source": {name: made.inputs[SOURCE] for name, made in self.lineage.items() if SOURCE in made.inputs},
            "settings": self._settings(),
            "replaced": [_told(manifest) for manifest in self.replaced],
        }


def _lineage(lake: Lake, manifest: Manifest) -> dict[str, Manifest]:
    """Everything that led to a table, nearest first, where the lake still holds exactly that."""
    found: dict[str, Manifest] = {}
    waiting = list(manifest.inputs.items())
    while waiting:
        name, sha256 = waiting.pop(0)
        if name == SOURCE or name in found:
            continue
        asset, _, month = name.rpartition("/")
        made = lake.manifest(asset, Month.parse(month))
        if made is None or made.sha256 != sha256:
            continue
        found[name] = made
        waiting += made.inputs.items()
    return found


def _told(manifest: Manifest) -> Mapping[str, Any]:
    return {
        "sha256": manifest.sha256,
        "written_at": manifest.written_at,
        "model_version": manifest.notes.get("model_version"),
    }


def scored_month(settings: Settings, month: Month | None) -> tuple[Lake, Month]:
    """The lake, and `month` or the newest with scores. Raises LakeError when there is no lake or no such month."""
    url = settings.dataset_url
    lake = Lake.open(url, source=canonical_url(settings.source_url), create=False)
    held = lake.months(SCORES.name)
    if not held:
        raise LakeError(f"{url} holds no scores: make them with crm-assets run --source {settings.source_url}")
    if month is not None and str(month) not in held:
        raise LakeError(
            f"{url} holds no scores of {month}, only of {held[0]} to {held[-1]}: ask for one of these, or make it with "
            f"crm-assets run --source {settings.source_url} --months {month}"
        )
    return lake, month or Month.parse(held[-1])


def published(settings: Settings, month: Month | None = None, sha256: str | None = None) -> PublishedScores:
    """The scores of a month-end as they are stored.

    Args:
        settings: the deployment's.
        month: whose book was scored; the newest when None.
        sha256: first digits of the content hash, of scores that others took the place of; the current ones when None.

    Raises LakeError when there is no lake, it lacks the month, or the file is not the one its manifest describes.
    """
    lake, chosen = scored_month(settings, month)
    replaced = tuple(lake.replaced(SCORES.name, chosen))
    file, manifest = lake.table(SCORES.name, chosen)
    place = lake.location(SCORES.name, chosen)
    if sha256 and not manifest.sha256.startswith(sha256):
        named = [kept for kept in replaced if kept.sha256.startswith(sha256)]
        if len(named) != 1:
            known = ", ".join(kept.sha256[:12] for kept in (*replaced, manifest))
            raise LakeError(f"{lake.url} holds no scores of {chosen} with SHA-256 {sha256}: known are {known}")
        manifest = named[0]
        file, place = lake.replaced_table(manifest), f"{lake.url}/{manifest.path}"
    return PublishedScores(chosen, pl.read_parquet(file), file, place, manifest, replaced, _lineage(lake, manifest))


def check_model(settings: Settings, scores: PublishedScores) -> None:
    """Raise RegistryError unless the model store still has the model that gave these scores."""
    if scores.model_version is None:
        return
    from crm_assets.registry import Registry

    registry = Registry(settings.tracking_uri, settings.model_name)
    registry.load(scores.model_version, str(scores.manifest.notes.get("model_sha256")))
