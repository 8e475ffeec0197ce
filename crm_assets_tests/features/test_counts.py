from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.calendar import FIRST_MONDAY, Month
from crm_assets.features.counts import GROUPS, counted_book, week_of
from crm_assets_tests.history.lives import TEAMS, Life, by, export, fixed, months, some_lives
from crm_assets_tests.history.on_polars import collected, lazy, month_tables

MAY = Month(2017, 5)
TEAM = {row["sales_agent"]: row for row in TEAMS.to_dicts()}
MONDAY = date(2017, 3, 6)


def counted(lives: Iterable[Life], month: Month) -> pl.DataFrame:
    tables = month_tables(export(lives, month.end), month)
    return collected(counted_book(lazy(tables.snapshots), lazy(tables.closings), month))


def counts_of(lives: list[Life], month: Month) -> dict[str, int]:
    """What is counted over a group, by walking through its opportunities."""
    end = month.end
    engaged = [life for life in lives if by(life.engaged, end)]
    closed = [life for life in engaged if by(life.closed, end)]
    recent = [life for life in closed if life.closed and life.closed > end - timedelta(days=90)]
    counts = {
        "won": sum(life.won for life in closed),
        "lost": sum(not life.won for life in closed),
        "won_recent": sum(life.won for life in recent),
        "lost_recent": sum(not life.won for life in recent),
        "days_to_close": sum((life.closed - life.engaged).days for life in closed if life.closed and life.engaged),
        "open": len(engaged) - len(closed),
    }
    for age in (100, 138):
        old = [life for life in engaged if life.engaged and (end - life.engaged).days >= age]
        counts[f"engaged_{age}"] = len(old)
        counts[f"open_{age}"] = sum(life.in_book(end) for life in old)
    return counts


def groups_of(life: Life) -> dict[str, str]:
    product = "GTX Pro" if life.product == "GTXPro" else life.product
    return {**TEAM[life.sales_agent], "product": product}


@fixed
@given(some_lives(), months())
def test_counts_are_those_of_the_groups(lives: list[Life], month: Month) -> None:
    rows = counted(lives, month).to_dicts()
    by_id = {life.opportunity_id: life for life in lives}
    assert {row["opportunity_id"] for row in rows} == {life.opportunity_id for life in lives if life.in_book(month.end)}
    expected: dict[tuple[str, str], dict[str, int]] = {}
    for row in rows:
        mine = groups_of(by_id[row["opportunity_id"]])
        for prefix, column in (*GROUPS.items(), ("all", "")):
            key = (prefix, mine.get(column, ""))
            if key not in expected:
                group = [life for life in lives if not column or groups_of(life)[column] == mine[column]]
                expected[key] = counts_of(group, month)
            assert {name: row[f"{prefix}_{name}"] or 0 for name in expected[key]} == expected[key]
        closed = [
            life.closed for life in lives if life.sales_agent == mine["sales_agent"] and by(life.closed, month.end)
        ]
        assert row["agent_last_close"] == max((day for day in closed if day), default=None)


def monday_before(day: date) -> date:
    return day - timedelta(days=day.weekday())


@fixed
@given(some_lives(), months())
def test_cohorts_are_of_three_weeks_and_one_region(lives: list[Life], month: Month) -> None:
    by_id = {life.opportunity_id: life for life in lives}
    for row in counted(lives, month).to_dicts():
        mine = by_id[row["opportunity_id"]]
        assert mine.engaged
        cohort = [
            life
            for life in lives
            if life.engaged
            and life.engaged <= month.end
            and groups_of(life)["regional_office"] == groups_of(mine)["regional_office"]
            and abs(monday_before(life.engaged) - monday_before(mine.engaged)) <= timedelta(days=7)
        ]
        assert row["cohort_engaged"] == len(cohort)
        assert row["cohort_open"] == sum(life.in_book(month.end) for life in cohort)


@pytest.mark.parametrize(
    ("days", "inside"), [(-8, False), (-7, True), (-1, True), (0, True), (6, True), (13, True), (14, False)]
)
def test_a_cohort_begins_a_monday_before_and_ends_a_sunday_after(days: int, inside: bool) -> None:
    lives = [
        Life("mine", "Anna", "GTX Pro", MONDAY, MONDAY),
        Life("other", "Boris", "MG Special", MONDAY, MONDAY + timedelta(days=days), date(2017, 4, 1)),
        Life("elsewhere", "Cecily", "GTX Pro", MONDAY, MONDAY),
    ]
    found = counted(lives, MAY).filter(opportunity_id="mine")
    assert found.select("cohort_engaged", "cohort_open").rows() == [(1 + inside, 1)]


@fixed
@given(st.lists(st.dates(date(1900, 1, 1), date(2199, 12, 31)), max_size=20))
def test_weeks_begin_on_mondays(days: list[date]) -> None:
    frame = lazy(pl.DataFrame({"day": days}, {"day": pl.Date}))
    weeks = collected(frame.select(week_of(frame, "day").alias("week")))["week"]
    assert weeks.to_list() == [(monday_before(day) - FIRST_MONDAY).days // 7 for day in days]


def test_what_is_not_known_while_open_is_left_out() -> None:
    """So that no feature can be computed from it, whatever it says it reads."""
    columns: Any = counted([Life("a", "Anna", "GTX Pro", MONDAY, MONDAY)], MAY).columns
    assert {"account", "deal_stage", "close_date", "close_value", "days_to_close"}.isdisjoint(columns)
    assert {"opportunity_id", "as_of", "engage_date", "age_days", "list_price"} <= set(columns)
