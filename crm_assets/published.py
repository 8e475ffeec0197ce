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
from crm_assets.modelling.reasons import SCORE_REASONS, WORDED
from crm_assets.settings import Settings
from crm_assets.stored import stored_month, why_no_scores


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
        replaced: manifests of other scores of the month, oldest first: those that others took the place of, and, where
            `rows` are such themselves, last those in force.
        reasons: rows of `SCORE_REASONS` of exactly these scores; None where the lake has none, as of replaced ones.
        none_because: why there are no rows, as a sentence without a full stop; None where there are.
    """

    month: Month
    rows: pl.DataFrame
    file: Path
    place: str
    manifest: Manifest
    replaced: tuple[Manifest, ...]
    lineage: Mapping[str, Manifest]
    reasons: pl.DataFrame | None = None
    none_because: str | None = None

    @property
    def model_version(self) -> str | None:
        """Version of the champion that gave them; None while there was none."""
        version = self.manifest.notes.get("model_version")
        return None if version is None else str(version)

    @property
    def rung(self) -> str | None:
        """Rung of the cold-start ladder that gave them; None while there was none."""
        rung = self.manifest.notes.get("rung")
        return None if rung is None else str(rung)

    def ranked(self) -> pl.DataFrame:
        """The rows, most expected value first."""
        return self.rows.sort(["expected_value", "opportunity_id"], descending=[True, False])

    def ranked_with_reasons(self) -> pl.DataFrame:
        """The ranked rows with `raises` and `lowers`, empty where there are no reasons."""
        if self.reasons is None:
            return self.ranked().with_columns(pl.lit(None, pl.String).alias(name) for name in WORDED)
        told = self.reasons.select("opportunity_id", *WORDED)
        return self.ranked().join(told, on="opportunity_id", how="left", maintain_order="left")

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
            "rung": self.rung,
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
    return stored_month(settings, SCORES.name, "scores", month)


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
    file, in_force = lake.table(SCORES.name, chosen)
    manifest = in_force
    place = lake.location(SCORES.name, chosen)
    if sha256 and not manifest.sha256.startswith(sha256):
        named = [kept for kept in replaced if kept.sha256.startswith(sha256)]
        if len(named) != 1:
            known = ", ".join(kept.sha256[:12] for kept in (*replaced, in_force))
            raise LakeError(f"{lake.url} holds no scores of {chosen} with SHA-256 {sha256}: known are {known}")
        manifest = named[0]
        file, place = lake.replaced_table(manifest), f"{lake.url}/{manifest.path}"
    rows = pl.read_parquet(file)
    return PublishedScores(
        chosen,
        rows,
        file,
        place,
        manifest,
        # By content: a month that got its former scores back has them among the replaced ones as well.
        tuple({kept.sha256: kept for kept in (*replaced, in_force) if kept.sha256 != manifest.sha256}.values()),
        _lineage(lake, manifest),
        _reasons(lake, chosen, manifest),
        why_no_scores(lake, chosen) if rows.is_empty() and manifest is in_force else None,
    )


def _reasons(lake: Lake, month: Month, scores: Manifest) -> pl.DataFrame | None:
    """The reasons of exactly these scores; None where the lake does not hold them."""
    made = lake.manifest(SCORE_REASONS.name, month)
    if made is None or made.inputs.get(f"{SCORES.name}/{month}") != scores.sha256:
        return None
    return pl.read_parquet(lake.table_path(SCORE_REASONS.name, month))


def check_model(settings: Settings, scores: PublishedScores) -> None:
    """Raise RegistryError unless the model store still has the model that gave these scores."""
    if scores.model_version is None:
        return
    from crm_assets.registry import Registry

    registry = Registry(settings.tracking_uri, settings.model_name)
    registry.load(scores.model_version, str(scores.manifest.notes.get("model_sha256")))
