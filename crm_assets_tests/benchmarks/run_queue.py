"""Many runs queued at once, on SQLite and on PostgreSQL: whether any is lost, and how long they take."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from crm_assets_tests.benchmarks.forked_runs import SOCKET
from crm_assets_tests.benchmarks.process import ROOT, environment

RESULTS = ROOT / "bench" / "queue.json"
SECONDS_PER_RUN, START_SECONDS, STOP_SECONDS = 30, 120, 60
_LOCATION = """\
import dagster as dg


@dg.op
def work() -> None: ...


@dg.job(executor_def=dg.in_process_executor)
def tiny() -> None:
    work()


@dg.sensor(job=tiny, default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=1)
def all_at_once(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    requests = [] if context.cursor else [dg.RunRequest(run_key=str(number)) for number in range({runs})]
    return dg.SensorResult(run_requests=requests, cursor="asked")


defs = dg.Definitions(jobs=[tiny], sensors=[all_at_once])
"""
_CONFIGURATION = """\
telemetry: {{enabled: false}}
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config: {{max_concurrent_runs: {parallel}, dequeue_interval_seconds: 1}}
run_launcher:
  module: crm_assets_tests.benchmarks.forked_runs
  class: ForkedRuns
{storage}"""
_POSTGRES = "storage:\n  postgres:\n    postgres_url: {url}\n"
_LOCKED = re.compile(r"database is locked|deadlock detected|too many clients|OperationalError")


def queued(runs: int, parallel: int, postgres_url: str | None = None) -> dict[str, Any]:
    """What became of runs that a sensor asks for at once, with the daemon, its queue and a process for each run.

    The processes are forked, so that as many as may write at once really do: Dagster's own take seconds to start.

    Args:
        runs: how many.
        parallel: how many at a time.
        postgres_url: where Dagster keeps its records; SQLite files when None.

    Returns counts by status, "lock_errors" in the daemon's log, and "seconds" from start to end.
    """
    import dagster as dg

    with tempfile.TemporaryDirectory(prefix="crm-assets-bench-") as name:
        home = Path(name)
        storage = _POSTGRES.format(url=postgres_url) if postgres_url else ""
        (home / "dagster.yaml").write_text(_CONFIGURATION.format(parallel=parallel, storage=storage))
        (home / "location.py").write_text(_LOCATION.format(runs=runs))
        log = home / "log"
        began = time.perf_counter()

        def start(*arguments: str) -> subprocess.Popen[bytes]:
            with log.open("ab") as output:
                return subprocess.Popen(
                    [sys.executable, "-m", *arguments],
                    cwd=home,
                    env={**environment(), "DAGSTER_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)},
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )

        launches = home / SOCKET
        launcher = start("crm_assets_tests.benchmarks.forked_runs", str(launches))
        deadline = time.monotonic() + START_SECONDS
        while not launches.exists():
            if launcher.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no run can be launched:\n{log.read_text(errors='replace')[-4_000:]}")
            time.sleep(0.05)
        daemon = start("dagster._daemon", "run", "-f", "location.py")
        try:
            with dg.DagsterInstance.from_config(str(home)) as instance:
                finished = dg.RunsFilter(
                    statuses=[
                        dg.DagsterRunStatus.SUCCESS,
                        dg.DagsterRunStatus.FAILURE,
                        dg.DagsterRunStatus.CANCELED,
                    ]
                )
                deadline = time.monotonic() + START_SECONDS + runs * SECONDS_PER_RUN
                while instance.get_runs_count(finished) < runs and time.monotonic() < deadline:
                    if daemon.poll() is not None:
                        raise RuntimeError(f"the daemon ended:\n{log.read_text(errors='replace')[-4_000:]}")
                    time.sleep(0.5)
                seconds = time.perf_counter() - began
                found = instance.get_runs()
                keys = {run.tags.get("dagster/run_key") for run in found}
        finally:
            os.killpg(launcher.pid, signal.SIGKILL)
            launcher.wait()
            os.killpg(daemon.pid, signal.SIGTERM)
            try:
                daemon.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(daemon.pid, signal.SIGKILL)
                daemon.wait()
        statuses = [run.status.value for run in found]
        return {
            "storage": "PostgreSQL" if postgres_url else "SQLite",
            "runs": runs,
            "asked_for": len(keys),
            "succeeded": statuses.count("SUCCESS"),
            "others": sorted({status for status in statuses if status != "SUCCESS"}),
            "lock_errors": len(_LOCKED.findall(log.read_text(errors="replace"))),
            "seconds": round(seconds, 1),
        }


@click.command("queue")
@click.option("--runs", default=200, show_default=True)
@click.option("--parallel", default=4, show_default=True, help="Runs at a time.")
@click.option("--storage", type=click.Choice(["sqlite", "postgres", "both"]), default="both", show_default=True)
def queue(runs: int, parallel: int, storage: str) -> None:
    """Queue many runs at once on SQLite and on PostgreSQL."""
    from crm_assets_tests.integration.postgres_server import server_programs
    from crm_assets_tests.survival.restarted_postgres import restarted_postgres

    results = []
    table = Table("storage", "runs", "succeeded", "lock errors", "seconds")
    for name in ("sqlite", "postgres"):
        if storage not in {name, "both"}:
            continue
        programs = server_programs()
        if name == "postgres" and programs is None:
            raise click.ClickException("PostgreSQL is not installed: apt-get install postgresql, or set PG_BINDIR")
        server = restarted_postgres(programs) if name == "postgres" and programs else nullcontext(None)
        with server as running:
            told = queued(runs, parallel, running.url if running else None)
        results.append(told)
        table.add_row(
            told["storage"], str(runs), str(told["succeeded"]), str(told["lock_errors"]), f"{told['seconds']:,.0f}"
        )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    Console().print(table)
