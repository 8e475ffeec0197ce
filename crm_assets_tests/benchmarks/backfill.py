"""A backfill through a running Dagster, against the same in one process: seconds, and their ratio."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import click

from crm_assets.calendar import parse_months
from crm_assets_tests.benchmarks.process import ROOT, Told, listen
from crm_assets_tests.integration.dagster_server import dagster_server

RESULTS = ROOT / "bench" / "backfill.json"
AIM_RATIO = 2.0
"""The client's backfill takes at most so many times as long as the run in one process."""


@click.command()
@click.option("--opportunities", default=8_800, show_default=True, help="Of the simulated CRM.")
@click.option("--months", default="2017-01:2017-12", show_default=True, help="To make.")
def backfill(opportunities: int, months: str) -> None:
    """A backfill through Dagster against one in process."""
    wanted = [str(month) for month in parse_months(months)]
    source = f"simulator:?opportunities={opportunities}"
    with tempfile.TemporaryDirectory(prefix="crm-assets-bench-") as name:
        told = {}
        for place in ("process", "server"):
            folder = Path(name, place)
            folder.mkdir()
            of_place = {
                "CRM_SOURCE_URL": source,
                "CRM_LAKE_URL": str(folder / "lake"),
                "CRM_HOME": str(folder / "home"),
            }
            arguments = [wanted[0], wanted[-1]]
            if place == "process":
                run = listen("backfill_run", arguments, folder=folder, variables=of_place)
            else:
                with dagster_server(folder, of_place) as server:
                    run = listen("backfill_run", [*arguments, server.url], folder=folder)
            told[place] = (_heard(run), run.others)
    seconds = {place: heard["seconds"] for place, (heard, _) in told.items()}
    ratio = seconds["server"] / seconds["process"]
    others = {place: busy for place, (_, busy) in told.items()}
    click.echo(
        f"{len(wanted)} months, {opportunities:,} opportunities, {told['process'][0]['total']:.0f} months of assets"
    )
    for place, what in (("process", "in one process"), ("server", "through Dagster")):
        # The run of a server is not a child of the client: its work counts as that of others.
        busy = "" if others[place] is None else f" (other processes kept {others[place]:.1f} processors busy)"
        click.echo(f"{what:16}{seconds[place]:7.1f} s{busy}")
    click.echo(f"{'ratio':16}{ratio:7.2f}, aim at most {AIM_RATIO:g}: {'met' if ratio <= AIM_RATIO else 'missed'}")
    RESULTS.parent.mkdir(exist_ok=True)
    figures = {"opportunities": opportunities, "months": wanted, "seconds": seconds, "ratio": ratio, "others": others}
    RESULTS.write_text(json.dumps({"measured_at": datetime.now(UTC).isoformat(), **figures}, indent=2) + "\n")


def _heard(run: Told) -> dict[str, float]:
    if run.returncode or len(run.lines) != 1 or run.lines[0]["state"] != "done":
        raise click.ClickException(f"the backfill ended with {run.returncode}: {run.lines}")
    return {name: float(run.lines[0][name]) for name in ("seconds", "total")}
