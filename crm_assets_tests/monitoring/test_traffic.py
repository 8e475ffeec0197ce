"""What of the API's answers is traffic, and that it is compared by the rules and the reference of the whole month."""

from __future__ import annotations

import dataclasses
from datetime import date
from typing import Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_assets.monitoring.drift import DriftReport, MonthRows, compare
from crm_assets.monitoring.drift_page import not_compared_page
from crm_assets.monitoring.prediction_log import ONLINE_PREDICTIONS
from crm_assets.monitoring.reference import BOOK, BOOK_NUMBERS, CLOSINGS, INTAKE, INTAKE_READ
from crm_assets.monitoring.traffic import askable, figures, traffic_rows
from crm_assets_tests.monitoring.books import COMPARED, MONTH, VERSION, answer, month_rows, reference

DEALS = ("A", "B", "C", "D")
FEATURES = pl.DataFrame(
    {
        "opportunity_id": DEALS,
        "list_price": 100.0,
        "product": "GTX Pro",
        "regional_office": "East",
        "manager": "Cara",
        "age_days": 10,
        "cohort_size": 3.0,
        "cohort_share_open": 0.5,
        "agent_share_open_100": 0.25,
        "agent_share_open_138": 0.125,
    }
)


def asked(*rows: dict[str, Any]) -> pl.LazyFrame:
    return pl.LazyFrame(list(rows), schema=ONLINE_PREDICTIONS.polars_schema())


def stored(**probabilities: float) -> pl.LazyFrame:
    rows = [(name, VERSION, probability) for name, probability in probabilities.items()]
    schema = {"opportunity_id": pl.String, "model_version": pl.String, "probability": pl.Float64}
    return pl.LazyFrame(rows, schema=schema, orient="row")


def book_of(rows: MonthRows) -> dict[str, float]:
    return dict(zip(rows.book["opportunity_id"], rows.book["probability"], strict=True))


def test_figures_count_what_was_asked() -> None:
    rows = (
        answer("A", 1),
        answer("A", 2, asker="sheet", probability=0.25 + 1e-12),
        answer("B", 3, probability=0.3),
        answer("B", 3, place=1, model_version="2", probability=0.9),
        answer(None, 4),
    )
    assert figures(asked(*rows), stored(A=0.25, B=0.4)) == {
        "requests": 4,
        "callers": 2,
        "opportunities": 2,
        "by_id": 4,
        "by_fields": 1,
        "unlike_scores": 1,
        "model_versions": "2, 3",
        "first_asked_at": "2017-09-03T08:00:01.000+00:00",
        "last_asked_at": "2017-09-03T08:00:04.000+00:00",
    }
    assert figures(asked(), stored(A=0.25)) == {}


def test_each_opportunity_of_the_book_counts_once_by_the_champions_last_answer() -> None:
    rows = traffic_rows(
        asked(
            answer("A", 1, probability=0.1),
            answer("A", 9, probability=0.2),
            answer("A", 5, probability=0.3),
            answer("A", 20, probability=0.9, model_version="2"),
            answer("B", 2, probability=0.4, model_version="2"),
            answer("gone", 3),
            answer(None, 4),
            answer("D", 6, probability=0.7),
        ),
        FEATURES,
        MONTH,
        VERSION,
    )
    assert book_of(rows) == {"A": 0.2, "D": 0.7}
    assert rows.closings is None


@settings(max_examples=25, deadline=None)
@given(
    st.permutations([answer(name, second, probability=second / 10) for second, name in enumerate("AABCCC")]),
    st.integers(0, 2),
)
def test_the_order_of_the_log_and_rows_written_twice_change_nothing(rows: list[dict[str, Any]], twice: int) -> None:
    found = traffic_rows(asked(*rows, *rows[:twice]), FEATURES, MONTH, VERSION)
    assert book_of(found) == {"A": 0.1, "B": 0.2, "C": 0.5}


@pytest.mark.parametrize(
    ("engaged", "new"),
    [(date(2017, 7, 31), False), (date(2017, 8, 1), True), (date(2017, 8, 31), True)],
)
def test_what_was_engaged_in_the_month_is_its_intake(engaged: date, new: bool) -> None:
    rows = traffic_rows(asked(answer(engage_date=engaged, product="MG", list_price=7.0)), FEATURES, MONTH, VERSION)
    assert len(rows.intake) == new
    assert {*INTAKE_READ} <= {*rows.intake}
    if new:
        (row,) = rows.intake.to_dict("records")
        # As it was scored, and what the score does not tell from the features.
        assert (row["product"], row["list_price"], row["manager"]) == ("MG", 7.0, "Cara")


def test_deals_that_closed_at_once_are_not_asked_about() -> None:
    before = reference()
    closed = (before["part"] == INTAKE) & (before.index % 3 == 0)
    before.loc[closed, "age_days"] = None
    kept = askable(pl.from_pandas(before)).to_pandas()
    assert len(kept) == len(before) - closed.sum()
    assert {*kept["part"]} == {INTAKE, BOOK, CLOSINGS}


def report(rows: MonthRows) -> DriftReport:
    return compare(dataclasses.replace(rows, closings=None), reference(), **COMPARED)[0]


def test_traffic_like_the_reference_is_none_and_nothing_is_said_of_closings() -> None:
    found = report(month_rows())
    assert (found.level, found.why, found.of_traffic) == ("NONE", (), True)
    assert CLOSINGS not in {*found.columns["part"]}
    whole = compare(month_rows(), reference(), **COMPARED)[0]
    of_both = whole.columns[whole.columns["part"] != CLOSINGS].reset_index(drop=True)
    pd.testing.assert_frame_equal(found.columns, of_both)


def test_traffic_that_differs_is_told_by_the_same_rule() -> None:
    rows = month_rows()
    dear = dataclasses.replace(rows, intake=rows.intake.assign(list_price=rows.intake["list_price"] * 1.2))
    found, whole = report(dear), compare(dear, reference(), **COMPARED)[0]
    assert (found.level, found.why) == (whole.level, whole.why) == ("MEDIUM", ("moved: list_price",))


def test_little_traffic_is_not_compared() -> None:
    few = asked(*(answer(name) for name in DEALS))
    found = report(traffic_rows(few, FEATURES, MONTH, VERSION))
    assert (found.level, found.status) == (None, "not compared")
    assert str(found.reason).startswith("the book has 4 rows against ")
    page = not_compared_page(found)
    assert "Drift of online traffic in 2017-08" in page
    assert "What the API was asked about of the book of 2017-08 as scored by model version 3, 4 opportunities" in page
    assert "deals closed in it" not in page
    assert {*BOOK_NUMBERS} <= {*traffic_rows(few, FEATURES, MONTH, VERSION).book}
