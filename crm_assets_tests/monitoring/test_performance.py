from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_assets.calendar import Month
from crm_assets.contracts import Kind
from crm_assets.modelling.metrics import measure
from crm_assets.monitoring.errors import MonitoringError
from crm_assets.monitoring.performance import MEASURED, NOT_MEASURED, PERFORMANCE, realised_performance

MONTH = Month(2017, 5)


def scores() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "opportunity_id": ["A", "B", "C", "D", "E"],
            "snapshot_month": "2017-05",
            "probability": [0.8, 0.4, 0.3, 0.1, 0.9],
            "list_price": [1000.0, 1000.0, 500.0, 500.0, 5000.0],
            "regional_office": ["East", "East", "West", "West", "North"],
            "product": ["GTX", "MG", "GTX", "MG", "GTX"],
            "model_version": "3",
        }
    )


def outcomes() -> pd.DataFrame:
    """B was lost, D is still open, E is not in the later snapshot; Z was not scored."""
    return pd.DataFrame(
        {
            "opportunity_id": ["Z", "D", "C", "B", "A"],
            "snapshot_month": "2017-05",
            "outcome": ["won", "open", "won", "lost", "won"],
            "close_value": [70.0, None, 450.0, 0.0, 1100.0],
        }
    )


def row_of(table: pd.DataFrame, level: str, segment: str) -> dict[str, Any]:
    found = table[(table["level"] == level) & (table["segment"] == segment)]
    assert len(found) == 1
    return {str(name): value for name, value in found.iloc[0].to_dict().items()}


def test_the_overall_row_of_a_hand_counted_month() -> None:
    performance = realised_performance(scores(), outcomes(), month=MONTH)
    assert (performance.status, performance.reason, performance.model_version) == (MEASURED, None, "3")
    row = performance.table.iloc[0].to_dict()
    assert (row["level"], row["segment"], row["model_version"]) == ("overall", "all", "3")
    assert (row["snapshot_month"], row["matured_month"]) == ("2017-05", "2017-06")
    assert (row["scored"], row["rows"], row["censored"], row["wins"]) == (5, 4, 1, 2)
    assert row["predicted_wins"] == pytest.approx(0.8 + 0.4 + 0.3 + 0.1)
    assert row["forecast_error"] == pytest.approx(1.6 - 2)
    assert row["expected_revenue"] == pytest.approx(800 + 400 + 150 + 50)
    assert row["realised_revenue"] == pytest.approx(1100 + 450)
    assert row["revenue_error"] == pytest.approx(1400 - 1550)
    expected = measure([1, 0, 1, 0], [0.8, 0.4, 0.3, 0.1]).as_dict()
    for name in ("auc", "average_precision", "brier", "log_loss", "calibration_error"):
        assert row[name] == pytest.approx(expected[name])


def test_an_opportunity_without_an_outcome_is_censored_not_lost() -> None:
    performance = realised_performance(scores(), outcomes(), month=MONTH)
    north = row_of(performance.table, "regional_office", "North")
    assert (north["scored"], north["rows"], north["censored"], north["wins"]) == (1, 0, 1, 0)
    assert all(math.isnan(north[name]) for name in ("brier", "predicted_wins", "expected_revenue", "realised_revenue"))
    without = realised_performance(scores().drop(index=4), outcomes(), month=MONTH).table.iloc[0]
    overall = performance.table.iloc[0]
    figures = [column.name for column in PERFORMANCE.columns if column.kind is Kind.FLOAT]
    pd.testing.assert_series_equal(without[figures], overall[figures])


def test_an_empty_outcome_is_censored_as_well() -> None:
    known = outcomes().assign(outcome=pd.Series(["won", None, "won", "lost", "won"]))
    overall = realised_performance(scores(), known, month=MONTH).table.iloc[0]
    assert (overall["rows"], overall["censored"], overall["wins"]) == (3, 2, 2)


def test_an_outcome_without_a_score_is_counted_apart() -> None:
    performance = realised_performance(scores(), outcomes(), month=MONTH)
    assert performance.unscored == 1
    assert performance.table.iloc[0]["realised_revenue"] == 1550


def test_a_segment_with_one_class_has_no_ranking_figures() -> None:
    gtx = row_of(realised_performance(scores(), outcomes(), month=MONTH).table, "product", "GTX")
    assert (gtx["rows"], gtx["wins"]) == (2, 2)
    assert math.isnan(gtx["auc"])
    assert gtx["brier"] == pytest.approx((0.2**2 + 0.7**2) / 2)


def test_segments_are_sorted_and_a_missing_one_is_named() -> None:
    rows = scores().assign(product=pd.Series(["GTX", None, "GTX", "MG", "GTX"]))
    table = realised_performance(rows, outcomes(), month=MONTH).table
    assert list(zip(table["level"], table["segment"], strict=True)) == [
        ("overall", "all"),
        ("regional_office", "East"),
        ("regional_office", "North"),
        ("regional_office", "West"),
        ("product", "(missing)"),
        ("product", "GTX"),
        ("product", "MG"),
    ]


@pytest.mark.parametrize(
    ("scored", "known", "reason"),
    [
        (scores().iloc[:0], outcomes(), "nothing was scored"),
        (scores(), outcomes().iloc[:0], "none of the 5 scored opportunities has an outcome yet"),
        (scores(), outcomes().iloc[:1], "none of the 5 scored opportunities has an outcome yet"),
    ],
)
def test_what_cannot_be_measured_says_why(scored: pd.DataFrame, known: pd.DataFrame, reason: str) -> None:
    performance = realised_performance(scored, known, month=MONTH)
    assert (performance.status, performance.reason) == (NOT_MEASURED, reason)
    summary = performance.summary()
    assert (summary["rows"], summary["scored"], summary["censored"]) == (0, len(scored), len(scored))
    assert (summary["brier"], summary["predicted_wins"], summary["reason"]) == (None, None, reason)


def test_the_table_has_the_same_columns_for_every_month() -> None:
    for scored in (scores(), scores().iloc[:0]):
        table = realised_performance(scored, outcomes(), month=MONTH).table
        assert {name: str(dtype) for name, dtype in table.dtypes.items()} == PERFORMANCE.pandas_types()
        assert pl.from_pandas(table).columns == PERFORMANCE.column_names


def test_without_close_values_the_realised_revenue_is_unknown() -> None:
    overall = realised_performance(scores(), outcomes().drop(columns="close_value"), month=MONTH).table.iloc[0]
    assert math.isnan(overall["realised_revenue"])
    assert overall["expected_revenue"] == pytest.approx(1400)


@pytest.mark.parametrize(
    ("scored", "known", "message"),
    [
        (scores().drop(columns="product"), outcomes(), "the scores of 2017-05 lack the column product"),
        (scores(), outcomes().drop(columns="outcome"), "outcomes of the book of 2017-05 lack the column outcome"),
        (scores().assign(opportunity_id="A"), outcomes(), "scores of 2017-05 repeat opportunity 'A'; 4 rows"),
        (scores(), outcomes().assign(opportunity_id="A"), "outcomes of the book of 2017-05 repeat opportunity 'A'"),
        (
            scores().assign(probability=[0.1, math.nan, 0, 0, 0]),
            outcomes(),
            "1 of 5 rows whose probability is not between",
        ),
        (scores().assign(list_price=[1.0, math.nan, 1, 1, 1]), outcomes(), "have 1 rows without list_price"),
        (scores().assign(model_version=list("33332")), outcomes(), "are of model versions 2, 3: measure one at a time"),
        (scores().assign(snapshot_month="2017-04"), outcomes(), "have snapshot_month 2017-04, not 2017-05"),
        (scores(), outcomes().assign(snapshot_month="2017-06"), "have snapshot_month 2017-06, not 2017-05"),
        (scores(), outcomes().assign(outcome="Won"), "have outcome Won; it is won, lost, open"),
        (scores(), outcomes().assign(close_value=None), "have 3 won without close_value, e.g. 'Z'"),
    ],
)
def test_malformed_rows_are_refused(scored: pd.DataFrame, known: pd.DataFrame, message: str) -> None:
    with pytest.raises(MonitoringError, match=message):
        realised_performance(scored, known, month=MONTH)


identifiers = st.integers(0, 12).map("O{:02d}".format)


@given(
    st.dictionaries(identifiers, st.tuples(st.floats(0, 1), st.sampled_from(["East", "West", None]))),
    st.dictionaries(identifiers, st.sampled_from(["won", "lost", "open", None])),
)
@settings(max_examples=60, deadline=None)
def test_segments_add_up_to_the_overall_row(
    scored: dict[str, tuple[float, str | None]], known: dict[str, str | None]
) -> None:
    rows = pd.DataFrame(
        {
            "opportunity_id": pd.Series(list(scored), dtype=object),
            "probability": pd.Series([probability for probability, _ in scored.values()], dtype=float),
            "list_price": pd.Series([100.0] * len(scored), dtype=float),
            "regional_office": pd.Series([region for _, region in scored.values()], dtype=object),
            "model_version": pd.Series(["3"] * len(scored), dtype=object),
        }
    )
    ended = pd.DataFrame(
        {
            "opportunity_id": pd.Series(list(known), dtype=object),
            "outcome": pd.Series(list(known.values()), dtype=object),
            "close_value": pd.Series([90.0] * len(known), dtype=float),
        }
    )
    performance = realised_performance(rows, ended, month=MONTH, segments=("regional_office",))
    overall, parts = performance.table.iloc[0], performance.table.iloc[1:]
    matured = {name for name in scored if known.get(name)}
    assert (overall["scored"], overall["rows"]) == (len(scored), len(matured))
    assert overall["wins"] == sum(known[name] == "won" for name in matured)
    assert performance.unscored == sum(bool(outcome) and name not in scored for name, outcome in known.items())
    for name in ("scored", "rows", "censored", "wins"):
        assert parts[name].sum() == overall[name]
    for name in ("predicted_wins", "expected_revenue", "realised_revenue"):
        assert np.nansum(parts[name]) == pytest.approx(overall[name] if matured else 0)
