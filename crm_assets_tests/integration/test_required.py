from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from crm_assets_tests.integration import postgres_server
from crm_assets_tests.integration.required import VARIABLE, not_installed


def test_what_is_missing_fails_unless_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "seaweedfs", "postgres"):
        monkeypatch.setenv(VARIABLE, value)
        with pytest.raises(pytest.fail.Exception, match="postgresql is not installed: apt-get install postgresql;"):
            not_installed("postgresql", "apt-get install postgresql")
    monkeypatch.setenv(VARIABLE, "seaweedfs, PostgreSQL")
    with pytest.raises(pytest.skip.Exception, match="postgresql is not installed"):
        not_installed("postgresql", "apt-get install postgresql")


def test_postgres_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv("PG_BINDIR", raising=False)
    monkeypatch.setattr(postgres_server, "_DEBIAN", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(pytest.fail.Exception, match="apt-get install postgresql, or set PG_BINDIR"):
        postgres_server.required_programs()
    for version in ("9.6", "15"):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin" / "initdb").touch()
    assert postgres_server.required_programs() == tmp_path / "15" / "bin"
    monkeypatch.setenv("PG_BINDIR", str(tmp_path))
    with pytest.raises(pytest.fail.Exception, match=f"PG_BINDIR is {tmp_path}, where no initdb is"):
        postgres_server.required_programs()
