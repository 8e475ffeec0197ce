"""A disk that is full or read-only, as real mounts: what was there stays, and the run goes on once there is room."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crm_assets.storage import StorageError, open_storage, sha256_of
from crm_assets_tests.survival.commands import contents
from crm_assets_tests.survival.conftest import InFolder

Mount = Callable[[Path, str], None]


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Mounts memory at a folder, or changes the options of what is mounted there."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    mounted: list[Path] = []

    def at(folder: Path, options: str) -> None:
        again = "remount," if folder in mounted else ""
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", again + options, "tmpfs", folder],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        if not again:
            mounted.append(folder)

    try:
        yield at
    finally:
        for folder in mounted:
            subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_keeps_the_old_file(mount: Mount, tmp_path: Path) -> None:
    folder = tmp_path / "lake"
    folder.mkdir()
    mount(folder, "size=64k")
    place = open_storage(str(folder))
    place.write_bytes("deals/2017-05.parquet", b"old")
    large = tmp_path / "large"
    large.write_bytes(bytes(200_000))
    said = rf"{folder}: cannot write deals/2017-05\.parquet: No space left on device.*; free space there"
    with pytest.raises(StorageError, match=said):
        place.put_file(large, "deals/2017-05.parquet")
    with pytest.raises(StorageError, match=said):
        place.write_bytes("deals/2017-05.parquet", large.read_bytes())
    assert place.read_bytes("deals/2017-05.parquet") == b"old"
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["2017-05.parquet"]
    mount(folder, "size=1m")
    place.put_file(large, "deals/2017-05.parquet")
    assert place.fingerprint("deals/2017-05.parquet") == sha256_of(large)


def test_a_read_only_disk_is_told(mount: Mount, tmp_path: Path) -> None:
    folder = tmp_path / "lake"
    folder.mkdir()
    mount(folder, "size=64k")
    place = open_storage(str(folder))
    place.write_bytes("deals/2017-05.parquet", b"old")
    mount(folder, "ro")
    said = r"cannot write deals/2017-05\.parquet: Read-only file system.*; it is mounted read-only"
    with pytest.raises(StorageError, match=said):
        place.write_bytes("deals/2017-05.parquet", b"new")
    with pytest.raises(StorageError, match=rf"{folder}: cannot lock it by \.lock: Read-only file system"):
        place.take(place.lock())
    assert place.read_bytes("deals/2017-05.parquet") == b"old"


@pytest.mark.survival
def test_a_run_on_a_full_and_on_a_read_only_lake(in_folder: InFolder, mount: Mount) -> None:
    in_folder.renew()
    assert in_folder.run() == 0, in_folder.command.told()
    alone = in_folder.state()
    in_folder.renew()
    lake = in_folder.folder / "lake"
    aside = in_folder.root / "aside"
    shutil.move(lake, aside)
    lake.mkdir()
    mount(lake, "size=64m")
    shutil.copytree(aside, lake, dirs_exist_ok=True)
    shutil.rmtree(aside)
    before = contents(in_folder.settings.dataset_url)
    mount(lake, "ro")
    assert in_folder.run() == 4
    assert f"{lake}/crm: cannot lock it by .lock: Read-only file system" in in_folder.command.told()
    taken = shutil.disk_usage(lake).used
    mount(lake, f"rw,size={taken + 150_000}")
    assert in_folder.run() == 4
    told = in_folder.command.told()
    assert f"{lake}/crm: cannot write" in told
    assert "No space left on device" in told
    after = contents(in_folder.settings.dataset_url)
    assert {path: after.get(path) for path in before} == before
    mount(lake, "size=64m")
    assert in_folder.run() == 0, in_folder.command.told()
    assert in_folder.state() == alone


@pytest.mark.survival
def test_a_run_on_a_full_home(in_folder: InFolder, mount: Mount) -> None:
    in_folder.renew()
    assert in_folder.run() == 0, in_folder.command.told()
    alone = in_folder.state()
    in_folder.renew()
    home, aside = in_folder.folder / ".crm_assets", in_folder.root / "aside"
    shutil.move(home, aside)
    home.mkdir()
    mount(home, "size=256m")
    shutil.copytree(aside, home, dirs_exist_ok=True)
    shutil.rmtree(aside)
    mount(home, f"size={shutil.disk_usage(home).used + 100_000}")
    assert in_folder.run() in {1, 6}
    told = in_folder.command.told()
    assert "Traceback" not in told
    assert str(home) in told
    assert "free space" in told or "can be written" in told
    mount(home, "size=256m")
    assert in_folder.run() == 0, in_folder.command.told()
    assert in_folder.state() == alone
