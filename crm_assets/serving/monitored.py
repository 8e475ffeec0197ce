"""What monitoring knows at the end of a month, read from its stored reports."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.defs.scoring import SCORES
from crm_assets.errors import LakeError
from crm_assets.features.registry import FEATURE_TABLE, FEATURES
from crm_assets.history.snapshots import SNAPSHOTS
from crm_assets.lake import Lake, Manifest
from crm_assets.monitoring.drift_columns import DRIFT, ONLINE_DRIFT, PREDICTION, PROBABILITY
from crm_assets.monitoring.drift_level import TURNED_OUT
from crm_assets.monitoring.estimated_performance import ESTIMATE
from crm_assets.monitoring.estimated_performance import FIGURES as ESTIMATED
from crm_assets.monitoring.fixed_age import psi_at_fixed_age
from crm_assets.monitoring.performance import OVERALL, PERFORMANCE
from crm_assets.monitoring.performance_comparison import COMPARISON, failed_checks
from crm_assets.monitoring.prediction_log import ONLINE_PREDICTIONS
from crm_assets.monitoring.reference import BOOK, CLOSINGS, INTAKE, INTAKE_READ, PARTS, REFERENCE
from crm_assets.monitoring.reference_rows import SNAPSHOT_COLUMNS, book_rows, intake_rows
from crm_assets.monitoring.status import NOT_COMPARED
from crm_assets.serving import distributions
from crm_assets.serving.monitoring_messages import BAD, DIFFERS, MOVED, SAME, UNKNOWN, VERDICTS
from crm_assets.settings import Settings
from crm_assets.stored import stored_lake

MONITORED_FROM = (
    DRIFT.name,
    ONLINE_DRIFT.name,
    ONLINE_PREDICTIONS.name,
    SNAPSHOTS.name,
    FEATURE_TABLE.name,
    SCORES.name,
    REFERENCE.name,
    ESTIMATE.name,
    PERFORMANCE.name,
    COMPARISON.name,
)
"""Assets that are read."""

_Row = Mapping[str, Any]
_TOLD = (
    "part",
    "column",
    "kind",
    "test",
    "statistic",
    "p_value",
    "psi",
    "change",
    "missing_current",
    "missing_reference",
    "new_categories",
    "bad_share",
    "bad",
    "reason",
)
"""Columns of DRIFT that are told as they are."""
_SCORE = "Probability of a win by the end of the next month, at the ages of this month's deals"
_WON = "Share won of the deals that closed in the month"


def monitored(settings: Settings, month: Month) -> dict[str, Any]:
    """What is known at the end of a month, as `MonitoringAnswer` has it.

    Raises LakeError when the month has no drift report, or a table is not what its manifest says.
    """
    lake = stored_lake(settings)
    made = lake.manifest(DRIFT.name, month)
    if made is None:
        raise LakeError(f"{lake.url} lacks {DRIFT.name} of {month}: run crm-assets run --months {month}")
    history = [_drift(held, _notes(lake, DRIFT.name, held)) for held in _held(lake, DRIFT.name, month)]
    notes: dict[str, Any] = dict(made.notes)
    return {
        "month": str(month),
        "as_of": month.end,
        "months": lake.months(DRIFT.name),
        "has_report": lake.manifest(DRIFT.name, month, "html") is not None,
        "drift": history[-1],
        "history": history,
        "sides": [
            {"part": part, "rows": notes[f"{part}_rows"], "reference_rows": notes[f"{part}_reference_rows"]}
            for part in PARTS
            if f"{part}_rows" in notes
        ],
        "reference_months": _listed(notes.get("reference_months"), ", "),
        "columns": _columns(lake, month, made),
        "quality": [_quality(held, _notes(lake, SNAPSHOTS.name, held)) for held in _held(lake, SNAPSHOTS.name, month)],
        "performance": list(_performances(lake, month)),
        "segments": list(_segments(lake, month)),
        "traffic": [_traffic(lake, held) for held in _held(lake, ONLINE_DRIFT.name, month)],
    }


def _held(lake: Lake, asset: str, month: Month) -> list[Month]:
    return [held for held in map(Month.parse, lake.months(asset)) if held <= month]


def _notes(lake: Lake, asset: str, month: Month) -> dict[str, Any]:
    made = lake.manifest(asset, month)
    return {} if made is None else dict(made.notes)


def _listed(text: object, separator: str) -> list[str]:
    return [part for part in str(text or "").split(separator) if part]


def _drift(month: Month, notes: _Row) -> dict[str, Any]:
    return {
        "month": str(month),
        "status": notes.get("status", NOT_COMPARED),
        "level": notes.get("level"),
        "why": _listed(notes.get("why"), "; "),
        "reason": notes.get("reason"),
        "share_moved": notes.get("share_drifted"),
        **{name: notes.get(name) for name in ("prediction_psi", "quality", "model_version")},
    }


def _columns(lake: Lake, month: Month, made: Manifest) -> list[dict[str, Any]]:
    table = pl.read_parquet(lake.table_path(DRIFT.name, month))
    if table.is_empty():
        return []
    described = {feature.name: (feature.description, feature.unit) for feature in FEATURES}
    described |= {column.name: (column.description, column.unit) for column in SNAPSHOTS.columns}
    described |= {column.name: (column.description, column.unit) for column in FEATURE_TABLE.columns}
    drawn = _drawn(lake, month, set(table.select("part", "column").iter_rows()))
    limits: dict[str, Any] = dict(made.settings)
    tests = {
        part: sum(table.filter(part=part)[name].count() for name in ("p_value", "p_missing"))
        for part in (INTAKE, CLOSINGS)
    }
    columns = []
    for row in table.to_dicts():
        part, name = row["part"], row["column"]
        alpha = limits.get("drift_closings_alpha" if part == CLOSINGS else "drift_alpha")
        of_scores = row["kind"] == PREDICTION
        told = (_WON, None) if part == CLOSINGS else (_SCORE, None) if of_scores else described.get(name, ("", None))
        psi_limit = limits.get("drift_prediction_psi" if of_scores else "drift_column_psi")
        columns.append(
            {
                **{name: row[name] for name in _TOLD},
                "description": told[0],
                "unit": told[1],
                "verdict": _verdict(row, limits.get("drift_quality")),
                "p_limit": alpha / tests[part] if alpha and tests.get(part) else None,
                "psi_limit": psi_limit if part == INTAKE or of_scores else None,
                "change_limit": limits.get("drift_win_rate") if part == CLOSINGS else None,
                "distribution": drawn.get((part, name)),
            }
        )
    return sorted(columns, key=lambda column: VERDICTS.index(column["verdict"]))


def _verdict(row: _Row, quality: Any) -> str:
    if row["moved"]:
        return MOVED
    if row["bad"] and quality is not None and (row["bad_share"] or 0) > 1 - quality:
        return BAD
    if row["reason"]:
        return UNKNOWN
    return DIFFERS if row["drifted"] else SAME


def _drawn(
    lake: Lake, month: Month, wanted: Collection[tuple[str, str]]
) -> dict[tuple[str, str], distributions.Distribution | None]:
    """The distribution of each wanted part and column; none where something that it takes is not stored."""
    needed = (FEATURE_TABLE.name, SNAPSHOTS.name, SCORES.name, REFERENCE.name)
    if any(lake.manifest(asset, month) is None for asset in needed):
        return {}
    paths = {asset: lake.table_path(asset, month) for asset in needed}
    keys = ["opportunity_id", "snapshot_month"]
    features = pl.read_parquet(paths[FEATURE_TABLE.name], columns=list(dict.fromkeys([*keys, *INTAKE_READ])))
    scored = pl.read_parquet(paths[SCORES.name], columns=[*keys, "probability"])
    snapshot = pl.read_parquet(paths[SNAPSHOTS.name], columns=list(SNAPSHOT_COLUMNS))
    reference = pl.read_parquet(paths[REFERENCE.name])
    same_position = [
        held
        for held in reference["snapshot_month"].unique().to_list()
        if Month.parse(held).quarter_position == month.quarter_position
    ]
    now = {INTAKE: intake_rows(features, snapshot, month), BOOK: book_rows(features, scored)}
    before = {
        INTAKE: reference.filter(part=INTAKE),
        BOOK: reference.filter(pl.col("part") == BOOK, pl.col("snapshot_month").is_in(same_position)),
    }
    found = {}
    for part, name in wanted:
        if part in now and now[part].height and before[part].height:
            found[part, name] = _distribution(name, now[part], before[part])
    return found


def _distribution(name: str, now: pl.DataFrame, before: pl.DataFrame) -> distributions.Distribution | None:
    if name == PROBABILITY:
        return _of_scores(now, before)
    if now.schema[name].is_numeric():
        return distributions.numbers(_floats(now, name), _floats(before, name))
    return distributions.categories(now[name].cast(pl.String), before[name].cast(pl.String))


def _of_scores(now: pl.DataFrame, before: pl.DataFrame) -> distributions.Distribution | None:
    score, age = (_floats(before, name) for name in (PROBABILITY, "age_days"))
    score_now, age_now = (_floats(now, name) for name in (PROBABILITY, "age_days"))
    weights = psi_at_fixed_age(score, age, score_now, age_now).weights
    return distributions.numbers(score_now, score, weights)


def _floats(rows: pl.DataFrame, name: str) -> NDArray[np.float64]:
    return rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _quality(month: Month, notes: _Row) -> dict[str, Any]:
    return {
        "month": str(month),
        "score": notes.get("quality_score"),
        "rows": notes.get("rows_in_source"),
        "quarantined": notes.get("quarantined", 0),
        "reasons": notes.get("quarantine_reasons", []),
        "misspelled": [*notes.get("misspelled", []), *notes.get("misspelled_accounts", [])],
        "without_account": notes.get("without_account"),
    }


def _performances(lake: Lake, month: Month) -> Iterator[dict[str, Any]]:
    """The scores of each month up to `month`, as known at its end."""
    matured = {str(held) for held in _held(lake, PERFORMANCE.name, month)}
    for scored in _held(lake, ESTIMATE.name, month):
        promised = _overall(lake, ESTIMATE.name, scored)
        realised = _overall(lake, PERFORMANCE.name, scored.next) if str(scored.next) in matured else {}
        if promised or realised:
            yield _performance(lake, scored, promised, realised)


def _performance(lake: Lake, scored: Month, promised: _Row, realised: _Row) -> dict[str, Any]:
    """What the scores of a month promised, and what came where it has matured."""
    known = bool(realised) and bool(realised["rows"])
    notes = _notes(lake, COMPARISON.name, scored.next) if known else {}
    compared: Sequence[_Row] = []
    if notes:
        compared = pl.read_parquet(lake.table_path(COMPARISON.name, scored.next)).to_dicts()
    beside = {row["figure"]: row for row in compared if row["level"] == OVERALL}
    return {
        "month": str(scored),
        "matured_month": str(scored.next),
        "matured": known,
        "model_version": (realised or promised).get("model_version"),
        "rung": _notes(lake, ESTIMATE.name, scored).get("rung"),
        "rows": (realised if known else promised).get("rows", 0),
        "wins": realised.get("wins") if known else None,
        "predicted_wins": realised.get("predicted_wins") if known else promised.get("wins"),
        **{name: realised.get(name) if known else None for name in ("expected_revenue", "realised_revenue")},
        "figures": {name: _figure(name, promised, realised, beside.get(name)) for name in ESTIMATED},
        "compared": bool(compared),
        "reason": notes.get("reason"),
        "failed": [TURNED_OUT[name] for name in failed_checks(compared)],
    }


def _figure(name: str, promised: _Row, realised: _Row, beside: _Row | None) -> dict[str, Any]:
    if beside is not None:
        return {
            "realised": beside["realised"],
            "estimate": beside["estimate"],
            "low": beside["estimate_low"],
            "high": beside["estimate_high"],
            "inside": beside["inside_estimate"],
            **{side: beside[side] for side in ("backtest_low", "backtest_high")},
        }
    return {
        "realised": realised.get(name),
        "estimate": promised.get(name),
        "low": promised.get(f"{name}_low"),
        "high": promised.get(f"{name}_high"),
        "inside": None,
    }


def _overall(lake: Lake, asset: str, month: Month) -> dict[str, Any]:
    rows = pl.read_parquet(lake.table_path(asset, month)).filter(level=OVERALL)
    return rows.row(0, named=True) if rows.height else {}


def _segments(lake: Lake, month: Month) -> Iterator[dict[str, Any]]:
    if lake.manifest(COMPARISON.name, month) is None:
        return
    rows = pl.read_parquet(lake.table_path(COMPARISON.name, month))
    for row in rows.filter(pl.col("level") != OVERALL, pl.col("figure") == "wins").to_dicts():
        yield {
            "level": row["level"],
            "name": row["segment"],
            "rows": row["rows"],
            "small": row["small"],
            "wins": row["realised"],
            "estimate": row["estimate"],
            "low": row["estimate_low"],
            "high": row["estimate_high"],
            "inside": row["inside_estimate"],
        }


def _traffic(lake: Lake, month: Month) -> dict[str, Any]:
    notes, asked = _notes(lake, ONLINE_DRIFT.name, month), _notes(lake, ONLINE_PREDICTIONS.name, month)
    return {
        "month": str(month),
        "level": notes.get("level"),
        "status": notes.get("status", NOT_COMPARED),
        "why": _listed(notes.get("why"), "; "),
        "reason": notes.get("reason"),
        **{name: asked.get(name, 0) for name in ("requests", "opportunities", "callers", "unlike_scores")},
    }
