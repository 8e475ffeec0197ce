from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_assets.calendar import Month
from crm_assets.monitoring.drift import DriftReport, MonthRows, compare
from crm_assets.monitoring.drift_columns import DRIFT
from crm_assets.monitoring.drift_level import TURNED_OUT, DriftThresholds
from crm_assets.monitoring.errors import MonitoringError
from crm_assets.monitoring.performance_comparison import CHECKED
from crm_assets.monitoring.reference import BOOK, BOOK_NUMBERS, CLOSINGS, INTAKE
from crm_assets.monitoring.reference_rows import comparable
from crm_assets.monitoring.status import COMPARED as STATUS_COMPARED
from crm_assets.monitoring.status import NOT_COMPARED
from crm_assets_tests.monitoring.books import COMPARED, MONTH, VERSION, month_rows, reference

REFERENCE = reference()


def report(rows: MonthRows, before: pd.DataFrame | None = REFERENCE, **changes: Any) -> DriftReport:
    return compare(rows, before, **{**COMPARED, **changes})[0]


def row_of(found: DriftReport, name: str, part: str = INTAKE) -> dict[str, Any]:
    rows = found.columns[(found.columns["column"] == name) & (found.columns["part"] == part)]
    return {str(key): value for key, value in rows.iloc[0].to_dict().items()}


def changed(rows: MonthRows, part: str, **columns: Callable[[pd.DataFrame], Any]) -> MonthRows:
    """The rows with columns of one part replaced."""
    return dataclasses.replace(rows, **{part: getattr(rows, part).assign(**columns)})


def test_the_same_distributions_are_seldom_above_low() -> None:
    levels = [report(month_rows(seed, book=300, intake=400, closings=400)).level for seed in range(100)]
    # The chance of the tests is 2 and 4 %: more than 12 of 100 come once in a hundred times.
    assert levels.count("NONE") >= 88
    assert levels.count("HIGH") <= 2


def test_a_month_like_the_reference_is_none() -> None:
    found = report(month_rows())
    assert (found.level, found.why) == ("NONE", ())
    assert found.quality == 1


def every(rows: pd.DataFrame, nth: int) -> pd.Series:
    return pd.Series(np.arange(len(rows)) % nth == 0, index=rows.index)


DRIFTS: dict[str, tuple[Callable[[MonthRows], MonthRows], str]] = {
    "price": (lambda rows: changed(rows, INTAKE, list_price=lambda d: d["list_price"] * 1.2), "list_price"),
    "region": (
        lambda rows: changed(
            rows,
            INTAKE,
            regional_office=lambda d: d["regional_office"].mask((d["regional_office"] == "East") & every(d, 2), "West"),
        ),
        "regional_office",
    ),
    "new product": (
        lambda rows: changed(rows, INTAKE, product=lambda d: d["product"].mask(every(d, 10), "Helix 300")),
        "product (intake) 10.0% in new categories",
    ),
    "empty intake": (
        lambda rows: changed(rows, INTAKE, list_price=lambda d: d["list_price"].mask(every(d, 10))),
        "list_price (intake) 10.0% missing",
    ),
    "empty book": (
        lambda rows: changed(rows, BOOK, cohort_size=lambda d: d["cohort_size"].mask(every(d, 10))),
        "cohort_size (book) 10.0% missing",
    ),
    "won": (
        lambda rows: changed(
            rows, CLOSINGS, won=lambda d: d["won"].mask((d["regional_office"] == "East") & every(d, 2), 0)
        ),
        "share won of East",
    ),
    "scores": (
        lambda rows: changed(rows, BOOK, probability=lambda d: d["probability"] / 4),
        "scores at fixed age moved",
    ),
    "more than all": (
        lambda rows: changed(rows, BOOK, cohort_share_open=lambda d: d["cohort_share_open"].mask(every(d, 20), 1.5)),
        "cohort_share_open (book) 5.0% out of the range",
    ),
    "percent": (
        lambda rows: changed(rows, BOOK, agent_share_open_138=lambda d: d["agent_share_open_138"] * 100),
        "agent_share_open_138 (book)",
    ),
}


@pytest.mark.parametrize("name", DRIFTS)
def test_what_changed_is_at_least_medium_and_named(name: str) -> None:
    change, said = DRIFTS[name]
    found = report(change(month_rows()))
    assert found.level in {"MEDIUM", "HIGH"}
    assert said in "; ".join(found.why)


def test_wrong_units_of_a_deals_own_number_are_seen_on_the_new_deals() -> None:
    hours = {"age_days": lambda d: d["age_days"] / 7}
    found = report(changed(changed(month_rows(), BOOK, **hours), INTAKE, **hours))
    assert found.level == "HIGH"
    assert "age_days (book) median" in found.why[0]
    assert "wrong units?" in found.why[0]


def test_a_book_that_has_aged_is_no_drift() -> None:
    rows = month_rows()
    older = rows.book.assign(age_days=200, probability=0.001)
    grown = dataclasses.replace(rows, book=pd.concat([rows.book, older], ignore_index=True))
    before = REFERENCE[REFERENCE["part"] == BOOK].head(60).assign(age_days=220.0, probability=0.0005)
    before["opportunity_id"] = "old " + before["opportunity_id"]
    assert report(grown, pd.concat([REFERENCE, before], ignore_index=True)).level == "NONE"


def test_a_few_rows_of_a_new_category_are_low() -> None:
    rows = month_rows()
    few = rows.intake.copy()
    few.loc[:1, "product"] = "Helix 300"
    found = report(dataclasses.replace(rows, intake=few))
    assert row_of(found, "product")["new_categories"] == "Helix 300 (2)"
    assert found.level == "LOW"
    assert found.why == ("product: 0.3% in new categories",)


def test_a_difference_without_size_is_low() -> None:
    rows = DRIFTS["region"][0](month_rows())
    found = report(rows, thresholds=DriftThresholds(column_psi=5))
    assert found.level == "LOW"
    assert found.why == ("regional_office differs, by little",)


@pytest.mark.parametrize(
    ("failed", "level"),
    [
        (None, "NONE"),
        ({}, "NONE"),
        ({"as_estimated": False}, "LOW"),
        ({"as_backtested": False, "as_estimated": False}, "LOW"),
        ({"calibrated": False}, "MEDIUM"),
        ({"calibrated": True}, "HIGH"),
        ({"as_backtested": True}, "HIGH"),
    ],
)
def test_how_scores_turned_out_is_part_of_the_level(failed: dict[str, bool] | None, level: str) -> None:
    found = report(month_rows(), failed=failed)
    assert found.level == level
    assert found.why == tuple(TURNED_OUT[name] for name in failed or {})


def test_every_check_of_performance_has_words() -> None:
    assert set(TURNED_OUT) == set(CHECKED)


def test_the_table_fits_its_contract_and_holds_every_part_once() -> None:
    found = report(month_rows())
    assert list(found.columns.columns) == DRIFT.column_names
    assert not found.columns.duplicated(list(DRIFT.key)).any()
    held = found.columns.groupby("part")["column"].agg(set).to_dict()
    assert held[INTAKE] == {"list_price", "product", "regional_office", "manager"}
    assert held[BOOK] == {"probability", *BOOK_NUMBERS}
    assert held[CLOSINGS] == {"all closings", "Central", "East", "West"}
    assert found.tests == {INTAKE: 4, CLOSINGS: 4}
    assert found.p_threshold(INTAKE) == 0.02 / 4
    assert found.p_threshold(CLOSINGS) == 0.04 / 4


def test_the_book_is_compared_with_months_of_its_quarter_position_and_the_intake_with_all() -> None:
    found = report(month_rows())
    assert found.reference_months[BOOK] == ("2017-02", "2017-05")
    assert found.rows_reference == {INTAKE: 2800, BOOK: 1400, CLOSINGS: 2800}


@settings(max_examples=30, deadline=None)
@given(number=st.integers(1, 12))
def test_a_month_is_never_compared_with_itself_or_a_later_one(number: int) -> None:
    month = Month(2017, number)
    rows = month_rows(book=40, intake=40, closings=40)
    if number <= 7:
        with pytest.raises(MonitoringError, match="can be compared only with earlier months"):
            report(rows, month=month)
        return
    found = report(rows, month=month)
    positions = {"2017-02": 2, "2017-05": 2, "2017-06": 3, "2017-07": 1}
    expected = tuple(name for name, at in positions.items() if at == month.quarter_position)
    assert found.reference_months[BOOK] == expected


def test_without_a_book_of_the_position_nothing_is_compared() -> None:
    found = report(month_rows(), reference(before=("2017-06", "2017-07")))
    assert (found.status, found.level, found.share_drifted) == (NOT_COMPARED, None, None)
    assert found.reason == "the reference holds no book at the end of the second month of a quarter"


@pytest.mark.parametrize("before", [None, REFERENCE.iloc[:0]])
def test_without_a_reference_nothing_is_compared(before: pd.DataFrame | None) -> None:
    found = report(month_rows(), before)
    assert (found.status, found.level) == (NOT_COMPARED, None)
    assert found.reason == "model version 3 has no reference rows"


@pytest.mark.parametrize("part", [BOOK, INTAKE])
def test_three_rows_are_not_compared(part: str) -> None:
    found = report(month_rows(**{part: 3}))
    assert (found.status, found.level) == (NOT_COMPARED, None)
    assert found.reason is not None
    assert f"the {part} has 3 rows" in found.reason


def test_too_few_closings_are_said_and_the_rest_is_compared() -> None:
    found = report(month_rows(closings=3))
    why = "3 deals closed in the month, 30 are needed"
    assert (found.status, found.level) == (STATUS_COMPARED, "LOW")
    assert row_of(found, "all closings", CLOSINGS)["reason"] == why
    assert found.why == (f"the share won was not compared: {why}",)


def test_a_book_of_ages_the_reference_lacks_has_no_level_that_looks_fine() -> None:
    before = REFERENCE.copy()
    before.loc[before["part"] == BOOK, "age_days"] = 400.0
    found = report(month_rows(), before)
    assert (found.status, found.level) == (NOT_COMPARED, None)
    assert found.reason == "only 0% of the book has an age that the reference has"


@pytest.mark.parametrize("side", ["month", "reference"])
def test_an_all_null_column_is_said_and_never_fine(side: str) -> None:
    rows, before = month_rows(), REFERENCE.copy()
    if side == "month":
        rows = changed(rows, INTAKE, product=lambda d: None)
    else:
        before["product"] = None
    found = report(rows, before)
    assert row_of(found, "product")["reason"] == f"all values of the {side} are missing"
    assert found.level in {None, "MEDIUM", "HIGH"}


@pytest.mark.parametrize(("part", "name"), [(INTAKE, "product"), (INTAKE, "list_price"), (BOOK, "cohort_size")])
def test_a_column_that_is_empty_on_both_sides_is_not_compared(part: str, name: str) -> None:
    before = REFERENCE.copy()
    before[name] = None
    found = report(changed(month_rows(), part, **{name: lambda d: None}), before)
    assert (found.status, found.level) == (NOT_COMPARED, None)
    assert found.reason is not None
    assert f"{name} ({part}): " in found.reason


@pytest.mark.parametrize("wrong", ["yes", 7, None])
def test_closings_that_are_neither_won_nor_lost_are_refused(wrong: object) -> None:
    with pytest.raises(MonitoringError, match="won"):
        report(changed(month_rows(), CLOSINGS, won=lambda d: wrong))


def test_an_empty_number_of_the_book_is_high() -> None:
    found = report(changed(month_rows(), BOOK, cohort_size=lambda d: np.nan))
    assert row_of(found, "cohort_size", BOOK)["reason"] == "all values of the month are missing"
    assert found.level == "HIGH"


def test_one_constant_column_on_both_sides_does_not_differ() -> None:
    before = REFERENCE.copy()
    before["manager"] = before["manager"].mask(before["part"] == INTAKE, "Dustin")
    found = report(changed(month_rows(), INTAKE, manager=lambda d: "Dustin"), before)
    assert found.level == "NONE"
    assert row_of(found, "manager")["p_value"] == 1


def test_another_integer_type_does_not_differ() -> None:
    ages = {"age_days": lambda d: d["age_days"].astype("Int64")}
    found = report(changed(changed(month_rows(), BOOK, **ages), INTAKE, **ages))
    assert found.level == "NONE"


def test_texts_where_numbers_belong_are_refused() -> None:
    with pytest.raises(MonitoringError, match="age_days"):
        report(changed(month_rows(), BOOK, age_days=lambda d: d["age_days"].astype(str) + " days"))


@pytest.mark.parametrize(
    ("part", "column"), [(BOOK, "probability"), (BOOK, "age_days"), (INTAKE, "manager"), (CLOSINGS, "won")]
)
def test_a_missing_column_is_refused_by_name(part: str, column: str) -> None:
    rows = month_rows()
    lacking = dataclasses.replace(rows, **{part: getattr(rows, part).drop(columns=column)})
    with pytest.raises(MonitoringError, match=f"lack the column {column}"):
        report(lacking)


def test_a_reference_of_another_model_is_refused() -> None:
    with pytest.raises(MonitoringError, match=r"have model_version 3, not 4: make the reference of version 4"):
        report(month_rows(), model_version="4")


def test_scores_of_another_model_are_refused() -> None:
    with pytest.raises(MonitoringError, match="have model_version 2, not 3"):
        report(changed(month_rows(), BOOK, model_version=lambda d: "2"))


def test_a_score_that_is_missing_is_refused() -> None:
    with pytest.raises(MonitoringError, match="whose probability is not between 0 and 1"):
        report(changed(month_rows(), BOOK, probability=lambda d: d["probability"].mask(every(d, 100))))


def test_the_summary_has_the_same_names_for_every_month() -> None:
    compared, not_compared = report(month_rows()), report(month_rows(), None)
    assert compared.summary().keys() == not_compared.summary().keys()
    assert compared.summary()["model_version"] == VERSION
    assert not_compared.summary()["level"] is None
    assert str(MONTH) == compared.summary()["snapshot_month"]


def test_a_reference_as_it_is_read_from_the_lake_gives_the_same() -> None:
    read = comparable(pl.from_pandas(REFERENCE), MONTH)
    assert len(read) < len(REFERENCE)
    for change in (lambda rows: rows, *(change for change, _ in DRIFTS.values())):
        whole, part = report(change(month_rows())), report(change(month_rows()), read)
        pd.testing.assert_frame_equal(part.columns, whole.columns)
        assert (part.level, part.why) == (whole.level, whole.why)
