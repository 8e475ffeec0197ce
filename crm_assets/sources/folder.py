"""A folder or S3 prefix of CSV or Parquet files: one folder a month, one late export, or field history."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from crm_assets.calendar import Month, month_range
from crm_assets.contracts import CRM_TABLES, FIELD_HISTORY_TABLES, OPPORTUNITY_HISTORY, SALES_PIPELINE, Kind, Table
from crm_assets.errors import SourceError
from crm_assets.sources.field_history import read_history
from crm_assets.sources.reading import SUFFIXES, Reading, no_rows, read_table
from crm_assets.sources.source import Evidence, Extract
from crm_assets.storage import StorageError, open_storage

if TYPE_CHECKING:
    import polars as pl

_MONTH = re.compile(r"(?!0000)[0-9]{4}-(0[1-9]|1[0-2])")
_TABLE_FILES = {f"{table.name}{suffix}" for table in CRM_TABLES for suffix in SUFFIXES}
_PIPELINE_FILES = {f"{SALES_PIPELINE.name}{suffix}" for suffix in SUFFIXES}
_HISTORY_FILES = {f"{OPPORTUNITY_HISTORY.name}{suffix}" for suffix in SUFFIXES}
_SHOWN = 10
_STRAY_SHARE = 0.005
"""Share of all dates up to which those after a gap are taken for mistyped."""
_LONGEST = 600
"""Months that one export or history may span; a longer one has a mistyped year."""

_Names: TypeAlias = set[str]


@dataclass(frozen=True)
class _Layout:
    """Names of what lies in each folder of a month, and at the top; those of folders end in a slash."""

    months: Mapping[Month, _Names]
    top: _Names

    @property
    def evidence(self) -> Evidence:
        if self.months:
            return Evidence.EXTRACT
        return Evidence.FIELD_HISTORY if self.top & _HISTORY_FILES else Evidence.EXPORT


@dataclass(frozen=True)
class _Files:
    """Tables for one month, the path of the file of each that has one, and SHA-256 over their contents in order."""

    tables: tuple[Table, ...]
    paths: Mapping[str, str]
    fingerprint: str

    @property
    def dated(self) -> Table:
        """The table whose dates tell the months."""
        return OPPORTUNITY_HISTORY if OPPORTUNITY_HISTORY in self.tables else SALES_PIPELINE


@dataclass(frozen=True)
class _Kept:
    """What was read last."""

    files: _Files
    readings: Mapping[str, Reading]

    @cached_property
    def dates(self) -> tuple[date, date] | tuple[None, None]:
        """Earliest and latest date in the pipeline, or in its history."""
        import polars as pl

        table = self.files.dated
        columns = [column.name for column in table.columns if column.kind is Kind.DATE]
        dates = pl.concat([pl.col(column) for column in columns])
        first, last = self.readings[table.name].frame.select(first=dates.min(), last=dates.max()).collect().row(0)
        return first, last

    @cached_property
    def stray(self) -> tuple[int, Month] | None:
        """How many dates lie after a month without any, and the first month of these, if they are a few of many.

        A single mistyped date would make up months in which nothing happens, and so deals that stay open.
        """
        import polars as pl

        table = self.files.dated
        columns = [column.name for column in table.columns if column.kind is Kind.DATE]
        dates = self.readings[table.name].frame.select(pl.concat([pl.col(column) for column in columns]).alias("date"))
        counted = dates.drop_nulls().group_by(pl.col("date").dt.strftime("%Y-%m")).len().collect()
        counts = {Month.parse(month): rows for month, rows in counted.iter_rows()}
        months = sorted(counts)
        for before, after in reversed(list(itertools.pairwise(months))):
            late = sum(rows for month, rows in counts.items() if month >= after)
            if before.next != after and late <= _STRAY_SHARE * sum(counts.values()):
                return late, after
        return None


class FolderSource:
    """Tables in files called for them, in a folder a month (`2017-05/sales_pipeline.csv`) or once at the top.

    At the top, `opportunity_history` may stand in place of `sales_pipeline`. Files that are called for no table, and
    folders without one, are passed over. What lies there is looked up anew by each call, so a month that lands later is
    seen; the tables read last are kept until their files change.

    Args:
        url: a folder, or `s3://bucket/prefix`.
        exported_on: day field history or one late export was taken; the latest date in it when None.

    Raises SourceError when it cannot be opened, SettingsError when it is neither.
    """

    def __init__(self, url: str, *, exported_on: date | None = None) -> None:
        if "://" not in url:
            url = str(Path(url).expanduser().resolve())
        with _storage_errors():
            self._storage = open_storage(url)
        self._exported_on = exported_on
        self._kept: _Kept | None = None

    @property
    def url(self) -> str:
        """The folder's absolute path, or `s3://bucket/prefix`."""
        return self._storage.url

    @property
    def evidence(self) -> Evidence:
        """Monthly extracts where there are folders a month, else field history where there is one, or a late export."""
        return self._layout().evidence

    @property
    def exported_on(self) -> date | None:
        """Day the history or late export was taken, as given or the latest date in it; None for monthly extracts."""
        layout = self._layout()
        return None if layout.months else self._taken(self._at_top(layout))[1]

    def months(self) -> list[Month]:
        """The months that have a folder; else those that ended between the earliest date and the day it was taken."""
        layout = self._layout()
        return sorted(layout.months) or self._ended_months(self._at_top(layout))

    def extracts(self) -> dict[Month, Extract]:
        """What a listing tells of each month's folder, sorted; nothing is read.

        Raises SourceError also where one late export or field history stands in place of monthly extracts.
        """
        with _storage_errors():
            stamps = self._storage.stamps()
        layout = self._laid_out([*stamps])
        if not layout.months:
            raise SourceError(f"{self.url} holds {layout.evidence}, to which no month is added")
        return {month: _listed(str(month), names, stamps) for month, names in sorted(layout.months.items())}

    def fingerprint(self, month: Month) -> str:
        """SHA-256 over the contents of the files that `month` is read from."""
        return self._files(month).fingerprint

    def tables(self, month: Month) -> Mapping[str, pl.LazyFrame]:
        """The five tables, as the files of `month` or those at the top hold them."""
        return {name: reading.frame for name, reading in self._read(self._files(month)).readings.items()}

    def notes(self, month: Month) -> list[str]:
        """Files read as Latin-1, and white space removed from column names, numbers and dates."""
        return [note for reading in self._read(self._files(month)).readings.values() for note in reading.notes]

    def _layout(self) -> _Layout:
        with _storage_errors():
            paths = self._storage.list()
        return self._laid_out(paths)

    def _laid_out(self, paths: Sequence[str]) -> _Layout:
        folders: dict[str, _Names] = {}
        top: _Names = set()
        for path in paths:
            first, slash, rest = path.partition("/")
            top.add(first + slash)
            if slash:
                second, slash, _ = rest.partition("/")
                folders.setdefault(first, set()).add(second + slash)
        folders = {folder: names for folder, names in folders.items() if names & _TABLE_FILES}
        wrong = [folder for folder in folders if _MONTH.fullmatch(folder) is None]
        if wrong:
            raise SourceError(
                f"{self.url} holds tables in folders that are not named for a month: {_some(wrong)}. Name the folder "
                "of a month YYYY-MM, for example 2017-05, or move it elsewhere."
            )
        exported, history = top & _TABLE_FILES, top & _HISTORY_FILES
        if folders and (exported or history):
            what = "a field history" if history else "one export"
            raise SourceError(
                f"{self.url} holds both monthly extracts ({_some(folders)}) and {what} at its top "
                f"({_some(exported | history)}). Keep one of the two."
            )
        if history and exported & _PIPELINE_FILES:
            raise SourceError(
                f"{self.url} holds both a field history ({_some(history)}) and the pipeline of one export "
                f"({_some(exported & _PIPELINE_FILES)}) at its top. Keep one of the two; the history tells more."
            )
        if not exported and not history and not folders:
            raise SourceError(
                f"{self.url} holds no table. Give a folder with one folder a month, such as "
                f"2017-05/{SALES_PIPELINE.name}.csv, or with one export, {SALES_PIPELINE.name}.csv and the others; "
                f"it holds {_some(paths) or 'no file'}."
            )
        return _Layout({Month.parse(folder): names for folder, names in folders.items()}, top)

    def _files(self, month: Month) -> _Files:
        layout = self._layout()
        if layout.months:
            if month not in layout.months:
                raise SourceError(
                    f"{self.url} has no extract of {month}; it holds {_ranges(sorted(layout.months))}. Add the folder "
                    f"{month}, or ask for another month."
                )
            return self._chosen(str(month), layout.months[month], CRM_TABLES)
        files = self._at_top(layout)
        months = self._ended_months(files)
        if month not in months:
            what = "export" if layout.evidence is Evidence.EXPORT else layout.evidence
            raise SourceError(
                f"{self.url}: the {what} tells about {_ranges(months)}, not about {month}. Ask for another month."
            )
        return files

    def _at_top(self, layout: _Layout) -> _Files:
        """The files of the late export, or of the field history."""
        kept = FIELD_HISTORY_TABLES if layout.evidence is Evidence.FIELD_HISTORY else CRM_TABLES
        return self._chosen("", layout.top, kept)

    def _chosen(self, folder: str, names: _Names, tables: tuple[Table, ...]) -> _Files:
        """The files of the tables in `folder`, where `names` lie."""
        place = f"{self.url}/{folder}".rstrip("/")
        paths = {}
        missing = []
        for table in tables:
            there = [f"{table.name}{suffix}" for suffix in SUFFIXES if f"{table.name}{suffix}" in names]
            if len(there) > 1:
                raise SourceError(f"{place} holds both {' and '.join(there)}. Keep one of them.")
            if there:
                paths[table.name] = f"{folder}/{there[0]}".lstrip("/")
            elif not table.optional:
                missing.append(f"{table.name}.csv")
        if missing:
            raise SourceError(
                f"{place} lacks {', '.join(missing)} (or .parquet); it holds {_some(names)}. Add what is missing."
            )
        with _storage_errors():
            contents = [self._storage.fingerprint(path) for path in paths.values()]
        return _Files(tables, paths, hashlib.sha256(" ".join(contents).encode()).hexdigest())

    def _read(self, files: _Files) -> _Kept:
        if self._kept is None or self._kept.files != files:
            readings = {}
            for table in files.tables:
                readings[table.name] = self._reading(table, files.paths.get(table.name))
            self._kept = _Kept(files, readings)
        return self._kept

    def _reading(self, table: Table, path: str | None) -> Reading:
        if path is None:
            return no_rows(table)
        with _storage_errors():
            file = self._storage.local_copy(path)
        shown = self._storage.location(path)
        return read_history(file, shown) if table is OPPORTUNITY_HISTORY else read_table(file, table, shown)

    def _taken(self, files: _Files) -> tuple[date, date]:
        """The earliest date in the history or late export, and the day it was taken."""
        first, last = self._read(files).dates
        if first is None or last is None:
            shown = self._storage.location(files.paths[files.dated.name])
            raise SourceError(
                f"{shown} has no engage_date and no close_date, so nothing tells which months it is about. Export it "
                "with its dates, or give monthly extracts."
            )
        return first, self._exported_on or last

    def _ended_months(self, files: _Files) -> list[Month]:
        """The months from the earliest date that had ended when the history or late export was taken.

        In a month that had not, a deal still open has not had its time: it must not count as one that stayed open.
        """
        first, taken = self._taken(files)
        shown = self._storage.location(files.paths[files.dated.name])
        stray = None if self._exported_on else self._read(files).stray
        if stray is not None:
            raise SourceError(
                f"{shown} has {stray[0]} dates from {stray[1]} on, after months without any: they look mistyped, and "
                "would make up months in which nothing happens. Mend them, or set CRM_EXPORTED_ON to the day the "
                "export was taken."
            )
        last = Month.of(taken) if taken == Month.of(taken).end else Month.of(taken).previous
        months = month_range(Month.of(first), last)
        if not months:
            given = "CRM_EXPORTED_ON" if self._exported_on else "its latest date; set CRM_EXPORTED_ON if it was later"
            raise SourceError(
                f"{shown} begins on {first} and was taken on {taken} ({given}), before that month had ended: no month "
                "can be told about."
            )
        if len(months) > _LONGEST:
            raise SourceError(
                f"{shown} has dates from {first} to {taken}, over {_LONGEST // 12} years apart. Mend the mistyped "
                "year, or set CRM_EXPORTED_ON to the day the export was taken."
            )
        return months


def _listed(folder: str, names: _Names, stamps: Mapping[str, str]) -> Extract:
    """What a listing tells of the tables in a month's folder."""
    facts = sorted(f"{name} {stamps[f'{folder}/{name}']}" for name in names & _TABLE_FILES)
    missing = [
        f"{table.name}.csv"
        for table in CRM_TABLES
        if not table.optional and not names & {f"{table.name}{suffix}" for suffix in SUFFIXES}
    ]
    return Extract(hashlib.sha256("\n".join(facts).encode()).hexdigest(), tuple(missing))


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise SourceError(str(error)) from error


def _ranges(months: list[Month]) -> str:
    """`2017-03 to 2017-05, 2017-07` for sorted months, and which are missing in between."""
    runs: list[list[Month]] = []
    for month in months:
        if runs and runs[-1][-1].next == month:
            runs[-1].append(month)
        else:
            runs.append([month])
    text = ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)
    gaps = [month for month in month_range(months[0], months[-1]) if month not in months]
    return f"{text} ({_some(map(str, gaps))} missing in between)" if gaps else text


def _some(items: Iterable[str]) -> str:
    """The items, sorted and separated by commas, the first ten of them."""
    every = sorted(items)
    rest = len(every) - _SHOWN
    return ", ".join(every[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
