"""One CSV or Parquet file of field history -> the changes it tells, or a message that says what is wrong where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl

from crm_assets.contracts import HISTORY_FIELDS, OPPORTUNITY_HISTORY, SALES_PIPELINE, Kind
from crm_assets.sources.reading import FORMS, Fault, Reading, cast_text, read_table, refuse, trimmed_notes

_VALUES = ("old_value", "new_value")
_KINDS = {name: kind for name in HISTORY_FIELDS if (kind := SALES_PIPELINE.column(name).kind) is not Kind.STRING}
"""Fields whose values are numbers or dates."""


def read_history(file: Path, shown: str) -> Reading:
    """Read `file` as `contracts.OPPORTUNITY_HISTORY`; equal numbers, and equal dates, are the same text afterwards.

    Args:
        file: a local CSV or Parquet file.
        shown: how messages name the file.

    Raises SourceError as `read_table` does, and where a required cell is empty, a field is unknown, a value of
    `close_value` is no number or one of a date no date, or a change was recorded before it happened. One wrong change
    makes every later value of its field doubtful: unlike a row of a table it cannot be kept out by itself.
    """
    reading = read_table(file, OPPORTUNITY_HISTORY, shown)
    assert reading.records is not None
    refuse(reading.frame, reading.records, _faults())
    trimmed = {value: pl.any_horizontal(*_trimmed(value)) for value in _VALUES}
    notes = trimmed_notes(reading.frame, reading.records, trimmed)
    return replace(reading, frame=reading.frame.with_columns(map(_alike, _VALUES)), notes=(*reading.notes, *notes))


def _faults() -> Iterator[Fault]:
    for column in OPPORTUNITY_HISTORY.columns:
        if column.required:
            yield Fault(column.name, pl.col(column.name).is_null(), "every change needs one, here is none")
    yield Fault("field", ~pl.col("field").is_in(HISTORY_FIELDS), f"{{value}} is none of {', '.join(HISTORY_FIELDS)}")
    for field, kind in _KINDS.items():
        for value in _VALUES:
            fault = cast_text(pl.col(value), kind).fault
            if fault is not None:
                said = f"{{value}}, as {field} of {{object_id}}, is not {FORMS[kind]}"
                yield Fault(value, (pl.col("field") == field) & fault, said)
    yield Fault(
        "recorded_at",
        pl.col("recorded_at") < pl.col("changed_at"),
        "{value} is before the day the {field} of {object_id} changed, {changed_at}: no change is known before it "
        "happens",
    )


def _trimmed(value: str) -> Iterator[pl.Expr]:
    for field, kind in _KINDS.items():
        trimmed = cast_text(pl.col(value), kind).trimmed
        if trimmed is not None:
            yield (pl.col("field") == field) & trimmed


def _alike(value: str) -> pl.Expr:
    """The column, with numbers and dates written in one way: changes are put in order by equal values."""
    alike = pl.col(value)
    for field, kind in _KINDS.items():
        same = cast_text(pl.col(value), kind).value.cast(pl.String)
        alike = pl.when(pl.col("field") == field).then(same).otherwise(alike)
    return alike.alias(value)
