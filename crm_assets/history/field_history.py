"""The pipeline as of a day from the history of its fields: what happened when, and when that was known."""

from __future__ import annotations

from datetime import date
from typing import Any

import narwhals as nw

from crm_assets.contracts import ENGAGING, HISTORY_FIELDS, LOST, PROSPECTING, SALES_PIPELINE, WON

_FIELD = ("object_id", "field")
_TRANSITION = (*_FIELD, "old_value", "new_value")
_DATES = ("engage_date", "close_date")


def pipeline_as_of(events: nw.LazyFrame[Any], as_of: date) -> nw.LazyFrame[Any]:
    """Rows of `sales_pipeline` as they were known at the end of `as_of`.

    Only events recorded and changed by then count, so what is recorded later changes later days only.

    - A transition (object, field, old value, new value) recorded again corrects its day: the last recorded counts, of
      two recorded on one day the later. It happened twice where, in between, another transition led back to the old
      value (won, reopened, won again).
    - A field has the value that its latest day ended with, which more of that day's transitions lead to than away
      from. Where there are several, the last recorded counts, then the greatest. A day that ends where it began
      changes nothing.
    - An opportunity exists from its first event on. A closed deal that is engaged again is open again.
    - `engage_date` is the day of the first transition into Engaging, empty while prospecting; `close_date` that of the
      last one into the stage it closed with, and like `close_value` empty while not closed. A change of the field
      `engage_date` or `close_date` itself takes the place of that day, unless the transition was recorded after it;
      an empty one withdraws what was given before.

    Args:
        events: columns of `contracts.OPPORTUNITY_HISTORY`; values of `close_value` are numbers, of dates YYYY-MM-DD.
        as_of: a day, mostly a month-end.

    Returns:
        The columns of `contracts.SALES_PIPELINE`, sorted by opportunity_id. A field without an event is empty, and
        quality control reports the row where it is required.
    """
    known = _known(events, as_of)
    changes = _last_recorded(known)
    engaged, closed = _engagements(changes), _closings(changes)
    rows = (
        known.group_by("object_id")
        .agg(nw.col("changed_at").min().alias("first_change"))
        .join(_wide(_values(changes)), on="object_id", how="left")
        .join(engaged, on="object_id", how="left")
        .join(closed, on=["object_id", "deal_stage"], how="left")
    )
    stage = nw.col("deal_stage")
    is_closed = stage.is_in([WON, LOST])
    columns = {
        "opportunity_id": nw.col("object_id"),
        "engage_date": nw.when(stage != PROSPECTING).then(_day("engage_date")),
        "close_date": nw.when(is_closed).then(_day("close_date")),
        "close_value": nw.when(is_closed).then(nw.col("close_value").cast(nw.Float64())),
    }
    named = (columns.get(name, nw.col(name)).alias(name) for name in SALES_PIPELINE.column_names)
    return rows.select(*named).sort("opportunity_id")


def _known(events: nw.LazyFrame[Any], as_of: date) -> nw.LazyFrame[Any]:
    """Each transition on each day it is said to have happened on, with the last day that said so; "" for no value."""
    by_then = (nw.col("recorded_at") <= nw.lit(as_of)) & (nw.col("changed_at") <= nw.lit(as_of))
    return (
        events.filter(by_then)
        .select(
            # Joins pass over nulls, and some engines keep categories apart from text.
            *(nw.col(name).cast(nw.String()).fill_null("").alias(name) for name in _TRANSITION),
            "changed_at",
            "recorded_at",
        )
        .filter(nw.col("old_value") != nw.col("new_value"))
        .group_by(*_TRANSITION, "changed_at")
        .agg(nw.col("recorded_at").max())
    )


def _last_recorded(known: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """`known` without the days of transitions that were corrected later."""
    # How many ways had led to the old value by then tells a correction from a transition that happened again. The first
    # one led there before it, whatever its day says.
    ways = (
        known.group_by(*_TRANSITION)
        .agg(nw.col("changed_at").min().alias("since"))
        .select(*_FIELD, nw.col("new_value").alias("old_value"), "since")
    )
    led_here = (nw.col("since") <= nw.col("changed_at")).fill_null(False).cast(nw.Int64())
    counted = (
        known.join(ways, on=[*_FIELD, "old_value"], how="left")
        .with_columns(led_here.alias("ways"))
        .group_by(*_TRANSITION, "changed_at", "recorded_at")
        .agg(nw.col("ways").sum().cast(nw.Int64()).clip(1).alias("ways"))
    )
    last = _greatest(counted, "recorded_at", (*_TRANSITION, "ways"))
    return last.group_by(*_TRANSITION, "ways", "recorded_at").agg(nw.col("changed_at").max())


def _values(changes: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """The value of each field, as `new_value`, with the day it was recorded."""
    day = (*_FIELD, "changed_at")
    arrived = changes.group_by(*day, "new_value").agg(nw.len().alias("arrived"), nw.col("recorded_at").max())
    left = changes.group_by(*day, "old_value").agg(nw.len().alias("left")).rename({"old_value": "new_value"})
    stayed = nw.col("arrived").cast(nw.Int64()) > nw.col("left").cast(nw.Int64()).fill_null(0)
    ends = arrived.join(left, on=[*day, "new_value"], how="left").filter(stayed)
    last = _greatest(_greatest(ends, "changed_at", _FIELD), "recorded_at", _FIELD)
    return last.group_by(*_FIELD, "recorded_at").agg(nw.col("new_value").max())


def _wide(values: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """A row per opportunity with a column per field, and of the fields that are dates the day each was recorded."""
    columns = {name: nw.when(nw.col("field") == name).then(nw.col("new_value")) for name in HISTORY_FIELDS}
    columns |= {f"{name}_given": nw.when(nw.col("field") == name).then(nw.col("recorded_at")) for name in _DATES}
    wide = (
        values.with_columns(*(value.alias(name) for name, value in columns.items()))
        .group_by("object_id")
        .agg(*(nw.col(name).max() for name in columns))
    )
    return wide.with_columns(*(nw.when(nw.col(name) != "").then(nw.col(name)).alias(name) for name in HISTORY_FIELDS))


def _engagements(changes: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """The first day each opportunity was engaged, and when that was recorded."""
    into = changes.filter((nw.col("field") == "deal_stage") & (nw.col("new_value") == ENGAGING))
    first = into.with_columns(nw.col("changed_at").min().over("object_id").alias("first"))
    return (
        first.filter(nw.col("changed_at") == nw.col("first"))
        .group_by("object_id")
        .agg(nw.col("first").max().alias("engage_date_happened"), nw.col("recorded_at").max())
        .rename({"recorded_at": "engage_date_recorded"})
    )


def _closings(changes: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """The last day each opportunity went into each closed stage, and when that was recorded."""
    into = changes.filter((nw.col("field") == "deal_stage") & nw.col("new_value").is_in([WON, LOST]))
    return (
        _greatest(into, "changed_at", ("object_id", "new_value"))
        .group_by("object_id", "new_value")
        .agg(nw.col("changed_at").max().alias("close_date_happened"), nw.col("recorded_at").max())
        .rename({"new_value": "deal_stage", "recorded_at": "close_date_recorded"})
    )


def _day(name: str) -> nw.Expr:
    """The day of a transition, or the one that was given for it no earlier than the transition was recorded."""
    given, happened = nw.col(name).str.to_date(format="%Y-%m-%d"), nw.col(f"{name}_happened")
    corrected = happened.is_null() | (nw.col(f"{name}_given") >= nw.col(f"{name}_recorded"))
    return nw.when(corrected & ~nw.col(name).is_null()).then(given).otherwise(happened)


def _greatest(frame: nw.LazyFrame[Any], name: str, by: tuple[str, ...]) -> nw.LazyFrame[Any]:
    """The rows in which column `name` is at its greatest among those that are equal in the columns `by`."""
    greatest = frame.with_columns(nw.col(name).max().over(*by).alias("greatest"))
    return greatest.filter(nw.col(name) == nw.col("greatest")).drop("greatest")
