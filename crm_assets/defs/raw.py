"""Raw CRM tables: what the source knew at the end of a month, landed unchanged."""

from __future__ import annotations

from collections.abc import Callable

import narwhals as nw

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
        if evidence is Evidence.EXPORT and table is SALES_PIPELINE and month < source.months()[-1]:
            rows = replay(rows, month.end)
        notes: dict[str, object] = {"evidence": str(evidence), "source": source.url}
        if mended := source.notes(month):
            notes["mended"] = mended
        return Made(rows, notes=notes)

    return land


RAW_ASSETS: tuple[MonthlyAsset, ...] = tuple(
    MonthlyAsset(
        name=f"raw/{table.name}",
        table=table,
        make=_landing(table),
        needs=(),
        group="raw",
        description=f"{table.description} As the CRM knew it at the month-end; a late export is rolled back to it.",
        kinds=frozenset({"parquet"}),
        code=("history/replay",) if table is SALES_PIPELINE else (),
        source_fingerprint=True,
    )
    for table in CRM_TABLES
)
