"""The model card of a month as it is stored, and every number on it computed again: `crm-assets model-card`."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from crm_assets.calendar import Month
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.io_manager import store
from crm_assets.defs.model_card import model_card
from crm_assets.defs.monthly import MonthlyAsset
from crm_assets.defs.provenance import DOCUMENTS
from crm_assets.errors import LakeError
from crm_assets.lake import Lake
from crm_assets.lake.lake import DocumentSuffix
from crm_assets.modelling.page import NUMBER, differences, printed_on_html, printed_on_markdown
from crm_assets.reproduction import beside_platform
from crm_assets.settings import Settings
from crm_assets.stored import command_line, stored_month

_NUMBERS = ("value", "low", "high")
_SAME = 1e-9
"""Relative difference up to which numbers are the same: other libraries may round otherwise in the last digits."""


@dataclass(frozen=True)
class StoredCard:
    """A card as it is stored.

    Attributes:
        month: of the card.
        place: of its HTML.
        figures: rows of MODEL_CARD.
        documents: file ending -> content.
    """

    month: Month
    place: str
    figures: pl.DataFrame
    documents: Mapping[str, bytes]


@dataclass(frozen=True)
class CheckedCard:
    """What computing a card again came to.

    Attributes:
        dataset: whose card it is.
        month: of the card.
        check: command that makes the tables again that the card is made of.
        numbers: how many numbers were compared: those of the table, and those printed on the pages.
        differences: one sentence per number, text or file that is not what it should be.
        notes: what else should be known.
    """

    dataset: str
    month: Month
    check: str
    numbers: int
    differences: tuple[str, ...]
    notes: tuple[str, ...]

    def sentence(self) -> str:
        """The outcome in words."""
        told = (
            f"{self.numbers:,} numbers of the model card of {self.month} (data set {self.dataset}) were computed again"
        )
        if not self.differences:
            return f"{told}: all are the same."
        wrong = len(self.differences)
        return (
            f"{told}: {wrong} {'thing differs' if wrong == 1 else 'things differ'}. {self.check} tells whether the "
            "tables that it is made of are at fault."
        )


def stored_card(settings: Settings, month: Month | None = None) -> StoredCard:
    """The card of a month, the newest when None. Raises LakeError when there is none, or it was altered."""
    lake, chosen = _held(settings, month)
    path, manifest = lake.table(model_card.name, chosen)
    suffixes = manifest.notes.get(DOCUMENTS, [])
    documents = {
        str(suffix): lake.document(model_card.name, chosen, _suffix(suffix))
        for suffix in (suffixes if isinstance(suffixes, list) else [])
    }
    return StoredCard(chosen, lake.location(model_card.name, chosen, "html"), pl.read_parquet(path), documents)


def verify_card(settings: Settings, month: Month | None = None) -> CheckedCard:
    """Compute every number on a card again, from the tables it is made of and the model in the registry, and compare.

    The stored card has no part in that. What it was made from is read as it lies in the lake, so that an altered number
    there is named, and so are the figures of the card that follow from it.

    Args:
        settings: the deployment's; those recorded with the card take their place.
        month: of the card; the newest when None.

    Raises LakeError when there is no such card, or a table cannot be read at all, and RegistryError when the model
    store does not have the champion.
    """
    lake, chosen = _held(settings, month)
    found = lake.as_found()
    manifest = lake.manifest(model_card.name, chosen)
    if manifest is None:
        again = command_line(settings, "run", "--months", chosen)
        raise LakeError(f"{lake.location(model_card.name, chosen)}: run {again}")
    recorded = settings.as_recorded(manifest.settings)
    try:
        with tempfile.TemporaryDirectory(prefix="crm-assets-card-") as folder:
            beside = found.beside(Path(folder)).as_found()
            platform = beside_platform(recorded, beside)
            made = model_card.make(Inputs(model_card, platform, chosen), chosen)
            store(platform, model_card, chosen, made)
            right = pl.read_parquet(beside.table_path(model_card.name, chosen))
        stored = pl.read_parquet(found.table_path(model_card.name, chosen))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise LakeError(
            f"a table that the model card of {chosen} is made of cannot be read: {error}; make the month again with "
            f"{command_line(settings, 'run', '--months', chosen)}"
        ) from error
    wrong = [*_altered(lake, model_card, chosen), *_wrong_figures(stored, right)]
    numbers = sum(right[name].count() for name in _NUMBERS)
    for suffix, content in made.documents.items():
        printed = _printed(suffix, content)
        numbers += sum(len(NUMBER.findall(text)) for text in printed.values())
        there = found.document(model_card.name, chosen, suffix)
        if there != content:
            # Where nothing that is printed differs, something else does.
            told = list(differences(_printed(suffix, there), printed)) or ["is not what it should be"]
            wrong += [f"{chosen}.{suffix}: {difference}" for difference in told]
    notes = []
    if manifest.code_version != model_card.code_version:
        notes.append(f"The card was made by code version {manifest.code_version}, this is {model_card.code_version}.")
    check = command_line(settings, "verify", "--month", chosen)
    return CheckedCard(settings.dataset_name, chosen, check, numbers, tuple(wrong), tuple(notes))


def _held(settings: Settings, month: Month | None) -> tuple[Lake, Month]:
    return stored_month(settings, model_card.name, "model card", month)


def _suffix(text: object) -> DocumentSuffix:
    suffixes: dict[object, DocumentSuffix] = {"md": "md", "html": "html", "svg": "svg"}
    return suffixes[text]


def _printed(suffix: str, content: bytes) -> dict[str, str]:
    text = content.decode(errors="replace")
    if suffix == "md":
        return printed_on_markdown(text)
    return printed_on_html(text)


def _altered(lake: Lake, asset: MonthlyAsset, month: Month) -> Iterator[str]:
    """What is not the file that its manifest describes: the card itself, and what it was made from."""
    for needs in asset.needs:
        for needed in needs.months(month):
            if lake.manifest(needs.asset, needed) and not lake.is_intact(needs.asset, needed):
                yield f"{lake.location(needs.asset, needed)} was altered since it was made"
    for suffix in ("parquet", "md", "html", "svg"):
        if lake.manifest(asset.name, month, suffix) and not lake.is_intact(asset.name, month, suffix):
            yield f"{lake.location(asset.name, month, suffix)} was altered since it was made"


def _wrong_figures(stored: pl.DataFrame, right: pl.DataFrame) -> Iterator[str]:
    """One sentence per figure of the stored table that is not the right one."""
    key = list(model_card.table.key)
    there = {tuple(row[name] for name in key): row for row in stored.to_dicts()}
    should = {tuple(row[name] for name in key): row for row in right.to_dicts()}
    for at in dict.fromkeys([*should, *there]):
        place = "table: " + ", ".join(map(str, at))
        if at not in there or at not in should:
            yield f"{place}: {'missing' if at not in there else 'should not be there'}"
            continue
        for name in ("value", "low", "high", "told", "unit"):
            one, other = there[at][name], should[at][name]
            if not _same(one, other):
                yield f"{place}: {name} {one} is stored, not {other}"


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_SAME, abs_tol=_SAME)
    return bool(one == other)
