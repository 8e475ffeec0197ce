"""What the promotion gate lets through: equally good, better and spoilt challengers, simulated and on a real export."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import polars as pl
from rich.console import Console

from crm_assets.backtesting import history_in_memory
from crm_assets.calendar import Month, parse_months
from crm_assets.contracts import WON
from crm_assets.defs.training import training_over
from crm_assets.modelling.backtest import BACKTEST
from crm_assets.modelling.promotion import SEGMENT_ROWS, SEGMENTS, GateLimits, PromotionDecision, decide
from crm_assets.modelling.training_rows import KEY
from crm_assets.settings import Settings
from crm_assets.simulator import SimulationConfig, simulate
from crm_assets_tests.benchmarks.process import ROOT

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

RESULTS = ROOT / "bench" / "model_gate.json"
FIRST_SEED, PAIRS = 1001, 40
RESAMPLES = 300
"""Fewer than the platform's, for time: the ends of an interval are a little rougher."""
MONTHS = "2017-06:2017-11"
EQUAL_NOISE, CHAMPION_NOISE = 0.3, 0.5
"""Errors in the log odds, standard deviations."""
SHRUNK, OVERCONFIDENT = 0.8, 1.5
_CONTRACT = "contract"
"""Both were trained on."""


def _log_odds(probability: ArrayLike) -> Floats:
    p = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(p / (1 - p)))


def _probability(log_odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-log_odds)))


def noisy(probability: Floats, size: float, random: np.random.Generator) -> Floats:
    """Probabilities with a normal error in their log odds; their mean is kept, so that they are right on average."""
    blurred = _probability(_log_odds(probability) + size * random.normal(size=probability.size))
    return np.asarray(np.clip(blurred * probability.mean() / blurred.mean(), 0, 1))


def _judge(rows: pd.DataFrame, champion: Floats, challenger: Floats, limits: GateLimits) -> PromotionDecision:
    """What the gate says of two sets of probabilities for the same rows, which hold the columns of SEGMENTS too."""
    return decide(
        rows[KEY].assign(probability=champion),
        rows.assign(probability=challenger)[BACKTEST.column_names],
        segments=rows,
        limits=limits,
        trained_on=_CONTRACT,
        current=_CONTRACT,
    )


def _failed(decision: PromotionDecision) -> list[str]:
    return [check.name for check in decision.checks if check.passed is False]


def true_rows(seed: int, months: list[Month]) -> pd.DataFrame:
    """The books of a simulated business: rows of BACKTEST with the true probabilities, and the columns of SEGMENTS."""
    simulation = simulate(SimulationConfig(seed=seed))
    tables = simulation.late_export()
    deals = tables["sales_pipeline"].join(tables["sales_teams"], on="sales_agent", how="left")
    books = [
        simulation.truth(month)
        .join(deals, on="opportunity_id", how="left")
        .with_columns(
            pl.lit("truth").alias("candidate"),
            pl.col("probability_won").alias("probability"),
            pl.col("probability_won").mean().alias("base_rate_probability"),
            pl.col("probability_won").mean().alias("age_table_probability"),
            # Of those open at the end of the month, so the close is in the next one or later.
            ((pl.col("deal_stage") == WON) & (pl.col("close_date") <= month.next.end))
            .fill_null(False)
            .cast(pl.Int64)
            .alias("won"),
        )
        for month in months
    ]
    return pl.concat(books).select(*BACKTEST.column_names, *SEGMENTS.values()).to_pandas()


def simulated_pairs(seeds: list[int], months: list[Month], limits: GateLimits) -> dict[str, Any]:
    """What the gate decided of a pair of each kind in each business, and how far off the truth was in its months."""
    told: Counter[str] = Counter()
    gaps: list[tuple[float, float]] = []
    for seed in seeds:
        rows, random = true_rows(seed, months), np.random.default_rng(seed)
        truth = rows["probability"].to_numpy()
        equal = _judge(rows, noisy(truth, EQUAL_NOISE, random), noisy(truth, EQUAL_NOISE, random), limits)
        failed = _failed(equal)
        told["equal: promoted"] += equal.promoted
        told["equal: worse in a segment"] += any(name.startswith("segments") for name in failed)
        told["equal: refused for a segment alone"] += bool(failed) and all(name.startswith("seg") for name in failed)
        told["equal: calibration"] += any(name.startswith("calibration") for name in failed)
        better = _judge(rows, noisy(truth, CHAMPION_NOISE, random), truth, limits)
        told["truth over a noisy champion: promoted"] += better.promoted
        worse = _judge(rows, truth, noisy(truth, EQUAL_NOISE, random), limits)
        told["noisy challenger over the truth: promoted"] += worse.promoted
        gaps += _gaps(rows)
    return {"pairs": len(seeds), **told, **_largest(gaps)}


def _gaps(rows: pd.DataFrame) -> Iterator[tuple[float, float]]:
    """How far the wins of each month were from what was expected: per row, and in deviations of independent deals."""
    for _, book in rows.groupby("snapshot_month"):
        p = book["probability"].to_numpy()
        off = abs(float(p.sum()) - float(book["won"].sum()))
        yield off / len(book), off / float(np.sqrt((p * (1 - p)).sum()))


def _largest(gaps: list[tuple[float, float]]) -> dict[str, float]:
    per_row, deviations = zip(*gaps, strict=True)
    return {
        "months": len(gaps),
        "smallest_gap": min(per_row),
        "largest_gap": max(per_row),
        "largest_gap_deviations": max(deviations),
        "months_beyond_two_deviations": sum(value > 2 for value in deviations),
    }


def export_trials(source: str, months: list[Month], limits: GateLimits) -> dict[str, Any]:
    """What the gate says of spoilt copies of the default model's predictions of a real export.

    Noise and the like are judged against the model itself. Where the probabilities of one segment are shuffled the
    champion is the age table, which the model beats elsewhere.
    """
    settings = Settings(source_url=source, _env_file=None)  # type: ignore[call-arg]  # pydantic-settings' own argument
    origin = training_over(settings, history_in_memory(settings, lambda month: None))
    rows = origin.pooled(months).merge(origin.history.rows[[*KEY, *SEGMENTS.values()]], on=KEY, how="left")
    model, table = (rows[name].to_numpy() for name in ("probability", "age_table_probability"))
    random, centre = np.random.default_rng(settings.seed), _log_odds(model.mean())
    spoilt = {
        f"noise of {EQUAL_NOISE} in the log odds": noisy(model, EQUAL_NOISE, random),
        f"shrunk by {1 - SHRUNK:.0%}": model.mean() + SHRUNK * (model - model.mean()),
        f"overconfident, log odds times {OVERCONFIDENT}": _probability(
            centre + OVERCONFIDENT * (_log_odds(model) - centre)
        ),
    }
    told: dict[str, Any] = {name: _said(_judge(rows, model, p, limits)) for name, p in spoilt.items()}
    told["the model over the age table"] = _said(_judge(rows, table, model, limits))
    for level in ("region", "agent"):
        shuffled, column = {}, SEGMENTS[level]
        for name, at in rows.groupby(column).indices.items():
            if len(at) < SEGMENT_ROWS:
                continue
            challenger = model.copy()
            challenger[at] = random.permutation(model[at])
            shuffled[str(name)] = _said(_judge(rows, table, challenger, limits))
        refused = [name for name, of in shuffled.items() if any(check.endswith(level) for check in of["failed"])]
        alone = [name for name in refused if all(check.startswith("seg") for check in shuffled[name]["failed"])]
        told[f"shuffled in one {level}"] = {
            "of": len(shuffled),
            "promoted": sum(of["promoted"] for of in shuffled.values()),
            f"refused for that {level}": len(refused),
            "refused for segments alone": len(alone),
        }
    return told | _largest(list(_gaps(rows)))


def _said(decision: PromotionDecision) -> dict[str, Any]:
    brier = next(check for check in decision.checks if check.name == "brier")
    ends = {"improvement": brier.figure, "low": brier.low, "high": brier.high}
    return {"promoted": decision.promoted, "failed": _failed(decision), **ends}


@click.command()
@click.option("--source", help="A real export; CRM_REAL_DATA by default.")
@click.option("--months", default=MONTHS, show_default=True, help="Snapshot months that are compared.")
@click.option("--pairs", default=PAIRS, show_default=True, help="Simulated businesses, one pair of each kind in each.")
def gate(source: str | None, months: str, pairs: int) -> None:
    """What the promotion gate lets through."""
    console, test, limits = Console(width=150), parse_months(months), GateLimits(resamples=RESAMPLES)
    told: dict[str, Any] = {"measured_at": datetime.now(UTC).isoformat(timespec="seconds"), "months": months}
    told["resamples"] = RESAMPLES
    seeds = list(range(FIRST_SEED, FIRST_SEED + pairs))
    told["simulated"] = simulated_pairs(seeds, test, limits)
    _print(console, f"Simulated businesses of seeds {seeds[0]} to {seeds[-1]}", told["simulated"])
    export = source or os.environ.get("CRM_REAL_DATA")
    if export:
        told["export"] = export_trials(export, test, limits)
        _print(console, f"The export {Path(export).name}", told["export"])
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(told, indent=2) + "\n")
    console.print(f"Figures: {RESULTS}")


def _print(console: Console, title: str, told: dict[str, Any]) -> None:
    console.print(title, style="bold")
    for name, found in told.items():
        shown = ", ".join(f"{key} {value}" for key, value in found.items()) if isinstance(found, dict) else found
        console.print(f"  {name.replace('_', ' ')}: {shown}", highlight=False)
