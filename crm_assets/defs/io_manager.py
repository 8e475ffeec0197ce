"""Stores what monthly assets make in the lake, month by month, and tells Dagster about each month."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import narwhals as nw
import polars as pl

from crm_assets.calendar import Month
from crm_assets.defs.assets import MonthsToMake
from crm_assets.defs.monthly import Made, MonthlyAsset
from crm_assets.defs.patience import database_awaited
from crm_assets.defs.platform import Platform
from crm_assets.defs.provenance import DOCUMENTS, RETRAINED, current, refuse_changed_source
from crm_assets.defs.retries import io_retried
from crm_assets.defs.run_tags import process_tags
from crm_assets.defs.shown_metadata import markdown, picture
from crm_assets.errors import LakeError
from crm_assets.lake import Manifest, Provenance
from crm_assets.lake.lake import Notes

_PREVIEW_ROWS = 5


class LakeIOManager(dg.IOManager):
    """Writes every month of a step to the lake as soon as it is made; a month is there whole or as it was before."""

    def handle_output(self, context: dg.OutputContext, obj: MonthsToMake) -> None:
        """Make and store each month of the step, with its own metadata on its own partition."""
        with io_retried(context.step_context.previous_attempt_count):
            self._store_all(context, obj)

    def _store_all(self, context: dg.OutputContext, obj: MonthsToMake) -> None:
        for month, found in obj.made():
            newest = month == obj.months[-1]
            obj.platform.check_lock()
            if found is None:
                manifest = kept(obj.platform, obj.asset, month)
            else:
                made, made_from = found
                manifest = store(obj.platform, obj.asset, month, made, made_from)
            if obj.asset.stored and newest:
                # Of a month that is kept as well: what stored it may have been killed before it told.
                obj.asset.stored(obj.platform, manifest)
            if found is None:
                shown = kept_metadata(obj.platform, obj.asset, month, manifest)
            else:
                shown = shown_metadata(obj.platform, obj.asset, month, made, manifest, newest=newest)
            # The public way, on an asset's context, is over once its function has returned.
            context.step_context.add_asset_metadata(
                metadata=shown,
                asset_key=context.asset_key,
                partition_key=str(month),
            )
            obj.platform.tell(obj.asset.name, month)

    def load_input(self, context: dg.InputContext) -> None:
        """Nothing is loaded: assets read the months they need from the lake themselves."""
        raise NotImplementedError(f"{context.asset_key.to_user_string()} is read through the lake, not as an input")


@dg.io_manager(  # type: ignore[arg-type]  # its types do not know that a generator will do
    required_resource_keys={"platform"},
    description="The lake, which no other process writes to while the run goes on.",
)
def lake_io(context: dg.InitResourceContext) -> Iterator[LakeIOManager]:
    """The manager, for a run that has the lake to itself and says which process executes it."""
    platform: Platform = context.resources.platform
    if context.instance is not None and context.run is not None:
        context.instance.add_run_tags(context.run.run_id, process_tags(context.run.run_id))
    tell = context.log.info if context.log else print
    with database_awaited(), platform.writing(tell):
        yield LakeIOManager()


def store(
    platform: Platform, asset: MonthlyAsset, month: Month, made: Made, made_from: Provenance | None = None
) -> Manifest:
    """Write what was made for a month and its manifest.

    Args:
        platform: the deployment.
        asset, month: which.
        made: for them.
        made_from: as it was before anything was read; as it is now when None.

    Raises LakeError when it does not fit the asset's contract, SourceError when the source is not what it was made from
    any more; then nothing is stored.
    """
    made_from = made_from or current(platform, asset, month)
    sink = platform.engine_of(made.frame).sink

    def computed(frame: nw.LazyFrame[Any], file: Path) -> None:
        # Frames are lazy: the source is read to its end only here.
        sink(frame, file)
        if asset.source_fingerprint:
            refuse_changed_source(platform, month, made_from)

    for suffix, content in made.documents.items():
        platform.lake.write_document(asset.name, month, suffix, content, provenance=made_from)
    notes: Notes = {**made.notes, **({DOCUMENTS: [*made.documents]} if made.documents else {})}
    manifest = platform.lake.write_table(
        asset.name,
        month,
        made.frame,
        asset.table,
        sink=computed,
        provenance=made_from,
        notes=notes,
        keep_replaced=asset.keep_replaced,
    )
    platform.forget_manifest(asset.name, month)
    return manifest


def kept(platform: Platform, asset: MonthlyAsset, month: Month) -> Manifest:
    """The manifest of a month that a run found up to date. Raises LakeError when it is not there any more."""
    manifest = platform.manifest(asset.name, month)
    if manifest is None:
        raise LakeError(f"{platform.lake.location(asset.name, month)} was deleted while a run kept it: run it again")
    return manifest


def kept_metadata(platform: Platform, asset: MonthlyAsset, month: Month, manifest: Manifest) -> dict[str, Any]:
    """Row count, place, hash and figures of a month that a run found up to date.

    Dagster counts it as made by that run, and would otherwise show nothing of it.
    """
    listed = manifest.notes.get(DOCUMENTS, [])
    documents = listed if isinstance(listed, list) else []
    notes = {name: value for name, value in manifest.notes.items() if name != DOCUMENTS}
    told = _stored_metadata(platform, asset, month, manifest, notes=notes, documents=documents)
    return {**told, "kept": f"up to date since {manifest.written_at}, not made again"}


def _stored_metadata(
    platform: Platform,
    asset: MonthlyAsset,
    month: Month,
    manifest: Manifest,
    *,
    notes: Mapping[str, Any],
    documents: Iterable[Any],
) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "dagster/row_count": manifest.rows,
        "dagster/uri": platform.lake.location(asset.name, month),
        "sha256": manifest.sha256,
        "size_bytes": manifest.size_bytes,
    }
    if RETRAINED in manifest.settings:
        metadata[RETRAINED] = manifest.settings[RETRAINED]
    for name, value in notes.items():
        if value is None:
            continue
        metadata[name] = dg.MetadataValue.json(value) if isinstance(value, list | dict) else value
    for suffix in documents:
        metadata[f"{suffix}_report"] = dg.MetadataValue.path(platform.lake.location(asset.name, month, suffix))
    return metadata


def shown_metadata(
    platform: Platform, asset: MonthlyAsset, month: Month, made: Made, manifest: Manifest, *, newest: bool
) -> dict[str, Any]:
    """Row count, place, hash, preview, figures, and plots of one month if it is the newest of its run."""
    lake = platform.lake
    rows = pl.scan_parquet(lake.table_path(asset.name, month))
    if asset.preview_by:
        rows = rows.sort(asset.preview_by, descending=True, nulls_last=True, maintain_order=True)
    head = rows.head(_PREVIEW_ROWS).collect()
    metadata = _stored_metadata(platform, asset, month, manifest, notes=made.notes, documents=made.documents)
    metadata["preview"] = dg.MetadataValue.md(markdown(head))
    for title, table in made.shown.items():
        metadata[title] = dg.MetadataValue.md(markdown(table))
    for title, text in made.texts.items():
        metadata[title] = dg.MetadataValue.md(text)
    for title, address in made.links.items():
        metadata[title] = dg.MetadataValue.url(address)
    if newest:
        metadata |= {title: picture(title, draw()) for title, draw in made.plots.items()}
    return metadata
