"""One opportunity through the months: its stored scores, and why the newest is what it is."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from crm_assets.calendar import Month
from crm_assets.defs.scoring import SCORES
from crm_assets.errors import CrmAssetsError
from crm_assets.modelling.movement import PARTS as CAUSES
from crm_assets.modelling.reasons import PARTS, WORDED
from crm_assets.serving.book import marks
from crm_assets.serving.live import State
from crm_assets.serving.pages import COLUMNS
from crm_assets.settings import Settings
from crm_assets.stored import stored_lake
from crm_assets.why import sentence, why

_MODEL = ("model_version", "model_month", "rung")
_PAST = ("probability", "expected_value", *_MODEL)


def told_opportunity(settings: Settings, state: State, opportunity: str) -> dict[str, Any] | None:
    """The stored scores of an opportunity up to the month of `state`, and the reasons of the newest.

    None when nothing is known of the id. What is told of the model is of the one that gave the newest score, which need
    not be the champion of now; nothing where the month has no score of it.
    """
    month = state.book.month
    history = _history(settings, state, opportunity)
    stage = state.book.stages.get(opportunity)
    if stage is None and not history:
        return None
    newest = history[-1] if history and history[-1]["month"] == str(month) else None
    answer: dict[str, Any] = {
        **({} if newest is None else {name: newest[name] for name in _MODEL}),
        "opportunity_id": opportunity,
        "is_open": opportunity in state.book.at,
        "stage": stage,
        "deal": _deal(state, opportunity),
        "history": history,
    }
    if opportunity not in state.book.at:
        return {**answer, "not_told_because": f"it is not open at the end of {month}"}
    try:
        return {**answer, **_reasons(settings, month, opportunity, newest)}
    except (CrmAssetsError, OSError, pl.exceptions.PolarsError) as error:
        return {**answer, "not_told_because": str(error)}


def _deal(state: State, opportunity: str) -> dict[str, Any] | None:
    """Its row of the pipeline; None unless it is open."""
    at = state.book.at.get(opportunity)
    return None if at is None else state.deals.rows.select(COLUMNS).row(at, named=True)


def _reasons(settings: Settings, month: Month, opportunity: str, newest: Mapping[str, Any] | None) -> dict[str, Any]:
    found = why(settings, month, opportunity)
    row = found["reasons"]
    told: dict[str, Any] = {
        "reasons": {
            "probability": row["probability"],
            "expected_value": None if newest is None else newest["expected_value"],
            "base": row["base"],
            "parts": {part: row[part] for part in PARTS},
            **{name: row[name] for name in WORDED},
        }
    }
    if found["unmoved"]:
        return {**told, "not_told_because": f"it has no earlier score: {found['unmoved']}"}
    names = ("previous_month", "probability_before", "probability", "change", "main_cause", "changed")
    parts = {part: found[part] for part in CAUSES}
    told["moved"] = {**{name: found[name] for name in names}, "parts": parts, "in_words": sentence(found)}
    return told


def _history(settings: Settings, state: State, opportunity: str) -> list[dict[str, Any]]:
    lake = stored_lake(settings)
    months = [Month.parse(text) for text in lake.months(SCORES.name)]
    files = [_file(settings, month, marks(lake, month, [SCORES.name])) for month in months if month <= state.book.month]
    if not files:
        return []
    rows = (
        pl.scan_parquet(files, glob=False)
        .filter(pl.col("opportunity_id") == opportunity)
        .select(pl.col("snapshot_month").alias("month"), *_PAST)
        .collect()
    )
    return rows.sort("month").to_dicts()


@lru_cache(maxsize=512)
def _file(settings: Settings, month: Month, _: tuple[str | None, ...]) -> Path:
    """The stored scores of a month; fetched once for each making, because it is compared with its manifest."""
    return stored_lake(settings).table_path(SCORES.name, month)
