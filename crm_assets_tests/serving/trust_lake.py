"""What reports about the model and monitoring are read from, in a small lake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import narwhals as nw
import polars as pl

from crm_assets.calendar import Month
from crm_assets.contracts import Table
from crm_assets.engines import open_engine
from crm_assets.history.snapshots import SNAPSHOTS
from crm_assets.lake import Lake, Provenance
from crm_assets.leakage.finding import LEAKAGE_REPORT, Finding, Probe, Verdict, report
from crm_assets.modelling.card_ledger import MODEL_CARD, Ledger, as_count, as_percent, as_three_decimals
from crm_assets.modelling.intervals import Interval
from crm_assets.modelling.month_effect import MonthEffect
from crm_assets.modelling.promotion import PROMOTION_CHECKS
from crm_assets.monitoring.drift import MonthRows, compare
from crm_assets.monitoring.drift_columns import DRIFT, ONLINE_DRIFT
from crm_assets.monitoring.estimated_performance import ESTIMATE, TrackRecord, estimated_performance
from crm_assets.monitoring.performance import PERFORMANCE, realised_performance
from crm_assets.monitoring.performance_comparison import COMPARISON, compared_performance
from crm_assets.monitoring.prediction_log import ONLINE_PREDICTIONS
from crm_assets.monitoring.reference import BOOK, CLOSINGS, INTAKE, REFERENCE, reference_set
from crm_assets.monitoring.reference_rows import book_rows, closing_rows, intake_rows
from crm_assets_tests.serving.small_lake import MONTHS, Business, write

PAGE = b"<!DOCTYPE html><title>page</title>"
_RECORD = TrackRecord.of(MonthEffect.learnt([]))
_BEFORE = (Month(2017, 3), Month(2017, 4), Month(2017, 5))


class Card(Ledger):
    """A small card with a figure of each kind."""

    def of_model(self) -> Card:
        self._begin("Model")
        self._fact("recipe", "blend: mean of two", subject="champion")
        self._fact("books", "2017-02 to 2017-05", subject="champion")
        self._put("rows", 500, as_count, subject="champion")
        self._put("wins", 90, as_count, subject="champion")
        self._put("importance", 0.75, as_percent, subject="age_days")
        self._put("importance", 0.25, as_percent, subject="sales_agent")
        self._begin("Data")
        self._put("deals", 40, as_count, subject="2017-05")
        return self

    def judged(self) -> Card:
        self._begin("Figures")
        self._put("mean_auc", 0.8, as_three_decimals, interval=Interval(0.8, 0.7, 0.9))
        self._put("auc", None, as_three_decimals)
        self._begin("Month by month")
        self._fact("candidate", "blend", subject="2017-05")
        self._fact("champion", "not seen", subject="2017-05")
        for name, value in (("rows", 40), ("wins", 7), ("expected_wins", 6.5), ("brier", 0.1)):
            self._put(name, value, as_three_decimals, subject="2017-05")
        self._begin("Calibration")
        for name, value in (("rows", 20), ("wins", 6), ("expected_wins", 5.0), ("predicted", 0.25)):
            self._put(name, value, as_three_decimals, subject="bin 01")
        self._put("won", 0.3, as_percent, subject="bin 01", interval=Interval(0.3, 0.1, 0.5))
        self._begin("Cumulative gain")
        for name, value in (("model", 0.6), ("age_table", 0.4)):
            self._put(name, value, as_percent, subject="first 020 %")
        self._begin("Segments")
        self._fact("segment", "West", subject="region West")
        for name, value in (("rows", 20), ("wins", 4), ("expected_wins", 3.0), ("brier", 0.1), ("auc", 0.7)):
            self._put(name, value, as_three_decimals, subject="region West")
        self._put("left_out", 2, as_count, subject="agent")
        self._put("rows_left_out", 9, as_count, subject="agent")
        self._begin("Candidates")
        self._put("months_chosen", 1, as_count, subject="blend")
        self._put("brier", 0.1, as_three_decimals, subject="blend")
        return self


def store_report(lake: Lake, month: Month, *, judged: bool = True) -> None:
    """Card, checks and leakage report of every month up to `month`."""
    for held in (one for one in MONTHS if one <= month):
        card = Card(held).of_model()
        figures = (card.judged() if judged else card).figures
        write(lake, MODEL_CARD, held, pl.DataFrame(figures, schema=MODEL_CARD.polars_schema()))
        checks = [
            {"snapshot_month": str(held), "check": name, "verdict": "passed", "model_version": "1", "detail": name}
            for name in ("decision", "brier")
        ]
        write(lake, PROMOTION_CHECKS, held, pl.DataFrame(checks))
        write(lake, LEAKAGE_REPORT, held, leakage(held))
    lake.write_document(MODEL_CARD.name, month, "html", PAGE, provenance=Provenance("code"))


def leakage(month: Month, verdict: Verdict = Verdict.PASSED) -> pl.DataFrame:
    """A report of three findings, of which one measures; the last has `verdict`."""
    told = [
        Finding(Probe.WON_FROM_LOST, str(month), "t", "a", Verdict.PASSED, "fine", measured=0.5, limit=0.8),
        Finding(Probe.WON_FROM_LOST, str(month), "t", "b", Verdict.PASSED, "fine", measured=0.7, limit=0.8),
        Finding(Probe.CUT_OFF, str(month), "t", "*", verdict, "so it is"),
    ]
    return report(told, str(month))


def store_monitoring(lake: Lake, business: Business, scores: Mapping[Month, pl.DataFrame], month: Month) -> None:
    """Drift, performance and traffic of a month that follows `month.previous`, from the tables of the lake."""
    rows, scored = business.months[month], scores[month]
    reference = reference_of(business)
    write(lake, REFERENCE, month, pl.from_pandas(reference, schema_overrides=dict(REFERENCE.polars_schema())))
    made, _ = compare(
        MonthRows(
            intake=intake_rows(rows.features, rows.snapshots, month).to_pandas(),
            book=book_rows(rows.features, scored).to_pandas(),
            closings=closing_rows(rows.snapshots, month).to_pandas(),
        ),
        reference,
        month=month,
        model_version="1",
    )
    columns = pl.from_pandas(made.columns, schema_overrides=dict(DRIFT.polars_schema()))
    put(lake, DRIFT, month, columns, {name: value for name, value in made.summary().items() if value is not None})
    lake.write_document(DRIFT.name, month, "html", PAGE, provenance=Provenance("code"))
    put(lake, ONLINE_DRIFT, month, pl.DataFrame(schema=DRIFT.polars_schema()), {"status": "not compared"})
    put(lake, ONLINE_PREDICTIONS, month, pl.DataFrame(schema=ONLINE_PREDICTIONS.polars_schema()), {"requests": 3})
    put(lake, SNAPSHOTS, month, rows.snapshots, {"quality_score": 0.9, "rows_in_source": 700, "quarantined": 2})
    before = month.previous
    outcomes = rows.outcomes(business.months[before]).to_pandas()
    for held in (before, month):
        estimate = estimated_performance(scores[held].to_pandas(), month=held, record=_RECORD, seed=1)
        put(lake, ESTIMATE, held, pl.from_pandas(estimate.table), {"rung": "model"})
    realised = realised_performance(scores[before].to_pandas(), outcomes, month=before)
    put(lake, PERFORMANCE, month, pl.from_pandas(realised.table), {})
    compared = compared_performance(scores[before].to_pandas(), outcomes, month=before, record=_RECORD, seed=1)
    put(lake, COMPARISON, month, pl.from_pandas(compared.table), {"status": compared.status})


def reference_of(business: Business) -> Any:
    """A reference of three months, with probabilities out of the air."""
    intakes, books, closings = [], [], []
    for month in _BEFORE:
        made = business.months[month]
        intakes.append(intake_rows(made.features, made.snapshots, month))
        probability = (pl.col("age_days") % 50 / 100).alias("probability")
        given = made.features.select("opportunity_id", "snapshot_month", probability)
        books.append(book_rows(made.features, given))
        closings.append(closing_rows(made.snapshots, month))
    held = ((INTAKE, intakes), (BOOK, books), (CLOSINGS, closings))
    parts = {part: pl.concat(rows).to_pandas() for part, rows in held}
    return reference_set(parts, model_version="1", made_in=Month(2017, 6))


def put(lake: Lake, table: Table, month: Month, rows: pl.DataFrame, notes: Mapping[str, Any]) -> None:
    """Store rows with notes, and with the settings that limits are told from."""
    frame: nw.LazyFrame[pl.LazyFrame] = nw.from_native(rows.lazy())
    limits = {"drift_alpha": 0.02, "drift_closings_alpha": 0.04, "drift_column_psi": 0.02, "drift_quality": 0.98}
    limits |= {"drift_prediction_psi": 0.75, "drift_win_rate": 0.15}
    made = Provenance("code", {}, limits)
    lake.write_table(table.name, month, frame, table, sink=open_engine("polars").sink, provenance=made, notes=notes)
