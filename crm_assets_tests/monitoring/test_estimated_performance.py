from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_assets.calendar import Month
from crm_assets.modelling.metrics import measure
from crm_assets.modelling.month_effect import MonthEffect
from crm_assets.monitoring.errors import MonitoringError
from crm_assets.monitoring.estimated_performance import (
    ESTIMATE,
    ESTIMATED,
    FIGURES,
    NOT_ESTIMATED,
    Estimate,
    TrackRecord,
    estimated_performance,
)

MONTH = Month(2017, 5)
INDEPENDENT = TrackRecord.of(MonthEffect.of(0))


def scores(probability: list[float] | np.ndarray[Any, Any]) -> pd.DataFrame:
    number = len(probability)
    return pd.DataFrame(
        {
            "opportunity_id": pd.Series([f"O{at:05d}" for at in range(number)], dtype=object),
            "snapshot_month": pd.Series(["2017-05"] * number, dtype=object),
            "probability": pd.Series(list(probability), dtype="float64"),
            "regional_office": pd.Series([("East", "West")[at % 2] for at in range(number)], dtype=object),
            "product": pd.Series([("GTX", "MG", "GTK")[at % 3] for at in range(number)], dtype=object),
            "model_version": pd.Series(["3"] * number, dtype=object),
        }
    )


def estimate(probability: list[float] | np.ndarray[Any, Any], **given_by: Any) -> Estimate:
    return estimated_performance(
        scores(probability), **{"month": MONTH, "record": INDEPENDENT, "seed": 7, "segments": (), **given_by}
    )


def spread(rows: int = 600, seed: int = 1) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).beta(1, 4, rows)


def predictions(shift: float, months: int = 5, noise: float = 0.0) -> pd.DataFrame:
    """Months of a backtest: outcomes drawn with log-odds `shift` away, and the ranking blurred by `noise`."""
    random = np.random.default_rng(5)
    parts = []
    for number in range(months):
        log_odds = random.normal(-1.5, 1.2, 800)
        true = 1 / (1 + np.exp(-(log_odds * (1 - noise * (number % 2)) + shift)))
        parts.append(
            pd.DataFrame(
                {
                    "snapshot_month": f"2016-{number + 1:02d}",
                    "probability": 1 / (1 + np.exp(-log_odds)),
                    "won": (random.random(800) < true).astype(int),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_what_is_expected_is_the_mean_over_all_outcomes(probability: list[float]) -> None:
    """All 2 ** n outcomes, each with its probability."""
    p = np.array(probability)
    outcomes = (np.arange(2**p.size)[:, None] >> np.arange(p.size)) & 1
    weight = np.where(outcomes == 1, p, 1 - p).prod(axis=1)
    found = estimate(probability)
    assert found.interval("wins").estimate == pytest.approx(weight @ outcomes.sum(axis=1), abs=1e-9)
    assert found.interval("brier").estimate == pytest.approx(weight @ ((outcomes - p) ** 2).mean(axis=1), abs=1e-9)
    sure = np.clip(p, 1e-15, 1 - 1e-15)
    log_loss = -(outcomes * np.log(sure) + (1 - outcomes) * np.log(1 - sure)).mean(axis=1)
    assert found.interval("log_loss").estimate == pytest.approx(weight @ log_loss, abs=1e-9)


@pytest.mark.parametrize("tau", [0.0, 0.4])
def test_ranking_and_calibration_are_those_of_simulated_outcomes(tau: float) -> None:
    """Brute force, by the same law but other code, against the estimates and the ends of their intervals."""
    p, random = spread(300), np.random.default_rng(11)
    shifts = MonthEffect.of(tau).drawn(300)
    effects = shifts.drawn(shifts.nodes)
    true = 1 / (1 + np.exp(-(shifts.centred(p) + effects[:, None])))
    drawn = pd.DataFrame([measure(random.random(p.size) < of, p).as_dict() for of in true])
    found = estimate(p, record=TrackRecord.of(MonthEffect.of(tau)))
    for name in FIGURES:
        interval, error = found.interval(name), drawn[name].std()
        low, high = drawn[name].quantile([0.025, 0.975])
        assert interval.estimate == pytest.approx(drawn[name].mean(), abs=4 * error / math.sqrt(300))
        assert interval.low == pytest.approx(low, abs=error / 2)
        assert interval.high == pytest.approx(high, abs=error / 2)


def test_a_predictor_that_is_sure_promises_to_be_right() -> None:
    found = estimate([0.0, 1.0, 1.0, 0.0])
    row = found.table.iloc[0]
    assert (row["wins"], row["wins_low"], row["wins_high"]) == (2, 2, 2)
    assert (row["auc"], row["average_precision"], row["brier"], row["calibration_error"]) == (1, 1, 0, 0)
    assert (row["brier_low"], row["brier_high"], row["auc_low"]) == (0, 0, 1)
    assert row["log_loss"] == pytest.approx(0, abs=1e-12)


def test_a_constant_predictor_promises_no_ranking() -> None:
    row = estimate([0.3] * 400).table.iloc[0]
    assert (row["auc"], row["auc_low"], row["auc_high"]) == (0.5, 0.5, 0.5)
    assert row["brier"] == pytest.approx(0.3 * 0.7)
    assert row["average_precision"] == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("probability", [[0.4], [0.0, 0.0, 0.0]])
def test_where_there_can_be_no_ranking_it_is_empty(probability: list[float]) -> None:
    found = estimate(probability)
    assert found.status == ESTIMATED
    assert found.interval("auc").estimate is None
    assert found.interval("auc").low is None
    assert found.interval("brier").estimate == pytest.approx(np.mean([p * (1 - p) for p in probability]))
    assert found.summary()["auc"] is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.randoms(use_true_random=False))
@settings(max_examples=15, deadline=None)
def test_intervals_hold_the_estimate_and_rows_have_no_order(probability: list[float], random: Any) -> None:
    rows = scores(probability)
    shuffled = rows.sample(frac=1, random_state=random.randrange(1000))
    told = {"month": MONTH, "record": TrackRecord.learnt(predictions(0).head(0), 7), "seed": 7}
    found, again = (estimated_performance(of, **told) for of in (rows, shuffled))  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(found.table, again.table)
    for name in FIGURES:
        defined = found.table[found.table[name].notna()]
        assert (defined[f"{name}_low"] <= defined[name] + 1e-9).all()
        assert (defined[name] <= defined[f"{name}_high"] + 1e-9).all()
        assert (defined[f"{name}_low"] >= 0).all()
    assert list(found.table["rows"].iloc[:1]) == [len(rows)]


def test_deals_of_a_month_go_together() -> None:
    alone, together = (estimate(spread(), record=TrackRecord.of(MonthEffect.of(tau))) for tau in (0.0, 0.5))
    for name in ("wins", "brier"):
        narrow, wide = alone.interval(name), together.interval(name)
        assert narrow.estimate == wide.estimate
        assert wide.low is not None and wide.high is not None and narrow.low is not None and narrow.high is not None
        assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_intervals_are_wider_where_the_ranking_of_past_months_was_off() -> None:
    reliable, blurred = (TrackRecord.learnt(predictions(0, noise=noise), 7) for noise in (0.0, 0.9))
    assert reliable.excess["auc"] < 1
    assert blurred.excess["auc"] > 3
    assert blurred.off["auc"][1] < -0.05
    assert (reliable.months, reliable.degrees, len(reliable.off["auc"])) == (5, 9, 5)
    same = MonthEffect.of(0.1)
    narrow, wide = (
        estimate(spread(), record=replace(record, effect=same)).interval("auc") for record in (reliable, blurred)
    )
    assert narrow.estimate == wide.estimate
    assert wide.low is not None and narrow.low is not None
    assert wide.low < narrow.low


def test_the_month_effect_is_learnt_from_the_wins_of_past_months() -> None:
    steady, shifted = (TrackRecord.learnt(predictions(shift), 7) for shift in (0.0, -0.8))
    assert shifted.effect.tau > 2 * steady.effect.tau
    assert max(shifted.off["wins"]) < -0.05, "wins realised minus promised, per row"


def test_segments_are_told_with_their_size() -> None:
    table = estimate(spread(250), segments=("regional_office", "product")).table
    assert list(zip(table["level"], table["segment"], table["rows"], table["small"], strict=True)) == [
        ("overall", "all", 250, False),
        ("regional_office", "East", 125, False),
        ("regional_office", "West", 125, False),
        ("product", "GTK", 83, True),
        ("product", "GTX", 84, True),
        ("product", "MG", 83, True),
    ]
    assert table["wins"].iloc[1:3].sum() == pytest.approx(table["wins"].iloc[0])
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == ESTIMATE.pandas_types()
    assert set(table["matures_month"]) == {"2017-06"}
    assert pl.from_pandas(table).columns == ESTIMATE.column_names


def test_a_large_book_gets_fewer_draws_and_the_same_estimate() -> None:
    p = np.tile(spread(500), 60)
    found = estimate(p)
    assert found.interval("brier").estimate == pytest.approx((p * (1 - p)).mean())
    assert found.interval("auc").estimate == pytest.approx(estimate(spread(500)).interval("auc").estimate, abs=0.005)


def test_without_scores_nothing_is_estimated() -> None:
    found = estimate([])
    assert (found.status, found.reason, found.model_version) == (NOT_ESTIMATED, "nothing was scored", None)
    assert found.table.empty
    assert list(found.table.columns) == ESTIMATE.column_names
    assert found.interval("brier").estimate is None
    assert found.summary()["status"] == NOT_ESTIMATED


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"probability": [0.1, math.nan, 0.3]},
            "1 of 3 rows whose probability is not between 0 and 1.*nan: score them",
        ),
        ({"probability": [0.1, 1.2, -0.3]}, "2 of 3 rows whose probability is not between 0 and 1.*1.2"),
        ({"probability": ["a", "b", "c"]}, "the scores of 2017-05 have probability of type string, not numbers"),
        ({"snapshot_month": "2017-04"}, "have snapshot_month 2017-04, not 2017-05"),
        ({"opportunity_id": "A"}, "repeat opportunity 'A'; 2 rows are repeats"),
        ({"model_version": ["3", "3", "4"]}, "are of model versions 3, 4: estimate one at a time"),
    ],
)
def test_malformed_scores_are_refused(wrong: dict[str, Any], message: str) -> None:
    rows = scores([0.1, 0.2, 0.3]).assign(**wrong)
    with pytest.raises(MonitoringError, match=message):
        estimated_performance(rows, month=MONTH, record=INDEPENDENT, seed=7)


@pytest.mark.parametrize("column", ["probability", "opportunity_id", "model_version", "product"])
def test_a_missing_column_is_named(column: str) -> None:
    with pytest.raises(MonitoringError, match=f"the scores of 2017-05 lack the column {column}"):
        estimated_performance(scores([0.1]).drop(columns=column), month=MONTH, record=INDEPENDENT, seed=7)


def test_a_backtest_without_probabilities_is_refused() -> None:
    rows = predictions(0, 1).assign(probability=math.nan)
    with pytest.raises(MonitoringError, match="predictions of the backtest have 800 of 800 rows whose probability"):
        TrackRecord.learnt(rows, 7)
