"""A run that is killed at any moment, and the same command again: what is left is as if it had not been killed."""

from __future__ import annotations

import json
import random
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from crm_assets.defs.interrupted import fail_interrupted
from crm_assets.defs.run_tags import PROCESS_TAG, process_tags
from crm_assets.process import Process
from crm_assets.registry import Registry
from crm_assets_tests.survival.commands import KILLED, Moment
from crm_assets_tests.survival.conftest import BACKFILL, RUN, InFolder, OnServers, Place
from crm_assets_tests.survival.killed import AFTER, BEFORE, DURING

DRAWN, BY_TIME, SEED = 24, 6, 20170601


def drawn(counts: dict[str, int]) -> list[Moment]:
    """Moments of a run: every kind of call once and then again, each at a call and a point of it drawn at random."""
    draw = random.Random(SEED)
    names = sorted(counts)
    moments = []
    for number in range(DRAWN):
        if number % len(names) == 0:
            draw.shuffle(names)
        name = names[number % len(names)]
        when = BEFORE if name == "folder.rename" else draw.choice([BEFORE, DURING, AFTER])
        moments.append((name, draw.randint(1, counts[name]), when))
    return moments


def survives(
    place: Place,
    undisturbed: dict[str, Any],
    *command: str,
    moment: Moment | None = None,
    seconds: float = 0,
) -> None:
    """Kill a command, a run by default, run it again and compare."""
    place.renew()
    code = place.run(*command, moment=moment, seconds=None if moment else seconds)
    while code == 0 and not moment:
        # The machine had less to do than when the undisturbed run was timed.
        seconds /= 2
        place.renew()
        code = place.run(*command, seconds=seconds)
    assert code == KILLED, (code, place.command.told())
    place.readable()
    assert place.run(*command) == 0, place.command.told()
    assert place.state() == undisturbed


def undisturbed_run(place: Place, tmp_path: Path) -> tuple[dict[str, Any], dict[str, int], float]:
    """What a run leaves, how often it calls what, and how long it takes in seconds."""
    place.renew()
    began = time.monotonic()
    assert place.run(counts=tmp_path / "counts") == 0, place.command.told()
    seconds = time.monotonic() - began
    state = place.state()
    assert not state["left"]
    assert not state["unfinished in Dagster"]
    assert state["going on in MLflow"] == 0
    return state, json.loads((tmp_path / "counts").read_text()), seconds


BEFORE_THE_ALIAS: Moment = ("mlflow.set_registered_model_alias", 1, BEFORE)
HALF_A_TABLE: Moment = ("folder.put_file", 20, DURING)
DELICATE: list[Moment] = [("mlflow.create_model_version", 1, AFTER), ("dagster.event", 120, AFTER)]
"""A version registered that no month names, a step begun."""


@pytest.mark.survival
def test_the_most_delicate_moments(in_folder: InFolder, tmp_path: Path) -> None:
    """Half a table written; a decision stored and not followed, whoever goes on."""
    state, _, _ = undisturbed_run(in_folder, tmp_path)
    survives(in_folder, state, moment=HALF_A_TABLE)
    survives(in_folder, state, *BACKFILL, moment=BEFORE_THE_ALIAS)
    # As a run that makes a finished month again leaves it, when it is killed before the alias follows.
    registry = Registry(in_folder.settings.tracking_uri, in_folder.settings.model_name)
    champion = registry.champion()
    assert champion is not None
    for command in (RUN, BACKFILL):
        registry.set_champion(next(version for version in state["versions"] if version != champion.version))
        registry.set_challenger(None)
        in_folder.command.log.write_text("")
        assert in_folder.run(*command) == 0, in_folder.command.told()
        assert "Nothing to do" in in_folder.command.told()
        assert in_folder.state() == state


@pytest.mark.survival
def test_other_delicate_moments(in_folder: InFolder, tmp_path: Path) -> None:
    state, _, _ = undisturbed_run(in_folder, tmp_path)
    for moment in (*DELICATE, BEFORE_THE_ALIAS):
        survives(in_folder, state, moment=moment)


def _thirty(place: Place, tmp_path: Path) -> None:
    state, counts, seconds = undisturbed_run(place, tmp_path)
    # It happens once per server, and not again when a lake is begun anew.
    counts.pop("mlflow.create_experiment", None)
    draw = random.Random(SEED)
    killed = 0
    for moment in drawn(counts):
        survives(place, state, moment=moment)
        killed += 1
        print(f"identical after a kill {moment[2]} call {moment[1]} of {moment[0]}", flush=True)  # noqa: T201
    for _ in range(BY_TIME):
        after = draw.uniform(0.05, 0.6) * seconds
        survives(place, state, seconds=after)
        killed += 1
        print(f"identical after a kill after {after:.1f} s of {seconds:.1f} s", flush=True)  # noqa: T201
    print(f"{killed} kills, {killed} identical lakes of {len(state['lake'])} files", flush=True)  # noqa: T201


@pytest.mark.survival
def test_thirty_moments_in_a_folder(in_folder: InFolder, tmp_path: Path) -> None:
    _thirty(in_folder, tmp_path)


@pytest.mark.survival
def test_thirty_moments_on_servers(on_servers: OnServers, tmp_path: Path) -> None:
    _thirty(on_servers, tmp_path)


def test_only_runs_of_processes_that_are_gone_are_marked(tmp_path: Path) -> None:
    @dg.job
    def nothing() -> None: ...

    here = Process.current()
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:

        def started(tag: str | None, run_id: str | None = None) -> str:
            run_id = run_id or str(uuid.uuid4())
            tags = {} if tag is None else {PROCESS_TAG: tag.format(run_id)}
            status = dg.DagsterRunStatus.STARTED
            return instance.create_run_for_job(nothing, run_id=run_id, status=status, tags=tags).run_id

        # The first process of the machine is there, yet did not start when this one did.
        ended = replace(here, pid=1)
        gone = started(f"{{}} {ended}")
        kept = [started(f"{{}} {here}"), started(f"{{}} {replace(ended, host='elsewhere')}"), started(None)]
        kept += [started("?"), started("{} ?")]
        mine = str(uuid.uuid4())
        kept.append(started(process_tags(mine)[PROCESS_TAG], mine))
        # As Dagster makes a retry, with the tags of the run that died.
        kept.append(started(f"{gone} {ended}"))
        assert fail_interrupted(instance) == [gone]
        statuses = {run.run_id: run.status for run in instance.get_runs()}
    assert statuses == {gone: dg.DagsterRunStatus.FAILURE, **dict.fromkeys(kept, dg.DagsterRunStatus.STARTED)}
