"""How quiet monitoring is when nothing is wrong, how loud when something is, and how quick."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from crm_assets.calendar import Month
from crm_assets.monitoring.drift import compare
from crm_assets.monitoring.drift_level import HIGH, LEVELS, MEDIUM
from crm_assets.monitoring.injection import KINDS, NULLS, REGION_MIX, SAID, UNITS, WIN_RATE
from crm_assets.monitoring.reference import BOOK_NUMBERS, INTAKE_CATEGORIES
from crm_assets.simulator import Drift, SimulationConfig
from crm_assets.simulator.config import DriftKind
from crm_assets.simulator.organisation import REGIONS
from crm_assets_tests.benchmarks.drift_months import Compared, MonitoredCrm, injected, rebuilt_months
from crm_assets_tests.benchmarks.process import ROOT, listen

RESULTS = ROOT / "bench" / "monitoring.json"
FIRST_SEED, CRMS = 3000, 100
"""CRMs that no threshold was chosen on; those they were chosen on have seeds 100 to 119, 1000 to 1044 and 2000 to
2054."""
HIT = [Month(2017, number) for number in range(6, 12)]
"""Months in which something goes wrong, one in each CRM: those that have books to be compared with."""
CREATED = "region_mix_created"
SIMULATED: dict[str, tuple[DriftKind, float]] = {
    "price": ("price", 0.2),
    CREATED: ("region_mix", 0.15),
    "new_product": ("new_product", 0.1),
    WIN_RATE: ("win_rate", 1 / 3),
}
"""Drifts that the simulator makes, with their sizes; the others are put into the tables."""
TRIED = (*KINDS, CREATED)
WRONG = {**SAID, UNITS: "a feature in wrong units", CREATED: "15 % of the deals created from the month on moved"}
WRONG_UNITS = (
    ("age_days", 24.0),
    ("age_days", 1 / 7),
    ("list_price", 100.0),
    ("list_price", 0.001),
    ("cohort_share_open", 100.0),
    ("agent_share_open_100", 100.0),
    ("agent_share_open_138", 100.0),
    ("cohort_size", 1 / 15),
)
"""Columns and factors: days as hours or weeks, USD as cents or thousands, shares as percent, deals as deals a day."""
NULLED = tuple(name for name in (*INTAKE_CATEGORIES, *BOOK_NUMBERS) if name != "age_days")
"""Columns that may be empty; without an age the model itself refuses to score."""
AIM_QUIET, AIM_LOUD = 0.05, 0.9


def judged(compared: Compared) -> dict[str, Any]:
    """Level and figures of a month."""
    report, _ = compare(
        compared.rows,
        compared.reference,
        month=compared.month,
        model_version=compared.champion.version,
        failed=compared.failed,
    )
    figures = report.summary()
    kept = ("status", "reason", "level", "why", "share_drifted", "prediction_psi", "quality")
    told = {"month": str(compared.month), "champion": compared.champion.version, "failed": dict(compared.failed)}
    told |= {n: figures[n] for n in kept}
    measured = report.columns[["part", "column", "p_value", "p_missing", "psi", "change", "bad_share"]]
    return told | {"columns": json.loads(measured.to_json(orient="records"))}


def drifted(crm: MonitoredCrm, compared: Compared, kind: str, seed: int) -> Compared:
    """The month with something wrong in it, in a region or column that has nothing to do with the month."""
    month, made = compared.month, crm.made[compared.month]
    drawn_for = REGION_MIX if kind == CREATED else kind
    drawn = int(np.random.default_rng([seed, KINDS.index(drawn_for)]).integers(1_000))
    region = REGIONS[drawn % len(REGIONS)].name
    if kind in SIMULATED:
        simulated, size = SIMULATED[kind]
        drift = Drift(simulated, month, size, region if kind in (WIN_RATE, CREATED) else None)
        tables = rebuilt_months(SimulationConfig(seed=seed, drifts=(drift,)).url(), [month])[month]
        rows = crm.rows(month, compared.champion, tables)
        return replace(compared, rows=rows, failed=crm.failed(month, tables))
    if kind == REGION_MIX:
        return injected(compared, made, kind, seed, column=region)
    if kind == UNITS:
        column, factor = WRONG_UNITS[drawn % len(WRONG_UNITS)]
        return injected(compared, made, kind, seed, column=column, factor=factor)
    assert kind == NULLS
    return injected(compared, made, kind, seed, column=NULLED[drawn % len(NULLED)])


def examined(seed: int) -> dict[str, Any]:
    """One CRM: every month as it is, and one month with each thing wrong."""
    crm = MonitoredCrm(SimulationConfig(seed=seed).url())
    quiet = [judged(compared) for compared in crm.months]
    possible = [compared for compared in crm.months if compared.month in HIT]
    hit = possible[seed % len(possible)]
    loud = {kind: judged(drifted(crm, hit, kind, seed)) for kind in TRIED}
    return {"seed": seed, "quiet": quiet, "loud": loud}


def calibration(found: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """What was wrong ("nothing" first) -> level or "not compared" -> months."""
    table = {"nothing": Counter(month["level"] or month["status"] for crm in found for month in crm["quiet"])}
    table |= {kind: Counter(crm["loud"][kind]["level"] or "not compared" for crm in found) for kind in TRIED}
    return {what: dict(counts) for what, counts in table.items()}


@click.command()
@click.option("--crms", default=CRMS, show_default=True, help="Simulated CRMs.")
@click.option("--first-seed", default=FIRST_SEED, show_default=True)
@click.option("--speed/--no-speed", default=True, show_default=True, help="Whether to time a large month as well.")
def monitoring(crms: int, first_seed: int, speed: bool) -> None:
    """How quiet and how loud the drift levels are on simulated CRMs, and how long a large month takes."""
    console = Console(width=150)
    told: dict[str, Any] = {"measured_at": datetime.now(UTC).isoformat(timespec="seconds")}
    found: list[dict[str, Any]] = []
    for seed in range(first_seed, first_seed + crms):
        began = time.perf_counter()
        found.append(examined(seed))
        line = " ".join(f"{month['month']} {month['level'] or '-'}" for month in found[-1]["quiet"])
        loud = " ".join(f"{kind} {result['level']}" for kind, result in found[-1]["loud"].items())
        console.print(f"seed {seed}, {time.perf_counter() - began:.0f} s: {line} | {loud}", highlight=False)
    told["crms"], told["calibration"] = found, calibration(found)
    _print(console, told["calibration"])
    if speed:
        with tempfile.TemporaryDirectory() as folder:
            file = f"{folder}/reference.parquet"
            measured = [listen("drift_speed", [what, file]) for what in ("reference", "report", "evidently")]
        told["speed"] = [line for of in measured for line in of.lines]
        for line in told["speed"]:
            console.print(line)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(told, indent=2) + "\n")
    console.print(f"Figures: {RESULTS}")


def _print(console: Console, counted: dict[str, dict[str, int]]) -> None:
    table = Table(title="Months by level", title_justify="left")
    for heading in ("what is wrong", *LEVELS, "not compared", "above LOW"):
        table.add_column(heading, justify="left" if heading == "what is wrong" else "right")
    for what, counts in counted.items():
        compared = sum(counts.get(level, 0) for level in LEVELS)
        above = (counts.get(MEDIUM, 0) + counts.get(HIGH, 0)) / max(compared, 1)
        cells = [str(counts.get(level, 0)) for level in (*LEVELS, "not compared")]
        met = above <= AIM_QUIET if what == "nothing" else above >= AIM_LOUD
        table.add_row(WRONG.get(what, what), *cells, f"{above:.1%} {'met' if met else 'missed'}")
    console.print(table)
