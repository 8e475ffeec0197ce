from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from crm_assets.modelling import plots
from crm_assets.modelling.forecast_accuracy import forecast_accuracy
from crm_assets_tests.modelling.won_rows import won_rows

RANDOM = np.random.default_rng(1)
PROBABILITY = RANDOM.random(300)
WON = (RANDOM.random(300) < PROBABILITY).astype(int)

FORECASTS = forecast_accuracy(
    pd.DataFrame(
        {
            "level": "total",
            "forecast_month": ["2017-07", "2017-08"],
            "snapshot_month": ["2017-06", "2017-07"],
            "expected_revenue": [1e6, 2e6],
            "low_80": [8e5, 1.5e6],
            "high_80": [1.2e6, 2.5e6],
            "low_95": [5e5, 1e6],
            "high_95": [1.5e6, 4e6],
            "naive_revenue": [float("nan"), 1.9e6],
        }
    ),
    won_rows(("2017-07", False, 1000.0, 900), ("2017-08", True, 1000.0, 2100)),
)

PROMISED = pd.DataFrame(
    {
        "snapshot_month": ["2017-09", "2017-10"],
        "brier": [0.04, 0.12],
        "brier_low": [0.03, 0.1],
        "brier_high": [0.05, 0.14],
        "auc": [0.9, float("nan")],
        "auc_low": [0.85, float("nan")],
        "auc_high": [0.95, float("nan")],
    }
)
REALISED = pd.DataFrame({"snapshot_month": ["2017-08", "2017-09"], "brier": [0.2, 0.045], "auc": [0.5, 0.87]})

DRAWN: dict[str, Callable[[], Figure]] = {
    "reliability": lambda: plots.reliability(WON, PROBABILITY),
    "gain": lambda: plots.cumulative_gain(WON, PROBABILITY),
    "importance": lambda: plots.feature_importance({"age_days": 70.0, "product": 30.0}),
    "scores": lambda: plots.score_histogram(PROBABILITY),
    "parts": lambda: plots.parts_by_cause({"time passed": 0.1, "the world changed": 0.0}),
    "no parts": lambda: plots.parts_by_cause({}),
    "all zero": lambda: plots.parts_by_cause({"time passed": 0.0}),
    "constant": lambda: plots.reliability([0, 1], [0.0, 0.0]),
    "no rows": lambda: plots.reliability([], []),
    "no wins": lambda: plots.cumulative_gain([0, 0], [0.1, 0.2]),
    "no features": lambda: plots.feature_importance({}),
    "no scores": lambda: plots.score_histogram([]),
    "forecasts": lambda: plots.forecasts(FORECASTS),
    "no forecasts": lambda: plots.forecasts(FORECASTS.iloc[:0]),
    "no naive forecast": lambda: plots.forecasts(FORECASTS.assign(naive_revenue=float("nan"))),
    "performance": lambda: plots.performance(PROMISED, REALISED),
    "no performance": lambda: plots.performance(PROMISED.iloc[:0], REALISED),
    "nothing realised": lambda: plots.performance(PROMISED, REALISED.iloc[:0]),
    "certain": lambda: plots.score_histogram([1.0, 1.0]),
}


@pytest.mark.parametrize("name", DRAWN)
def test_every_figure_is_a_png_of_600_by_400_with_a_title(name: str) -> None:
    figure = DRAWN[name]()
    picture = plots.png(figure)
    assert picture.startswith(b"\x89PNG")
    assert struct.unpack(">II", picture[16:24]) == (600, 400)
    assert figure.axes[0].get_title(loc="left")
    assert figure.axes[-1].get_xlabel()


@pytest.mark.parametrize("name", ["reliability", "importance"])
def test_equal_figures_give_equal_bytes(name: str) -> None:
    assert plots.png(DRAWN[name]()) == plots.png(DRAWN[name]())


def test_axes_say_their_units() -> None:
    assert "(%)" in plots.reliability(WON, PROBABILITY).axes[0].get_xlabel()
    assert plots.score_histogram(PROBABILITY).axes[0].get_ylabel() == "Opportunities"


def test_perfect_ranking_finds_every_win_first() -> None:
    figure = plots.cumulative_gain([0, 1, 0, 1], [0.1, 0.9, 0.2, 0.8])
    model, perfect, _ = figure.axes[0].get_lines()
    assert np.asarray(model.get_xdata()).tolist() == [0, 25, 50, 75, 100]
    assert np.asarray(model.get_ydata()).tolist() == [0, 50, 100, 100, 100]
    assert np.asarray(perfect.get_xdata()).tolist() == [0, 50, 100]


def test_tied_scores_take_no_credit_for_their_order() -> None:
    model = plots.cumulative_gain([1, 1, 0, 0], [0.5] * 4).axes[0].get_lines()[0]
    assert np.asarray(model.get_xdata()).tolist() == [0, 100]


def test_only_the_most_important_features_are_drawn() -> None:
    figure = plots.feature_importance({f"f{number:02d}": float(number) for number in range(40)})
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [f"f{number:02d}" for number in range(39, 24, -1)]


def test_parts_are_in_percentage_points_in_the_order_given() -> None:
    axes = plots.parts_by_cause({"time passed": 0.0125, "the world changed": 0.25}).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["time passed", "the world changed"]
    assert [text.get_text() for text in axes.texts] == ["1.25", "25.00"]
    assert "percentage points" in axes.get_xlabel()


def test_forecasts_are_in_millions_under_their_months() -> None:
    axes = plots.forecasts(FORECASTS).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2017-07", "2017-08"]
    drawn = {str(line.get_label()): np.asarray(line.get_ydata()).tolist() for line in axes.get_lines()}
    assert drawn["forecast"] == [1, 2]
    assert drawn["what came"] == [0.9, 2.1]
    assert drawn["seasonal naive"][1] == 1.9
    assert axes.get_ylim() == (0, 4.2)


def test_realised_performance_stands_over_the_month_that_promised_it() -> None:
    brier, auc = plots.performance(PROMISED, REALISED).axes
    assert [label.get_text() for label in auc.get_xticklabels()] == ["2017-09", "2017-10"]
    for axes, promised, came in ((brier, 0.04, 0.045), (auc, 0.9, 0.87)):
        drawn = {str(line.get_label()): line for line in axes.get_lines()}
        assert np.asarray(drawn["promised"].get_ydata())[0] == promised
        assert np.asarray(drawn["realised"].get_xdata()).tolist() == [0]
        assert np.asarray(drawn["realised"].get_ydata()).tolist() == [came]


def test_a_figure_can_be_saved_again() -> None:
    figure = DRAWN["scores"]()
    plots.png(figure)
    figure.savefig(io.BytesIO(), format="svg")
