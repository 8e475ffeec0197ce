"""A month lands while Dagster runs: seconds until its scores are stored, and what they are spent on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from crm_assets.simulated_landing import Landing
from crm_assets_tests.benchmarks.process import ROOT, busy_seconds, environment
from crm_assets_tests.integration.dagster_server import DagsterServer, dagster_server

RESULTS = ROOT / "bench" / "landing.json"
AIM_SECONDS = 30.0
"""From a complete month to its scores, on two processors with nothing else to do."""
_PATIENCE_SECONDS = 900
_LOOKS_BEFORE = 2
"""Ticks of the sensor before the month lands, after which it has read the months before. The month lands just after the
last of them, so that the wait for the next is the longest."""

_TICKS = """
query Ticks {
  sensorOrError(sensorSelector: {
    sensorName: "landing", repositoryName: "__repository__", repositoryLocationName: "crm_assets.definitions"
  }) { ... on Sensor { sensorState { ticks(limit: 20) { status timestamp endTimestamp skipReason runIds } } } }
}"""
_RUN = """
query Run($runId: ID!) {
  runOrError(runId: $runId) {
    ... on Run {
      status creationTime startTime endTime
      eventConnection(limit: 1000) {
        events { ... on MaterializationEvent { assetKey { path } partition timestamp } }
      }
    }
  }
}"""


def landed_month(folder: Path, opportunities: int, months: int) -> dict[str, Any]:
    """Land a month of a simulated CRM in a folder that a Dagster watches, all months before being made.

    Args:
        folder: empty, for landing folder, lake and Dagster.
        opportunities: of the CRM in all its 15 months.
        months: how many are made before.

    Returns seconds by "looks" (until a run is asked for), "run_start", "assets" (until scores are stored), "total" of
    these and "all_assets" (until the run has ended); with the "ticks" of the sensor after the month had landed as
    seconds since and what they said; "processor" seconds of Dagster's processes until scores were stored; "others", the
    processors that everything else kept busy meanwhile, and the system's "load" at the end.
    """
    landing = Landing(str(folder / "crm"))
    landing.advance(months, simulator=f"simulator:?opportunities={opportunities}")
    of_deployment = {
        "CRM_SOURCE_URL": landing.url,
        "CRM_LAKE_URL": str(folder / "lake"),
        "CRM_HOME": str(folder / "home"),
        "CRM_FIRST_MONTH": str(landing.months()[0]),
    }
    _command(folder, of_deployment, "crm_assets.cli", "run", "--json")
    home = _command(folder, of_deployment, "crm_assets.dagster_home").strip()
    with dagster_server(folder, of_deployment, Path(home)) as server:
        server.until("the first looks", lambda: _looked(server) or None, _PATIENCE_SECONDS)
        begun: list[tuple[float, float, float | None]] = []
        (month,) = landing.advance(
            1, landed=lambda _month: begun.append((time.time(), server.cpu_seconds(), busy_seconds()))
        )
        ((complete, own_before, busy_before),) = begun

        def asked() -> str | None:
            return next((run for tick in _ticks(server) for run in tick["runIds"]), None)

        def scored() -> dict[str, Any] | None:
            told = _run(server, run_id)
            if told["status"] in {"FAILURE", "CANCELED"}:
                raise RuntimeError(f"the run ended with {told['status']}:\n{server.log.read_text()[-4_000:]}")
            return told if _stored(told, "scores", str(month)) else None

        run_id = server.until("a run", asked, _PATIENCE_SECONDS)
        run = server.until("scores", scored, _PATIENCE_SECONDS)
        own, busy, until = server.cpu_seconds() - own_before, busy_seconds(), time.time()
        load = os.getloadavg()[0]
        ended = server.until(
            "the end of the run", lambda: told if (told := _run(server, run_id))["endTime"] else None, _PATIENCE_SECONDS
        )
        ticks = [
            {
                "after": round(tick["timestamp"] - complete, 1),
                "said": tick["skipReason"] or " ".join(["asked for", *tick["runIds"]]),
            }
            for tick in reversed(_ticks(server))
            if tick["endTimestamp"] and tick["endTimestamp"] > complete
        ]
    if ended["status"] != "SUCCESS":
        raise RuntimeError(f"the run ended with {ended['status']}")
    stored = _stored(run, "scores", str(month))
    others = None
    if busy is not None and busy_before is not None:
        others = max(0.0, busy - busy_before - own) / (until - complete)
    return {
        "month": str(month),
        "looks": run["creationTime"] - complete,
        "run_start": run["startTime"] - run["creationTime"],
        "assets": stored - run["startTime"],
        "total": stored - complete,
        "all_assets": ended["endTime"] - complete,
        "ticks": ticks,
        "processor": own,
        "others": others,
        "load": load,
    }


def _command(folder: Path, variables: Mapping[str, str], module: str, *arguments: str) -> str:
    """What a module prints when it is run with these settings."""
    code = f"import sys; from {module} import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env={**environment(), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{module} ended with {done.returncode}:\n{done.stderr[-4_000:]}")
    return done.stdout


def _ticks(server: DagsterServer) -> list[dict[str, Any]]:
    """Of the sensor, the newest first."""
    ticks: list[dict[str, Any]] = server.ask(_TICKS)["sensorOrError"]["sensorState"]["ticks"]
    return ticks


def _looked(server: DagsterServer) -> bool:
    return len([tick for tick in _ticks(server) if tick["status"] == "SKIPPED"]) >= _LOOKS_BEFORE


def _run(server: DagsterServer, run_id: str) -> dict[str, Any]:
    run: dict[str, Any] = server.ask(_RUN, {"runId": run_id})["runOrError"]
    return run


def _stored(run: Mapping[str, Any], asset: str, month: str) -> float:
    """When a run stored a month of an asset, in seconds of the clock; 0 while it has not."""
    for event in run["eventConnection"]["events"]:
        if event and event["assetKey"]["path"] == [asset] and event["partition"] == month:
            return float(event["timestamp"]) / 1000
    return 0.0


@click.command("landing")
@click.option("--opportunities", default=8_800, show_default=True, help="Of the simulated CRM.")
@click.option("--months", default=14, show_default=True, help="Made before the month lands.")
def landing(opportunities: int, months: int) -> None:
    """A month from landing to scores, with Dagster running."""
    with tempfile.TemporaryDirectory(prefix="crm-assets-bench-") as name:
        told = landed_month(Path(name), opportunities, months)
    click.echo(f"{told['month']} after {months} months, {opportunities:,} opportunities; load {told['load']:.1f}")
    for key, what in (
        ("looks", "until the sensor asked for a run"),
        ("run_start", "until the run's process worked"),
        ("assets", "until scores were stored"),
        ("total", "from landing to scores"),
        ("all_assets", "from landing to the run's end"),
    ):
        click.echo(f"{what:34}{told[key]:7.1f} s")
    for tick in told["ticks"]:
        click.echo(f"  tick at {tick['after']:5.1f} s: {tick['said']}")
    others = "" if told["others"] is None else f"; everything else kept {told['others']:.1f} processors busy"
    click.echo(f"{'processor time until scores':34}{told['processor']:7.1f} s{others}")
    met = "met" if told["total"] <= AIM_SECONDS else "missed"
    click.echo(f"aim on 2 idle processors: {AIM_SECONDS:.0f} s: {met} here")
    RESULTS.parent.mkdir(exist_ok=True)
    figures = {"measured_at": datetime.now(UTC).isoformat(), "opportunities": opportunities, **told}
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n")
