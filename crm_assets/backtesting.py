"""The backtest over a whole source, without a lake: `crm-assets backtest`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from crm_assets.calendar import Month, month_range
from crm_assets.defs.leakage import world_of
from crm_assets.defs.training import training_over
from crm_assets.errors import SettingsError, SourceError
from crm_assets.leakage.rebuild import rebuilt
from crm_assets.leakage.whole_history import history_of, matured_outcomes
from crm_assets.settings import Settings
from crm_assets.sources import open_source

if TYPE_CHECKING:
    import pandas as pd

    from crm_assets.modelling.backtest import RollingOrigin
    from crm_assets.modelling.candidate import TrainingHistory
    from crm_assets.modelling.intervals import BacktestIntervals, Interval
    from crm_assets.sources import Source

SHOWN: Mapping[str, str] = {
    "auc": "AUC",
    "average_precision": "avg. precision",
    "brier": "Brier",
    "skill_vs_base_rate": "skill vs quarter",
    "skill_vs_age_table": "skill vs age x quarter",
    "log_loss": "log loss",
    "calibration_error": "ECE",
    "top_decile_lift": "top-decile lift",
}
"""Figures that are shown, with their headings."""


@dataclass(frozen=True)
class Backtested:
    """What a backtest gave.

    Attributes:
        predictions: rows of `BACKTEST` of the test months.
        features: the rows that were predicted: keys and the columns that the candidates read.
        intervals: the figures, pooled and by month.
        candidates: candidate -> its figures over all test months.
    """

    predictions: pd.DataFrame
    features: pd.DataFrame
    intervals: BacktestIntervals
    candidates: dict[str, dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """Everything but the rows, as JSON types."""
        months = {
            month: {"rows": int((self.predictions["snapshot_month"] == month).sum()), **_told(figures)}
            for month, figures in self.intervals.months.items()
        }
        chosen = self.predictions.groupby("snapshot_month")["candidate"].first().to_dict()
        pooled = {"rows": len(self.predictions), "wins": int(self.predictions["won"].sum())}
        return {
            "pooled": {**pooled, **_told(self.intervals.pooled)},
            "months": months,
            "chosen": chosen,
            "candidates": self.candidates,
        }


def _told(figures: Mapping[str, Interval]) -> dict[str, Any]:
    return {name: asdict(interval) for name, interval in figures.items()}


def history_in_memory(
    settings: Settings, progress: Callable[[Month], None], source: Source | None = None
) -> TrainingHistory:
    """Books, outcomes and deals of every month of the source, made in memory by the definitions the assets use.

    Args:
        settings: the deployment's.
        progress: told each month before its tables are made.
        source: that of the settings, where it is open already.

    Raises SourceError when the source cannot be read or has no month.
    """
    source = source or open_source(settings.source_url, exported_on=settings.exported_on)
    held = _months_of(source)
    made = []
    for month in month_range(held[0], held[-1]):
        progress(month)
        made.append(rebuilt(world_of(source, settings, month)))
    return history_of(made, [matured_outcomes(before, after) for before, after in itertools.pairwise(made)])


def _months_of(source: Source) -> list[Month]:
    held = source.months()
    if not held:
        raise SourceError(f"{source.url} has no month: check CRM_SOURCE_URL or --source")
    return held


def backtest(settings: Settings, wanted: list[Month] | None, progress: Callable[[str], None]) -> Backtested:
    """Predict the books of past months, each by the model that could have been trained at its own month-end.

    Args:
        settings: the deployment's.
        wanted: snapshot months to predict; None for the newest `CRM_BACKTEST_MONTHS`.
        progress: told in words before a month's tables are made, and before it is predicted.

    Raises:
        SourceError: the source cannot be read.
        SettingsError: a month has no outcomes yet, or too little had matured to train.
    """
    from crm_assets.modelling.candidates import MODEL_COLUMNS
    from crm_assets.modelling.intervals import bootstrapped
    from crm_assets.modelling.training_rows import KEY

    source = open_source(settings.source_url, exported_on=settings.exported_on)
    if wanted is not None:
        _check_within(_months_of(source), wanted)
    history = history_in_memory(settings, lambda month: progress(f"preparing {month}"), source)
    origin = training_over(settings, history)
    months = _testable(origin, wanted, settings.backtest_months)
    for month in months:
        progress(f"predicting {month}")
        origin.predictions(month)
    predictions = origin.pooled(months)
    features = predictions[KEY].merge(origin.history.rows[[*KEY, *MODEL_COLUMNS]], on=KEY, how="left")
    return Backtested(
        predictions,
        features,
        bootstrapped(predictions, seed=settings.seed),
        {name.name: origin.figures(name.name, months).as_dict() for name in origin.candidates},
    )


def _check_within(held: list[Month], wanted: list[Month]) -> None:
    """Refuse what the months of the source alone rule out, before any is prepared, which takes a while."""
    for month in wanted:
        if held[0] < month < held[-1]:
            continue
        reason = {
            held[0]: "nothing is known before it to learn from",
            held[-1]: "how its book ended is not known yet",
        }.get(month, f"the source tells about {held[0]} to {held[-1]}")
        between = (
            f"ask for months from {held[0].next} to {held[-1].previous}"
            if len(held) > 2
            else "no month of this source can"
        )
        raise SettingsError(f"{month} cannot be predicted and judged: {reason}; {between}")


def _testable(origin: RollingOrigin, wanted: list[Month] | None, newest: int) -> list[Month]:
    last = Month.parse(origin.history.rows["snapshot_month"].max())
    possible = origin.test_months(last)
    if not possible:
        raise SettingsError(f"no month up to {last} can be predicted and judged: {origin.report(last, 1).reason}")
    if wanted is None:
        return possible[-newest:]
    for month in wanted:
        if month not in possible:
            reason = origin.too_little(month) or "how its book ended is not known yet"
            raise SettingsError(
                f"{month} cannot be predicted and judged: {reason}; ask for months from {possible[0]} to {possible[-1]}"
            )
    return wanted


def print_backtest(found: Backtested) -> None:
    """The figures month by month and pooled, with their intervals, on standard output."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Backtest, with 95 % intervals", title_justify="left", header_style="bold")
    table.add_column("month")
    for heading in ("rows", "wins", *SHOWN.values()):
        table.add_column(heading, justify="right")
    rows = pl.from_pandas(found.predictions[["snapshot_month", "won"]])
    for month, figures in found.intervals.months.items():
        of = rows.filter(pl.col("snapshot_month") == month)
        table.add_row(month, f"{of.height:,}", f"{of['won'].sum():,}", *(_shown(figures[name]) for name in SHOWN))
    table.add_section()
    pooled = found.intervals.pooled
    table.add_row("all", f"{rows.height:,}", f"{rows['won'].sum():,}", *(_shown(pooled[name]) for name in SHOWN))
    console = Console()
    console.width = max(console.width, 150)
    console.print(table)
    console.print(f"Mean of the months' AUC: {_shown(pooled['mean_auc']).replace(chr(10), ' ')}", highlight=False)
    chosen = found.predictions.groupby("candidate")["snapshot_month"].nunique()
    told = ", ".join(f"{name} in {count} of {len(found.intervals.months)} months" for name, count in chosen.items())
    console.print(f"Chosen on earlier months: {told}.", highlight=False)
    for name, figures in found.candidates.items():
        console.print(
            f"  {name}: AUC {_figure(figures['auc'])}, average precision {_figure(figures['average_precision'])}, "
            f"Brier {_figure(figures['brier'])}, ECE {_figure(figures['calibration_error'])}",
            highlight=False,
        )
    nobody = 1 - found.predictions["won"].mean()
    right = ((found.predictions["probability"] >= 0.5) == (found.predictions["won"] == 1)).mean()
    console.print(f"Accuracy {right:.3f}; saying that nobody wins has {nobody:.3f}.", highlight=False)


def _shown(interval: Interval) -> str:
    if interval.estimate is None:
        return ""
    ends = "" if interval.low is None else f"\n{interval.low:.3f}-{interval.high:.3f}"
    return f"{_figure(interval.estimate)}{ends}"


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
