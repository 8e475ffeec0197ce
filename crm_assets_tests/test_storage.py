from __future__ import annotations

import errno
import hashlib
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from crm_assets import storage
from crm_assets.errors import SettingsError
from crm_assets.storage import StorageError, open_storage, sha256_of

PATHS = ["LAKE.json", "raw/sales_pipeline/2017-05.parquet", "raw data/año 2017/ventas é+1%20&=.csv"]


def fill(url: str) -> storage.Storage:
    place = open_storage(url, create=True)
    for path in PATHS:
        place.write_bytes(path, path.encode())
    return place


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_bytes_come_back(storage_url: str) -> None:
    place = fill(storage_url)
    for path in PATHS:
        assert place.read_bytes(path) == path.encode()
        assert place.exists(path)
        assert place.local_copy(path).read_bytes() == path.encode()
        assert place.local_copy(path).name == path.rpartition("/")[2]
        assert place.fingerprint(path) == hashlib.sha256(path.encode()).hexdigest()
        assert place.location(path) == f"{place.url}/{path}"


def test_files_come_back(storage_url: str, tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.write_bytes(os.urandom(3_000_000))
    place = open_storage(storage_url, create=True)
    place.put_file(local, "a/b.parquet")
    assert place.read_bytes("a/b.parquet") == local.read_bytes()
    assert place.fingerprint("a/b.parquet") == sha256_of(local)
    assert sha256_of(place.local_copy("a/b.parquet")) == sha256_of(local)


def test_list_is_sorted_and_below_the_folder(storage_url: str) -> None:
    place = fill(storage_url)
    assert place.list() == sorted(PATHS)
    assert place.list("raw") == place.list("raw/") == ["raw/sales_pipeline/2017-05.parquet"]
    assert place.list("ra") == []
    assert place.list("none") == []


def test_delete_removes_one_file(storage_url: str) -> None:
    place = fill(storage_url)
    place.delete(PATHS[1])
    place.delete("none/at/all")
    assert place.list() == sorted([PATHS[0], PATHS[2]])
    with pytest.raises(ValueError, match="no path inside a storage"):
        place.delete("../LAKE.json")


def test_stamps_are_those_of_the_listed_files_and_tell_of_changes(storage_url: str) -> None:
    place = fill(storage_url)
    before = place.stamps()
    assert [*before] == place.list()
    assert place.stamps() == before
    place.write_bytes(PATHS[0], b"other content")
    after = place.stamps()
    assert {path for path in PATHS if after[path] != before[path]} == {PATHS[0]}


def test_what_a_server_is_at_fault_for_may_pass_and_a_refusal_may_not(
    s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageError) as refused:
        open_storage("s3://crm-no-such-bucket/lake")
    assert not refused.value.transient
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError) as away:
        open_storage(s3_url)
    assert away.value.transient


@pytest.mark.parametrize(("number", "passes"), [(errno.ESTALE, True), (errno.ETIMEDOUT, True), (errno.EACCES, False)])
def test_a_network_folder_that_is_away_may_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, passes: bool
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    place = open_storage(str(tmp_path))
    monkeypatch.setattr(os, "walk", fail)
    with pytest.raises(StorageError) as caught:
        place.list()
    assert caught.value.transient is passes


def test_a_part_of_a_name_is_no_file(storage_url: str) -> None:
    place = fill(storage_url)
    assert not place.exists("raw")
    assert not place.exists("LAKE")
    assert not place.exists("raw/sales_pipeline/2017-05.parquet/x")


def test_a_missing_file_is_named(storage_url: str) -> None:
    place = open_storage(storage_url, create=True)
    for read in (place.read_bytes, place.fingerprint, place.local_copy):
        with pytest.raises(StorageError, match=r"cannot read gone/2017-05\.parquet: .*; check the path") as caught:
            read("gone/2017-05.parquet")
        assert str(caught.value).startswith(place.url)
        assert caught.value.exit_code == 4


def test_rewriting_changes_the_fingerprint_and_not_a_copy_in_use(storage_url: str) -> None:
    place = open_storage(storage_url, create=True)
    place.write_bytes("a", b"old")
    before, in_use = place.fingerprint("a"), place.local_copy("a")
    place.write_bytes("a", b"new")
    assert place.fingerprint("a") != before
    assert in_use.read_bytes() == b"old"
    assert place.local_copy("a").read_bytes() == b"new"
    assert place.local_copy("a") == place.local_copy("a")


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "a//b", ".hidden", "a/.tmp-1", "a/"])
def test_paths_stay_inside(storage_url: str, path: str) -> None:
    place = open_storage(storage_url, create=True)
    for act in (place.read_bytes, place.exists, place.location, lambda path: place.write_bytes(path, b"")):
        with pytest.raises(ValueError, match="no path inside a storage"):
            act(path)


@pytest.mark.parametrize("url", ["", "gs://bucket/x", "http://host/x", "s3://", "s3:///x", "s3://a_?/x"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="s3://bucket/prefix"):
        open_storage(url)


def test_a_secret_in_a_url_is_refused_unseen() -> None:
    with pytest.raises(SettingsError, match="AWS_SECRET_ACCESS_KEY") as caught:
        open_storage("s3://key:hunter2@bucket/prefix")
    assert "hunter2" not in str(caught.value)


def test_a_folder_is_made_only_on_request(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="lake: cannot open the folder: No such file"):
        open_storage(str(tmp_path / "lake"))
    assert not (tmp_path / "lake").exists()
    open_storage(str(tmp_path / "lake"), create=True)
    assert (tmp_path / "lake").is_dir()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("")
    for create in (False, True):
        with pytest.raises(StorageError, match="cannot open the folder"):
            open_storage(str(tmp_path / "lake"), create=create)


def test_the_url_of_a_folder_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_storage("lake/", create=True).url == str(tmp_path / "lake")


def test_hidden_files_are_not_listed(tmp_path: Path) -> None:
    place = open_storage(str(tmp_path))
    (tmp_path / ".git").mkdir()
    for path in (".DS_Store", ".git/config", ".tmp-0123", "shown"):
        (tmp_path / path).write_text("")
    assert place.list() == ["shown"]


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a").write_text("a")
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "linked").symlink_to("../elsewhere")
    (tmp_path / "lake" / "b").symlink_to("../elsewhere/a")
    place = open_storage(str(tmp_path / "lake"))
    assert place.list() == ["b", "linked/a"]
    assert place.local_copy("b").read_text() == "a"


def test_a_copy_is_made_where_no_link_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared_memory = Path("/dev/shm")
    if not shared_memory.is_dir() or shared_memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    monkeypatch.setattr(storage, "process_folder", lambda: tmp_path)
    folder = shared_memory / f"crm-{os.getpid()}"
    try:
        place = open_storage(str(folder), create=True)
        place.write_bytes("a", b"old")
        copy = place.local_copy("a")
        place.write_bytes("a", b"new")
        assert copy.read_bytes() == b"old"
        assert copy.stat().st_dev == tmp_path.stat().st_dev
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("error", [errno.ENOENT, errno.EPERM, errno.EXDEV])
def test_a_copy_is_made_where_the_system_refuses_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    # Linux answers ENOENT when the file has been replaced since its path was looked up.
    def refuse(link: Path, target: Path) -> None:
        raise OSError(error, os.strerror(error), str(target))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    place = open_storage(str(tmp_path))
    place.write_bytes("a", b"old")
    copy = place.local_copy("a")
    place.write_bytes("a", b"new")
    assert copy.read_bytes() == b"old"


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    place = open_storage(str(tmp_path))
    tmp_path.chmod(0o555)
    me = os.geteuid()
    # Nothing is forbidden to root.
    nobody = 65534 if me == 0 else me
    try:
        os.seteuid(nobody)
        with pytest.raises(StorageError, match=f"cannot write a/b: Permission denied .*; give user {nobody} access"):
            place.write_bytes("a/b", b"x")
    finally:
        os.seteuid(me)
        tmp_path.chmod(0o755)


def test_a_write_that_fails_midway_leaves_the_old_file(tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.write_bytes(bytes(4_000_000))
    place = open_storage(str(tmp_path / "lake"), create=True)
    place.write_bytes("a", b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, limits[1]))
    try:
        with pytest.raises(StorageError, match="cannot write a: File too large"):
            place.put_file(local, "a")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert place.read_bytes("a") == b"old"
    assert names(tmp_path / "lake") == ["a"]


def test_a_written_file_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    place = open_storage(str(tmp_path))
    place.write_bytes("a", b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_killed_writers_left_is_removed_after_a_day(tmp_path: Path) -> None:
    old, recent = tmp_path / ".tmp-old", tmp_path / ".tmp-recent"
    for file in (old, recent):
        file.write_bytes(b"")
    day_ago = recent.stat().st_mtime - storage._ABANDONED_AFTER_SECONDS - 1
    os.utime(old, (day_ago, day_ago))
    open_storage(str(tmp_path)).write_bytes("a", b"")
    assert names(tmp_path) == [".tmp-recent", "a"]


def test_a_writer_killed_midway_leaves_the_old_file(tmp_path: Path) -> None:
    place = open_storage(str(tmp_path / "lake"), create=True)
    place.write_bytes("a", b"old")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code = (
        "import sys; from pathlib import Path; from crm_assets.storage import open_storage; "
        "open_storage(sys.argv[1]).put_file(Path(sys.argv[2]), 'a')"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, place.url, str(pipe)])
    with pipe.open("wb", buffering=0) as stream:
        # A pipe holds far less than this, so once it is sent the writer has written most of it.
        for _ in range(8):
            stream.write(bytes(1 << 20))
        writer.kill()
        writer.wait()
    left, kept = names(Path(place.url))
    assert (left[:5], kept) == (".tmp-", "a")
    assert (Path(place.url) / left).stat().st_size > 1 << 20
    assert place.read_bytes("a") == b"old"
    assert place.list() == ["a"]


REWRITE = """
import sys
from itertools import count
from pathlib import Path
from crm_assets.storage import open_storage
place, local, stop = open_storage(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
for version in count():
    content = bytes([version % 256]) * (100_000 + 40_000 * (version % 7))
    if version % 2:
        local.write_bytes(content)
        place.put_file(local, "a")
    else:
        place.write_bytes("a", content)
    if stop.exists():
        break
"""


def test_readers_see_whole_versions_while_a_writer_rewrites(storage_url: str, tmp_path: Path) -> None:
    place = open_storage(storage_url, create=True)
    lengths = {100_000 + 40_000 * (version % 7) for version in range(7)}
    place.write_bytes("a", bytes(100_000))
    command = [sys.executable, "-c", REWRITE, place.url, str(tmp_path / "local"), str(tmp_path / "stop")]
    seen: set[int] = set()
    with subprocess.Popen(command) as writer:
        try:
            while len(seen) < 30:
                assert writer.poll() is None
                for content in (place.read_bytes("a"), place.local_copy("a").read_bytes()):
                    assert content == content[:1] * len(content)
                    assert len(content) in lengths
                    seen.add(content[0])
        finally:
            (tmp_path / "stop").touch()
    assert writer.returncode == 0
