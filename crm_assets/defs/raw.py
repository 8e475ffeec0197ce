"""Raw CRM tables: what the source knew at the end of a month, landed unchanged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import narwhals as nw
import polars as pl

from crm_assets.calendar import Month
from crm_assets.contracts import CRM_TABLES, OPPORTUNITY_HISTORY, SALES_PIPELINE, Table
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.monthly import Made, MonthlyAsset
from crm_assets.history.field_history import pipeline_as_of
from crm_assets.history.replay import as_known
from crm_assets.sources import Evidence


def _landing(table: Table) -> Callable[[Inputs, Month], Made]:
    def land(inputs: Inputs, month: Month) -> Made:
        source = inputs.source
        tables, evidence, exported_on = source.tables(month), source.evidence, source.exported_on
        rolled_back = evidence is Evidence.EXPORT and exported_on is not None and exported_on > month.end
        notes: dict[str, object] = {"evidence": str(evidence), "rolled_back": rolled_back, "source": source.url}
        if mended := source.notes(month):
            notes["mended"] = mended
        if table is SALES_PIPELINE and evidence is Evidence.FIELD_HISTORY:
            events = nw.from_native(tables[OPPORTUNITY_HISTORY.name])
            return Made(pipeline_as_of(events, month.end), notes=notes)
        rows = nw.from_native(tables[table.name])
        if table is SALES_PIPELINE:
            days_late = inputs.settings.extract_days_late
            if exported_on is None:
                notes |= _days_late(tables[table.name], month, month.end + timedelta(days=days_late))
            rows = as_known(rows, month.end, exported_on=exported_on, days_late=days_late)
        return Made(rows, notes=notes)

    return land


def _days_late(pipeline: pl.LazyFrame, month: Month, last_day: date) -> dict[str, object]:
    """What happened after the month-end, as notes; none when the extract was taken in time."""
    after = {
        "engaged_after_month_end": pl.col("engage_date").is_between(month.next.start, last_day),
        "closed_after_month_end": pl.col("close_date").is_between(month.next.start, last_day),
    }
    counted = pipeline.select(**{name: within.sum() for name, within in after.items()}).collect().row(0, named=True)
    return {name: count for name, count in counted.items() if count}


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
        description=f"{table.description} As the CRM knew it at the month-end, to which a late export is rolled back.",
        kinds=frozenset({"parquet"}),
        code=("sources", "history/replay", "history/field_history", "defs/raw"),
        settings=("exported_on", "extract_days_late"),
        source_fingerprint=True,
    )
    for table in CRM_TABLES
)
