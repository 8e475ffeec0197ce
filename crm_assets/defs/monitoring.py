"""Monitoring: what normal looks like, how far this month is from it, and how last month's scores turned out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import narwhals as nw
import polars as pl

from crm_assets.calendar import Month
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.monthly import Made, Needs, history_of, month_before, monthly_asset
from crm_assets.defs.scoring import SCORES, wins_known
from crm_assets.features.registry import FEATURE_TABLE
from crm_assets.history.outcomes import OUTCOMES
from crm_assets.history.snapshots import SNAPSHOTS
from crm_assets.modelling.backtest import BACKTEST
from crm_assets.modelling.cold_start import MODEL, WORDS
from crm_assets.modelling.forecast import naive_month
from crm_assets.modelling.forecast_accuracy import informed
from crm_assets.modelling.promotion import WIN_MODEL
from crm_assets.monitoring.drift import drift_report as compare
from crm_assets.monitoring.drift_columns import DRIFT
from crm_assets.monitoring.estimated_performance import ESTIMATE, estimated_performance
from crm_assets.monitoring.performance import OVERALL, PERFORMANCE, realised_performance
from crm_assets.monitoring.performance_comparison import COMPARISON, NOT_COMPARED, compared_performance
from crm_assets.monitoring.reference import MONITORED, MONITORED_CATEGORIES, MONITORED_NUMBERS, REFERENCE
from crm_assets.monitoring.reference import reference_set as make_reference

if TYPE_CHECKING:
    import pandas as pd

    from crm_assets.monitoring.estimated_performance import TrackRecord

_GROUP = "monitoring"
_PERFORMANCE_CODE = ("history", "engines", "modelling", "monitoring", "defs/scoring", "defs/monitoring")

_REFERENCE_FEATURES = ("opportunity_id", "snapshot_month", "next_quarter_position", *MONITORED)


@monthly_asset(
    REFERENCE,
    group=_GROUP,
    needs=(history_of(FEATURE_TABLE.name), Needs(BACKTEST.name), Needs(WIN_MODEL.name)),
    kinds=("parquet",),
    code=("monitoring", "defs/monitoring"),
)
def reference_set(inputs: Inputs, month: Month) -> Made:
    """Out-of-sample predictions of the backtest with the monitored columns, marked with the champion they stand for."""
    version = inputs.frame(WIN_MODEL.name, month).row(0, named=True)["champion_version"]
    predictions = inputs.frame(BACKTEST.name, month)
    if version is None or predictions.is_empty():
        return Made(inputs.no_rows(REFERENCE), notes={"status": "no champion with a backtest yet"})
    features = inputs.history(FEATURE_TABLE.name, month, _REFERENCE_FEATURES)
    rows = predictions.join(features, on=["opportunity_id", "snapshot_month"], how="left", maintain_order="left")
    reference = make_reference(rows.to_pandas(), model_version=version)
    months = sorted(predictions["snapshot_month"].unique())
    return Made(
        nw.from_native(pl.from_pandas(reference).lazy()),
        notes={"model_version": version, "first_month": months[0], "last_month": months[-1]},
    )


@monthly_asset(
    DRIFT,
    group=_GROUP,
    needs=(Needs(FEATURE_TABLE.name), Needs(SCORES.name), Needs(REFERENCE.name)),
    kinds=("evidently",),
    code=("monitoring", "defs/monitoring"),
)
def drift_report(inputs: Inputs, month: Month) -> Made:
    """The scored book against the reference months of the same quarter position, as a table and an HTML page."""
    scored = inputs.frame(SCORES.name, month)
    if scored.is_empty():
        return Made(inputs.no_rows(DRIFT), notes={"status": "not compared", "reason": "no scores"})
    features = inputs.frame(FEATURE_TABLE.name, month).select("opportunity_id", *MONITORED)
    current = scored.select("opportunity_id", "snapshot_month", "model_version", "probability").join(
        features, on="opportunity_id", how="left", maintain_order="left"
    )
    report = compare(
        current.to_pandas(),
        inputs.frame(REFERENCE.name, month).to_pandas(),
        numeric=MONITORED_NUMBERS,
        categorical=MONITORED_CATEGORIES,
        month=month,
        model_version=scored["model_version"][0],
    )
    summary = {name: value for name, value in report.summary().items() if value is not None}
    return Made(
        nw.from_native(pl.from_pandas(report.columns).lazy()),
        notes=summary,
        documents={"html": report.html.encode(), "json": json.dumps(summary, indent=2).encode()},
    )


@monthly_asset(
    PERFORMANCE,
    group=_GROUP,
    needs=(month_before(SCORES.name), Needs(OUTCOMES.name)),
    kinds=("parquet",),
    code=("modelling", "monitoring", "defs/monitoring"),
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
    code=_PERFORMANCE_CODE,
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
    code=_PERFORMANCE_CODE,
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


MONITORING_ASSETS = (
    reference_set,
    drift_report,
    model_performance,
    estimated_performance_of_scores,
    performance_comparison,
)
