"""The audit of the locks, without the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from checks.audit import KNOWN, audited

LOCK = Path("requirements.lock")


def looks(known: dict[str, list[str]], locks: dict[str, list[str]]) -> Any:
    def look(files: list[Path], *, hashes: bool = True) -> dict[str, list[str]]:
        if files == [LOCK]:
            assert hashes
            return locks
        assert [file.read_text() for file in files] == [f"{KNOWN}\n"]
        return known

    return look


def test_an_index_that_knows_of_nothing_is_no_pass() -> None:
    code, lines = audited([LOCK], looks({}, {}))
    assert code == 3
    assert "not looked up" in lines[0]


def test_no_network_is_no_pass() -> None:
    def look(files: list[Path], *, hashes: bool = True) -> dict[str, list[str]]:
        raise RuntimeError("no route to host")

    code, lines = audited([LOCK], look)
    assert code == 3
    assert lines == ["not looked up, which needs the internet: no route to host"]


def test_what_is_known_is_told() -> None:
    code, lines = audited([LOCK], looks({"jinja2 2.4.1": ["PYSEC-1"]}, {"some 1.0": ["GHSA-1", "GHSA-2"]}))
    assert (code, lines) == (1, ["some 1.0: GHSA-1, GHSA-2"])


def test_nothing_known_passes() -> None:
    code, _ = audited([LOCK], looks({"jinja2 2.4.1": ["PYSEC-1"]}, {}))
    assert code == 0


def test_an_exception_counts_for_its_advisory_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checks.audit._NOT_OURS", {"GHSA-1": "not reached by us"})
    known = {"jinja2 2.4.1": ["PYSEC-1"]}
    assert audited([LOCK], looks(known, {"some 1.0": ["GHSA-1"]}))[0] == 0
    assert audited([LOCK], looks(known, {"some 1.0": ["GHSA-1", "GHSA-2"]})) == (1, ["some 1.0: GHSA-2"])
