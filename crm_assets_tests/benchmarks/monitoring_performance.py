"""How often the checks of performance fail on simulated businesses: where nothing changes, and where win rates fall."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from crm_assets.calendar import Month, month_range
from crm_assets.monitoring.estimated_performance import TrackRecord
from crm_assets.monitoring.performance_comparison import CHECKED, compared_performance, figures_off
from crm_assets.simulator import SimulationConfig
from crm_assets.simulator.config import Drift
from crm_assets_tests.benchmarks.champions import informed
from crm_assets_tests.benchmarks.process import ROOT
from crm_assets_tests.benchmarks.scored_history import ScoredHistory, scored_history

if TYPE_CHECKING:
    import pandas as pd

RESULTS = ROOT / "bench" / "monitoring_performance.json"
CACHE = ROOT / "bench" / "scored_histories"
FIRST, OPPORTUNITIES = Month(2015, 12), 14_700
"""Ten months more than the simulator's default, at the same pace: else there is no model for long enough."""
DRIFT = "win_rate@2017-09:0.33"
SEED = 7
ANY = "any of the three"


def checked(history: ScoredHistory) -> dict[str, dict[str, bool]]:
    """Matured month -> check -> whether it fails, for the months that a model had scored."""
    found: dict[str, dict[str, bool]] = {}
    for text, rows in history.scores.groupby("snapshot_month", sort=True):
        month = Month.parse(str(text))
        if not rows["model"].iloc[0] or rows["outcome"].isna().all() or not informed(month, history.first_win):
            continue
        record = TrackRecord.learnt(history.backtest_as_of(month), SEED)
        table = _compared(rows, month, record)
        verdicts = {name: figures_off(table, *looked_at) for name, looked_at in CHECKED.items()}
        found[str(month.next)] = {name: bool(off) for name, off in verdicts.items() if off is not None}
    return found


def _compared(rows: pd.DataFrame, month: Month, record: TrackRecord) -> list[dict[str, object]]:
    import polars as pl

    scores, outcomes = rows.drop(columns="outcome"), rows[["opportunity_id", "outcome"]]
    comparison = compared_performance(scores, outcomes, month=month, record=record, seed=SEED, segments=())
    return pl.from_pandas(comparison.table).to_dicts()


def _share(found: list[bool]) -> str:
    return f"{100 * sum(found) / len(found):.1f} % of {len(found)}" if found else "none"


@click.command()
@click.option("--seeds", default="3101:3140", show_default=True, help="First and last seed.")
@click.option("--drift-seeds", default="3101:3115", show_default=True, help="Those that are simulated with drift, too.")
@click.option("--cache", type=click.Path(path_type=Path), default=CACHE, show_default=True)
def performance(seeds: str, drift_seeds: str, cache: Path) -> None:
    """Share of months in which each check of performance fails, without drift and after win rates fell by a third."""
    drift = Drift.parse(DRIFT)
    quiet: dict[str, list[bool]] = defaultdict(list)
    within: dict[int, dict[str, list[bool]]] = {1: defaultdict(list), 2: defaultdict(list)}
    for seed in _numbers(seeds):
        config = SimulationConfig(opportunities=OPPORTUNITIES, first=FIRST, seed=seed)
        for verdicts in checked(scored_history(config, cache)).values():
            for name, failed in [*verdicts.items(), (ANY, any(verdicts.values()))]:
                quiet[name].append(failed)
    for seed in _numbers(drift_seeds):
        config = SimulationConfig(opportunities=OPPORTUNITIES, first=FIRST, seed=seed, drifts=(drift,))
        found = checked(scored_history(config, cache))
        for months, shares in within.items():
            told = [found.get(str(month), {}) for month in month_range(drift.start, drift.start.shift(months - 1))]
            for name in CHECKED:
                shares[name].append(any(verdicts.get(name, False) for verdicts in told))
            shares[ANY].append(any(any(verdicts.values()) for verdicts in told))
    table = Table(title="Checks that fail", title_justify="left")
    for heading in ("check", "no drift, months", f"{DRIFT}, within a month", "within two months"):
        table.add_column(heading)
    rows = {
        name: [_share(quiet[name]), *(_share(shares[name]) for shares in within.values())] for name in (*CHECKED, ANY)
    }
    for name, shown in rows.items():
        table.add_row(name, *shown)
    Console(width=120).print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    told_at = {"measured_at": datetime.now(UTC).isoformat(timespec="seconds"), "seeds": seeds}
    RESULTS.write_text(json.dumps({**told_at, "drift_seeds": drift_seeds, "checks": rows}, indent=2) + "\n")


def _numbers(text: str) -> range:
    first, last = text.split(":")
    return range(int(first), int(last) + 1)
