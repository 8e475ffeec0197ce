from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from crm_assets.calendar import Month
from crm_assets.modelling.metrics import measure
from crm_assets.modelling.month_effect import MonthEffect
from crm_assets.monitoring.errors import MonitoringError
from crm_assets.monitoring.estimated_performance import FIGURES, TrackRecord, estimated_performance
from crm_assets.monitoring.performance_comparison import (
    CHECKED,
    COMPARISON,
    Comparison,
    compared_performance,
    failed_checks,
    figures_off,
)
from crm_assets.monitoring.status import COMPARED, NOT_COMPARED

MONTH = Month(2017, 5)
KNOWN = TrackRecord.of(MonthEffect.of(0.1))


def backtested(**off: tuple[float, ...]) -> TrackRecord:
    """The record of a backtest whose months were off by these."""
    none: dict[str, tuple[float, ...]] = dict.fromkeys(FIGURES, (0.0, 0.01, -0.01))
    return TrackRecord(KNOWN.effect, KNOWN.excess, none | off, 3, float("inf"))


def scores(rows: int = 900) -> pd.DataFrame:
    random = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "opportunity_id": [f"O{at:05d}" for at in range(rows)],
            "snapshot_month": "2017-05",
            "probability": random.beta(1, 4, rows),
            "list_price": 1000.0,
            "regional_office": random.choice(["East", "West"], rows),
            "product": random.choice(["GTX", "MG"], rows, p=[0.95, 0.05]),
            "model_version": "3",
        }
    )


def outcomes(of: pd.DataFrame, factor: float = 1.0) -> pd.DataFrame:
    """Won with the probability times `factor`; the others are lost or open."""
    random = np.random.default_rng(4)
    won = random.random(len(of)) < np.clip(factor * of["probability"], 0, 1)
    ended = np.where(won, "won", random.choice(["lost", "open"], len(of)))
    return pd.DataFrame({"opportunity_id": of["opportunity_id"], "outcome": ended, "close_value": 900.0})


def compared(factor: float = 1.0, **given_by: Any) -> Comparison:
    rows = scores()
    return compared_performance(
        rows, outcomes(rows, factor), **{"month": MONTH, "record": KNOWN, "seed": 7, **given_by}
    )


def row_of(table: pd.DataFrame, figure: str, level: str = "overall", segment: str = "all") -> dict[str, Any]:
    found = table[(table["level"] == level) & (table["segment"] == segment) & (table["figure"] == figure)]
    assert len(found) == 1
    return {str(name): value for name, value in found.iloc[0].to_dict().items()}


def off(comparison: Comparison, check: str) -> list[str] | None:
    found = figures_off(pl.from_pandas(comparison.table).iter_rows(named=True), *CHECKED[check])
    return None if found is None else [one.figure for one in found]


def test_realised_figures_stand_beside_the_promised_ones() -> None:
    comparison = compared()
    assert (comparison.status, comparison.reason, comparison.model_version) == (COMPARED, None, "3")
    rows, ended = scores(), outcomes(scores())
    realised = measure(ended["outcome"] == "won", rows["probability"]).as_dict()
    promised = estimated_performance(rows, month=MONTH, record=KNOWN, seed=7)
    for name in FIGURES:
        row, interval = row_of(comparison.table, name), promised.interval(name)
        assert row["realised"] == pytest.approx(realised[name])
        assert (row["estimate"], row["estimate_low"]) == (interval.estimate, interval.low)
        assert row["inside_estimate"] is True
        assert (row["snapshot_month"], row["matured_month"], row["rows"]) == ("2017-05", "2017-06", 900)
    assert {off(comparison, name) == [] for name in ("calibrated", "as_estimated")} == {True}
    assert comparison.summary()["estimated_brier"] == pytest.approx(promised.interval("brier").estimate, abs=1e-4)


def test_the_chance_is_below_five_percent_just_outside_the_interval() -> None:
    table = pd.concat([compared(factor).table for factor in (1.0, 0.9, 0.8, 0.7, 1.2, 1.5)])
    assert {True, False} == {bool(inside) for inside in table["inside_estimate"].dropna()}
    defined = table[table["inside_estimate"].notna()]
    assert ((defined["estimate_chance"] >= 0.05) == defined["inside_estimate"]).all()
    wins = table[table["figure"] == "wins"]
    assert ((wins["deviations"] > 0) == (wins["realised"] > wins["estimate"])).all()


@pytest.mark.parametrize(("factor", "sign"), [(0.6, -1), (1.5, 1)])
def test_too_few_or_too_many_wins_are_off(factor: float, sign: int) -> None:
    comparison = compared(factor)
    row = row_of(comparison.table, "wins")
    assert row["inside_estimate"] is False
    assert sign * row["deviations"] > 2
    assert "wins" in (off(comparison, "calibrated") or [])


def test_scores_that_say_nothing_are_off_in_their_ranking() -> None:
    rows = scores()
    ended = outcomes(rows.assign(probability=float(rows["probability"].mean())))
    record = backtested(auc=(0.0, 0.01, -0.01), brier=(0.0, 0.001, -0.001))
    comparison = compared_performance(rows, ended, month=MONTH, record=record, seed=7)
    assert off(comparison, "as_estimated") == ["auc", "brier"]
    assert off(comparison, "as_backtested") == ["auc", "brier"]
    assert "wins" not in (off(comparison, "calibrated") or [])


def test_the_interval_of_the_backtest_is_that_of_one_more_month() -> None:
    """By hand: mean 0.01, standard deviation 0.02, three months; 4.3027 is Student's t of two degrees."""
    comparison = compared(record=backtested(auc=(-0.01, 0.01, 0.03)))
    row = row_of(comparison.table, "auc")
    assert row["backtest"] == pytest.approx(row["estimate"] + 0.01)
    assert row["backtest_high"] - row["backtest"] == pytest.approx(4.302653 * 0.02 * np.sqrt(4 / 3), rel=1e-5)
    assert row["inside_backtest"] is True
    assert row_of(comparison.table, "wins")["backtest_low"] >= 0
    segment = row_of(comparison.table, "auc", "regional_office", "East")
    assert np.isnan(segment["backtest"])
    assert pd.isna(segment["inside_backtest"])


def test_a_short_backtest_gives_no_interval() -> None:
    comparison = compared(record=backtested(auc=(0.0, 0.01), brier=(0.0, 0.01)))
    assert comparison.status == COMPARED
    assert off(comparison, "as_estimated") == []
    assert off(comparison, "as_backtested") is None


def test_a_censored_opportunity_is_in_neither_side() -> None:
    """Those that are won vanish from the outcomes: were they counted as lost, nothing would have been won."""
    rows = scores()
    ended = outcomes(rows)
    vanished = ended["outcome"].eq("won") & (np.arange(len(ended)) % 2 == 0)
    comparison = compared_performance(rows, ended[~vanished], month=MONTH, record=KNOWN, seed=7)
    row = row_of(comparison.table, "wins")
    assert row["rows"] == len(rows) - vanished.sum()
    assert row["realised"] == (ended["outcome"].eq("won") & ~vanished).sum()
    assert row["estimate"] == pytest.approx(rows.loc[~vanished, "probability"].sum())
    empty = ended.assign(outcome=ended["outcome"].mask(vanished))
    pd.testing.assert_frame_equal(
        compared_performance(rows, empty, month=MONTH, record=KNOWN, seed=7).table, comparison.table
    )


def test_an_open_opportunity_is_not_won_and_counts() -> None:
    comparison = compared()
    ended = outcomes(scores())
    assert (ended["outcome"] == "open").any()
    assert row_of(comparison.table, "wins")["rows"] == len(ended)


def test_a_month_in_which_nothing_closed_is_not_compared() -> None:
    rows = scores()
    comparison = compared_performance(rows, outcomes(rows).assign(outcome="open"), month=MONTH, record=KNOWN, seed=7)
    assert (comparison.status, len(comparison.table)) == (NOT_COMPARED, 0)
    assert comparison.reason == "none of 900 opportunities closed in 2017-06: see whether its closings have landed"


def figure_row(figure: str, realised: float, chance: float) -> dict[str, Any]:
    interval = {"estimate_low": 0.02, "estimate_high": 0.1, "estimate_chance": chance, "inside_estimate": False}
    return {"level": "overall", "figure": figure, "realised": realised, "rows": 900, **interval}


@pytest.mark.parametrize(("realised", "failed"), [(0.2, {"calibrated": True}), (0.001, {})])
def test_only_a_calibration_error_that_is_too_large_is_a_fault(realised: float, failed: dict[str, bool]) -> None:
    backtest = {"inside_backtest": None}
    assert failed_checks([figure_row("calibration_error", realised, 1e-6) | backtest]) == failed


@pytest.mark.parametrize(
    ("chance", "failed"), [(0.1, {}), (0.01, {"as_estimated": False}), (1e-4, {"as_estimated": True})]
)
def test_how_badly_a_check_failed_is_told(chance: float, failed: dict[str, bool]) -> None:
    assert failed_checks([figure_row("brier", 0.3, chance) | {"inside_backtest": None}]) == failed


def test_small_segments_are_told_as_such() -> None:
    table = compared().table
    assert row_of(table, "brier", "product", "MG")["small"] is True
    assert row_of(table, "brier", "product", "GTX")["small"] is False
    assert row_of(table, "brier")["small"] is False


@pytest.mark.parametrize(
    ("keep", "unknown", "reason"),
    [
        (900, "the champion was no model", "the champion was no model"),
        (29, None, "only 29 scored opportunities have an outcome, at least 30 are needed"),
        (1, None, "only 1 scored opportunities have an outcome, at least 30 are needed"),
        (0, None, "none of the 900 scored opportunities has an outcome yet"),
    ],
)
def test_what_cannot_be_compared_says_why(keep: int, unknown: str | None, reason: str) -> None:
    rows = scores()
    comparison = compared_performance(
        rows, outcomes(rows).head(keep), month=MONTH, record=KNOWN, seed=7, unknown=unknown
    )
    assert (comparison.status, comparison.reason) == (NOT_COMPARED, reason)
    assert comparison.table.empty
    assert comparison.summary()["reason"] == reason
    assert off(comparison, "calibrated") is None


def test_nothing_scored_is_not_compared() -> None:
    comparison = compared_performance(scores().head(0), outcomes(scores()), month=MONTH, record=KNOWN, seed=7)
    assert (comparison.status, comparison.reason) == (NOT_COMPARED, "nothing was scored")


def test_the_table_has_the_same_columns_for_every_month() -> None:
    for comparison in (compared(), compared(unknown="no model")):
        types = {name: str(dtype) for name, dtype in comparison.table.dtypes.items()}
        assert types == COMPARISON.pandas_types()
        assert pl.from_pandas(comparison.table).columns == COMPARISON.column_names


@pytest.mark.parametrize(
    ("scored", "known", "message"),
    [
        ({"probability": float("nan")}, {}, "900 of 900 rows whose probability is not between"),
        ({"snapshot_month": "2017-04"}, {}, "have snapshot_month 2017-04, not 2017-05"),
        ({}, {"outcome": "Won"}, "have outcome Won; it is won, lost, open"),
        ({}, {"snapshot_month": "2017-06"}, "have snapshot_month 2017-06, not 2017-05"),
    ],
)
def test_malformed_rows_are_refused(scored: dict[str, Any], known: dict[str, Any], message: str) -> None:
    with pytest.raises(MonitoringError, match=message):
        compared_performance(
            scores().assign(**scored), outcomes(scores()).assign(**known), month=MONTH, record=KNOWN, seed=7
        )
