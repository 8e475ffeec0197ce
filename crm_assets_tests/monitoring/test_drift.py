from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from crm_assets.calendar import Month
from crm_assets.monitoring.drift import COMPARED as STATUS_COMPARED
from crm_assets.monitoring.drift import NOT_COMPARED, DriftReport, drift_report
from crm_assets.monitoring.drift_columns import DRIFT, PREDICTION, compare_columns
from crm_assets.monitoring.drift_columns import NUMERIC as KIND_NUMERIC
from crm_assets.monitoring.drift_level import DriftThresholds, drift_level
from crm_assets.monitoring.errors import MonitoringError
from crm_assets_tests.monitoring.books import COMPARED, MONITORED, MONTH, VERSION, book, reference

ALPHA = 0.05


def compare(current: pd.DataFrame, before: pd.DataFrame, **changes: Any) -> tuple[pd.DataFrame, int]:
    given: dict[str, Any] = {
        **MONITORED,
        "prediction": "probability",
        "month": MONTH,
        "min_rows": 30,
        "alpha": ALPHA,
        **changes,
    }
    return compare_columns(current, before, **given)


def drifted(columns: pd.DataFrame) -> list[str]:
    return list(columns.loc[columns["drifted"].fillna(value=False).astype(bool), "column"])


def row_of(columns: pd.DataFrame, name: str) -> dict[str, Any]:
    return {str(key): value for key, value in columns.set_index("column").loc[name].to_dict().items()}


@pytest.mark.parametrize("seed", range(8))
def test_the_same_distributions_are_none(seed: int) -> None:
    columns, _ = compare(book(1000, seed), reference())
    assert drifted(columns) == []
    assert drift_level(columns) == "NONE"


def shifted_number(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(cohort_size=rows["cohort_size"] + 3)


def moved_mass(rows: pd.DataFrame) -> pd.DataFrame:
    moved = (rows["regional_office"] == "East") & (rows.index % 2 == 0)
    return rows.assign(regional_office=rows["regional_office"].mask(moved, "West"))


def new_category(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(product=rows["product"].mask(rows.index % 20 == 0, "GTX Nova"))


def missing_numbers(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(age_days=rows["age_days"].astype("Int64").mask(rows.index % 10 == 0))


def missing_categories(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(product=rows["product"].mask(rows.index % 10 == 0))


def lower_scores(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(probability=rows["probability"] * 0.8)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (shifted_number, "cohort_size"),
        (moved_mass, "regional_office"),
        (new_category, "product"),
        (missing_numbers, "age_days"),
        (missing_categories, "product"),
        (lower_scores, "probability"),
    ],
)
def test_what_changed_is_flagged_by_name_and_nothing_else(change: Any, name: str) -> None:
    columns, _ = compare(change(book(1000, 1)), reference())
    assert drifted(columns) == [name]
    assert drift_level(columns) != "NONE"


def test_missing_numbers_are_flagged_by_their_share_alone() -> None:
    columns, tests = compare(missing_numbers(book(1000, 1)), reference())
    row = row_of(columns, "age_days")
    assert row["p_value"] > 0.01
    assert row["p_missing"] < 1e-20
    assert (row["missing_current"], row["missing_reference"]) == (0.1, 0)
    assert tests == len(columns) + 1


def test_a_new_category_is_named_with_its_rows_and_too_few_to_test_are_low() -> None:
    few = book(1000, 1)
    few.loc[:1, "product"] = "GTX Nova"
    columns, _ = compare(few, reference())
    assert row_of(columns, "product")["new_categories"] == "GTX Nova (2)"
    assert drifted(columns) == []
    assert drift_level(columns) == "LOW"


def test_many_new_categories_are_not_all_named() -> None:
    columns, _ = compare(book(1000, 1).assign(product=[f"P{n}" for n in range(1000)]), reference())
    assert row_of(columns, "product")["new_categories"].endswith("P105 (1), P106 (1), and 990 more")


def test_noise_in_the_last_digits_is_no_drift() -> None:
    now, before = book(1000, 1).assign(cohort_size=0.5), reference().assign(cohort_size=0.5 * (1 + 1e-12))
    columns, _ = compare(now, before)
    assert row_of(columns, "cohort_size")["p_value"] == 1


def flagged_halves(month: pd.DataFrame, **columns: Any) -> int:
    """Of 40 random halvings of a month, those that flag any column."""
    count = 0
    for seed in range(40):
        first = np.random.default_rng(seed).permutation(len(month)) % 2 == 0
        table, _ = compare(month[first], month[~first], **columns)
        count += bool(drifted(table))
    return count


MOST_FLAGGED = binom.ppf(0.999, 40, ALPHA)
"""Halves come from one distribution, so each flags a column with a chance of at most alpha (Bonferroni)."""


def test_random_halves_of_a_simulated_month_are_rarely_flagged() -> None:
    month = book(1200, 5)
    month["cohort_size"] = month["cohort_size"].mask(month.index % 25 == 0)
    assert flagged_halves(month) <= MOST_FLAGGED


def test_random_halves_of_a_real_month_are_rarely_flagged() -> None:
    root = Path(__file__).parents[2]
    folder = Path(os.environ.get("CRM_REAL_DATA") or root.parent / "shared" / "data" / "crm_sales_opportunities")
    if not folder.is_dir():
        pytest.skip(f"the real export is not at {folder}; set CRM_REAL_DATA")
    deals = pd.read_csv(folder / "sales_pipeline.csv").merge(pd.read_csv(folder / "sales_teams.csv"), on="sales_agent")
    as_of = "2017-08-31"
    closed = deals["close_date"].fillna("9999") <= as_of
    month = deals[(deals["engage_date"].fillna("9999") <= as_of) & ~closed].reset_index(drop=True)
    month["age_days"] = (pd.Timestamp(as_of) - pd.to_datetime(month["engage_date"])).dt.days
    month["probability"] = 0.2 + month["age_days"] / 1000
    categories = ("product", "regional_office", "manager", "sales_agent")
    assert len(month) > 1000
    assert flagged_halves(month, numeric=("age_days",), categorical=categories) <= MOST_FLAGGED


def test_the_level_follows_its_rule() -> None:
    def level(**changes: Any) -> str:
        rows = [
            {"column": name, "kind": KIND_NUMERIC, "drifted": False, "psi": 0.0, "new_categories": ""}
            for name in "abcd"
        ]
        rows.append({"column": "p", "kind": PREDICTION, "drifted": False, "psi": 0.0, "new_categories": ""})
        for number, change in changes.items():
            rows["abcdp".index(number)].update(change)
        return drift_level(pd.DataFrame(rows).astype({"drifted": "boolean"}))

    slight, small = {"drifted": True, "psi": 0.09}, {"drifted": True, "psi": 0.1}
    large, untested = {"drifted": True, "psi": 0.25}, {"drifted": None, "psi": 9.0}
    by_chance = {"drifted": False, "psi": 9.0}
    assert level() == "NONE"
    assert level(a=by_chance, b=by_chance, c=untested, p=by_chance) == "NONE"
    assert level(a={"new_categories": "X (1)"}) == "LOW"
    assert level(a=slight, b=slight, c=slight, d=slight, p=slight) == "LOW"
    assert level(a=small) == "LOW"
    assert level(p=small) == "MEDIUM"
    assert level(a=large) == "MEDIUM"
    assert level(p=large) == "HIGH"
    assert level(a=small, b=small) == "HIGH"


@pytest.mark.parametrize("wrong", [{"small_psi": 0.3}, {"large_share": 0}, {"small_psi": -1}, {"small_psi": math.nan}])
def test_thresholds_out_of_order_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="thresholds out of order"):
        DriftThresholds(**wrong)


def test_a_report_says_how_the_month_compares() -> None:
    rows = new_category(lower_scores(book(1000, 1)))
    report = drift_report(rows, reference(), **COMPARED)
    assert (report.status, report.reason, report.rows_current, report.rows_reference) == (
        STATUS_COMPARED,
        None,
        1000,
        3000,
    )
    assert report.reference_months == ("2017-02", "2017-05")
    assert report.drifted_columns == ("product", "probability")
    assert report.share_drifted == pytest.approx(1 / 5)
    assert report.prediction_drifted is True
    assert report.prediction_psi == row_of(report.columns, "probability")["psi"]
    assert report.p_threshold == pytest.approx(ALPHA / 6)
    assert report.new_category_columns == ("product",)
    assert {name: str(dtype) for name, dtype in report.columns.dtypes.items()} == DRIFT.pandas_types()
    assert set(report.columns["snapshot_month"]) == {str(MONTH)}


def test_the_summary_has_the_same_plain_fields_for_every_month() -> None:
    compared = drift_report(book(100, 1), reference(), **COMPARED).summary()
    without = drift_report(book(100, 1), None, **COMPARED).summary()
    assert list(compared) == list(without)
    assert all(isinstance(value, str | int | float | bool | None) for value in [*compared.values(), *without.values()])
    assert (without["level"], without["status"]) == (None, NOT_COMPARED)


def test_the_column_table_goes_over_to_polars() -> None:
    for rows in (missing_numbers(new_category(book(100, 1))), book(100, 1).assign(cohort_size=None)):
        report = drift_report(rows, reference(), **COMPARED)
        assert pl.from_pandas(report.columns).height == 6
    assert pl.from_pandas(drift_report(book(10, 1), None, **COMPARED).columns).columns == DRIFT.column_names


@pytest.mark.parametrize(
    ("rows", "before", "month", "reason"),
    [
        (100, None, MONTH, "model version 3 has no reference rows"),
        (100, reference().iloc[:0], MONTH, "model version 3 has no reference rows"),
        (
            100,
            reference(),
            Month(2017, 9),
            "the reference holds no book that precedes the first month of a quarter, only the third",
        ),
        (29, reference(), MONTH, "29 scores against 3000 reference rows: each side needs at least 30"),
        (0, reference(), MONTH, "0 scores against 3000 reference rows: each side needs at least 30"),
        (100, reference(29), MONTH, "100 scores against 29 reference rows: each side needs at least 30"),
    ],
)
def test_what_cannot_be_compared_says_why(rows: int, before: pd.DataFrame | None, month: Month, reason: str) -> None:
    report = drift_report(book(rows, 1), before, **{**COMPARED, "month": month})
    assert (report.status, report.reason, report.level) == (NOT_COMPARED, reason, None)
    assert report.columns.empty
    assert reason in report.html
    assert len(report.html) < 5000


def test_a_column_that_cannot_be_tested_says_why_and_never_passes() -> None:
    rows = book(100, 1)
    rows["cohort_size"] = rows["cohort_size"].mask(rows.index >= 29)
    before = reference()
    report = drift_report(rows.assign(regional_office=None), before.assign(regional_office=None), **COMPARED)
    number, category = row_of(report.columns, "cohort_size"), row_of(report.columns, "regional_office")
    assert number["reason"] == "the scores have 29 values, at least 30 are needed"
    assert number["drifted"] is True  # by the share of missing values
    assert category["reason"] == "all values are missing on both sides"
    assert pd.isna(category["drifted"])
    assert report.untested_columns == ("cohort_size", "regional_office")
    assert str(category["reason"]) in report.html


def test_a_reference_of_another_model_is_refused() -> None:
    with pytest.raises(MonitoringError, match="the reference rows have model_version 2, not 3: make the reference of"):
        drift_report(book(100, 1), reference().assign(model_version="2"), **COMPARED)


@pytest.mark.parametrize("latest", ["2017-08", "2017-11"])
def test_a_reference_that_reaches_the_month_is_refused(latest: str) -> None:
    with pytest.raises(MonitoringError, match=f"reach {latest}, but 2017-08 can be compared only with earlier months"):
        drift_report(book(100, 1), reference().assign(snapshot_month=latest), **COMPARED)


@pytest.mark.parametrize(
    ("current", "before", "message"),
    [
        (book(100, 1).drop(columns="product"), reference(), "the scores of 2017-08 lack the column product"),
        (book(100, 1), reference().drop(columns="product"), "the reference rows lack the column product"),
        (book(100, 1).assign(model_version="2"), reference(), "scores of 2017-08 have model_version 2, not 3"),
        (book(100, 1).assign(snapshot_month="2017-07"), reference(), "have snapshot_month 2017-07, not 2017-08"),
        (book(100, 1).assign(probability=None), reference(), "100 of 100 rows whose probability is not between 0"),
        (book(100, 1), reference().assign(probability=2.0), "reference rows have 3000 of 3000 rows whose probability"),
        (book(100, 1).assign(age_days="old"), reference(), "the scores have age_days of type string, not numbers"),
        (book(100, 1).assign(age_days=math.inf), reference(), "100 infinite or huge values of age_days"),
    ],
)
def test_malformed_rows_are_refused_by_column(current: pd.DataFrame, before: pd.DataFrame, message: str) -> None:
    with pytest.raises(MonitoringError, match=message):
        drift_report(current, before, **COMPARED)


def test_the_monitored_columns_must_be_named_once() -> None:
    with pytest.raises(MonitoringError, match="product is to be monitored twice"):
        drift_report(book(100, 1), reference(), **{**COMPARED, "numeric": ("product",)})
    with pytest.raises(MonitoringError, match="no column is to be monitored besides the prediction"):
        drift_report(book(100, 1), reference(), **{**COMPARED, "numeric": (), "categorical": ()})
    with pytest.raises(ValueError, match="min_rows 1 must be at least 2"):
        drift_report(book(100, 1), reference(), **COMPARED, min_rows=1)


def test_the_handed_rows_stay_as_they_are() -> None:
    rows, before = book(100, 1), reference()
    drift_report(rows, before, **COMPARED)
    pd.testing.assert_frame_equal(rows, book(100, 1))
    pd.testing.assert_frame_equal(before, reference())


numbers = st.one_of(st.none(), st.floats(width=32, allow_infinity=False), st.integers(-3, 3), st.just(7.0))
categories = st.one_of(
    st.none(), st.sampled_from(["a", "b", "<b>&"]), st.integers(0, 2), st.booleans(), st.text(max_size=2)
)


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """Any small frame of a number, a category and a probability: empty, constant, all null, of any type."""
    size = draw(st.integers(0, 12))

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        constant = draw(st.booleans())
        return [draw(values)] * size if constant else draw(st.lists(values, min_size=size, max_size=size))

    dtype = draw(st.sampled_from(["object", "float64", "Float64"]))
    return pd.DataFrame(
        {
            "x": pd.Series(column(numbers), dtype=dtype),
            "c": pd.Series(column(categories), dtype="object"),
            "probability": pd.Series(column(st.floats(0, 1)), dtype="float64"),
        }
    )


def report_of(current: pd.DataFrame, before: pd.DataFrame) -> DriftReport:
    marked = before.assign(snapshot_month="2017-05", next_quarter_position=3, model_version=VERSION)
    return drift_report(
        current, marked, numeric=["x"], categorical=["c"], month=MONTH, model_version=VERSION, min_rows=2
    )


@given(frames(), frames())
@settings(max_examples=40, deadline=None)
def test_any_small_frame_is_compared_or_says_why(current: pd.DataFrame, before: pd.DataFrame) -> None:
    report = report_of(current, before)
    if report.status == NOT_COMPARED:
        assert report.reason
        return
    for row in report.columns.to_dict("records"):
        assert pd.isna(row["p_value"]) != pd.isna(row["reason"])
        assert 0 <= row["psi"] < math.inf
    assert pd.notna(row_of(report.columns, "probability")["drifted"])
