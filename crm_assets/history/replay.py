"""Rolls one late export back to an earlier month-end, by the contract's rules on when each value became known."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import narwhals as nw

from crm_assets.contracts import ENGAGING, LOST, SALES_PIPELINE, WON, Known


def as_known(
    pipeline: nw.LazyFrame[Any], as_of: date, *, exported_on: date | None, days_late: int
) -> nw.LazyFrame[Any]:
    """What a source's `sales_pipeline` says was known at the end of `as_of`.

    Args:
        pipeline: as the source gives it for that month, columns of `contracts.SALES_PIPELINE`.
        as_of: a month-end.
        exported_on: day the one late export was taken; None for the extract of that month.
        days_late: days after the month-end by which an extract may have been taken.
    """
    if exported_on is None:
        return without_days_late(pipeline, as_of, as_of + timedelta(days=days_late))
    return replay(pipeline, as_of, exported_on) if exported_on > as_of else pipeline


def replay(pipeline: nw.LazyFrame[Any], as_of: date, taken_on: date) -> nw.LazyFrame[Any]:
    """What of a later export of `sales_pipeline` was certainly known at the end of `as_of`.

    Args:
        pipeline: the export, columns of `contracts.SALES_PIPELINE`.
        as_of: a month-end before the export was taken.
        taken_on: day the export was taken.

    Returns:
        The same columns, of the opportunities engaged by `as_of`. Deals that closed later are open again, columns known
        at close are blank on them, and columns that are `late, unknown when` are blank on every row. Prospecting
        opportunities are left out: the export does not say since when they exist. Rows dated after `taken_on` are
        mistaken and stay as they are, so that quality control sees and reports them.
    """
    # A row without an engage date is kept once it closed, so that quality control sees and reports it.
    closed_without_engagement = nw.col("engage_date").is_null() & (nw.col("close_date") <= nw.lit(as_of))
    engaged = (nw.col("engage_date") <= nw.lit(as_of)) | (nw.col("engage_date") > nw.lit(taken_on))
    undone = _undone(pipeline.filter(engaged | closed_without_engagement), as_of, taken_on)
    # A closed stage without a close date stays as it is: nothing says when it closed, and quality control reports it.
    is_open = nw.col("close_date").is_null() & ~nw.col("deal_stage").is_in([WON, LOST])
    columns = []
    for column in SALES_PIPELINE.columns:
        value = nw.col(column.name)
        if column.known is Known.CLOSED and column.name != "deal_stage":
            value = nw.when(~is_open).then(value)
        elif column.known is Known.LATE:
            value = nw.when(nw.lit(False)).then(value)
        columns.append(value.alias(column.name))
    return undone.select(*columns)


def without_days_late(pipeline: nw.LazyFrame[Any], as_of: date, taken_on: date) -> nw.LazyFrame[Any]:
    """An extract that was taken some days after its month-end, without what happened in those days.

    Args:
        pipeline: the extract, columns of `contracts.SALES_PIPELINE`.
        as_of: the month-end it stands for.
        taken_on: the last day it may have been taken on.

    Returns:
        The same columns. Opportunities engaged in those days are left out; deals closed in them are open again, without
        what is known at close or later. Rows dated after `taken_on` are mistaken and stay as they are.
    """
    engaged_late = (nw.col("engage_date") > nw.lit(as_of)) & (nw.col("engage_date") <= nw.lit(taken_on))
    # Not `~engaged_late`: it is null, and the row lost, where there is no engage date.
    kept = nw.when(engaged_late).then(nw.lit(False)).otherwise(nw.lit(True))
    return _undone(pipeline.filter(kept), as_of, taken_on)


def _undone(pipeline: nw.LazyFrame[Any], as_of: date, taken_on: date) -> nw.LazyFrame[Any]:
    """Deals that closed after `as_of` and by `taken_on` open again, without what is known at close or later."""
    later = (nw.col("close_date") > nw.lit(as_of)) & (nw.col("close_date") <= nw.lit(taken_on))
    columns = []
    for column in SALES_PIPELINE.columns:
        value = nw.col(column.name)
        if column.name == "deal_stage":
            value = nw.when(later).then(nw.lit(ENGAGING)).otherwise(value)
        elif column.known in (Known.CLOSED, Known.LATE):
            blank = nw.when(nw.lit(False)).then(value)
            value = nw.when(later).then(blank).otherwise(value)
        columns.append(value.alias(column.name))
    return pipeline.select(*columns)
