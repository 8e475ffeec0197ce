"""Performance: what the month's scores promise, how last month's turned out, and the two compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import narwhals as nw
import polars as pl

from crm_assets.calendar import Month
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.monthly import Made, Needs, history_of, month_before, monthly_asset
from crm_assets.defs.scoring import SCORES, wins_known
from crm_assets.history.outcomes import OUTCOMES
from crm_assets.history.snapshots import SNAPSHOTS
from crm_assets.modelling.backtest import BACKTEST
from crm_assets.modelling.cold_start import MODEL, WORDS
from crm_assets.modelling.forecast import naive_month
from crm_assets.modelling.forecast_accuracy import informed
from crm_assets.monitoring.estimated_performance import ESTIMATE, estimated_performance
from crm_assets.monitoring.performance import OVERALL, PERFORMANCE, realised_performance
from crm_assets.monitoring.performance_comparison import COMPARISON, compared_performance
from crm_assets.monitoring.status import NOT_COMPARED

if TYPE_CHECKING:
    import pandas as pd

    from crm_assets.monitoring.estimated_performance import TrackRecord

_GROUP = "monitoring"
_COMPARED_CODE = ("history", "engines", "modelling", "monitoring", "defs/scoring", "defs/performance")


@monthly_asset(
    PERFORMANCE,
    group=_GROUP,
    needs=(month_before(SCORES.name), Needs(OUTCOMES.name)),
    kinds=("parquet",),
    code=("modelling", "monitoring", "defs/performance"),
)
def model_performance(inputs: Inputs, month: Month) -> Made:
    """How the scores of the month before turned out by this month-end, overall and by region and product."""
    before = inputs.months(SCORES.name, month.previous)
    scored = inputs.frame(SCORES.name, month.previous) if before else None
    if scored is None or scored.is_empty():
        return Made(inputs.no_rows(PERFORMANCE), notes={"status": "no scores the month before"})
    matured = inputs.frame(OUTCOMES.name, month)
    measured = realised_performance(scored.to_pandas(), matured.to_pandas(), month=month.previous)
    notes = {name: value for name, value in measured.summary().items() if value is not None}
    return Made(nw.from_native(pl.from_pandas(measured.table).lazy()), notes=notes)


@monthly_asset(
    ESTIMATE,
    group=_GROUP,
    needs=(Needs(SCORES.name), Needs(BACKTEST.name), Needs(SNAPSHOTS.name)),
    kinds=("parquet",),
    code=_COMPARED_CODE,
    settings=("seed",),
)
def estimated_performance_of_scores(inputs: Inputs, month: Month) -> Made:
    """How good the month's scores are if their probabilities are right, with intervals, before any outcome is known."""
    scored = inputs.frame(SCORES.name, month)
    if scored.is_empty():
        return Made(inputs.no_rows(ESTIMATE), notes={"status": "not estimated", "reason": "nothing was scored"})
    rung = scored["rung"][0]
    record = _track_record(inputs, month, rung, wins_known(inputs, month).to_pandas())
    estimate = estimated_performance(scored.to_pandas(), month=month, record=record, seed=inputs.settings.seed)
    notes = {name: value for name, value in estimate.summary().items() if value is not None}
    return Made(nw.from_native(pl.from_pandas(estimate.table).lazy()), notes={**notes, "rung": rung})


@monthly_asset(
    COMPARISON,
    group=_GROUP,
    needs=(
        month_before(SCORES.name),
        Needs(OUTCOMES.name),
        month_before(BACKTEST.name),
        month_before(SNAPSHOTS.name),
        history_of(ESTIMATE.name),
        history_of(PERFORMANCE.name),
    ),
    kinds=("parquet",),
    code=_COMPARED_CODE,
    settings=("seed",),
)
def performance_comparison(inputs: Inputs, month: Month) -> Made:
    """How the scores of the month before turned out beside what they promised, and what the backtest did."""
    before = month.previous
    scored = inputs.frame(SCORES.name, before) if inputs.months(SCORES.name, before) else None
    if scored is None or scored.is_empty():
        told = {"status": NOT_COMPARED, "reason": f"nothing was scored in {before}"}
        return Made(inputs.no_rows(COMPARISON), notes=told)
    from crm_assets.modelling import plots

    rung, wins = scored["rung"][0], wins_known(inputs, before).to_pandas()
    comparison = compared_performance(
        scored.to_pandas(),
        inputs.frame(OUTCOMES.name, month).to_pandas(),
        month=before,
        record=_track_record(inputs, before, rung, wins),
        seed=inputs.settings.seed,
        unknown=_why_nothing_promised(before, rung, wins),
    )
    promised, realised = (
        inputs.history(name, month).filter(pl.col("level") == OVERALL).to_pandas()
        for name in (ESTIMATE.name, PERFORMANCE.name)
    )
    rows = pl.from_pandas(comparison.table)
    return Made(
        nw.from_native(rows.lazy()),
        notes=comparison.summary(),
        plots={"performance": lambda: plots.png(plots.performance(promised, realised))},
        shown={"overall": rows.filter(pl.col("level") == OVERALL).select(_SHOWN)} if rows.height else {},
    )


_SHOWN = (
    "figure",
    "rows",
    "realised",
    "estimate",
    "estimate_low",
    "estimate_high",
    "inside_estimate",
    "backtest_low",
    "backtest_high",
    "inside_backtest",
)


def _track_record(inputs: Inputs, month: Month, rung: str, wins: pd.DataFrame) -> TrackRecord:
    """How far the backtest's months as of `month` were off; of a rung nothing is known: there is no backtest of it."""
    from crm_assets.modelling.month_effect import MonthEffect
    from crm_assets.monitoring.estimated_performance import TrackRecord

    if rung != MODEL:
        return TrackRecord.of(MonthEffect.learnt([]))
    predictions = inputs.frame(BACKTEST.name, month).to_pandas()
    return TrackRecord.learnt(informed(predictions, wins), inputs.settings.seed)


def _why_nothing_promised(month: Month, rung: str, wins: pd.DataFrame) -> str | None:
    """Why the scores of a month cannot be held to their probabilities; None when they can."""
    if rung != MODEL:
        return f"the champion of {month} was no model but the {WORDS[rung]}, of which there is no backtest"
    if naive_month(wins, month.next) is None:
        return f"no wins were known at the position of {month.next} in its quarter, so no model could know its win rate"
    return None


PERFORMANCE_ASSETS = (model_performance, estimated_performance_of_scores, performance_comparison)
