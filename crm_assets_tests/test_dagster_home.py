from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config

from crm_assets.dagster_home import (
    FILE,
    check_storage,
    configuration,
    dagster_home,
    environment_of,
    home_of,
    kept_because,
    open_instance,
)
from crm_assets.errors import RunStorageError, SettingsError
from crm_assets.settings import Settings, load_settings

URL = "postgresql+psycopg2://dagster:hunter2@db/dagster"
OLD = "telemetry:\n  enabled: false\nnux:\n  enabled: false\n"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and an environment without settings."""
    for name in list(os.environ):
        if name.upper().startswith(("CRM_", "DAGSTER_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def with_url(**given: object) -> Settings:
    return load_settings(dagster_postgres_url=URL, **given)


def written(settings: Settings) -> Path:
    return dagster_home(settings) / FILE


def test_local_keeps_runs_in_sqlite() -> None:
    read = yaml.safe_load(written(load_settings(dagster_runs_at_once=5, dagster_run_hours=0.5)).read_text())
    assert "storage" not in read
    assert read["telemetry"] == read["nux"] == {"enabled": False}
    assert read["concurrency"] == {
        "runs": {"max_concurrent_runs": 5},
        "pools": {"granularity": "run", "default_limit": 1},
    }
    assert read["run_monitoring"]["enabled"]
    assert read["run_monitoring"]["max_resume_run_attempts"] == 0
    assert read["run_monitoring"]["max_runtime_seconds"] == 1800
    assert read["run_retries"] == {"enabled": True, "max_retries": 1, "retry_on_asset_or_op_failure": False}
    assert read["run_launcher"]["class"] == "WatchedRunLauncher"
    assert read["retention"]["sensor"]["purge_after_days"]["skipped"] == 7


@pytest.mark.parametrize("url", [None, URL])
def test_dagster_understands_it(url: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(dagster_postgres_url=url)
    home = dagster_home(settings)
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    read, _ = dagster_instance_config(str(home))
    assert read["concurrency"]["pools"]["granularity"] == "run"
    assert read.get("storage") == (url and {"postgres": {"postgres_url": {"env": "CRM_DAGSTER_POSTGRES_URL"}}})


def test_no_secret_is_in_the_file() -> None:
    file = written(with_url())
    assert yaml.safe_load(file.read_text())["storage"] == {
        "postgres": {"postgres_url": {"env": "CRM_DAGSTER_POSTGRES_URL"}}
    }
    assert "hunter2" not in file.read_text()
    assert [path.name for path in file.parent.iterdir()] == [FILE], "nothing temporary stays"


def test_file_of_ours_follows_the_settings() -> None:
    file = written(load_settings())
    first = file.read_text()
    file.touch()
    assert written(load_settings()).read_text() == first
    assert "postgres" in written(with_url()).read_text()
    file.write_text(OLD)
    assert kept_because(load_settings()) is None
    assert written(load_settings()).read_text() == first, "what an earlier version wrote is not an edited file"


def test_same_file_is_not_written_again() -> None:
    file = written(load_settings())
    before = file.stat().st_mtime_ns, file.stat().st_ino
    written(load_settings())
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == before


def test_edited_file_stays_and_is_told_when_it_is_outdated() -> None:
    file = written(load_settings())
    edited = file.read_text().replace("max_concurrent_runs: 2", "max_concurrent_runs: 9")
    file.write_text(edited)
    assert written(load_settings()).read_text() == edited
    assert kept_because(load_settings()) is None, "what the settings ask for has not changed since"
    told = kept_because(load_settings(dagster_run_hours=1)) or ""
    assert told.startswith(f"{file} was edited and is used as it is, but")
    assert written(load_settings(dagster_run_hours=1)).read_text() == edited


def test_own_file_stays(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(elsewhere / "own"))
    (elsewhere / "own").mkdir()
    (elsewhere / "own" / FILE).write_text("telemetry:\n  enabled: true\n")
    assert home_of(load_settings()) == elsewhere / "own"
    assert written(load_settings()).read_text() == "telemetry:\n  enabled: true\n"
    assert "was not written by crm-assets" in (kept_because(load_settings()) or "")


@pytest.mark.parametrize("content", ["telemetry:\n  enabled: true\n", "", "storage:\n  sqlite:\n    base_dir: /x\n"])
def test_own_file_that_keeps_runs_elsewhere_is_refused(content: str) -> None:
    (home := with_url().dagster_home).mkdir(parents=True)
    (home / FILE).write_text(content)
    for look in (dagster_home, kept_because):
        with pytest.raises(SettingsError, match="keeps runs elsewhere: put `storage: postgres` into it"):
            look(with_url())
    assert (home / FILE).read_text() == content


def test_own_file_with_postgres_is_used() -> None:
    (home := with_url().dagster_home).mkdir(parents=True)
    (home / FILE).write_text("storage:\n  postgres:\n    postgres_db: {hostname: db, username: me, db_name: dagster}\n")
    assert dagster_home(with_url()) == home


def test_file_that_is_no_yaml(elsewhere: Path) -> None:
    (home := with_url().dagster_home).mkdir(parents=True)
    (home / FILE).write_text("storage: [")
    with pytest.raises(SettingsError, match=f"{FILE} is not YAML"):
        dagster_home(with_url())


def test_home_that_cannot_be_made(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (elsewhere / "file").touch()
    with pytest.raises(SettingsError, match="correct CRM_HOME"):
        dagster_home(load_settings(home=elsewhere / "file"))
    monkeypatch.setenv("DAGSTER_HOME", str(elsewhere / "file" / "below"))
    with pytest.raises(SettingsError, match="correct DAGSTER_HOME"):
        dagster_home(load_settings())


def test_comments_say_nothing_that_is_not_so() -> None:
    """Resuming needs a launcher that can: Dagster refuses to start with any other."""
    from dagster._core.launcher import DefaultRunLauncher

    assert not DefaultRunLauncher().supports_resume_run
    assert "max_resume_run_attempts: 0" in configuration(load_settings())


def test_a_start_waits_for_a_postgresql_that_restarts_and_a_look_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dagster_postgres", reason="dagster-postgres is not installed")
    psycopg2 = pytest.importorskip("psycopg2", reason="psycopg2 is not installed")
    told: list[str] = []

    def refuse(*_: object, **__: object) -> None:
        told.append("asked")
        raise psycopg2.OperationalError("connection refused" if len(told) < 4 else "password authentication failed")

    monkeypatch.setattr(psycopg2, "connect", refuse)
    monkeypatch.setattr("crm_assets.defs.patience.time.sleep", lambda seconds: None)
    settings = with_url()
    with pytest.raises(RunStorageError, match="connection refused"):
        check_storage(settings)
    assert len(told) == 1
    with pytest.raises(RunStorageError, match="correct user and password"), open_instance(settings):
        pass
    assert len(told) == 4
