"""The lake: one source's tables and documents by asset and month, each stored whole or not at all."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import narwhals as nw
import polars as pl
import pyarrow.parquet as pq

from crm_assets import __version__
from crm_assets.contracts import Kind, Table
from crm_assets.errors import LakeError
from crm_assets.lake.manifest import Manifest
from crm_assets.storage import Storage, StorageError, open_storage, sha256_of

MARKER = "LAKE.json"
FORMAT = 1
"""Counts up when a lake of an earlier format can no longer be read."""

_TABLE = re.compile(r"(?P<asset>.+)/(?P<month>\d{4}-\d{2})\.parquet")
_NARWHALS = {
    Kind.STRING: nw.String(),
    Kind.INTEGER: nw.Int64(),
    Kind.FLOAT: nw.Float64(),
    Kind.BOOLEAN: nw.Boolean(),
    Kind.DATE: nw.Date(),
}

Sink = Callable[["nw.LazyFrame[Any]", Path], None]
"""Computes a lazy frame and writes it to one Parquet file."""


class Lake:
    """Tables and documents of one source. Open it with `Lake.open`.

    Args:
        storage: the folder or bucket prefix it is in.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @property
    def url(self) -> str:
        """Where it is."""
        return self._storage.url

    @classmethod
    def open(cls, url: str, *, source: str | None, create: bool) -> Self:
        """The lake at `url`.

        Args:
            url: folder or `s3://bucket/prefix`.
            source: canonical URL of the source whose tables it holds; None for whichever it is.
            create: make a lake there if there is none.

        Raises:
            LakeError: there is no lake, something else is there, or it belongs to another format or source. Nothing is
                changed then.
        """
        try:
            storage = open_storage(url, create=create)
            files = storage.list() if not storage.exists(MARKER) else [MARKER]
        except StorageError as error:
            raise LakeError(str(error)) from error
        if MARKER in files:
            _check_marker(storage, source)
        elif files:
            raise LakeError(
                f"{url} holds other files ({files[0]} and so on) and no {MARKER}: it is no lake; choose another CRM_LAKE_URL"
            )
        elif not create:
            raise LakeError(f"{url} holds no lake: make one with crm-assets run")
        else:
            marker = {"format": FORMAT, "written_by": __version__, "source": source}
            storage.write_bytes(MARKER, json.dumps(marker, indent=2).encode())
        return cls(storage)

    @staticmethod
    def is_there(url: str) -> bool:
        """Whether a lake is at `url`. Raises LakeError when the place cannot be reached at all."""
        if not url.startswith("s3://") and not Path(url).exists():
            return False
        try:
            return open_storage(url).exists(MARKER)
        except StorageError as error:
            raise LakeError(str(error)) from error

    def write_table(
        self,
        asset: str,
        month: str,
        frame: nw.LazyFrame[Any],
        table: Table,
        *,
        sink: Sink,
        code_version: str,
        inputs: Mapping[str, str],
        settings: Mapping[str, Any],
        notes: Mapping[str, Any],
    ) -> Manifest:
        """Compute a month of a table and store it with its manifest.

        The contract's columns are taken in its order and cast to its types, because engines disagree on the type of a
        sum or of a column without values; then the written file is checked.

        Raises:
            LakeError: the rows do not fit the contract, or the lake cannot be written. What was stored before stays.
        """
        lacking = sorted(set(table.column_names) - set(frame.collect_schema().names()))
        if lacking:
            raise LakeError(f"{asset} of {month} lacks {', '.join(lacking)}, which its contract demands")
        columns = [nw.col(column.name).cast(_NARWHALS[column.kind]) for column in table.columns]
        with tempfile.TemporaryDirectory(prefix="crm-assets-") as folder:
            file = Path(folder) / f"{month}.parquet"
            sink(frame.select(*columns), file)
            rows = _checked_rows(file, table, f"{asset} of {month}")
            path = f"{asset}/{month}.parquet"
            manifest = Manifest(
                asset=asset,
                month=month,
                path=path,
                rows=rows,
                sha256=sha256_of(file),
                size_bytes=file.stat().st_size,
                schema={column.name: column.kind.value for column in table.columns},
                code_version=code_version,
                inputs=dict(inputs),
                settings=dict(settings),
                notes=dict(notes),
                written_at=_now(),
            )
            encoded = manifest.to_json()
            self._put(lambda: self._storage.put_file(file, path))
        # After the data: a writer that dies in between leaves a manifest whose hash does not match, and the month is made again.
        self._put(lambda: self._storage.write_bytes(_manifest_path(path), encoded))
        return manifest

    def write_document(
        self,
        asset: str,
        month: str,
        suffix: str,
        data: bytes,
        *,
        code_version: str,
        inputs: Mapping[str, str],
        settings: Mapping[str, Any],
    ) -> Manifest:
        """Store a document of a month, such as `html`, with its manifest. Raises LakeError when it cannot be written."""
        import hashlib

        path = f"{asset}/{month}.{suffix}"
        manifest = Manifest(
            asset=asset,
            month=month,
            path=path,
            rows=None,
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
            schema={},
            code_version=code_version,
            inputs=dict(inputs),
            settings=dict(settings),
            notes={},
            written_at=_now(),
        )
        self._put(lambda: self._storage.write_bytes(path, data))
        self._put(lambda: self._storage.write_bytes(_manifest_path(path), manifest.to_json()))
        return manifest

    def table_path(self, asset: str, month: str) -> Path:
        """A local file with a month of a table. Raises LakeError when the lake does not hold it."""
        path = f"{asset}/{month}.parquet"
        try:
            if self._storage.exists(path):
                return self._storage.local_copy(path)
        except StorageError as error:
            raise LakeError(str(error)) from error
        raise LakeError(f"{self.url} holds no {asset} of {month}: make it with crm-assets run --months {month}")

    def document(self, asset: str, month: str, suffix: str) -> bytes:
        """Content of a document. Raises LakeError when the lake does not hold it."""
        try:
            return self._storage.read_bytes(f"{asset}/{month}.{suffix}")
        except StorageError as error:
            raise LakeError(str(error)) from error

    def documents(self, asset: str, month: str) -> list[str]:
        """Endings of the documents stored beside a month of a table."""
        ends = [path.removeprefix(f"{asset}/") for path in self._list(asset)]
        mine = [end.split(".", 1)[1] for end in ends if end.startswith(f"{month}.")]
        return sorted(end for end in mine if end != "parquet" and not end.endswith("manifest.json"))

    def location(self, asset: str, month: str, suffix: str = "parquet") -> str:
        """Full path or URL of a file, for people."""
        return self._storage.location(f"{asset}/{month}.{suffix}")

    def manifest(self, asset: str, month: str) -> Manifest | None:
        """Manifest of a month of a table; None when the lake does not hold it."""
        path = _manifest_path(f"{asset}/{month}.parquet")
        try:
            if not self._storage.exists(path):
                return None
            return Manifest.from_json(self._storage.read_bytes(path), self._storage.location(path))
        except StorageError as error:
            raise LakeError(str(error)) from error

    def is_intact(self, asset: str, month: str) -> bool:
        """Whether a month of a table has the content hash of its manifest, and so has every document beside it."""
        try:
            for suffix in ("parquet", *self.documents(asset, month)):
                path = f"{asset}/{month}.{suffix}"
                told = _manifest_path(path)
                if not (self._storage.exists(path) and self._storage.exists(told)):
                    return False
                manifest = Manifest.from_json(self._storage.read_bytes(told), self._storage.location(told))
                if self._storage.fingerprint(path) != manifest.sha256:
                    return False
        except StorageError as error:
            raise LakeError(str(error)) from error
        return True

    def months(self, asset: str) -> list[str]:
        """Months of a table that the lake holds, in order."""
        matches = (_TABLE.fullmatch(path) for path in self._list(asset))
        return sorted(match["month"] for match in matches if match and match["asset"] == asset)

    def assets(self) -> list[str]:
        """Assets with at least one month, in alphabetical order."""
        return sorted({match["asset"] for path in self._list("") if (match := _TABLE.fullmatch(path))})

    def _list(self, prefix: str) -> list[str]:
        try:
            return self._storage.list(prefix)
        except StorageError as error:
            raise LakeError(str(error)) from error

    def _put(self, write: Callable[[], None]) -> None:
        try:
            write()
        except StorageError as error:
            raise LakeError(str(error)) from error


def _manifest_path(path: str) -> str:
    return f"{path}.manifest.json"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _check_marker(storage: Storage, source: str | None) -> None:
    place = storage.location(MARKER)
    try:
        held = json.loads(storage.read_bytes(MARKER))
        found, belongs_to = held["format"], held["source"]
    except (ValueError, KeyError, TypeError) as error:
        raise LakeError(f"{place} cannot be read ({error!r}): choose another CRM_LAKE_URL") from None
    if found != FORMAT:
        raise LakeError(
            f"{place} says format {found!r}, written by crm_assets {held.get('written_by')}; this version ({__version__}) "
            f"reads format {FORMAT}: use that version, or choose another CRM_LAKE_URL"
        )
    if source is not None and belongs_to != source:
        raise LakeError(
            f"{storage.url} holds the tables of {belongs_to}, not of {source}: give this source a name of its own with "
            "CRM_DATASET, or choose another CRM_LAKE_URL"
        )


def _checked_rows(file: Path, table: Table, place: str) -> int:
    """Rows of a written file, once its columns, types and empty values are those of the contract."""
    schema = pl.read_parquet_schema(file)
    if list(schema.items()) != list(table.polars_schema().items()):
        raise LakeError(f"{place} was written as {dict(schema)}, its contract says {dict(table.polars_schema())}")
    rows = int(pq.read_metadata(file).num_rows)
    required = [column.name for column in table.columns if column.required]
    if required and rows:
        empty = pl.scan_parquet(file).select(pl.col(required).null_count()).collect().row(0, named=True)
        faulty = {name: count for name, count in empty.items() if count}
        if faulty:
            raise LakeError(f"{place} has empty values where its contract allows none: {faulty} of {rows} rows")
    return rows
