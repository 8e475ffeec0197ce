"""Monitoring: what normal looks like, how far this month is from it, and how last month's scores turned out."""

from __future__ import annotations

import json

import narwhals as nw
import polars as pl

from crm_assets.calendar import Month
from crm_assets.contracts import Column, Kind, Table
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.model import BACKTEST, WIN_MODEL
from crm_assets.defs.monthly import Made, Needs, history_of, month_before, monthly_asset
from crm_assets.defs.scoring import SCORES
from crm_assets.features.registry import FEATURE_TABLE
from crm_assets.history.outcomes import OUTCOMES

_GROUP = "monitoring"

MONITORED_NUMBERS = ("list_price",)
MONITORED_CATEGORIES = ("product", "regional_office", "manager")
"""What the business cannot choose to look alike: price, product mix, regions and teams. Ages and histories follow the
calendar and add up over time, so they differ every month."""
_MONITORED = (*MONITORED_NUMBERS, *MONITORED_CATEGORIES)
_REFERENCE_FEATURES = ("opportunity_id", "snapshot_month", "next_quarter_position", *_MONITORED)

REFERENCE = Table(
    "reference_set",
    "One row per opportunity and month that the champion's recipe predicted out of sample: what normal looks like.",
    (
        Column("snapshot_month", Kind.STRING, "Month whose book it was in, YYYY-MM", required=True),
        Column("opportunity_id", Kind.STRING, "Identifier of the opportunity", required=True),
        FEATURE_TABLE.column("next_quarter_position"),
        Column("model_version", Kind.STRING, "Version of the champion", required=True),
        BACKTEST.column("probability"),
        *(FEATURE_TABLE.column(name) for name in _MONITORED),
    ),
    key=("snapshot_month", "opportunity_id"),
)

DRIFT = Table(
    "drift_report",
    "One row per monitored column and one for the prediction: how this month's book compares with the reference.",
    (
        Column("snapshot_month", Kind.STRING, "Month that was compared, YYYY-MM", required=True),
        Column("column", Kind.STRING, "Column of the scores or features", required=True),
        Column("kind", Kind.STRING, "numeric, categorical or prediction", required=True),
        Column("test", Kind.STRING, "Test of the values"),
        Column("statistic", Kind.FLOAT, "What the test measured"),
        Column("p_value", Kind.FLOAT, "Of the test of the values", unit="probability"),
        Column("p_missing", Kind.FLOAT, "Of the test of the missing share", unit="probability"),
        Column("psi", Kind.FLOAT, "Population stability index: how far it moved"),
        Column("drifted", Kind.BOOLEAN, "Whether a test says so, corrected for the number of tests"),
        Column("missing_current", Kind.FLOAT, "Missing values this month", unit="share"),
        Column("missing_reference", Kind.FLOAT, "Missing values in the reference", unit="share"),
        Column("new_categories", Kind.STRING, "Categories that the reference lacks"),
        Column("reason", Kind.STRING, "Why it could not be tested"),
    ),
    key=("column",),
)

PERFORMANCE = Table(
    "model_performance",
    "One row overall and one per region and product: how the scores of the month before turned out.",
    (
        Column("level", Kind.STRING, "overall, or the column the segments come from", required=True),
        Column("segment", Kind.STRING, "Which segment", required=True),
        Column("snapshot_month", Kind.STRING, "Month that was scored, YYYY-MM", required=True),
        Column("matured_month", Kind.STRING, "Month at whose end the outcomes were known, YYYY-MM", required=True),
        Column("model_version", Kind.STRING, "Version of the champion that gave the scores"),
        Column("scored", Kind.INTEGER, "Scored opportunities", unit="opportunities", required=True, minimum=0),
        Column("rows", Kind.INTEGER, "Those with a matured outcome", unit="opportunities", required=True, minimum=0),
        Column("censored", Kind.INTEGER, "Those without", unit="opportunities", required=True, minimum=0),
        Column("wins", Kind.INTEGER, "Won by the end of the next month", unit="opportunities", required=True),
        Column("predicted_wins", Kind.FLOAT, "Sum of the probabilities", unit="opportunities"),
        Column("forecast_error", Kind.FLOAT, "Predicted minus realised wins", unit="opportunities"),
        *(WIN_MODEL.column(name) for name in ("auc", "average_precision", "brier", "log_loss", "calibration_error")),
        Column("expected_revenue", Kind.FLOAT, "Sum of probability times list price", unit="USD"),
        Column("realised_revenue", Kind.FLOAT, "Sum of the closing values of the won", unit="USD"),
        Column("revenue_error", Kind.FLOAT, "Expected minus realised revenue", unit="USD"),
    ),
    key=("level", "segment"),
)


@monthly_asset(
    REFERENCE,
    group=_GROUP,
    needs=(history_of(FEATURE_TABLE.name), Needs(BACKTEST.name), Needs(WIN_MODEL.name)),
    kinds=("parquet",),
    code=("monitoring", "defs/monitoring"),
)
def reference_set(inputs: Inputs, month: Month) -> Made:
    """Out-of-sample predictions of the backtest with the monitored columns, marked with the champion they stand for."""
    from crm_assets.monitoring.reference import reference_set as make_reference

    version = inputs.frame(WIN_MODEL.name, month).row(0, named=True)["champion_version"]
    predictions = inputs.frame(BACKTEST.name, month)
    if version is None or predictions.is_empty():
        return Made(inputs.no_rows(REFERENCE), notes={"status": "no champion with a backtest yet"})
    features = inputs.history(FEATURE_TABLE.name, month, _REFERENCE_FEATURES)
    rows = predictions.join(features, on=["opportunity_id", "snapshot_month"], how="left", maintain_order="left")
    reference = make_reference(rows.to_pandas(), model_version=version, columns=_MONITORED)
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
    from crm_assets.monitoring.drift import drift_report as compare

    features = inputs.frame(FEATURE_TABLE.name, month).select("opportunity_id", *_MONITORED)
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
    columns = pl.from_pandas(report.columns).with_columns(pl.lit(str(month)).alias("snapshot_month"))
    return Made(
        nw.from_native(columns.lazy()),
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
    from crm_assets.monitoring.performance import realised_performance

    matured = inputs.frame(OUTCOMES.name, month)
    measured = realised_performance(scored.to_pandas(), matured.to_pandas(), month=month.previous)
    notes = {name: value for name, value in measured.summary().items() if value is not None}
    rows = pl.from_pandas(measured.table).with_columns(pl.lit(str(month)).alias("matured_month"))
    return Made(nw.from_native(rows.lazy()), notes=notes)


MONITORING_ASSETS = (reference_set, drift_report, model_performance)
