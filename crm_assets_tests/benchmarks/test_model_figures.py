from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crm_assets.calendar import parse_months
from crm_assets_tests.benchmarks.model_forecast import figures
from crm_assets_tests.benchmarks.model_gate import noisy, true_rows


def test_figures_of_forecast_lines() -> None:
    lines = pd.DataFrame(
        {
            "expected_revenue": [100.0, 50.0],
            "low_80": [80.0, 40.0],
            "high_80": [110.0, 60.0],
            "low_95": [70.0, 30.0],
            "high_95": [120.0, 75.0],
            "naive_revenue": [90.0, 71.0],
            "actual_revenue": [110.0, 70.0],
        }
    )
    assert figures(lines) == {
        "lines": 2.0,
        "within_80": 0.5,
        "width_80": 25.0,
        "within_95": 1.0,
        "width_95": 47.5,
        "error": 15.0,
        "naive_error": 10.5,
        "naive_error_of_revenue": pytest.approx(21 / 180),
        "naive_closer": 1.0,
    }


def test_true_rows_hold_the_outcome_of_the_month_they_predict() -> None:
    rows = true_rows(3, parse_months("2017-07:2017-09"))
    assert not rows.duplicated(["snapshot_month", "opportunity_id"]).any()
    # A deal is won once, in the month after one book.
    assert rows.groupby("opportunity_id")["won"].sum().max() == 1
    for _, book in rows.groupby("snapshot_month"):
        p = book["probability"]
        assert abs(book["won"].sum() - p.sum()) < 4 * np.sqrt((p * (1 - p)).sum())
    assert not rows[["regional_office", "product", "sales_agent"]].isna().any(axis=None)


def test_noise_keeps_the_mean() -> None:
    p = np.linspace(0.01, 0.6, 500)
    blurred = noisy(p, 0.5, np.random.default_rng(1))
    assert blurred.mean() == pytest.approx(p.mean())
    assert np.abs(blurred - p).mean() > 0.02
