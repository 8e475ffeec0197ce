"""One CSV or Parquet file -> one table typed as its contract says, or a message that says what is wrong where."""

from __future__ import annotations

import codecs
import csv
import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from crm_assets.contracts import Column, Kind, Table
from crm_assets.errors import SourceError

SUFFIXES = (".csv", ".parquet")
"""Endings of the files that can be read."""

_BLOCK = 1 << 20
_EXAMPLES = 3
_INDEX = " index"
"""A name that no column of a contract has."""
_UTF8, _LATIN1 = "utf-8-sig", "cp1252"
"""Windows-1252 is Latin-1 with printable characters, such as the curly apostrophe, where Latin-1 has control codes."""

_FOREIGN = {
    b"PK\x03\x04": "an Excel workbook or another zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "compressed by gzip",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
FORMS = {
    Kind.STRING: "text",
    Kind.INTEGER: "a whole number (as in 1234: at most 64 bits, no thousands separators)",
    Kind.FLOAT: "a number (as in 1234.5: no thousands separators, no signs of currency, no NaN or infinity)",
    Kind.BOOLEAN: "true or false",
    Kind.DATE: "a date (YYYY-MM-DD)",
}
"""How messages say what a value should be."""


@dataclass(frozen=True)
class Records:
    """How messages name the records of a file.

    Attributes:
        shown: the file.
        unit: what is counted, a line or a row.
        numbers: indices of rows, ascending from 0 -> their numbers for people.
    """

    shown: str
    unit: str
    numbers: Callable[[list[int]], list[int]]


@dataclass(frozen=True)
class Reading:
    """A table that was read.

    Attributes:
        frame: the contract's columns, in its order and types; empty strings are nulls. A Parquet file is read only
            when the frame is collected, its types and numbers are already checked.
        notes: what was mended without loss, one sentence each.
        records: how to name its rows; None where no file was read.
    """

    frame: pl.LazyFrame
    notes: tuple[str, ...] = ()
    records: Records | None = None


@dataclass(frozen=True)
class Fault:
    """What may be wrong with a value.

    Attributes:
        column: the one that holds it.
        broken: true for a bad row; null counts as false.
        said: what is wrong, with `{value}` for the value and the names of other columns for theirs.
        remedy: what to do.
    """

    column: str
    broken: pl.Expr
    said: str
    remedy: str = "Mend the file"


def refuse(frame: pl.LazyFrame, records: Records, faults: Iterable[Fault]) -> None:
    """Raise SourceError when a row of `frame` has one of the faults: each with its first place and value."""
    named = {str(index): fault for index, fault in enumerate(faults)}
    messages = []
    for index, count in _counts(frame, {index: fault.broken for index, fault in named.items()}).items():
        fault = named[index]
        examples = frame.with_row_index(_INDEX).filter(fault.broken).head(_EXAMPLES).collect()
        first = records.numbers(examples[_INDEX].to_list())
        cells = {"value": fault.column} | {name: name for name in examples.columns}
        shown = {cell: _quoted(examples[name]) for cell, name in cells.items() if f"{{{cell}}}" in fault.said}
        messages.append(
            f"{records.shown} {records.unit} {first[0]}, column {fault.column}: {fault.said.format(**shown)}"
            f"{_more(count, 'value', records.unit, first)}. {fault.remedy}."
        )
    if messages:
        raise SourceError("\n".join(messages))


def trimmed_notes(frame: pl.LazyFrame, records: Records, trimmed: Mapping[str, pl.Expr]) -> tuple[str, ...]:
    """A sentence for each column with values that white space is removed around, where `trimmed` is true."""
    return tuple(
        f"{records.shown}: white space removed around {_count(count, 'value')} of column {name}."
        for name, count in _counts(frame, trimmed).items()
    )


def read_table(file: Path, table: Table, shown: str) -> Reading:
    """Read `file`, a CSV or Parquet file by its ending, as `table`.

    CSV is UTF-8, with or without a byte order mark, or else Latin-1; columns may be in any order. Messages name the
    line, counted from 1, that a record begins in (it has several when there are line breaks inside quotes), or the
    row of a Parquet file, counted from 1.

    Args:
        file: a local file.
        table: the contract.
        shown: how messages name the file.

    Raises SourceError when the file does not fit the contract. Allowed values, minima, required values and keys are
    left to the quality rules.
    """
    if file.stat().st_size == 0:
        raise SourceError(f"{shown} is empty (0 bytes). Export or copy it again.")
    return _read_csv(file, table, shown) if file.suffix == ".csv" else _read_parquet(file, table, shown)


def no_rows(table: Table) -> Reading:
    """`table` without rows, for an optional table that a source lacks."""
    return Reading(pl.LazyFrame(schema=table.polars_schema()))


def _read_csv(file: Path, table: Table, shown: str) -> Reading:
    from pyarrow import csv as arrow_csv

    _refuse_binary(file, shown)
    encoding = _encoding(file, shown)
    notes = [] if encoding == _UTF8 else [f"{shown} is not UTF-8 and was read as Latin-1 (Windows-1252)."]
    records = _records(file, encoding, shown)
    _, header = next(records, (0, []))
    if not any(name.strip() for name in header):
        raise SourceError(f"{shown} has no header. Its first line must name the columns.")
    _refuse_separators(header, table, shown)
    names, more_notes = _checked_names(header, table, shown)
    rows = _checked_widths(records, len(header), shown)
    if rows == 0:
        if table.optional:
            return no_rows(table)
        raise SourceError(f"{shown} has a header but no rows. Export it again.")
    # Polars fills short rows silently and refuses a quote inside an unquoted value; Arrow reads as the csv module does.
    arrow = arrow_csv.read_csv(
        file,
        # Longer than the longest record that the csv module lets through.
        read_options=arrow_csv.ReadOptions(encoding="utf8" if encoding == _UTF8 else encoding, block_size=16 << 20),
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(header, "string")),
    )
    frame = pl.DataFrame(arrow).rename(names)

    def lines(wanted: list[int]) -> list[int]:
        return _lines(file, encoding, shown, wanted)

    typed = _typed(frame.lazy(), table, Records(shown, "line", lines))
    return replace(typed, frame=typed.frame.collect().lazy(), notes=(*notes, *more_notes, *typed.notes))


def _read_parquet(file: Path, table: Table, shown: str) -> Reading:
    try:
        scan = pl.scan_parquet(file, glob=False, hive_partitioning=False)
        names, notes = _checked_names(scan.collect_schema().names(), table, shown)
        rows = scan.select(pl.len()).collect().item()
        if rows == 0 and not table.optional:
            raise SourceError(f"{shown} has no rows. Export it again.")
        records = Records(shown, "row", lambda wanted: [index + 1 for index in wanted])
        typed = _typed(scan.rename(names), table, records)
    except pl.exceptions.PolarsError as error:
        said = str(error).partition("\n")[0]
        raise SourceError(
            f"{shown} cannot be read as Parquet; it may be truncated or of another format ({said}). "
            "Export or copy it again."
        ) from error
    return replace(typed, notes=(*notes, *typed.notes))


def _refuse_binary(file: Path, shown: str) -> None:
    with file.open("rb") as stream:
        start = stream.read(4)
        stream.seek(0)
        binary = any(b"\0" in block for block in iter(lambda: stream.read(_BLOCK), b""))
    what = "binary (it holds NUL characters)" if binary else ""
    what = next((name for magic, name in _FOREIGN.items() if start.startswith(magic)), what)
    if what:
        raise SourceError(
            f"{shown} is not CSV: it is {what}. Save it as CSV in UTF-8, or give a Parquet file that ends in .parquet."
        )


def _encoding(file: Path, shown: str) -> str:
    for encoding in (_UTF8, _LATIN1):
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            with file.open("rb") as stream:
                for block in iter(lambda: stream.read(_BLOCK), b""):
                    decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            continue
        return encoding
    raise SourceError(f"{shown} is neither UTF-8 nor Latin-1 text. Save it as CSV in UTF-8.")


def _records(file: Path, encoding: str, shown: str) -> Iterator[tuple[int, list[str]]]:
    """The line that each record begins in, and its fields; blank lines are skipped."""
    with file.open(encoding=encoding, newline="") as stream:
        reader = csv.reader(stream, strict=True)
        line = 1
        try:
            for fields in reader:
                if fields:
                    yield line, fields
                line = reader.line_num + 1
        except csv.Error as error:
            raise SourceError(
                f"{shown} line {line}: the quotes of the record that begins there do not match ({error}). Close every "
                'quote, and double those inside a value: "5"" screen".'
            ) from error


def _lines(file: Path, encoding: str, shown: str, wanted: list[int]) -> list[int]:
    """Lines in which the data records of the given indices (ascending, from 0) begin."""
    found: list[int] = []
    records = _records(file, encoding, shown)
    next(records)
    for index, (line, _) in enumerate(records):
        if index == wanted[len(found)]:
            found.append(line)
            if len(found) == len(wanted):
                break
    return found


def _refuse_separators(header: list[str], table: Table, shown: str) -> None:
    if len(header) > 1 or len(table.columns) == 1:
        return
    for separator, what in _SEPARATORS.items():
        if separator in header[0]:
            raise SourceError(f"{shown} separates its columns by {what}. Save it with commas.")


def _checked_names(found: list[str], table: Table, shown: str) -> tuple[dict[str, str], list[str]]:
    """Name in the file -> name in the contract, and notes. Raises SourceError unless each column is there once."""
    names = [name.strip() for name in found]
    for name in names:
        places = [str(place) for place, other in enumerate(names, start=1) if other == name]
        if len(places) > 1:
            raise SourceError(
                f"{shown}: {len(places)} columns are called {name!r} (columns {_listed(places)}). Keep one of them."
            )
    missing = [name for name in table.column_names if name not in names]
    unknown = [name for name in names if name not in table.column_names]
    if missing or unknown:
        faults = [f"lacks the column {name}" for name in missing]
        for name in unknown:
            near = difflib.get_close_matches(name.lower(), missing, n=1)
            faults.append(f"has the unknown column {name!r}" + (f", perhaps meant as {near[0]}" if near else ""))
        raise SourceError(
            f"{shown} {', '.join(faults)}. Table {table.name} has exactly the columns "
            f"{_listed(table.column_names)}, in any order. Rename, add or remove columns."
        )
    trimmed = [repr(name) for name in found if name != name.strip()]
    notes = [f"{shown}: white space removed around the column name {', '.join(trimmed)}."] if trimmed else []
    return dict(zip(found, names, strict=True)), notes


def _checked_widths(records: Iterator[tuple[int, list[str]]], width: int, shown: str) -> int:
    """Number of records. Raises SourceError unless each has `width` fields."""
    rows = faults = 0
    fields = 0
    first: list[int] = []
    for line, record in records:
        rows += 1
        if len(record) != width:
            faults += 1
            if not first:
                fields = len(record)
            if len(first) < _EXAMPLES:
                first.append(line)
    if faults:
        raise SourceError(
            f"{shown} line {first[0]}: {_count(fields, 'value')} where the header has {_count(width, 'column')}"
            f"{_more(faults, 'line', 'line', first)}. Mend the line; a comma inside a value needs double quotes around "
            "the value."
        )
    return rows


@dataclass(frozen=True)
class Cast:
    """How a column becomes what its contract says: its value, and where that would lose or invent something."""

    value: pl.Expr
    fault: pl.Expr | None = None
    trimmed: pl.Expr | None = None


def _typed(frame: pl.LazyFrame, table: Table, records: Records) -> Reading:
    """`frame` in the contract's types and order.

    Args:
        frame: the contract's columns in any order, of the types they have in the file.
        table: the contract.
        records: how messages name its rows.
    """
    schema = frame.collect_schema()
    wanted = table.polars_schema()
    casts = {c.name: _cast(c, schema[c.name], wanted[c.name], records.shown) for c in table.columns}
    faults = []
    for name, cast in casts.items():
        column = table.column(name)
        if cast.fault is not None:
            remedy = "Mend the file" if column.required else "Mend the file, or leave the cell empty if it is not known"
            faults.append(Fault(name, cast.fault, f"{{value}} is not {FORMS[column.kind]}", remedy))
    refuse(frame, records, faults)
    trims = {name: cast.trimmed for name, cast in casts.items() if cast.trimmed is not None}
    typed = frame.select(**{name: cast.value for name, cast in casts.items()})
    return Reading(typed, trimmed_notes(frame, records, trims), records)


def _counts(frame: pl.LazyFrame, conditions: Mapping[str, pl.Expr]) -> dict[str, int]:
    """How many rows fulfil each condition, those left out that none fulfils."""
    if not conditions:
        return {}
    sums = frame.select(**{name: condition.fill_null(False).sum() for name, condition in conditions.items()})
    return {name: count for name, count in sums.collect(engine="streaming").row(0, named=True).items() if count}


def _cast(column: Column, found: pl.DataType, wanted: pl.DataType, shown: str) -> Cast:
    """How `column` becomes `wanted` from a column of type `found`. Raises SourceError when it cannot."""
    raw = pl.col(column.name)
    cast: Cast | None = None
    if found == pl.Null or found == wanted == pl.Boolean:
        cast = Cast(raw.cast(wanted))
    elif found == pl.String:
        cast = cast_text(raw, column.kind)
    elif column.kind is Kind.STRING and (found.is_integer() or isinstance(found, (pl.Categorical, pl.Enum))):
        cast = Cast(raw.cast(pl.String))
    elif column.kind in {Kind.INTEGER, Kind.FLOAT} and found.is_numeric():
        cast = _cast_number(raw, found, wanted)
    elif column.kind is Kind.DATE and (found == pl.Date or isinstance(found, pl.Datetime)):
        cast = _cast_date(raw, found)
    if cast is None:
        raise SourceError(
            f"{shown}: column {column.name} is of type {found}, where {FORMS[column.kind]} is needed. Write the "
            f"column as {column.kind.value}."
        )
    return cast


def _cast_number(raw: pl.Expr, found: pl.DataType, wanted: pl.DataType) -> Cast:
    value = raw.cast(wanted, strict=False)
    if found.is_decimal() and wanted.is_float():
        return Cast(value)
    fault = raw.is_not_null() & value.cast(found, strict=False).ne_missing(raw)
    return Cast(value, fault | ~value.is_finite() if wanted.is_float() else fault)


def _cast_date(raw: pl.Expr, found: pl.DataType) -> Cast:
    value = raw if found == pl.Date else raw.dt.date()
    # Python, unlike Polars, has no other years.
    fault = ~value.dt.year().is_between(1, 9999)
    return Cast(value, fault if found == pl.Date else fault | (raw.dt.time() != pl.time(0, 0, 0)))


def cast_text(raw: pl.Expr, kind: Kind) -> Cast:
    """How text becomes a value of `kind`."""
    if kind is Kind.STRING:
        return Cast(pl.when(raw != "").then(raw))
    text = raw.str.strip_chars()
    match kind:
        case Kind.INTEGER:
            value = text.str.replace(r"\.0*$", "").cast(pl.Int64, strict=False)
            good = value.is_not_null()
        case Kind.FLOAT:
            value = text.cast(pl.Float64, strict=False)
            good = value.is_finite()
        case Kind.BOOLEAN:
            value = text.str.to_lowercase().replace_strict(
                {"true": True, "false": False}, default=None, return_dtype=pl.Boolean
            )
            good = value.is_not_null()
        case _:
            value = text.str.to_date("%Y-%m-%d", strict=False)
            good = text.str.contains(_DATE) & (value.dt.year() >= 1)
    return Cast(value, (text != "") & ~good.fill_null(False), text != raw)


def _more(count: int, noun: str, unit: str, first: list[int]) -> str:
    if count == 1:
        return ""
    return f"; {count} such {noun}s, first at {unit}s {_listed([str(place) for place in first])}"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _listed(items: Iterable[str]) -> str:
    return ", ".join(items)


def _quoted(values: pl.Series) -> str:
    """The first value as messages show it."""
    # Python has no value for every date that Polars has, but Polars can write it.
    value = values.cast(pl.String)[0]
    text = repr(value) if values.dtype == pl.String else value
    return text if len(text) <= 60 else f"{text[:57]}..."
