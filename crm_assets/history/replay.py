"""Rolls one late export back to an earlier month-end, by the contract's rules on when each value became known."""

from __future__ import annotations

from datetime import date
from typing import Any

import narwhals as nw

from crm_assets.contracts import ENGAGING, LOST, SALES_PIPELINE, WON, Known


def replay(pipeline: nw.LazyFrame[Any], as_of: date) -> nw.LazyFrame[Any]:
    """What of a later export of `sales_pipeline` was certainly known at the end of `as_of`.

    Args:
        pipeline: the export, columns of `contracts.SALES_PIPELINE`.
        as_of: a month-end before the export was taken.

    Returns:
        The same columns, of the opportunities engaged by `as_of`. Deals that closed later are open again, columns known
        at close are blank on them, and columns that are `late, unknown when` are blank on every row. Prospecting
        opportunities are left out: the export does not say since when they exist.
    """
    day = nw.lit(as_of)
    engaged = nw.col("engage_date") <= day
    # A row without an engage date is kept once it closed, so that quality control sees and reports it.
    closed_without_engagement = nw.col("engage_date").is_null() & (nw.col("close_date") <= day)
    # A closed stage without a close date stays as it is: nothing says when it closed, and quality control reports it.
    closed = nw.col("close_date") <= day
    undated = nw.col("close_date").is_null() & nw.col("deal_stage").is_in([WON, LOST])
    columns = []
    for column in SALES_PIPELINE.columns:
        value = nw.col(column.name)
        if column.name == "deal_stage":
            value = nw.when(nw.col("close_date") > day).then(nw.lit(ENGAGING)).otherwise(value)
        elif column.known is Known.CLOSED:
            value = nw.when(closed | undated).then(value)
        elif column.known is Known.LATE:
            value = nw.when(nw.lit(False)).then(value)
        columns.append(value.alias(column.name))
    return pipeline.filter(engaged | closed_without_engagement).select(*columns)
