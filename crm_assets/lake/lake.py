"""The lake of one source: every table and document it holds is whole, fits its contract and says what it was made from.

The file of an asset's month is `<asset>/<month>.parquet`, or `.html` and the like for a document; its manifest,
`<asset>/<month>.manifest.json` or `<asset>/<month>.html.manifest.json`, is written after it. Where the two disagree,
a write was interrupted: readers refuse the file and the month counts as stale.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, TypeVar

import narwhals as nw

from crm_assets import __version__
from crm_assets.calendar import Month
from crm_assets.contracts import Table
from crm_assets.errors import EngineError, LakeError
from crm_assets.lake.enforcement import checked_rows, fitted_to
from crm_assets.lake.log import Log
from crm_assets.lake.manifest import Manifest, Provenance, Scalar
from crm_assets.lake.overlay import Overlay
from crm_assets.lake.records import Records
from crm_assets.locks import Lock
from crm_assets.process import process_folder
from crm_assets.storage import MissingError, Storage, open_storage, sha256_of

MARKER = "LAKE.json"
FORMAT = 1

DocumentSuffix: TypeAlias = Literal["html", "json", "md", "png", "svg"]
Sink: TypeAlias = Callable[[nw.LazyFrame[Any], Path], None]
Notes: TypeAlias = Mapping[str, Scalar | list[Scalar]]

_T = TypeVar("_T")
_PARQUET = "parquet"
_MANIFEST = re.compile(r"(?P<asset>.+)/(?P<month>\d{4}-\d\d)(?P<document>\.\w+)?\.manifest\.json")
_WAITS_SECONDS = (0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""How long a reader waits, attempt by attempt, for a writer that has replaced a file and not yet its manifest."""
_LOOK_AGAIN_SECONDS = 0.3


class Lake:
    """The tables and documents of one source, by asset and month.

    Every method raises StorageError when the place cannot be reached.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.url = storage.url

    @classmethod
    def open(cls, dataset_url: str, *, source: str | None = None, create: bool) -> Self:
        """The lake at a folder or `s3://bucket/prefix`, after a look at its marker `LAKE.json`.

        Args:
            dataset_url: `Settings.dataset_url`.
            source: canonical URL of the source the lake must belong to; None does not look.
            create: start a lake where there is nothing yet; needs `source`.

        Raises LakeError when there is no lake, when the place holds something else, or when the lake has another
        format or source. Nothing is changed then.
        """
        if create and source is None:
            raise ValueError("a new lake belongs to a source")
        try:
            storage = open_storage(dataset_url, create=create)
        except MissingError:
            raise NoLakeError(dataset_url) from None
        if not storage.exists(MARKER):
            others = storage.list()
            if others:
                raise LakeError(
                    f"{storage.url} holds {len(others)} files ({', '.join(others[:3])}) and no {MARKER}, so it is "
                    "no lake; choose another CRM_LAKE_URL or CRM_DATASET"
                )
            if not create:
                raise NoLakeError(storage.url)
            marker = {"format": FORMAT, "written_by": __version__, "source": source}
            storage.write_bytes(MARKER, (json.dumps(marker, indent=2, ensure_ascii=False) + "\n").encode())
        # Read back, in case two processes with different sources started the lake at once.
        _check_marker(storage, source)
        return cls(storage)

    def beside(self, folder: Path) -> Lake:
        """A lake that reads this one and writes to `folder`: what is written there takes the place of what is here."""
        return Lake(Overlay(self._storage, open_storage(str(folder), create=True)))

    def records(self, folder: str) -> Records:
        """Files of one's own below a folder of the lake; its name must be that of no asset."""
        return Records(self._storage, folder)

    def log(self, table: Table) -> Log:
        """A table that grows by files, without manifests; its name must be that of no asset."""
        return Log(self._storage, table)

    def as_found(self) -> Lake:
        """This lake with every file given as it lies there, even where it is not the one its manifest describes.

        For telling what is wrong with it.
        """
        return _AsFound(self._storage)

    @contextlib.contextmanager
    def held(self, wait_seconds: float, tell: Callable[[str], None]) -> Iterator[Lock]:
        """The lake's lock, held while the block runs: other processes that ask for it do not write meanwhile.

        What killed writers left is removed first.

        Args:
            wait_seconds: how long to wait for another process that holds it.
            tell: told once who that is.

        Raises LakeError when the wait was in vain, naming the other process.
        """
        lock = self._storage.lock()
        deadline, told = time.monotonic() + wait_seconds, False
        while (holder := self._storage.take(lock)) is not None:
            if time.monotonic() >= deadline:
                raise LakeError(
                    f"{self.url} is being written to by {holder}, so nothing was done in {wait_seconds:.0f} s; wait "
                    "for it, or end it"
                )
            if not told:
                tell(f"Waiting for {holder}, which writes to {self.url}.")
                told = True
            time.sleep(_LOOK_AGAIN_SECONDS)
        try:
            self._storage.remove_leftovers()
            yield lock
        finally:
            lock.give_back()

    def write_table(
        self,
        asset: str,
        month: Month,
        frame: nw.LazyFrame[Any],
        table: Table,
        *,
        sink: Sink,
        provenance: Provenance,
        notes: Notes | None = None,
        keep_replaced: bool = False,
    ) -> Manifest:
        """Compute `frame` and store it as the table of an asset's month.

        Args:
            asset: name of the asset, which may hold slashes.
            month: the monthly partition.
            frame: has at least the contract's columns, of types that go into the contract's without loss.
            table: the contract; its columns are stored, in its order and of its types.
            sink: computes a frame and writes it to one Parquet file, as engines do.
            provenance: what the table was made from.
            notes: further facts about it.
            keep_replaced: keep the table that this one takes the place of, if it is another; see `replaced`.

        Raises LakeError when the frame, or the file that `sink` wrote, does not fit the contract, when `sink` raises
        EngineError or when there is no room for its file. Then, as on any other error before the file is complete, what
        is stored stays as it was.
        """
        path = _path(asset, month, _PARQUET)
        place = self._storage.location(path)
        fitted = fitted_to(frame, table, place)
        with _failures_told(place), tempfile.TemporaryDirectory(dir=process_folder()) as folder:
            local = Path(folder) / f"{month}.parquet"
            sink(fitted, local)
            rows = checked_rows(local, table, place)
            manifest = self._describe(
                path,
                asset,
                month,
                rows=rows,
                sha256=sha256_of(local),
                size_bytes=local.stat().st_size,
                schema={name: str(dtype) for name, dtype in table.polars_schema().items()},
                provenance=provenance,
                notes=notes,
            )
            if keep_replaced:
                self._keep(asset, month, manifest.sha256)
            self._storage.put_file(local, path)
        return self._put_manifest(manifest, _PARQUET)

    def replaced(self, asset: str, month: Month) -> list[Manifest]:
        """Manifests of the tables that others took the place of, oldest first; their `path` is where they are kept."""
        folder = _kept_folder(asset, month)
        paths = [path for path in self._storage.list(folder) if path.endswith(".manifest.json")]
        kept = [Manifest.from_json(self._storage.read_bytes(path), self._storage.location(path)) for path in paths]
        return sorted(kept, key=lambda manifest: (manifest.written_at, manifest.sha256))

    def replaced_table(self, manifest: Manifest) -> Path:
        """A local file with a table of `replaced`. Raises LakeError when it is not the one its manifest describes."""
        file = self._storage.local_copy(manifest.path)
        if sha256_of(file) != manifest.sha256:
            raise LakeError(f"{self._storage.location(manifest.path)} was changed since it was kept")
        return file

    def _keep(self, asset: str, month: Month, replacement: str) -> None:
        """Keep the stored table of an asset's month, unless there is none or it is the one that replaces it."""
        manifest = self.manifest(asset, month)
        if manifest is None or manifest.sha256 == replacement or not self.is_intact(asset, month):
            return
        kept = f"{_kept_folder(asset, month)}/{manifest.sha256[:12]}"
        self._storage.put_file(self._storage.local_copy(manifest.path), f"{kept}.parquet")
        self._storage.write_bytes(f"{kept}.manifest.json", replace(manifest, path=f"{kept}.parquet").to_json())

    def write_document(
        self,
        asset: str,
        month: Month,
        suffix: DocumentSuffix,
        data: bytes,
        *,
        provenance: Provenance,
        notes: Notes | None = None,
    ) -> Manifest:
        """Store `data` as a document of an asset's month; one asset may have documents of several suffixes."""
        path = _path(asset, month, suffix)
        manifest = self._describe(
            path,
            asset,
            month,
            rows=None,
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
            schema={},
            provenance=provenance,
            notes=notes,
        )
        self._storage.write_bytes(path, data)
        return self._put_manifest(manifest, suffix)

    def table(self, asset: str, month: Month) -> tuple[Path, Manifest]:
        """A local Parquet file with the table of an asset's month, and the manifest of exactly this content.

        The file stays as it is when the month is run again, and is kept while the process lives.

        Raises LakeError when there is no such table, or its content is not the one its manifest describes.
        """
        return self._whole(asset, month, _PARQUET, self._storage.local_copy, sha256_of)

    def table_path(self, asset: str, month: Month) -> Path:
        """The file of `table`."""
        return self.table(asset, month)[0]

    def document(self, asset: str, month: Month, suffix: DocumentSuffix) -> bytes:
        """Content of a document. Raises LakeError as `table` does."""
        return self._whole(
            asset, month, suffix, self._storage.read_bytes, lambda data: hashlib.sha256(data).hexdigest()
        )[0]

    def is_intact(self, asset: str, month: Month, suffix: str = _PARQUET) -> bool:
        """Whether the file is there and is the one its manifest describes. Raises LakeError on a broken manifest."""
        manifest = self.manifest(asset, month, suffix)
        if manifest is None:
            return False
        try:
            return self._storage.fingerprint(manifest.path) == manifest.sha256
        except MissingError:
            return False

    def manifest(self, asset: str, month: Month, suffix: str = _PARQUET) -> Manifest | None:
        """What is known of a stored file; None when nothing was stored. Raises LakeError on a broken manifest."""
        path = _manifest_path(asset, month, suffix)
        try:
            data = self._storage.read_bytes(path)
        except MissingError:
            return None
        location = self._storage.location(path)
        manifest = Manifest.from_json(data, location)
        expected = _path(asset, month, suffix)
        if (manifest.asset, manifest.month, manifest.path) != (asset, str(month), expected):
            raise LakeError(
                f"{location} describes {manifest.path} (asset {manifest.asset}, month {manifest.month}), not "
                f"{expected}; delete it, and run the month again"
            )
        return manifest

    def months(self, asset: str) -> list[str]:
        """Months of which the asset has a table or document, in order."""
        return sorted({month for found, month in self._stored(asset) if found == asset})

    def table_stamps(self) -> dict[tuple[str, str], str]:
        """(asset, month) of every table with its manifest -> what one listing tells of both; neither is read.

        As long as a stamp is the same, so is the manifest.
        """
        stamps = self._storage.stamps()
        found = {}
        for path, stamp in stamps.items():
            match = _MANIFEST.fullmatch(path)
            table = path.removesuffix(".manifest.json") + f".{_PARQUET}"
            if match and not match["document"] and table in stamps:
                found[match["asset"], match["month"]] = f"{stamp} {stamps[table]}"
        return found

    def assets(self) -> list[str]:
        """Names of the assets that have a table or document, in order."""
        return sorted({asset for asset, _ in self._stored("")})

    def location(self, asset: str, month: Month, suffix: str = _PARQUET) -> str:
        """Path or URL of a stored file, for people."""
        return self._storage.location(_path(asset, month, suffix))

    def _stored(self, below: str) -> list[tuple[str, str]]:
        matches = (_MANIFEST.fullmatch(path) for path in self._storage.list(below))
        return [(match["asset"], match["month"]) for match in matches if match]

    def _whole(
        self, asset: str, month: Month, suffix: str, fetch: Callable[[str], _T], digest: Callable[[_T], str]
    ) -> tuple[_T, Manifest]:
        """The content of a file and the manifest of exactly this content."""
        path, place = _path(asset, month, suffix), self.location(asset, month, suffix)
        remedy = f"make it with `crm-assets run --months {month}` and the lake's own --source"
        # A writer may be at work: what has been fetched is matched with manifests that are read later, and the reverse.
        contents: dict[str, _T] = {}
        manifests: dict[str, Manifest] = {}
        for wait in _WAITS_SECONDS:
            time.sleep(wait)
            with contextlib.suppress(MissingError):
                content = fetch(path)
                contents[digest(content)] = content
            manifest = self.manifest(asset, month, suffix)
            if manifest is None:
                raise LakeError(f"{place}: {asset} has not been made for {month}; {remedy}")
            manifests[manifest.sha256] = manifest
            for sha256 in contents.keys() & manifests.keys():
                return contents[sha256], manifests[sha256]
        raise LakeError(
            f"{place}: {asset} of {month} is not the file that its manifest describes, because a write was interrupted "
            f"or it was changed or deleted since; {remedy}"
        )

    def _describe(
        self,
        path: str,
        asset: str,
        month: Month,
        *,
        rows: int | None,
        sha256: str,
        size_bytes: int,
        schema: dict[str, str],
        provenance: Provenance,
        notes: Notes | None,
    ) -> Manifest:
        manifest = Manifest(
            asset=asset,
            month=str(month),
            path=path,
            rows=rows,
            sha256=sha256,
            size_bytes=size_bytes,
            schema=schema,
            code_version=provenance.code_version,
            inputs=dict(provenance.inputs),
            settings=dict(provenance.settings),
            notes=dict(notes or {}),
            written_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        # What could not be read back must not be noticed only after the table has been replaced.
        return Manifest.from_json(manifest.to_json(), self._storage.location(path))

    def _put_manifest(self, manifest: Manifest, suffix: str) -> Manifest:
        path = _manifest_path(manifest.asset, Month.parse(manifest.month), suffix)
        self._storage.write_bytes(path, manifest.to_json())
        return manifest


class _AsFound(Lake):
    def _whole(
        self, asset: str, month: Month, suffix: str, fetch: Callable[[str], _T], digest: Callable[[_T], str]
    ) -> tuple[_T, Manifest]:
        manifest = self.manifest(asset, month, suffix)
        if manifest is not None:
            with contextlib.suppress(MissingError):
                return fetch(_path(asset, month, suffix)), manifest
        return super()._whole(asset, month, suffix, fetch, digest)


@contextlib.contextmanager
def _failures_told(place: str) -> Iterator[None]:
    """Name the table that could not be made."""
    try:
        yield
    except EngineError as error:
        raise LakeError(f"{place}: {error}") from error
    except OSError as error:
        raise LakeError(
            f"{place}: the table could not be written to a temporary file: {error}; free space in the folder for "
            "temporary files, or set TMPDIR to another"
        ) from error


def _path(asset: str, month: Month, suffix: str) -> str:
    return f"{asset}/{month}.{suffix}"


def _kept_folder(asset: str, month: Month) -> str:
    return f"replaced/{asset}/{month}"


def _manifest_path(asset: str, month: Month, suffix: str) -> str:
    return f"{asset}/{month}.manifest.json" if suffix == _PARQUET else f"{asset}/{month}.{suffix}.manifest.json"


class NoLakeError(LakeError):
    """There is nothing yet at the place.

    Attributes:
        url: of the place.
    """

    def __init__(self, url: str) -> None:
        super().__init__(f"there is no lake at {url} yet; run `crm-assets run`, or correct CRM_LAKE_URL or CRM_DATASET")
        self.url = url


def _check_marker(storage: Storage, source: str | None) -> None:
    """Raise LakeError unless the marker is of this format and, if `source` is given, of this source."""
    place = storage.location(MARKER)
    elsewhere = "choose another CRM_LAKE_URL or CRM_DATASET"
    try:
        marker: Any = json.loads(storage.read_bytes(MARKER))
        found_format, found_source, written_by = marker["format"], marker["source"], marker["written_by"]
    except (ValueError, KeyError, TypeError):
        raise LakeError(
            f"{place} is no marker of a lake (format, source and written_by in JSON); {elsewhere}"
        ) from None
    if found_format != FORMAT:
        raise LakeError(
            f"{place}: the lake has format {found_format}, written by crm-assets {written_by}; this is crm-assets "
            f"{__version__}, which reads format {FORMAT}; upgrade crm-assets, or {elsewhere}"
        )
    if source is not None and found_source != source:
        raise LakeError(f"{place}: the lake holds data of {found_source}, not of {source}; {elsewhere}")
