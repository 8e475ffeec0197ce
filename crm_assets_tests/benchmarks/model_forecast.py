"""How the revenue forecast turns out: on simulated businesses and on a real export, with and without month effect."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import narwhals as nw
from rich.console import Console
from rich.table import Table

from crm_assets.backtesting import history_in_memory
from crm_assets.calendar import Month
from crm_assets.defs.leakage import world_of
from crm_assets.defs.training import training_over
from crm_assets.history.wins import won_deals
from crm_assets.leakage.rebuild import rebuilt
from crm_assets.modelling.forecast import BOOK, INTERVALS, LEVELS, NEW_BUSINESS, TOTAL, forecast, revenue_of
from crm_assets.modelling.forecast_accuracy import informed
from crm_assets.modelling.month_effect import MonthEffect, past_months
from crm_assets.settings import Settings
from crm_assets.simulator import SimulationConfig
from crm_assets.sources import open_source
from crm_assets_tests.benchmarks.process import ROOT

if TYPE_CHECKING:
    import pandas as pd

RESULTS = ROOT / "bench" / "model_forecast.json"
UNSEEN_SEEDS = tuple(range(517, 529))
"""Businesses that no choice of model, priors or intervals was made on."""
INDEPENDENT, EFFECT = "independent deals", "month effect"
_PRICED = ["opportunity_id", "list_price", "sales_agent", "product", "regional_office"]


def forecasts(source: str) -> pd.DataFrame:
    """Forecast every test month of a source as of its snapshot, with the model chosen by default, at present prices.

    Each month has the month effect and the new business that were known by then. Returns rows of
    `modelling.forecast.FORECAST` with `deals_are`, INDEPENDENT or EFFECT, and `actual_revenue`, USD.
    """
    import pandas as pd

    settings = Settings(source_url=source, _env_file=None)  # type: ignore[call-arg]  # pydantic-settings' own argument
    opened = open_source(settings.source_url, exported_on=settings.exported_on)
    last = opened.months()[-1]
    snapshot = rebuilt(world_of(opened, settings, last)).snapshots
    wins = won_deals(nw.from_native(snapshot.lazy())).to_native().collect().to_pandas()
    origin = training_over(settings, history_in_memory(settings, lambda month: None))
    predictions = origin.pooled(origin.test_months(last))
    usable = informed(predictions.merge(snapshot.select(_PRICED).to_pandas(), on="opportunity_id"), wins)
    past, found = past_months(usable), []
    for text, book in usable.groupby("snapshot_month", sort=True):
        month = Month.parse(str(text))
        known = wins[wins["won_month"] <= str(month)]
        came = revenue_of(wins, month.next)
        learnt = MonthEffect.learnt([before for before in past if before.snapshot_month < str(month)])
        for deals_are, effect in ((INDEPENDENT, MonthEffect.of(0.0)), (EFFECT, learnt)):
            rows = forecast(book, known, month=month, effect=effect, seed=settings.seed)
            actual = [came.get(line, 0.0) for line in zip(rows["level"], rows["name"], strict=True)]
            found.append(rows.assign(deals_are=deals_are, actual_revenue=actual))
    return pd.concat(found, ignore_index=True)


def figures(rows: pd.DataFrame) -> dict[str, float]:
    """What lines of forecasts come to: shares within the intervals, mean widths and absolute errors in USD."""
    actual = rows["actual_revenue"]
    told = {"lines": float(len(rows))}
    for level in INTERVALS:
        low, high = rows[f"low_{level}"], rows[f"high_{level}"]
        told |= {
            f"within_{level}": float(((low <= actual) & (actual <= high)).mean()),
            f"width_{level}": float((high - low).mean()),
        }
    error, naive = (rows["expected_revenue"] - actual).abs(), (rows["naive_revenue"] - actual).abs()
    return told | {
        "error": float(error.mean()),
        "naive_error": float(naive.mean()),
        "naive_error_of_revenue": float(naive.sum() / actual.sum()) if actual.sum() else 0.0,
        "naive_closer": float((naive < error).sum()),
    }


@click.command("forecast")
@click.option("--source", help="A real export; CRM_REAL_DATA by default.")
@click.option("--seeds", default=",".join(map(str, UNSEEN_SEEDS)), show_default=True)
def forecast_quality(source: str | None, seeds: str) -> None:
    """How the revenue forecast turns out on unseen simulated businesses and on a real export."""
    import pandas as pd

    console = Console(width=150)
    told: dict[str, Any] = {"measured_at": datetime.now(UTC).isoformat(timespec="seconds"), "seeds": seeds}
    simulated = [forecasts(SimulationConfig(seed=int(seed)).url()) for seed in seeds.split(",")]
    told["simulated"] = _told(console, f"{len(simulated)} simulated businesses", pd.concat(simulated))
    export = source or os.environ.get("CRM_REAL_DATA")
    if export:
        found = forecasts(export)
        told["export"] = _told(console, f"The export {Path(export).name}", found)
        told["export_totals"] = found[found["level"] == TOTAL].to_dict("records")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(told, indent=2) + "\n")
    console.print(f"Figures: {RESULTS}")


def _told(console: Console, title: str, rows: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Print and return the figures of each level, and those of the total with independent deals."""
    effect = rows[rows["deals_are"] == EFFECT]
    found = {f"{TOTAL}, {INDEPENDENT}": rows[(rows["deals_are"] == INDEPENDENT) & (rows["level"] == TOTAL)]}
    found |= {level: effect[effect["level"] == level] for level in (TOTAL, BOOK, NEW_BUSINESS, *LEVELS)}
    by_level = {name: figures(lines) for name, lines in found.items()}
    table = Table(title=title, title_justify="left")
    table.add_column("line")
    for name in by_level[TOTAL]:
        table.add_column(name.replace("_", " "), justify="right")
    for level, of in by_level.items():
        table.add_row(level, *(f"{value:.3f}" if value < 2 and value % 1 else f"{value:,.0f}" for value in of.values()))
    console.print(table)
    return by_level
