"""Raw CRM tables: what the source knew at the end of a month, landed unchanged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import narwhals as nw
import polars as pl

from crm_assets.calendar import Month
from crm_assets.contracts import CRM_TABLES, SALES_PIPELINE, Table
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.monthly import Made, MonthlyAsset
from crm_assets.history.replay import replay
from crm_assets.sources import Evidence


def _landing(table: Table) -> Callable[[Inputs, Month], Made]:
    def land(inputs: Inputs, month: Month) -> Made:
        source = inputs.source
        rows = nw.from_native(source.tables(month)[table.name])
        evidence = source.evidence
        rolled_back = False
        if evidence is Evidence.EXPORT:
            latest = _latest_date(source.tables(month)[SALES_PIPELINE.name])
            rolled_back = latest is not None and latest > month.end
        if rolled_back and table is SALES_PIPELINE:
            rows = replay(rows, month.end)
        notes: dict[str, object] = {"evidence": str(evidence), "rolled_back": rolled_back, "source": source.url}
        if mended := source.notes(month):
            notes["mended"] = mended
        return Made(rows, notes=notes)

    return land


def _latest_date(pipeline: pl.LazyFrame) -> date | None:
    """The newest engagement or close in the pipeline; None without any."""
    dates = pipeline.select(pl.max_horizontal(pl.col("engage_date").max(), pl.col("close_date").max())).collect()
    newest: date | None = dates.item()
    return newest


def _as_landed(table: Table) -> Table:
    """The contract without required values: an empty cell is landed, and then quarantined or told by a check."""
    return replace(table, columns=tuple(replace(column, required=False) for column in table.columns))


RAW_ASSETS: tuple[MonthlyAsset, ...] = tuple(
    MonthlyAsset(
        name=f"raw/{table.name}",
        table=_as_landed(table),
        make=_landing(table),
        needs=(),
        group="raw",
        description=f"{table.description} As the CRM knew it at the month-end; a late export is rolled back to it.",
        kinds=frozenset({"parquet"}),
        code=("sources", "history/replay", "defs/raw"),
        source_fingerprint=True,
    )
    for table in CRM_TABLES
)
