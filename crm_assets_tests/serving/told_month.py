"""What a run stores after the scores of a month: reasons, changes, the forecast and how those before it came."""

from __future__ import annotations

from typing import Any

import polars as pl

from crm_assets.calendar import Month
from crm_assets.features.registry import CAUSES
from crm_assets.lake import Lake
from crm_assets.modelling.forecast import FORECAST, INTERVALS
from crm_assets.modelling.forecast_accuracy import ACCURACY
from crm_assets.modelling.movement import SCORE_CHANGES, changes_by_cause
from crm_assets.modelling.reasons import SCORE_REASONS, reasons
from crm_assets.modelling.win_model import WinModel
from crm_assets_tests.serving.small_lake import Business, write


def write_told(lake: Lake, business: Business, month: Month, model: WinModel) -> None:
    """Store reasons and changes of a month that `write_month` stored, as it did that before it."""
    now, before = (business.months[m].features.to_pandas() for m in (month, month.previous))
    same = {"snapshot_month": str(month), "model_version": "1"}
    told = pl.from_pandas(reasons(model, now), schema_overrides={"raises": pl.String(), "lowers": pl.String()})
    write(lake, SCORE_REASONS, month, told.with_columns(**{name: pl.lit(value) for name, value in same.items()}))
    columns = ["opportunity_id", *(name for name in CAUSES if name in model.features)]
    both = sorted({*now["opportunity_id"]} & {*before["opportunity_id"]})
    moved = changes_by_cause(before[columns], now[columns], model, model, opportunities=both)
    more = {**same, "previous_month": str(month.previous), "previous_model_version": "1"}
    write(lake, SCORE_CHANGES, month, pl.from_pandas(moved).with_columns(**{n: pl.lit(v) for n, v in more.items()}))


def write_forecast(lake: Lake, scores: pl.DataFrame, month: Month) -> None:
    """Store a made up forecast of the month after, by region, agent and product, and three that are over."""
    lines = [("total", "total", scores), ("book", "book", scores)]
    for level, column in (("region", "regional_office"), ("product", "product"), ("agent", "sales_agent")):
        lines += [(level, str(name), rows) for (name,), rows in sorted(scores.group_by(column))]
    rows = [
        _line(level, name, float(part["probability"].sum()), float(part["expected_value"].sum()), part.height)
        for level, name, part in lines
    ]
    rows.append(_line("new business", "new business", 2.0, 2500.0, 0))
    made = {"snapshot_month": str(month), "forecast_month": str(month.next)}
    write(lake, FORECAST, month, pl.DataFrame(rows).with_columns(**{n: pl.lit(v) for n, v in made.items()}))
    past, of = [], month
    for actual in (9000.0, 11000.0, 14000.0):
        line = _line("total", "total", 5.0, 10000.0, 9)
        past.append(
            {
                **{name: value for name, value in line.items() if name not in ("level", "name", "deals")},
                "forecast_month": str(of),
                "snapshot_month": str(of.previous),
                "wins": 5,
                "actual_revenue": actual,
                "close_value": actual,
                "inside_80": actual <= line["high_80"],
                "inside_95": actual <= line["high_95"],
                "naive_revenue": 9500.0,
                "absolute_error": abs(actual - 10000.0),
                "naive_absolute_error": abs(actual - 9500.0),
                "closer": "model" if actual > 9750.0 else "naive",
            }
        )
        of = of.previous
    write(lake, ACCURACY, month, pl.DataFrame(past).drop("expected_wins").sort("forecast_month"))


def _line(level: str, name: str, wins: float, revenue: float, deals: int) -> dict[str, Any]:
    ends = {
        f"{end}_{width}": revenue * (1 + side * 0.1 * at)
        for at, width in enumerate(INTERVALS, 1)
        for end, side in (("low", -1), ("high", 1))
    }
    figures = {"deals": deals, "expected_wins": float(wins), "expected_revenue": float(revenue), **ends}
    return {"level": level, "name": name, **figures, "naive_revenue": 0.9 * revenue}
