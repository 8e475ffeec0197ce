from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.calendar import Month, month_range
from crm_assets.monitoring.errors import MonitoringError
from crm_assets.monitoring.reference import (
    BOOK,
    CLOSINGS,
    FEWEST_INTAKES,
    INTAKE,
    KEY_COLUMNS,
    REFERENCE,
    months_held,
    months_wanted,
    reference_set,
    rows_of,
)
from crm_assets_tests.monitoring.books import MONTH, VERSION, deals, reference

FIRST_CLOSE = Month(2017, 3)


def test_a_reference_holds_every_row_of_its_parts_sorted() -> None:
    found = reference(rows=20)
    assert list(found.columns) == REFERENCE.column_names
    assert len(found) == 3 * 4 * 20
    assert found[list(KEY_COLUMNS)].apply(tuple, axis=1).is_monotonic_increasing
    assert found.loc[found["part"] != BOOK, "probability"].isna().all()
    assert found.loc[found["part"] != CLOSINGS, "won"].isna().all()


def test_what_was_there_is_kept_unchanged_when_months_are_added() -> None:
    before = reference(rows=20)
    later = deals(10, 1).assign(snapshot_month="2017-08")
    after = reference_set({BOOK: later}, model_version=VERSION, made_in=Month(2017, 9), before=before)
    kept = after[after["made_in"] == str(MONTH)].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, before)
    assert set(after.loc[after["made_in"] == "2017-09", "snapshot_month"]) == {"2017-08"}


def test_a_reference_of_another_version_is_not_carried_over() -> None:
    with pytest.raises(MonitoringError, match="have model_version 3, not 4"):
        reference_set({}, model_version="4", made_in=MONTH, before=reference(rows=5))


def test_a_row_of_the_month_itself_is_refused() -> None:
    rows = deals(5, 1).assign(snapshot_month=str(MONTH))
    with pytest.raises(MonitoringError, match="would hold rows of 2017-08"):
        reference_set({BOOK: rows}, model_version=VERSION, made_in=MONTH)


def test_a_repeated_row_a_bad_probability_and_a_missing_column_are_refused() -> None:
    rows = deals(5, 1).assign(snapshot_month="2017-05")
    for part, bad, message in (
        (CLOSINGS, pd.concat([rows, rows.head(1)]), "repeats opportunity 'O1-00000' in the closings of 2017-05"),
        (BOOK, rows.assign(probability=1.5), "not between 0 and 1"),
        (INTAKE, rows.drop(columns="manager"), "lack the column manager"),
    ):
        with pytest.raises(MonitoringError, match=message):
            reference_set({part: bad}, model_version=VERSION, made_in=MONTH)


def test_rows_are_given_by_part_and_position() -> None:
    found = rows_of(reference(rows=5), BOOK, 2)
    assert set(found["snapshot_month"]) == {"2017-02", "2017-05"}
    assert months_held(reference(rows=5), INTAKE) == [Month(2017, number) for number in (2, 5, 6, 7)]


@given(held=st.sets(st.integers(1, 6)), earlier=st.integers(0, 8), first_close=st.integers(1, 12))
def test_only_what_is_lacking_is_taken_in(held: set[int], earlier: int, first_close: int) -> None:
    kept = pd.DataFrame(
        [(part, f"2017-{number:02d}") for part in (INTAKE, BOOK, CLOSINGS) for number in sorted(held)],
        columns=["part", "snapshot_month"],
    )
    months = month_range(Month(2017, 7), Month(2017, 7).shift(earlier - 1))
    wanted = months_wanted(kept, months, Month(2017, first_close))
    assert all(month in months for part in wanted for month in wanted[part])
    assert len(wanted[INTAKE]) == max(0, min(len(months), FEWEST_INTAKES - len(held)))
    positions = {Month(2017, number).quarter_position for number in held}
    possible = {month.quarter_position for month in months if month.number >= first_close or month.year > 2017}
    for part in (BOOK, CLOSINGS):
        assert [month.quarter_position for month in wanted[part]] == list(
            dict.fromkeys(month.quarter_position for month in wanted[part])
        )
        assert {month.quarter_position for month in wanted[part]} == possible - positions
        assert all(month >= Month(2017, first_close) for month in wanted[part])
