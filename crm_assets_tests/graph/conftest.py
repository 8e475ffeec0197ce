from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from crm_assets.calendar import Month
from crm_assets.cli import main
from crm_assets.defs.platform import Platform
from crm_assets.run import RunResult, run_months
from crm_assets.settings import Settings, load_settings
from crm_assets_tests.made_once import made_once

SMALL = {"trees": 30, "backtest_months": 3, "min_training_wins": 20}
SOURCE = "simulator:?opportunities=2500&seed=11"


@dataclass(frozen=True)
class Finished:
    """A run of the whole graph over a small simulated CRM.

    Attributes:
        settings: of it.
        result: what it says.
        folder: with its lake and home.
        made_in: the folder in which it was made, which what it wrote down names.
    """

    settings: Settings
    result: RunResult
    folder: Path
    made_in: Path

    @property
    def platform(self) -> Platform:
        return self.result.platform

    @property
    def last(self) -> Month:
        return self.result.months[-1]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A copy for this worker; its models' files are those of the first."""
    made, folder = made_once(tmp_path_factory, "run", _run), tmp_path_factory.mktemp("finished")
    for name in ("lake", "home"):
        shutil.copytree(made / name, folder / name)
    settings = _finished_in(folder)
    platform = Platform(settings)
    months = tuple(Month.parse(month) for month in platform.lake.months("scores"))
    return Finished(settings, RunResult(platform, months, months, (), ()), folder, made)


def _run(folder: Path) -> None:
    result = run_months(_finished_in(folder), None, force=False, show_progress=False)
    assert result.made == result.months


def _finished_in(folder: Path) -> Settings:
    with cleared():
        return load_settings(source_url=SOURCE, lake_url=str(folder / "lake"), home=folder / "home", **SMALL)


@pytest.fixture
def copied(finished: Finished, tmp_path: Path) -> Settings:
    """Settings of a copy of the finished run, to be altered; its models' files are the finished one's."""
    shutil.copytree(finished.folder / "lake", tmp_path / "lake")
    shutil.copytree(finished.folder / "home" / "mlflow", tmp_path / "home" / "mlflow", ignore=_artifacts)
    return finished.settings.model_copy(update={"lake_url": str(tmp_path / "lake"), "home": tmp_path / "home"})


def cut(settings: Settings, last: Month) -> None:
    """Remove every month after `last` from the lake."""
    for file in Path(settings.dataset_url).rglob("20??-??.*"):
        if file.name[:7] > str(last):
            file.unlink()


def _artifacts(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name == "artifacts"}


def _clear(patch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("CRM_", "DAGSTER_HOME"))]:
        patch.delenv(name)


@contextmanager
def cleared() -> Iterator[None]:
    """An environment without settings."""
    with pytest.MonkeyPatch.context() as patch:
        _clear(patch)
        yield


@dataclass(frozen=True)
class Command:
    """The command line in a folder of its own."""

    folder: Path
    patch: pytest.MonkeyPatch

    def __call__(self, *arguments: str, **environment: Any) -> Result:
        for name, value in environment.items():
            self.patch.setenv(name, str(value))
        return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    _clear(monkeypatch)
    monkeypatch.chdir(tmp_path)
    for name, value in SMALL.items():
        monkeypatch.setenv(f"CRM_{name.upper()}", str(value))
    return Command(tmp_path, monkeypatch)


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but locks, with its content; empty when there is no folder."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
