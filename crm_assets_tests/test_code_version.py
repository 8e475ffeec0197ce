from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_assets import code_version as module


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with a module `calendar` and a folder `history` of two modules, one of them in a folder below."""
    monkeypatch.setattr(module, "_PACKAGE", tmp_path)
    (tmp_path / "history" / "deep").mkdir(parents=True)
    for name in ("calendar.py", "history/replay.py", "history/deep/rules.py"):
        (tmp_path / name).write_text(f"# {name}\n")
    module.code_version.cache_clear()
    yield tmp_path
    module.code_version.cache_clear()


def version(*modules: str) -> str:
    """The version as a process that starts now has it."""
    module.code_version.cache_clear()
    return module.code_version(*modules)


def test_is_twelve_hexadecimal_digits() -> None:
    found = module.code_version("calendar", "history", "history/replay")
    assert len(found) == 12
    assert int(found, 16) >= 0


@pytest.mark.parametrize("changed", ["calendar.py", "history/replay.py", "history/deep/rules.py"])
def test_changes_with_any_module_it_is_of(package: Path, changed: str) -> None:
    before = version("calendar", "history")
    (package / changed).write_text("# changed\n")
    assert version("calendar", "history") != before


def test_changes_with_a_new_and_with_a_renamed_module(package: Path) -> None:
    before = version("history")
    (package / "history" / "quality.py").touch()
    with_quality = version("history")
    (package / "history" / "quality.py").rename(package / "history" / "worth.py")
    assert len({before, with_quality, version("history")}) == 3


def test_does_not_change_with_anything_else(package: Path) -> None:
    before = version("history")
    (package / "calendar.py").write_text("# changed\n")
    (package / "history" / "notes.txt").write_text("not code")
    assert version("history") == before


def test_tells_modules_apart(package: Path) -> None:
    assert len({version("calendar"), version("history"), version("history/replay"), version("history/deep")}) == 4


def test_missing_module(package: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"future\.py"):
        version("calendar", "future")


def test_a_folder_that_a_deleted_package_left(package: Path) -> None:
    for file in (package / "history").rglob("*.py"):
        file.unlink()
    (package / "history" / "__pycache__").mkdir()
    (package / "history" / "__pycache__" / "replay.cpython-311.pyc").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="holds no Python module: correct the name 'history', or delete"):
        version("calendar", "history")
