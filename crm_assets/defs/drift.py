"""Drift: what normal looks like, and how far this month is from it."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from crm_assets.calendar import Month
from crm_assets.defs.inputs import Inputs
from crm_assets.defs.monthly import Made, Needs, history_of, month_before, monthly_asset
from crm_assets.defs.scoring import NO_CHAMPION, SCORES
from crm_assets.defs.training import TRAINING_CODE, TRAINING_SETTINGS, rolling_origin
from crm_assets.features.registry import FEATURE_TABLE
from crm_assets.history.outcomes import OUTCOMES
from crm_assets.history.snapshots import SNAPSHOTS
from crm_assets.modelling.cold_start import MODEL
from crm_assets.modelling.promotion import WIN_MODEL
from crm_assets.monitoring.drift import DriftReport, MonthRows
from crm_assets.monitoring.drift import drift_report as report_drift
from crm_assets.monitoring.drift_columns import DRIFT
from crm_assets.monitoring.drift_level import DriftThresholds
from crm_assets.monitoring.performance_comparison import COMPARISON, failed_checks
from crm_assets.monitoring.reference import INTAKE_READ, REFERENCE
from crm_assets.monitoring.reference_rows import (
    SNAPSHOT_COLUMNS,
    Champion,
    MonthTables,
    book_rows,
    closing_rows,
    comparable,
    intake_rows,
    reference_as_of,
)
from crm_assets.monitoring.status import NO_SCORES, NOT_COMPARED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_assets.contracts import Table
    from crm_assets.modelling.win_model import WinModel

_GROUP = "monitoring"
_KEYS = ("opportunity_id", "snapshot_month")
DRIFT_SETTINGS = (
    "drift_alpha",
    "drift_closings_alpha",
    "drift_column_psi",
    "drift_prediction_psi",
    "drift_quality",
    "drift_win_rate",
    "drift_high_share",
)
TREND_MONTHS = 24


@monthly_asset(
    REFERENCE,
    group=_GROUP,
    needs=(
        history_of(FEATURE_TABLE.name),
        history_of(OUTCOMES.name),
        history_of(SNAPSHOTS.name),
        Needs(WIN_MODEL.name),
        month_before(REFERENCE.name),
    ),
    kinds=("parquet",),
    code=(*TRAINING_CODE, "monitoring", "defs/drift", "registry"),
    settings=TRAINING_SETTINGS,
)
def reference_set(inputs: Inputs, month: Month) -> Made:
    """Intake, books and closings from before the champion was trained, the books predicted out of sample by its recipe.

    Kept while the champion stays, but for months at quarter positions it lacks; made anew when the champion changes.
    """
    decided = inputs.frame(WIN_MODEL.name, month).row(0, named=True)
    if decided["champion_version"] is None:
        return Made(inputs.no_rows(REFERENCE), notes={"status": NO_CHAMPION})
    model = inputs.registry.load(decided["champion_version"], decided["champion_sha256"])
    champion = _champion(inputs, decided["champion_version"], Month.parse(decided["champion_month"]), model)
    columns = list(dict.fromkeys((*_KEYS, *INTAKE_READ, *model.features)))
    tables = MonthTables(
        lambda m: inputs.frame(FEATURE_TABLE.name, m, columns),
        lambda m: inputs.frame(SNAPSHOTS.name, m, SNAPSHOT_COLUMNS),
        inputs.months(FEATURE_TABLE.name, month),
    )
    before = None
    if inputs.months(REFERENCE.name, month.previous):
        before = inputs.frame(REFERENCE.name, month.previous).to_pandas()
    reference, why = reference_as_of(month, champion, tables, before)
    rows = pl.from_pandas(reference, schema_overrides=dict(REFERENCE.polars_schema()))
    parts = rows.group_by("part").agg(pl.col("snapshot_month").unique().sort()).sort("part")
    return Made(
        nw.from_native(rows.lazy()),
        notes={
            "model_version": champion.version,
            "reason": why,
            **{f"{part}_months": ", ".join(months) for part, months in parts.iter_rows()},
        },
    )


def _champion(inputs: Inputs, version: str, trained_at: Month, model: WinModel) -> Champion:
    def out_of_sample(months: Sequence[Month]) -> pl.DataFrame:
        from crm_assets.modelling.candidates import candidate_named
        from crm_assets.modelling.cross_fit import cross_fitted
        from crm_assets.modelling.deals import DEAL_COLUMNS
        from crm_assets.modelling.tuned_candidate import settled

        origin = rolling_origin(inputs)
        rows = origin.training_rows(trained_at)
        wanted = rows["snapshot_month"].isin([str(m) for m in months]).to_numpy()
        keys = rows.loc[wanted, list(_KEYS)]
        if model.rung != MODEL:
            # A table of rates has nothing to remember single rows by.
            return pl.from_pandas(keys.assign(probability=model.predict(rows[wanted])))
        recipes = {candidate.name: candidate for candidate in origin.candidates}
        recipe = recipes.get(model.candidate) or candidate_named(model.candidate)
        snapshot = inputs.frame(SNAPSHOTS.name, trained_at, ["opportunity_id", *DEAL_COLUMNS]).to_pandas()
        predicted = cross_fitted(settled(recipe, trained_at), trained_at, rows, snapshot, wanted)
        return pl.from_pandas(keys.assign(probability=predicted))

    return Champion(version, trained_at, model.predict, out_of_sample)


@monthly_asset(
    DRIFT,
    group=_GROUP,
    needs=(
        Needs(FEATURE_TABLE.name),
        Needs(SNAPSHOTS.name),
        Needs(SCORES.name),
        Needs(REFERENCE.name),
        Needs(COMPARISON.name),
    ),
    kinds=("evidently",),
    code=("monitoring", "defs/drift"),
    settings=DRIFT_SETTINGS,
)
def drift_report(inputs: Inputs, month: Month) -> Made:
    """The month against the champion's reference, and how scores turned out, as a table, a level and an HTML page."""
    scored = inputs.frame(SCORES.name, month)
    if scored.is_empty():
        return Made(inputs.no_rows(DRIFT), notes={"status": NOT_COMPARED, "reason": NO_SCORES})
    features = inputs.frame(FEATURE_TABLE.name, month, [*_KEYS, *INTAKE_READ])
    snapshot = inputs.frame(SNAPSHOTS.name, month, SNAPSHOT_COLUMNS)
    report = report_drift(
        MonthRows(
            intake=intake_rows(features, snapshot, month).to_pandas(),
            book=book_rows(features, scored).to_pandas(),
            closings=closing_rows(snapshot, month).to_pandas(),
        ),
        comparable(inputs.frame(REFERENCE.name, month), month),
        month=month,
        model_version=scored["model_version"][0],
        thresholds=thresholds_of(inputs),
        failed=failed_checks(inputs.frame(COMPARISON.name, month).iter_rows(named=True)),
    )
    return made_of(report, inputs, DRIFT)


def made_of(report: DriftReport, inputs: Inputs, table: Table) -> Made:
    """What an asset makes of a drift report: its columns as `table`, its figures, its page and the trend over months.

    Args:
        report: of the month that is made.
        inputs: of the asset.
        table: the asset's, with the columns of DRIFT.
    """
    summary = {name: value for name, value in report.summary().items() if value is not None}
    columns = pl.from_pandas(report.columns, schema_overrides=dict(table.polars_schema()))
    told = {**summary, "columns": columns.to_dicts()}
    return Made(
        nw.from_native(columns.lazy()),
        notes=summary,
        documents={"html": report.html.encode(), "json": json.dumps(told, indent=2).encode()},
        plots={"drift_by_month": partial(_trend, inputs, table.name, report.month, summary)},
        shown={"columns": _shown(columns)} if columns.height else {},
    )


def thresholds_of(inputs: Inputs) -> DriftThresholds:
    """The deployment's thresholds."""
    return DriftThresholds(**{name.removeprefix("drift_"): getattr(inputs.settings, name) for name in DRIFT_SETTINGS})


def _trend(inputs: Inputs, asset: str, month: Month, summary: dict[str, Any]) -> bytes:
    """The figures of the months before and of this one, drawn."""
    from crm_assets.monitoring.drift_plot import trend

    earlier = [m for m in inputs.held(asset) if m < month][1 - TREND_MONTHS :]
    return trend([*({**inputs.notes(asset, m), "snapshot_month": str(m)} for m in earlier), summary])


def _shown(columns: pl.DataFrame) -> pl.DataFrame:
    shown = columns.filter(pl.col("moved") | pl.col("drifted") | (pl.col("bad") != "") | (pl.col("kind") != "numeric"))
    return shown.select("part", "column", "psi", "change", "p_value", "drifted", "moved", "bad")


DRIFT_ASSETS = (reference_set, drift_report)
