"""Tables of a lake that grow by files, of which any number of processes may add some at the same time.

A file is never written to again, and has no manifest: what is in a month is what its files hold. Days that are over
are merged into a file each. A merged file is written before those that it holds are deleted, and rows count once, so
that a kill or another merge at any point leaves some rows twice at most, and the next merge clears that away.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
import secrets
from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import date, datetime
from pathlib import Path, PurePosixPath

import narwhals as nw
import polars as pl

from crm_assets.calendar import Month
from crm_assets.contracts import Table
from crm_assets.errors import CrmAssetsError, LakeError
from crm_assets.lake.enforcement import fitted_to
from crm_assets.storage import MissingError, Storage, StorageError

_log = logging.getLogger(__name__)

_ENDING = ".parquet"
_MERGED = re.compile(r"merged-(?P<number>[0-9a-f]{64})\.parquet")
_NUMBERS = 1 << 256
_LISTINGS = 10
"""How often a month is listed at most until its files are found as listed, while others merge them."""


class Log:
    """The rows of one table, by month. Every method raises StorageError when the lake cannot be reached.

    Args:
        storage: of the lake.
        table: the contract; its key tells rows apart, of which one that was written twice counts once.
    """

    def __init__(self, storage: Storage, table: Table) -> None:
        self._storage, self._table = storage, table

    def add(self, month: Month, rows: pl.DataFrame, at: datetime) -> None:
        """Store rows of a month in a file of their own; `at`, the time in UTC, says in which day's folder."""
        content = io.BytesIO()
        rows.write_parquet(content, compression="zstd")
        name = f"{at:%Y-%m-%d}/{at:%H%M%S}-{secrets.token_hex(8)}{_ENDING}"
        self._storage.write_bytes(f"{self._table.name}/{month}/{name}", content.getvalue())

    def marks(self) -> dict[Month, str]:
        """Each month with rows -> a digest that changes when rows are added; by one listing, without reading any.

        A merge does not change it, unless it was killed while it deleted.
        """
        names: dict[Month, list[str]] = defaultdict(list)
        for path in self._storage.list(self._table.name):
            month = _month(path.split("/")[1])
            if month is not None and path.endswith(_ENDING):
                names[month].append(path)
        return {
            month: f"{_sum(path for held in _by_folder(paths).values() for path in _not_held_twice(held)):064x}"
            for month, paths in names.items()
        }

    def merge(self, month: Month, before: date) -> None:
        """Put the files of each day of a month into one, for the days before `before`, in UTC.

        Files with columns that the contract does not know, of a later version, stay as they are. Where files may not
        be deleted, they stay too, and a warning is logged.

        Raises LakeError as `scan` does.
        """
        for folder, paths in sorted(_by_folder(self._paths(month)).items()):
            day = _day(folder)
            if day is None or day >= before:
                continue
            try:
                self._merge_day(folder, paths)
            except MissingError:
                # Another process merges the day.
                continue
            except _KeptError as error:
                _log.warning("files of %s are merged and not deleted: %s", self._table.name, error)
                return

    def _merge_day(self, folder: str, paths: list[str]) -> None:
        needed = _not_held_twice(paths)
        merged = {path for path in needed if self._is_known(path)}
        held = {path for path in paths if path not in needed}
        if len(merged) > 1:
            # The name follows from what is in it: two that merge the same write the same.
            target = f"{folder}/merged-{_sum(merged):064x}{_ENDING}"
            content = io.BytesIO()
            self._rows(self._fitted(path) for path in sorted(merged)).collect().write_parquet(
                content, compression="zstd"
            )
            self._storage.write_bytes(target, content.getvalue())
            held |= merged - {target}
        for path in sorted(held):
            try:
                self._storage.delete(path)
            except StorageError as error:
                if error.transient:
                    raise
                raise _KeptError(str(error)) from error

    def scan(self, month: Month) -> pl.LazyFrame:
        """The rows of a month, each once, sorted by the key.

        Raises LakeError naming a file that cannot be read or does not fit the contract.
        """
        for _ in range(_LISTINGS - 1):
            paths = self._paths(month)
            try:
                frames = [self._fitted(path) for path in paths]
            except MissingError:
                continue
            # A listing during a merge may show neither the merged file nor those that were deleted.
            if self._paths(month) == paths:
                return self._rows(frames)
        return self._rows(self._fitted(path) for path in self._paths(month))

    def _rows(self, frames: Iterable[pl.LazyFrame]) -> pl.LazyFrame:
        empty = pl.LazyFrame(schema=self._table.polars_schema())
        return pl.concat([empty, *frames]).unique(self._table.key).sort(self._table.key)

    def _paths(self, month: Month) -> list[str]:
        return [path for path in self._storage.list(f"{self._table.name}/{month}") if path.endswith(_ENDING)]

    def _is_known(self, path: str) -> bool:
        """Whether the contract has all columns of a file."""
        found = _columns(self._storage.local_copy(path), self._storage.location(path))
        return set(found) <= set(self._table.column_names)

    def _fitted(self, path: str) -> pl.LazyFrame:
        place, file = self._storage.location(path), self._storage.local_copy(path)
        found = _columns(file, place)
        # Of a file that an earlier version wrote.
        later = {
            column.name: self._table.polars_schema()[column.name]
            for column in self._table.columns
            if not column.required and column.name not in found
        }
        rows = pl.scan_parquet(file).with_columns(pl.lit(None, dtype).alias(name) for name, dtype in later.items())
        fitted: pl.LazyFrame = fitted_to(nw.from_native(rows), self._table, place).to_native()
        return fitted


class _KeptError(Exception):
    """A file may not be deleted."""


def _by_folder(paths: Iterable[str]) -> dict[str, list[str]]:
    """Folder -> paths of its files."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        found[path.rpartition("/")[0]].append(path)
    return found


def _number(path: str) -> int:
    """Of a merged file the sum of the numbers of those that it holds, of another one that follows from its name."""
    name = PurePosixPath(path).name
    if merged := _MERGED.fullmatch(name):
        return int(merged["number"], 16)
    return int(hashlib.sha256(name.encode()).hexdigest(), 16)


def _sum(paths: Iterable[str]) -> int:
    return sum(map(_number, paths)) % _NUMBERS


def _not_held_twice(paths: Collection[str]) -> set[str]:
    """The files of a folder without those that one of them is known to hold; a merge was killed before it deleted."""
    total = _sum(paths)
    for path in paths:
        if _MERGED.fullmatch(PurePosixPath(path).name) and 2 * _number(path) % _NUMBERS == total:
            return {path}
    return set(paths)


def _day(folder: str) -> date | None:
    try:
        return date.fromisoformat(PurePosixPath(folder).name)
    except ValueError:
        return None


def _month(text: str) -> Month | None:
    try:
        return Month.parse(text)
    except CrmAssetsError:
        return None


def _columns(file: Path, place: str) -> pl.Schema:
    try:
        return pl.Schema(pl.read_parquet_schema(file))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise LakeError(
            f"{place} is no readable Parquet file ({error}); restore it, or move it out of the lake"
        ) from None
