"""Features of a month tell nothing of what happened after it: in whatever future, they are equal to the last bit."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from crm_assets.calendar import Month, month_range
from crm_assets_tests.history.lives import LAST, Life, by, export, fixed, months, some_lives
from crm_assets_tests.history.on_polars import MonthTables, month_tables, replayed


def of_late_export(lives: list[Life], month: Month) -> MonthTables:
    return month_tables(replayed(export(lives, LAST.end), month), month)


def assert_same(found: MonthTables, expected: MonthTables) -> None:
    assert_frame_equal(found.snapshots, expected.snapshots, check_exact=True)
    assert_frame_equal(found.closings, expected.closings, check_exact=True)
    assert_frame_equal(found.features, expected.features, check_exact=True)


@st.composite
def another_future(draw: st.DrawFn, lives: list[Life], day: date) -> list[Life]:
    """The same lives up to the end of `day`, other ones after it: when they close and how, and who comes later."""
    left = (LAST.end - day).days
    later = st.none() | (st.just(1) | st.integers(1, left)).map(lambda days: day + timedelta(days=days))
    changed = []
    for life in lives:
        if life.created > day and draw(st.booleans()):
            continue
        future = life
        if not by(life.closed, day):
            future = replace(
                future,
                closed=draw(later),
                won=draw(st.booleans()),
                value=float(draw(st.integers(1, 9000))),
                engaged=life.engaged if by(life.engaged, day) else draw(later),
                account_known=life.account_known if by(life.account_known, day) else draw(later),
            )
            if future.engaged is None or (future.closed and future.closed < future.engaged):
                future = replace(future, closed=None)
        changed.append(future)
    newcomers = draw(some_lives("new", most=6))
    return changed + [life for life in newcomers if life.engaged and life.engaged > day]


@fixed
@given(some_lives(), months(), st.data())
def test_another_future_changes_nothing(lives: list[Life], month: Month, data: st.DataObject) -> None:
    """Of a CRM that was exported late: rows are appended, later closings change, open opportunities fare otherwise."""
    other = data.draw(another_future(lives, month.end))
    assert_same(of_late_export(other, month), of_late_export(lives, month))


@fixed
@given(some_lives(), months())
def test_a_late_export_gives_the_features_of_an_extract(lives: list[Life], month: Month) -> None:
    """Though it does not know the accounts of then, nor the prospects."""
    extract = month_tables(export(lives, month.end), month)
    assert_frame_equal(of_late_export(lives, month).features, extract.features, check_exact=True)


@fixed
@given(some_lives(), months(), st.data())
def test_neither_ids_nor_the_order_of_rows_matter(lives: list[Life], month: Month, data: st.DataObject) -> None:
    ids = [life.opportunity_id for life in lives]
    renamed = dict(zip(ids, data.draw(st.permutations([f"x{number}" for number in range(len(ids))])), strict=True))
    others = [replace(life, opportunity_id=renamed[life.opportunity_id]) for life in lives]
    found = of_late_export(data.draw(st.permutations(others)), month).features
    expected = of_late_export(lives, month).features.with_columns(pl.col("opportunity_id").replace_strict(renamed))
    assert_frame_equal(found, expected.sort("opportunity_id"), check_exact=True)


@pytest.mark.parametrize("month", month_range(Month(2016, 10), Month(2017, 11)), ids=str)
def test_another_future_of_the_real_export(real_crm: dict[str, pl.DataFrame], month: Month) -> None:
    """From the month-end on, nothing closes, half of what was open closes the next day, and all others are gone."""
    late, end = real_crm["sales_pipeline"], month.end
    future = pl.col("close_date").is_null() | (pl.col("close_date") > end)
    half = future & (pl.col("opportunity_id") < "M")
    other = late.filter(pl.col("engage_date") <= end).with_columns(
        deal_stage=pl.when(half).then(pl.lit("Won")).when(future).then(pl.lit("Engaging")).otherwise("deal_stage"),
        close_date=pl.when(half).then(end + timedelta(days=1)).when(~future).then("close_date"),
        close_value=pl.when(half).then(1.0).when(~future).then("close_value"),
        account=pl.lit("Acme"),
    )
    reference = real_crm["products"], real_crm["sales_teams"]
    found, expected = (month_tables(replayed(pipeline, month), month, *reference) for pipeline in (other, late))
    assert expected.snapshots.height
    assert_same(found, expected)
