"""The demo: seconds per Dagster step, and the platform's own work next to what Dagster adds."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from crm_assets_tests.benchmarks.process import ROOT, Told, listen

RESULTS = ROOT / "bench" / "demo.json"
AIM_DAGSTER_SHARE = 0.2
"""At most so much of the demo is not the platform's own work."""
FOR_DAGSTER = "metadata for Dagster"
"""The part of our own code that is there for Dagster's pages alone: it counts as Dagster's."""
IMPORTS = 3
GATE = ("asset leakage_report", "check opportunity_features known_on_their_date")
TRAINING = ("asset backtest_predictions", "asset win_model")


@dataclass(frozen=True)
class Step:
    """One Dagster step: an asset over all months, or a check.

    Attributes:
        name: asset, or asset and check.
        seconds: as Dagster timed it.
        own_seconds: of the platform's functions within it.
    """

    name: str
    seconds: float
    own_seconds: float


def steps_of(seconds: dict[str, float], parts: dict[str, float]) -> list[Step]:
    """Dagster's steps in the order they ran, with the platform's own time in each.

    Args:
        seconds: Dagster's step key -> seconds.
        parts: `asset NAME` or `check NAME CHECK` -> seconds of its own.
    """
    own = {
        part.removeprefix("asset ").removeprefix("check ").replace("/", "__").replace(" ", "_"): (part, seconds)
        for part, seconds in parts.items()
        if part.startswith(("asset ", "check "))
    }
    return [Step(own[key][0], taken, own[key][1]) for key, taken in seconds.items()]


@click.command()
def demo() -> None:
    """The demo, step by step."""
    console = Console(width=120)
    with tempfile.TemporaryDirectory(prefix="crm-assets-bench-") as name:
        folder = Path(name)
        imports = [_heard(listen("code_location", [], folder=folder)) for _ in range(IMPORTS)]
        run = listen("demo_run", [name], folder=folder)
    told = _heard(run)
    steps = steps_of(told["steps"], told["parts"])
    own = sum(seconds for part, seconds in told["parts"].items() if part != FOR_DAGSTER)
    share = 1 - own / told["seconds"]
    in_steps = sum(step.seconds - step.own_seconds for step in steps) / told["seconds"]

    table = Table(title=f"The demo: {told['months']} months of {told['assets']} assets")
    table.add_column("step")
    for heading in ("seconds", "own", "Dagster"):
        table.add_column(heading, justify="right")
    for step in steps:
        rest = step.seconds - step.own_seconds
        table.add_row(step.name, f"{step.seconds:.2f}", f"{step.own_seconds:.2f}", f"{rest:.2f}")
    console.print(table)
    others = "unknown" if run.others is None else f"{run.others:.1f}"
    for part in (part for part in told["parts"] if not part.startswith(("asset ", "check "))):
        console.print(f"{part}: {told['parts'][part]:.2f} s")
    console.print(f"run: {told['seconds']:.1f} s, of which own work {own:.1f} s")
    console.print(f"processors busy with something else meanwhile: {others}")
    loaded = min(line["loaded"] for line in imports)
    console.print(
        f"code location: loads in {loaded:.2f} s, of which Dagster's own import "
        f"{min(line['dagster'] for line in imports):.2f} s"
    )
    parts = told["parts"]
    gate = sum(parts.get(part, 0.0) for part in GATE)
    training = sum(parts.get(part, 0.0) for part in TRAINING)
    console.print(
        f"{'met   ' if gate <= training else 'missed'}  The leakage gate costs less than the training it guards: "
        f"{gate:.1f} s against {training:.1f} s, {gate / training:.0%}"
    )
    met = "met   " if share <= AIM_DAGSTER_SHARE else "missed"
    console.print(
        f"{met}  Dagster's share at most {AIM_DAGSTER_SHARE:.0%}: {share:.1%}, of which within its steps {in_steps:.1%}"
    )

    RESULTS.parent.mkdir(exist_ok=True)
    figures = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "others": run.others,
        "months": told["months"],
        "assets": told["assets"],
        "seconds": told["seconds"],
        "own_seconds": own,
        "dagster_share": share,
        "dagster_share_in_steps": in_steps,
        "leakage_gate_seconds": gate,
        "training_seconds": training,
        "code_location_seconds": imports,
        "import_seconds": told["import_seconds"],
        "parts": told["parts"],
        "steps": [asdict(step) for step in steps],
    }
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n")
    console.print(f"Figures: {RESULTS}")


def _heard(told: Told) -> dict[str, Any]:
    if told.returncode or not told.lines:
        raise click.ClickException(f"the demo failed with {told.returncode}")
    return told.lines[-1]
