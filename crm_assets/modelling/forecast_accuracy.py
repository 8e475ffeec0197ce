"""How forecasts of months that are over turned out, stored ones and backtested ones, next to the seasonal naive ones.

The backtest forecasts every test month of the rolling-origin predictions from what was known at its snapshot: the
probabilities of the model of then, the month effect learnt from the test months before it, and the new business up to
then. Its prices, won or open, are those of the present list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crm_assets.calendar import Month
from crm_assets.contracts import Column, Kind, Table
from crm_assets.modelling.forecast import (
    INTERVAL_ENDS,
    INTERVALS,
    TOTAL,
    check_deals,
    naive_month,
    revenue_of,
    total_interval,
)
from crm_assets.modelling.month_effect import MonthEffect, past_months
from crm_assets.modelling.new_business import NewBusiness

if TYPE_CHECKING:
    import pandas as pd

MODEL, NAIVE, TIE = CLOSER = ("model", "naive", "tie")


def _usd(name: str, description: str, *, required: bool = True) -> Column:
    return Column(name, Kind.FLOAT, description, unit="USD", required=required)


ACCURACY = Table(
    "forecast_accuracy",
    "One row per month that was forecast and is over: the forecast of the total, the revenue that came, and the "
    "seasonal naive forecast.",
    (
        Column("forecast_month", Kind.STRING, "Month the forecast was for, YYYY-MM", required=True),
        Column("snapshot_month", Kind.STRING, "Month at whose end it was made, YYYY-MM", required=True),
        _usd("expected_revenue", "Forecast: book and new business, at list price"),
        *(
            _usd(f"{end}_{level}", f"{text} end of its {level} % interval")
            for level in INTERVALS
            for end, text in (("low", "Lower"), ("high", "Upper"))
        ),
        Column("wins", Kind.INTEGER, "Deals won in the month", unit="deals", required=True, minimum=0),
        _usd("actual_revenue", "Their list price"),
        _usd("close_value", "Their revenue at close, discounts and all"),
        *(
            Column(
                f"inside_{level}", Kind.BOOLEAN, f"Whether the list price was in the {level} % interval", required=True
            )
            for level in INTERVALS
        ),
        _usd("naive_revenue", "Seasonal naive forecast; empty where there was none", required=False),
        _usd("absolute_error", "Distance of forecast and list price"),
        _usd("naive_absolute_error", "Distance of naive forecast and list price", required=False),
        Column("closer", Kind.STRING, "Which was closer; empty without a naive forecast", allowed=CLOSER),
    ),
    key=("forecast_month",),
)


def forecast_accuracy(forecasts: pd.DataFrame, wins: pd.DataFrame) -> pd.DataFrame:
    """Compare the totals of stored forecasts with what came.

    Args:
        forecasts: rows of `modelling.forecast.FORECAST` of any months; only totals are looked at.
        wins: `history.wins.WINS` with the wins of every month they are for, at the list price of that month.

    Returns:
        Rows of ACCURACY by month. A month without a row in `wins` had no win.
    """
    totals = forecasts[forecasts["level"] == TOTAL].sort_values("forecast_month")
    rows = [{str(name): value for name, value in row.items()} for row in totals.to_dict("records")]
    return _table([_judged(row, wins) for row in rows])


def backtested_forecasts(predictions: pd.DataFrame, wins: pd.DataFrame, *, month: Month, seed: int) -> pd.DataFrame:
    """Forecast each test month of the backtest as of its snapshot, and compare it with what came.

    Test months whose position in the quarter no model could know, because the history of wins does not reach back to
    the quarter before, are left out: no forecast is made of them, and no month effect learnt.

    Args:
        predictions: rows of `modelling.backtest.BACKTEST` with `list_price`, USD.
        wins: `history.wins.WINS` as known at the end of `month`.
        month: the last month that is known.
        seed: seed of the simulation.

    Returns:
        Rows of ACCURACY by month; none without test months.

    Raises:
        QualityError: a probability is outside [0, 1] or empty, or a price is negative, infinite or empty.
    """
    check_deals(predictions)
    usable = informed(predictions, wins)
    past, rows = past_months(usable), []
    for text, book in usable.groupby("snapshot_month", sort=True):
        made_at = Month.parse(str(text))
        if made_at >= month:
            continue
        known = wins[wins["won_month"] <= str(made_at)]
        new = NewBusiness.learnt(known, made_at)
        probability, price = (book[name].to_numpy(dtype=np.float64) for name in ("probability", "list_price"))
        effect = MonthEffect.learnt([before for before in past if before.snapshot_month < str(made_at)])
        before = naive_month(known, made_at.next)
        row = {
            "forecast_month": str(made_at.next),
            "snapshot_month": str(made_at),
            "expected_revenue": float(np.sort(probability * price).sum()) + new.revenue,
            **total_interval(probability, price, new, effect, seed),
            "naive_revenue": None if before is None else revenue_of(known, before)[TOTAL, TOTAL],
        }
        rows.append(_judged(row, wins))
    return _table(rows)


def informed(predictions: pd.DataFrame, wins: pd.DataFrame) -> pd.DataFrame:
    """The predictions of months at whose position in the quarter the history already had wins a quarter before."""
    months = [str(text) for text in predictions["snapshot_month"].unique()]
    kept = [text for text in months if naive_month(wins, Month.parse(text).next) is not None]
    return predictions[predictions["snapshot_month"].isin(kept)]


def accuracy_figures(rows: pd.DataFrame) -> dict[str, Any]:
    """What rows of ACCURACY come to; figures that need a month, or a naive forecast, are left out without one.

    `months`, `coverage_80`, `coverage_95` (shares of months), `mean_absolute_error` (USD), and over the months with a
    naive forecast `naive_months`, `naive_closer` (months), `mean_absolute_error_beside_naive`,
    `naive_mean_absolute_error` (USD) and `verdict`, a sentence.
    """
    figures: dict[str, Any] = {"months": len(rows)}
    if rows.empty:
        return figures
    figures |= {f"coverage_{level}": round(float(rows[f"inside_{level}"].mean()), 4) for level in INTERVALS}
    figures["mean_absolute_error"] = round(float(rows["absolute_error"].mean()), 2)
    both = rows[rows["closer"].notna()]
    if both.empty:
        return figures
    return figures | {
        "naive_months": len(both),
        "naive_closer": int((both["closer"] == NAIVE).sum()),
        "mean_absolute_error_beside_naive": round(float(both["absolute_error"].mean()), 2),
        "naive_mean_absolute_error": round(float(both["naive_absolute_error"].mean()), 2),
        "verdict": verdict(both),
    }


def verdict(rows: pd.DataFrame) -> str:
    """Who was closer how often, and by mean absolute error, over rows of ACCURACY with a naive forecast."""
    closer, months = int((rows["closer"] == NAIVE).sum()), len(rows)
    model, naive = (float(rows[name].mean()) for name in ("absolute_error", "naive_absolute_error"))
    return (
        f"the seasonal naive forecast was closer in {closer} of {months} month{'s' if months > 1 else ''}; "
        f"mean absolute error {model:,.0f} USD, naive {naive:,.0f} USD"
    )


def _judged(row: dict[str, Any], wins: pd.DataFrame) -> dict[str, Any]:
    """The forecast with what came of it."""
    month = Month.parse(row["forecast_month"])
    won = wins[wins["won_month"] == str(month)]
    actual = revenue_of(wins, month)[TOTAL, TOTAL]
    naive = row["naive_revenue"]
    naive = None if naive is None or np.isnan(naive) else float(naive)
    error = abs(row["expected_revenue"] - actual)
    naive_error = None if naive is None else abs(naive - actual)
    return {
        **{name: row[name] for name in ("forecast_month", "snapshot_month", "expected_revenue", *INTERVAL_ENDS)},
        "wins": int(won["wins"].sum()),
        "actual_revenue": actual,
        # To the cent: engines add up cents in any order.
        "close_value": round(float(np.sort(won["close_value"].to_numpy(dtype=np.float64)).sum()), 2),
        **{f"inside_{level}": bool(row[f"low_{level}"] <= actual <= row[f"high_{level}"]) for level in INTERVALS},
        "naive_revenue": naive,
        "absolute_error": error,
        "naive_absolute_error": naive_error,
        "closer": None if naive_error is None else _closer(error, naive_error),
    }


def _closer(model: float, naive: float) -> str:
    if model == naive:
        return TIE
    return MODEL if model < naive else NAIVE


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows, columns=ACCURACY.column_names).astype(ACCURACY.pandas_types())
