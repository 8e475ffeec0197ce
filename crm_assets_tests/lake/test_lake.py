from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import duckdb
import narwhals as nw
import polars as pl
import pytest

from crm_assets import __version__, process
from crm_assets.engines import open_engine
from crm_assets.engines.duckdb_engine import DuckDBEngine
from crm_assets.errors import CrmAssetsError, LakeError
from crm_assets.lake import Lake, Provenance
from crm_assets.lake import lake as lake_module
from crm_assets.storage import StorageError, open_storage
from crm_assets_tests.lake.tables import DEALS, MADE_BY, MAY, deals, duckdb_sink, lazy, polars_sink, versioned

SOURCE = "simulator:?seed=7"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def lake(storage_url: str) -> Lake:
    return Lake.open(storage_url, source=SOURCE, create=True)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No writer is at work, so readers need not wait for it."""
    monkeypatch.setattr(lake_module, "_WAITS_SECONDS", (0,))


def write(lake: Lake, frame: pl.DataFrame | None = None, **more: Any) -> None:
    frame = deals() if frame is None else frame
    lake.write_table("deals", MAY, lazy(frame), DEALS, sink=polars_sink, provenance=MADE_BY, **more)


def test_a_table_comes_back(lake: Lake) -> None:
    written = lake.write_table(
        "raw/deals", MAY, lazy(deals()), DEALS, sink=polars_sink, provenance=MADE_BY, notes={"evidence": "replayed"}
    )
    path, manifest = lake.table("raw/deals", MAY)
    assert pl.read_parquet(path).equals(deals())
    assert manifest == written == lake.manifest("raw/deals", MAY)
    assert (manifest.asset, manifest.month, manifest.path) == ("raw/deals", "2017-05", "raw/deals/2017-05.parquet")
    assert (manifest.rows, manifest.size_bytes) == (3, path.stat().st_size)
    assert manifest.schema == {
        "id": "String",
        "days": "Int64",
        "value": "Float64",
        "won": "Boolean",
        "closed": "Date",
    }
    assert Provenance(manifest.code_version, manifest.inputs, manifest.settings) == MADE_BY
    assert manifest.notes == {"evidence": "replayed"}
    assert datetime.fromisoformat(manifest.written_at).utcoffset() == timedelta(0)
    assert lake.table_path("raw/deals", MAY) == path
    assert lake.is_intact("raw/deals", MAY)


def test_a_table_of_duckdb_comes_back(lake: Lake, tmp_path: Path) -> None:
    deals().write_parquet(tmp_path / "deals")
    frame = nw.from_native(duckdb.connect().read_parquet(str(tmp_path / "deals")))
    lake.write_table("deals", MAY, frame, DEALS, sink=duckdb_sink, provenance=MADE_BY)
    assert pl.read_parquet(lake.table_path("deals", MAY)).equals(deals())


def test_documents_come_back_beside_a_table(lake: Lake) -> None:
    write(lake)
    page = "<p>Verträge</p>".encode()
    written = lake.write_document("deals", MAY, "html", page, provenance=MADE_BY, notes={"level": "OK"})
    lake.write_document("deals", MAY, "json", b"{}", provenance=MADE_BY)
    assert lake.document("deals", MAY, "html") == page
    assert lake.document("deals", MAY, "json") == b"{}"
    assert lake.manifest("deals", MAY, "html") == written
    assert (written.rows, written.schema, written.size_bytes) == (None, {}, len(page))
    for suffix in ("html", "json", "parquet"):
        assert lake.is_intact("deals", MAY, suffix)
        assert lake.location("deals", MAY, suffix) == f"{lake.url}/deals/2017-05.{suffix}"


def test_assets_and_months_are_listed(lake: Lake) -> None:
    assert lake.assets() == []
    for asset in ("deals", "raw/deals", "raw/other"):
        for month in (MAY.next, MAY):
            lake.write_document(asset, month, "md", b"", provenance=MADE_BY)
    lake.write_document("deals", MAY, "html", b"", provenance=MADE_BY)
    write(lake)
    assert lake.assets() == ["deals", "raw/deals", "raw/other"]
    assert lake.months("deals") == lake.months("raw/deals") == ["2017-05", "2017-06"]
    assert lake.months("raw") == lake.months("none") == []


def test_a_missing_table_is_named_with_the_command_that_makes_it(lake: Lake) -> None:
    for read in (lake.table_path, lake.table, lambda asset, month: lake.document(asset, month, "html")):
        with pytest.raises(
            LakeError, match=r"scores has not been made for 2017-05; make it with `crm-assets run --months 2017-05`"
        ):
            read("scores", MAY)
    assert lake.manifest("scores", MAY) is None
    assert not lake.is_intact("scores", MAY)


def test_rewriting_changes_the_table_and_not_the_file_in_use(lake: Lake) -> None:
    write(lake)
    in_use, before = lake.table("deals", MAY)
    write(lake, deals(days=pl.col("days") + 1))
    assert pl.read_parquet(in_use).equals(deals())
    path, manifest = lake.table("deals", MAY)
    assert pl.read_parquet(path)["days"].to_list() == [2, 3, 4]
    assert manifest.sha256 != before.sha256


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (deals().drop("won"), LakeError),
        (deals(days=pl.lit("1")), LakeError),
        (deals(id=pl.lit(None)), LakeError),
        (deals(days=pl.lit(2**64 - 1, dtype=pl.UInt64)), pl.exceptions.InvalidOperationError),
    ],
)
def test_what_does_not_fit_changes_nothing(lake: Lake, frame: pl.DataFrame, error: type[Exception]) -> None:
    write(lake)
    before = lake.manifest("deals", MAY)
    files = open_storage(lake.url).list()
    with pytest.raises(error):
        write(lake, frame)
    with pytest.raises(error):
        lake.write_table("new", MAY, lazy(frame), DEALS, sink=polars_sink, provenance=MADE_BY)
    assert lake.manifest("deals", MAY) == before
    assert lake.is_intact("deals", MAY)
    assert open_storage(lake.url).list() == files


def test_what_a_manifest_cannot_hold_changes_nothing(lake: Lake) -> None:
    write(lake)
    with pytest.raises(ValueError, match="JSON"):
        write(lake, deals().head(1), notes={"score": float("nan")})
    assert pl.read_parquet(lake.table_path("deals", MAY)).equals(deals())


def test_a_sink_that_fails_leaves_nothing_behind(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()

    def failing(frame: nw.LazyFrame[Any], path: Path) -> None:
        polars_sink(frame, path)
        raise MemoryError

    with pytest.raises(MemoryError):
        lake.write_table("deals", MAY, lazy(deals()), DEALS, sink=failing, provenance=MADE_BY)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert open_storage(lake.url).list() == ["LAKE.json"]


@contextlib.contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """As if the disk were full when a file has grown to that size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["polars", "duckdb"])
def test_a_full_disk_is_told_with_the_place_and_a_remedy(
    lake: Lake, tmp_path: Path, name: Literal["polars", "duckdb"]
) -> None:
    engine = open_engine(name)
    versioned(1).write_parquet(tmp_path / "in.parquet")
    frame = engine.scan(tmp_path / "in.parquet")
    said = r"/deals/2017-05\.parquet: \w+ could not .* the table: .*File too large.*; free space .*\(TMPDIR\)"
    with files_of_at_most(500), pytest.raises(LakeError, match=said):
        lake.write_table("deals", MAY, frame, DEALS, sink=engine.sink, provenance=MADE_BY)
    assert open_storage(lake.url).list() == ["LAKE.json"]
    lake.write_table("deals", MAY, frame, DEALS, sink=engine.sink, provenance=MADE_BY)


def test_too_little_memory_is_told_with_the_setting_that_limits_it(lake: Lake, tmp_path: Path) -> None:
    versioned(4).write_parquet(tmp_path / "in.parquet")
    engine = DuckDBEngine("100MB")
    relation = engine.scan(tmp_path / "in.parquet").to_native()
    # What is gathered in one value cannot be spilled.
    large = relation.aggregate("string_agg(repeat(id, 10000), '') AS id, 1 AS days, 1.0 AS value, true AS won")
    frame = nw.from_native(large.project("*, DATE '2017-05-31' AS closed"))
    said = r"/deals/2017-05\.parquet: DuckDB .*Out of Memory Error.*; raise CRM_DUCKDB_MEMORY_LIMIT"
    with pytest.raises(LakeError, match=said):
        lake.write_table("deals", MAY, frame, DEALS, sink=engine.sink, provenance=MADE_BY)
    assert open_storage(lake.url).list() == ["LAKE.json"]


def test_a_temporary_folder_that_cannot_be_written_is_told(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process._process_folder.cache_clear()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(LakeError, match=r"/deals/2017-05\.parquet: .*No such file or directory.*; .*TMPDIR"):
        write(lake)


@pytest.mark.usefixtures("impatient")
def test_an_interrupted_write_is_not_read(lake: Lake) -> None:
    write(lake)
    storage = open_storage(lake.url)
    storage.write_bytes("deals/2017-05.parquet", b"newer than its manifest")
    assert not lake.is_intact("deals", MAY)
    for read in (lake.table_path, lake.table):
        with pytest.raises(
            LakeError, match=r"deals of 2017-05 is not the file that its manifest describes.*run --months 2017-05"
        ):
            read("deals", MAY)
    write(lake)
    assert lake.is_intact("deals", MAY)


@pytest.mark.usefixtures("impatient")
def test_a_writer_stopped_before_the_manifest_leaves_nothing_to_read(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Lake, "_put_manifest", stop)
        with pytest.raises(KeyboardInterrupt):
            write(lake)
    with pytest.raises(LakeError, match="has not been made"):
        lake.table("deals", MAY)
    write(lake)
    with monkeypatch.context() as patched:
        patched.setattr(Lake, "_put_manifest", stop)
        with pytest.raises(KeyboardInterrupt):
            write(lake, deals().head(2))
    assert not lake.is_intact("deals", MAY)
    with pytest.raises(LakeError, match="a write was interrupted"):
        lake.table("deals", MAY)


@pytest.mark.usefixtures("impatient")
def test_a_deleted_file_is_noticed(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path), source=SOURCE, create=True)
    write(lake)
    Path(lake.location("deals", MAY)).unlink()
    assert not lake.is_intact("deals", MAY)
    with pytest.raises(LakeError, match="changed or deleted"):
        lake.table_path("deals", MAY)


def test_the_manifest_of_another_file_is_refused(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path), source=SOURCE, create=True)
    write(lake)
    (tmp_path / "deals/2017-05.manifest.json").rename(tmp_path / "deals/2017-06.manifest.json")
    with pytest.raises(LakeError, match=r"2017-06\.manifest\.json describes deals/2017-05\.parquet"):
        lake.manifest("deals", MAY.next)


def test_a_broken_manifest_is_named(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path), source=SOURCE, create=True)
    write(lake)
    (tmp_path / "deals/2017-05.manifest.json").write_text("{}")
    with pytest.raises(LakeError, match=r"2017-05\.manifest\.json is no manifest"):
        lake.is_intact("deals", MAY)


def test_the_marker_says_format_version_and_source(lake: Lake) -> None:
    marker = json.loads(open_storage(lake.url).read_bytes("LAKE.json"))
    assert marker == {"format": 1, "written_by": __version__, "source": SOURCE}


def test_a_lake_opens_again(lake: Lake) -> None:
    for source, create in [(SOURCE, True), (SOURCE, False), (None, False)]:
        assert Lake.open(lake.url, source=source, create=create).url == lake.url


def test_there_is_no_lake_until_one_is_made(storage_url: str) -> None:
    with pytest.raises(LakeError, match=r"there is no lake at .* yet; run `crm-assets run`"):
        Lake.open(storage_url, create=False)
    with pytest.raises(ValueError, match="belongs to a source"):
        Lake.open(storage_url, create=True)
    assert storage_url.startswith("s3:") or not Path(storage_url).exists()


def marker(**fields: object) -> bytes:
    return json.dumps({"format": 1, "written_by": "0.1.0", "source": SOURCE} | fields).encode()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"thesis.docx": b"x", "a/b": b"y"}, r"holds 2 files \(a/b, thesis\.docx\) and no LAKE\.json"),
        (
            {"LAKE.json": marker(format=2, written_by="0.9.0", shards=4)},
            r"format 2, written by crm-assets 0\.9\.0; this is crm-assets .*format 1; upgrade crm-assets",
        ),
        ({"LAKE.json": marker(source="/data/crm")}, r"holds data of /data/crm, not of simulator:\?seed=7"),
        ({"LAKE.json": b"{"}, "is no marker of a lake"),
        ({"LAKE.json": b"\xff"}, "is no marker of a lake"),
        ({"LAKE.json": b"[1]"}, "is no marker of a lake"),
        ({"LAKE.json": b'{"format": 1}'}, "is no marker of a lake"),
    ],
)
def test_a_foreign_place_is_refused_and_left_alone(storage_url: str, files: dict[str, bytes], message: str) -> None:
    storage = open_storage(storage_url, create=True)
    for path, content in files.items():
        storage.write_bytes(path, content)
    for create in (True, False):
        with pytest.raises(LakeError, match=message) as caught:
            Lake.open(storage_url, source=SOURCE, create=create)
        assert "choose another CRM_LAKE_URL or CRM_DATASET" in str(caught.value)
        assert storage.url in str(caught.value)
    assert {path: storage.read_bytes(path) for path in storage.list()} == files


def test_storage_errors_share_the_exit_code_of_lake_errors() -> None:
    assert issubclass(StorageError, CrmAssetsError)
    assert StorageError.exit_code == LakeError.exit_code


REWRITE = """
import sys
from crm_assets.lake import Lake
from crm_assets_tests.lake.tables import DEALS, MADE_BY, MAY, lazy, polars_sink, versioned
lake = Lake.open(sys.argv[1], create=False)
for version, _ in enumerate(sys.stdin, start=1):
    frame, notes = lazy(versioned(version)), {"version": version}
    lake.write_table("deals", MAY, frame, DEALS, sink=polars_sink, provenance=MADE_BY, notes=notes)
    print(version, flush=True)
"""


def test_readers_see_whole_tables_with_their_own_manifests_while_a_writer_rewrites(lake: Lake) -> None:
    write(lake, versioned(0), notes={"version": 0})

    def read() -> int:
        path, manifest = lake.table("deals", MAY)
        version = manifest.notes["version"]
        assert isinstance(version, int)
        assert pl.read_parquet(path).equals(versioned(version))
        return version

    command = [sys.executable, "-c", REWRITE, lake.url]
    with subprocess.Popen(
        command, cwd=ROOT, text=True, bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        for version in range(1, 31):
            writer.stdin.write("again\n")
            # The writer is at work while these are read.
            assert {read() for _ in range(4)} <= {version - 1, version}
            assert writer.stdout.readline() == f"{version}\n"
            assert read() == version
