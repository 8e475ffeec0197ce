from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from crm_assets.calendar import Month
from crm_assets.contracts import LOST, SALES_PIPELINE, WON, Known
from crm_assets_tests.history.lives import FIRST, LAST, MONTHS, Life, export, fixed, some_lives
from crm_assets_tests.history.on_polars import in_time, replayed

MAY = Month(2017, 5)
CERTAIN = [column.name for column in SALES_PIPELINE.columns if column.known is not Known.LATE]


def rows(*given_rows: tuple[object, ...]) -> pl.DataFrame:
    return pl.DataFrame(list(given_rows), SALES_PIPELINE.polars_schema(), orient="row")


def replayed_row(*row: object) -> tuple[object, ...] | None:
    """A row of an export, as it was known at the end of May 2017; None if it was not."""
    found = replayed(rows(row), MAY)
    return found.row(0) if found.height else None


@pytest.mark.parametrize("account", ["Acme", None])
def test_closed_by_then_stays_closed(account: str | None) -> None:
    for closed in (date(2017, 5, 31), date(2017, 5, 1), date(2017, 3, 2)):
        row = ("A", "Anna", "GTXPro", account, WON, date(2017, 3, 1), closed, 4800.0)
        assert replayed_row(*row) == ("A", "Anna", "GTXPro", None, WON, date(2017, 3, 1), closed, 4800.0)


@pytest.mark.parametrize(("stage", "value"), [(WON, 4800.0), (LOST, 0.0)])
def test_closed_later_is_open_again(stage: str, value: float) -> None:
    row = ("A", "Anna", "GTX Pro", "Acme", stage, date(2017, 5, 31), date(2017, 6, 1), value)
    assert replayed_row(*row) == ("A", "Anna", "GTX Pro", None, "Engaging", date(2017, 5, 31), None, None)


def test_open_now_was_open_then() -> None:
    row = ("A", "Anna", "GTX Pro", None, "Engaging", date(2017, 3, 1), None, None)
    assert replayed_row(*row) == row


def test_engaged_later_was_not_in_the_book() -> None:
    assert replayed_row("A", "Anna", "GTX Pro", None, "Engaging", date(2017, 6, 1), None, None) is None
    assert replayed_row("A", "Anna", "GTX Pro", "Acme", WON, date(2017, 6, 1), date(2017, 6, 2), 1.0) is None


def test_prospecting_is_left_out() -> None:
    assert replayed_row("A", "Anna", "GTX Pro", None, "Prospecting", None, None, None) is None


def test_faults_are_kept_for_quality_control() -> None:
    undated = ("A", "Anna", "GTX Pro", None, WON, date(2017, 3, 1), None, 4800.0)
    assert replayed_row(*undated) == undated
    never_engaged = ("A", "Anna", "GTX Pro", None, LOST, None, date(2017, 5, 31), 0.0)
    assert replayed_row(*never_engaged) == never_engaged
    assert replayed_row("A", "Anna", "GTX Pro", None, LOST, None, date(2017, 6, 1), 0.0) is None
    still_open = ("A", "Anna", "GTX Pro", None, "Engaging", date(2017, 3, 1), date(2017, 5, 1), None)
    assert replayed_row(*still_open) == still_open


def test_types_stay_even_where_all_is_blank() -> None:
    late = rows(("A", "Anna", "GTX Pro", "Acme", WON, date(2017, 5, 1), date(2017, 6, 1), 5.0))
    for frame in (replayed(late, MAY), replayed(late, Month(2017, 1)), replayed(late.clear(), MAY)):
        assert frame.schema == SALES_PIPELINE.polars_schema()


def test_dates_after_the_export_are_left_to_quality_control() -> None:
    mistyped = (
        ("A", "Anna", "GTX Pro", None, WON, date(2017, 3, 1), date(2107, 4, 1), 4800.0),
        ("B", "Anna", "GTX Pro", None, "Engaging", date(2071, 3, 1), None, None),
    )
    assert replayed(rows(*mistyped), MAY).rows() == list(mistyped)


@fixed
@given(some_lives(), st.integers(0, 20))
def test_an_extract_taken_late_is_that_of_the_month_end(lives: list[Life], days_late: int) -> None:
    for month in MONTHS:
        late = export(lives, month.end + timedelta(days=days_late))
        true = export(lives, month.end)
        # Created in those days, and no date says so.
        late = late.filter(pl.col("opportunity_id").is_in(true["opportunity_id"]) | pl.col("engage_date").is_not_null())
        was_prospect = true.filter(pl.col("engage_date").is_null())["opportunity_id"]
        found = in_time(late, month, days_late)
        engaged_by_then = true.filter(~pl.col("opportunity_id").is_in(was_prospect))
        still_engaged = found.filter(~pl.col("opportunity_id").is_in(was_prospect))
        assert_frame_equal(still_engaged.select(CERTAIN), engaged_by_then.select(CERTAIN))


def test_an_extract_taken_late_keeps_accounts_but_of_deals_it_opens_again() -> None:
    extract = rows(
        ("A", "Anna", "GTX Pro", "Acme", WON, date(2017, 3, 1), date(2017, 6, 2), 4800.0),
        ("B", "Anna", "GTX Pro", "Acme", "Engaging", date(2017, 3, 1), None, None),
        ("C", "Anna", "GTX Pro", None, "Prospecting", None, None, None),
        ("D", "Anna", "GTX Pro", None, "Engaging", date(2017, 6, 1), None, None),
        ("E", "Anna", "GTX Pro", "Acme", LOST, date(2017, 3, 1), date(2017, 6, 4), 0.0),
    )
    assert in_time(extract, MAY, 3).rows() == [
        ("A", "Anna", "GTX Pro", None, "Engaging", date(2017, 3, 1), None, None),
        *extract[1:3].rows(),
        extract.row(4),
    ]


@fixed
@given(some_lives())
def test_equals_the_extract_of_that_day_in_all_that_is_certain(lives: list[Life]) -> None:
    late = export(lives, LAST.end)
    for month in MONTHS:
        true = export(lives, month.end).filter(pl.col("engage_date").is_not_null())
        found = replayed(late, month)
        assert_frame_equal(found.select(CERTAIN), true.select(CERTAIN))
        assert found["account"].null_count() == found.height


@fixed
@given(some_lives())
def test_nothing_closed_reopens_and_nothing_engaged_vanishes(lives: list[Life]) -> None:
    late = export(lives, LAST.end)
    before = late.clear()
    for month in MONTHS:
        now = replayed(late, month)
        assert set(before["opportunity_id"]) <= set(now["opportunity_id"])
        closed = [frame.filter(pl.col("close_date").is_not_null()) for frame in (before, now)]
        assert_frame_equal(closed[0], closed[1].join(closed[0], on="opportunity_id", how="semi"))
        assert now.filter(pl.col("engage_date") > month.end).is_empty()
        before = now


@fixed
@given(some_lives(), st.sampled_from(MONTHS), st.sampled_from(MONTHS))
def test_in_two_steps_is_as_in_one(lives: list[Life], one: Month, other: Month) -> None:
    late, (first, second) = export(lives, LAST.end), sorted([one, other])
    assert_frame_equal(replayed(replayed(late, second), first), replayed(late, first))


def test_before_the_first_engagement_nothing_was_known() -> None:
    late = rows(("A", "Anna", "GTX Pro", None, "Engaging", FIRST.start, None, None))
    assert replayed(late, FIRST.previous).is_empty()
    assert replayed(late, FIRST).height == 1
