"""The client against a real Dagster, webserver and daemon: backfills that are joined, killed, cancelled and go on."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from crm_assets.cli import main
from crm_assets.client import (
    MissingInputError,
    MonthRangeError,
    Platform,
    Progress,
    RunCanceledError,
    State,
    UnknownAssetError,
    UnreachableError,
    silent,
)
from crm_assets.defs.assets import ASSETS
from crm_assets.run import run_months
from crm_assets.settings import Settings
from crm_assets_tests.client.small import CELLS, FIRST, LAST, MONTHS, SOURCE, contents, environment, settings_in
from crm_assets_tests.integration.dagster_server import DagsterServer, dagster_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dagster")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[DagsterServer]:
    with dagster_server(folder, environment(folder)) as running:
        yield running


@pytest.fixture
def settings(folder: Path) -> Settings:
    return settings_in(folder)


def test_what_is_asked_for_wrongly_is_told_by_the_server(server: DagsterServer) -> None:
    platform = Platform.connect(server.url)
    with pytest.raises(UnknownAssetError, match=r"no asset 'score': did you mean scores\?"):
        platform.backfill(["score"], FIRST, on_progress=silent)
    with pytest.raises(MonthRangeError, match="does not have 2018-01: it has 2017-01 to 2017-03"):
        platform.backfill(None, "2018-01", on_progress=silent)
    with pytest.raises(MissingInputError, match=r"scores of 2017-01 is made of .*, which is missing"):
        platform.backfill(["scores"], FIRST, on_progress=silent)
    assert set(platform.assets()) == {asset.name for asset in ASSETS}
    assert len(platform.plan(start=FIRST, end=LAST)) == CELLS


@pytest.mark.survival
def test_a_backfill_survives_a_killed_server_and_a_cancellation(
    server: DagsterServer, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    platform = Platform.connect(server.url, patience=1, lake=settings.lake_url, source=SOURCE)
    started = platform.backfill(start=FIRST, end=LAST, wait=False)
    joined = Platform.connect(server.url).backfill(start=FIRST, end=LAST, wait=False)
    assert (joined.joined, joined.run_ids) == (True, started.run_ids)

    def kill(progress: Progress) -> None:
        if progress.done >= len(ASSETS) // 3:
            server.kill()

    with pytest.raises(UnreachableError, match=f"Run {started.run_ids[0]} may go on without it"):
        platform.wait(started, on_progress=kill)
    with pytest.raises(UnreachableError, match="make dev"):
        platform.status(started)
    server.start()
    # That the run's process is gone is found by a sensor, which looks seldom: whoever calls may be first.
    found = platform.status(started.run_ids[0])
    if found.state is State.RUNNING:
        assert platform.cancel(started, timeout=5).state is State.CANCELED
    else:
        assert found.state is State.FAILED
        assert "was killed" in str(found.reason)
    held = contents(settings)
    assert 0 < len(held) < CELLS
    rest = platform.plan(start=FIRST, end=LAST)
    assert {(step.asset, str(step.month)) for step in rest.steps} == {
        (asset.name, str(month)) for asset in ASSETS for month in MONTHS
    } - held.keys()

    second = platform.backfill(start=FIRST, end=LAST, wait=False)

    def cancel(progress: Progress) -> None:
        if progress.done >= CELLS // 2 and not progress.state.over:
            assert platform.cancel(second).state is State.CANCELED

    with pytest.raises(RunCanceledError, match="the same call goes on where it stopped"):
        platform.wait(second, on_progress=cancel)

    seen: list[Progress] = []
    done = platform.backfill(start=FIRST, end=LAST, on_progress=seen.append)
    assert (done.state, done.done, done.total, len(done.run_ids)) == (State.DONE, CELLS, CELLS, 1)
    assert [progress.done for progress in seen] == sorted(progress.done for progress in seen)
    assert (seen[-1].done, seen[-1].state) == (CELLS, State.DONE)
    assert platform.status(done.run_ids[0]).months == tuple(str(month) for month in MONTHS)
    assert platform.backfill(start=FIRST, end=LAST).state is State.UP_TO_DATE

    reference = settings_in(tmp_path)
    run_months(reference, MONTHS, force=False, show_progress=False)
    assert contents(settings) == contents(reference), "the server's lake is that of a run in this process"
    assert platform.scores(as_of=str(LAST)).month == LAST

    shown = CliRunner().invoke(main, ["backfill", f"{FIRST}:{LAST}", "--url", server.url, "--json", "--yes"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["state"] == "up to date"


def test_the_page_about_the_client_runs(
    server: DagsterServer, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its blocks of Python, in order, on months that are there."""
    for name, value in environment(folder).items():
        monkeypatch.setenv(name, value)
    with Platform.connect(server.url) as platform:
        platform.backfill(start=FIRST, end=LAST)
    page = (Path(__file__).parents[2] / "docs" / "client.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    for block in blocks:
        code = block.replace("http://localhost:3000", server.url).replace("2017-12", str(LAST))
        exec(code, names)
    told = capsys.readouterr().out
    assert "Nothing to do" in told
    assert "up to date 0 0 ()" in told
    assert "shape: " in told
    assert len(blocks) == 7


def test_connecting_loads_no_dagster(server: DagsterServer) -> None:
    code = f"""
import sys
from crm_assets.client import Platform
Platform.connect({server.url!r}).plan(start="2017-01")
print("dagster" in sys.modules, "polars" in sys.modules)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "False"]
