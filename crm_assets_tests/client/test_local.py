"""Backfills in this process."""

from __future__ import annotations

import json
import signal
import uuid
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from crm_assets.client import (
    Backfill,
    ClientError,
    Platform,
    Progress,
    RunCanceledError,
    State,
    WaitTimeoutError,
)
from crm_assets.dagster_home import open_instance
from crm_assets.defs.assets import ASSETS
from crm_assets.defs.platform import Platform as Deployment
from crm_assets.defs.run_tags import PROCESS_TAG
from crm_assets.errors import LakeError, SettingsError
from crm_assets.process import Process
from crm_assets.run import make_range, run_months
from crm_assets_tests.client.small import CELLS, FIRST, LAST, MONTHS, contents, settings_in
from crm_assets_tests.graph.conftest import Command, command  # noqa: F401 - a fixture


@pytest.mark.slow
def test_a_backfill_that_was_cancelled_goes_on_to_the_same_lake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    reference, settings = settings_in(tmp_path / "reference"), settings_in(tmp_path / "sdk")
    run_months(reference, MONTHS, force=False, show_progress=False)
    seen: list[Progress] = []
    platform = Platform.local(settings=settings)
    handle = platform.backfill(start=FIRST, end=LAST, wait=False)
    assert len(handle.plan or ()) == CELLS
    with pytest.raises(WaitTimeoutError, match="goes on"):
        platform.wait(handle, timeout=0)

    def cancel_in_the_middle(progress: Progress) -> None:
        seen.append(progress)
        if progress.done >= CELLS // 3:
            assert platform.cancel(handle).state is State.CANCELED

    with pytest.raises(RunCanceledError, match="the same call goes on"):
        platform.wait(handle, on_progress=cancel_in_the_middle)
    # Another object, as in another process, reads the same from Dagster's home.
    assert Platform.local(settings=settings).status(handle.run_ids[0]).state is State.CANCELED
    held = contents(settings)
    written = {path: path.stat().st_mtime_ns for path in Path(settings.dataset_url).rglob("*.parquet")}
    assert CELLS // 3 <= len(held) < CELLS

    rest = platform.plan(start=FIRST, end=LAST)
    assert {(step.asset, str(step.month)) for step in rest.steps} == {
        (asset.name, str(month)) for asset in ASSETS for month in MONTHS
    } - held.keys()
    done = platform.backfill(start=FIRST, end=LAST, on_progress=seen.append)
    assert (done.state, done.done, done.total) == (State.DONE, CELLS, CELLS)
    assert (seen[-1].done, seen[-1].total, seen[-1].state) == (CELLS, CELLS, State.DONE)
    assert contents(settings) == contents(reference)
    assert all(path.stat().st_mtime_ns == then for path, then in written.items()), "what was made is not made again"
    again = platform.backfill(start=FIRST, end=LAST)
    assert (again.state, again.run_ids) == (State.UP_TO_DATE, ())
    assert platform.scores(as_of=str(LAST)).rows.columns
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        events = instance.get_records_for_run(done.run_ids[0], of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    kept = [
        record.event_log_entry.asset_materialization
        for record in events.records
        if "kept" in (record.event_log_entry.asset_materialization or dg.AssetMaterialization("none")).metadata
    ]
    assert len(kept) == len(held), "Dagster shows what was kept, and that it was"

    made = platform.materialize(["raw/products", "raw/accounts"], FIRST)
    assert (made.done, made.total, made.months) == (2, 2, (str(FIRST),))
    one_by_one = platform.backfill(["raw/products"], FIRST, LAST, per_month=True, force=True)
    assert (len(one_by_one.run_ids), one_by_one.done) == (2, 2)

    def interrupt(_progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        platform.backfill(["raw/products", "raw/accounts"], FIRST, LAST, force=True, on_progress=interrupt)
    assert contents(settings) == contents(reference)


def test_a_run_leaves_the_signals_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    deployment = Deployment(settings_in(tmp_path))
    term = signal.getsignal(signal.SIGTERM)
    # As of what a shell script starts in the background.
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        make_range(deployment, [FIRST], assets=["raw/products"])
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == (signal.SIG_IGN, term)
    finally:
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, term)


def test_only_a_run_whose_process_is_gone_is_written_down_as_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.job
    def nothing() -> None: ...

    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    settings, here = settings_in(tmp_path), Process.current()
    # The first process of the machine is there, yet did not start when this one did.
    processes = [replace(here, pid=1), here, replace(here, host="elsewhere"), None]
    runs = {str(uuid.uuid4()): process for process in processes}
    with open_instance(settings) as instance:
        for run_id, process in runs.items():
            tags = {PROCESS_TAG: f"{run_id} {process}"} if process else {}
            instance.create_run_for_job(nothing, run_id=run_id, status=dg.DagsterRunStatus.STARTED, tags=tags)
    platform = Platform.local(settings=settings)
    gone, *others = runs
    assert platform.cancel(gone).state is State.CANCELED
    wanted = [here.name, f"process {here.pid} on elsewhere", "which process"]
    for run_id, named in zip(others, wanted, strict=True):
        with pytest.raises(ClientError, match=named):
            platform.cancel(run_id)
        assert platform.status(run_id).state is State.RUNNING


def test_what_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    platform = Platform.local(settings=settings_in(tmp_path))
    with pytest.raises(ClientError, match="there is no run nope"):
        platform.status("nope")
    with pytest.raises(LakeError, match="there is no lake"):
        platform.scores()
    with pytest.raises(SettingsError, match="give either"):
        Platform.local(settings=settings_in(tmp_path), lake="elsewhere")
    nothing = Backfill(State.UP_TO_DATE, ())
    assert platform.status(nothing) is nothing


def test_the_command_shows_the_plan_and_asks(command: Command) -> None:  # noqa: F811 - the fixture
    source = "simulator:?months=2017-01:2017-02&opportunities=100&seed=1"
    told = command("backfill", "2017-01:2017-02", "--source", source, "--plan", "--assets", "raw/products")
    assert told.exit_code == 0, told.output
    assert told.stdout.splitlines() == [
        "2 of 2 to make, 1 asset of 2017-01:2017-02:",
        "  raw/products  2017-01:2017-02  missing",
    ]
    as_json = command("backfill", "2017-01", "--source", source, "--plan", "--assets", "raw/products", "--json")
    assert [step["cause"] for step in json.loads(as_json.stdout)["steps"]] == ["missing"]
    refused = command("backfill", "2017-01", "--source", source, "--assets", "raw/products")
    assert (refused.exit_code, "add --yes" in refused.stderr) == (2, True)
    done = command("backfill", "2017-01", "--source", source, "--assets", "raw/products", "--yes", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["state"] == "done"
    again = command("backfill", "2017-01", "--source", source, "--assets", "raw/products")
    assert again.stdout == "Nothing to do: 1 asset of 2017-01 are up to date.\n"


def test_the_command_tells_what_is_wrong(command: Command) -> None:  # noqa: F811 - the fixture
    wrong = {
        ("2017-13",): (2, "is not a month"),
        ("2017-01", "--assets", "score"): (2, "did you mean scores?"),
        ("2017-01", "--url", "localhost"): (2, "no address of Dagster"),
        ("2017-01", "--url", "http://x", "--source", "y"): (2, "leave it out"),
    }
    for arguments, (code, message) in wrong.items():
        told = command("backfill", *arguments, "--plan")
        assert (told.exit_code, message in told.stderr) == (code, True), told.output
