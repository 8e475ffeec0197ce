from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crm_assets.calendar import Month
from crm_assets.errors import QualityError
from crm_assets.modelling.forecast import FORECAST, forecast
from crm_assets.modelling.forecast_accuracy import (
    ACCURACY,
    accuracy_figures,
    backtested_forecasts,
    forecast_accuracy,
    informed,
)
from crm_assets.modelling.month_effect import MonthEffect, past_months
from crm_assets_tests.modelling.won_rows import won_rows

LAST = Month(2017, 12)


def stored(month: str, expected: float, half: float, naive: float | None) -> dict[str, object]:
    made_at = Month.parse(month).previous
    return {
        "level": "total",
        "name": "total",
        "snapshot_month": str(made_at),
        "forecast_month": month,
        "deals": 1,
        "expected_wins": 1.0,
        "expected_revenue": expected,
        "low_80": expected - half,
        "high_80": expected + half,
        "low_95": expected - 2 * half,
        "high_95": expected + 2 * half,
        "naive_revenue": naive,
    }


def table(*rows: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=FORECAST.column_names).astype({"naive_revenue": "float64"})


def backtest_rows(first: Month, months: int, tau: float, deals: int = 600, seed: int = 8) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    rows = []
    for number in range(months):
        month = first.shift(number)
        log_odds = random.normal(-1.5, 1, deals)
        won = random.random(deals) < 1 / (1 + np.exp(-(log_odds + tau * random.standard_normal())))
        rows.append(
            pd.DataFrame(
                {
                    "opportunity_id": [f"{month}-{deal}" for deal in range(deals)],
                    "snapshot_month": str(month),
                    "probability": 1 / (1 + np.exp(-log_odds)),
                    "won": won.astype(int),
                    "list_price": random.choice([50.0, 500.0], deals),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def wins_of(predictions: pd.DataFrame, before: int = 3) -> pd.DataFrame:
    """The wins of the predictions' books, some new business in every month, and `before` months of wins before them."""
    rows = []
    first = Month.parse(predictions["snapshot_month"].min()).next
    for number in range(1, before + 1):
        rows += [(str(first.shift(-number)), False, 50.0, 200), (str(first.shift(-number)), True, 50.0, 40)]
    for month, book in predictions.groupby("snapshot_month"):
        after = str(Month.parse(str(month)).next)
        rows.append((after, True, 50.0, 40))
        rows += [
            (after, False, price, int(book.loc[book["list_price"] == price, "won"].sum())) for price in (50.0, 500.0)
        ]
    return won_rows(*rows)


def test_a_forecast_is_compared_with_what_came() -> None:
    wins = won_rows(("2017-10", False, 100.0, 9), ("2017-10", True, 50.0, 2), ("2017-11", False, 1.0, 1))
    rows = forecast_accuracy(table(stored("2017-10", 1200, 150, 900)), wins)
    assert list(rows.columns) == ACCURACY.column_names
    assert rows.iloc[0].to_dict() == {
        "forecast_month": "2017-10",
        "snapshot_month": "2017-09",
        "expected_revenue": 1200,
        "low_80": 1050,
        "high_80": 1350,
        "low_95": 900,
        "high_95": 1500,
        "wins": 11,
        "actual_revenue": 1000,
        "close_value": 1000,
        "inside_80": False,
        "inside_95": True,
        "naive_revenue": 900,
        "absolute_error": 200,
        "naive_absolute_error": 100,
        "closer": "naive",
    }


def test_who_is_closer_is_counted_where_there_is_a_naive_forecast() -> None:
    wins = won_rows(*[(f"2017-{number:02d}", False, 100.0, 10) for number in (6, 7, 8, 9)])
    rows = forecast_accuracy(
        table(
            stored("2017-09", 1100, 10, 1050),
            stored("2017-06", 900, 200, None),
            stored("2017-07", 1010, 20, 900),
            stored("2017-08", 950, 30, 1050),
        ),
        wins,
    )
    assert rows["forecast_month"].tolist() == ["2017-06", "2017-07", "2017-08", "2017-09"]
    assert rows["closer"].tolist() == [None, "model", "tie", "naive"]
    figures = accuracy_figures(rows)
    assert figures == {
        "months": 4,
        "coverage_80": 0.5,
        "coverage_95": 0.75,
        "mean_absolute_error": 65,
        "naive_months": 3,
        "naive_closer": 1,
        "mean_absolute_error_beside_naive": 53.33,
        "naive_mean_absolute_error": 66.67,
        "verdict": "the seasonal naive forecast was closer in 1 of 3 months; mean absolute error 53 USD, naive 67 USD",
    }


def test_without_forecasts_there_is_nothing_to_tell() -> None:
    rows = forecast_accuracy(table(), won_rows())
    assert list(rows.columns) == ACCURACY.column_names
    assert accuracy_figures(rows) == {"months": 0}
    alone = accuracy_figures(forecast_accuracy(table(stored("2017-06", 900, 200, None)), won_rows()))
    assert alone == {"months": 1, "coverage_80": 0, "coverage_95": 0, "mean_absolute_error": 900}


def test_only_totals_are_compared() -> None:
    total = stored("2017-06", 900, 200, None)
    assert len(forecast_accuracy(table(total, {**total, "level": "book", "name": "book"}), won_rows())) == 1


def test_a_backtested_forecast_is_the_one_of_then() -> None:
    predictions = backtest_rows(Month(2017, 5), 4, 0.3)
    wins = wins_of(predictions)
    rows = backtested_forecasts(predictions, wins, month=Month(2017, 9), seed=1)
    assert rows["snapshot_month"].tolist() == ["2017-05", "2017-06", "2017-07", "2017-08"]
    made_at = Month(2017, 8)
    book = predictions[predictions["snapshot_month"] == str(made_at)]
    groups = {"regional_office": "West", "product": "GTX Pro", "sales_agent": "Ann"}
    effect = MonthEffect.learnt(past_months(predictions[predictions["snapshot_month"] < str(made_at)]))
    known = wins[wins["won_month"] <= str(made_at)]
    total = forecast(book.assign(**groups), known, month=made_at, effect=effect, seed=1).iloc[0]
    line = rows.iloc[-1]
    for name in ("expected_revenue", "naive_revenue"):
        assert line[name] == pytest.approx(total[name]), name
    for name in ("low_80", "high_80", "low_95", "high_95"):
        assert line[name] == pytest.approx(total[name], abs=0.06 * (total["high_95"] - total["low_95"])), name
    assert line["actual_revenue"] == float((book["won"] * book["list_price"]).sum()) + 40 * 50


def test_what_came_later_does_not_change_a_backtested_forecast() -> None:
    predictions = backtest_rows(Month(2017, 5), 5, 0.3)
    wins = wins_of(predictions)
    whole = backtested_forecasts(predictions, wins, month=Month(2017, 10), seed=1)
    early = backtested_forecasts(
        predictions[predictions["snapshot_month"] < "2017-08"],
        wins[wins["won_month"] < "2017-09"],
        month=Month(2017, 8),
        seed=1,
    )
    assert len(early) == 3
    pd.testing.assert_frame_equal(whole.head(3), early)
    # Nor do outcomes that are not known yet at the month.
    assert len(backtested_forecasts(predictions, wins, month=Month(2017, 8), seed=1)) == 3


def test_months_at_a_position_without_history_are_left_out() -> None:
    predictions = backtest_rows(Month(2017, 5), 4, 0.3)
    wins = wins_of(predictions, before=1)
    assert informed(predictions, wins)["snapshot_month"].unique().tolist() == ["2017-07", "2017-08"]
    rows = backtested_forecasts(predictions, wins, month=LAST, seed=1)
    assert rows["snapshot_month"].tolist() == ["2017-07", "2017-08"]
    assert rows["naive_revenue"].notna().all()


def test_without_test_months_nothing_is_backtested() -> None:
    none = backtest_rows(Month(2017, 5), 1, 0).iloc[:0]
    for wins in (won_rows(), won_rows(("2017-03", False, 5.0, 1))):
        rows = backtested_forecasts(none, wins, month=LAST, seed=1)
        assert rows.empty
        assert list(rows.columns) == ACCURACY.column_names


def test_the_order_of_rows_does_not_matter() -> None:
    predictions = backtest_rows(Month(2017, 5), 3, 0.3)
    wins = wins_of(predictions)
    straight = backtested_forecasts(predictions, wins, month=LAST, seed=1)
    turned = backtested_forecasts(
        predictions.sample(frac=1, random_state=1), wins.sample(frac=1, random_state=1), month=LAST, seed=1
    )
    pd.testing.assert_frame_equal(turned, straight)


def test_intervals_cover_months_that_share_an_effect() -> None:
    predictions = backtest_rows(Month(2013, 1), 60, 0.4, deals=300)
    figures = accuracy_figures(backtested_forecasts(predictions, wins_of(predictions), month=Month(2018, 1), seed=1))
    assert figures["months"] == 60
    # Within three standard errors.
    assert figures["coverage_80"] == pytest.approx(0.8, abs=0.155)
    assert figures["coverage_95"] >= 0.95 - 0.085


def test_a_missing_price_is_named() -> None:
    predictions = backtest_rows(Month(2017, 5), 1, 0).assign(list_price=float("nan"))
    with pytest.raises(QualityError, match="list_price of nan"):
        backtested_forecasts(predictions, won_rows(), month=LAST, seed=1)
