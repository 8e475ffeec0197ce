from __future__ import annotations

from datetime import date

import polars as pl
from hypothesis import given
from polars.testing import assert_frame_equal

from crm_assets.calendar import Month
from crm_assets.history.closings import DAILY_CLOSINGS
from crm_assets_tests.history.lives import FIRST, LAST, Life, by, export, fixed, months, some_lives
from crm_assets_tests.history.on_polars import month_tables, replayed

MAY = Month(2017, 5)


def life(name: str, agent: str, engaged: int, closed: date | None, won: bool, *, product: str = "GTX Pro") -> Life:
    """Engaged on a day of March 2017."""
    day = date(2017, 3, engaged)
    return Life(name, agent, product, day, day, closed, won, 10.0)


def test_counts_by_day_agent_and_product() -> None:
    day, last = date(2017, 5, 2), MAY.end
    lives = [
        life("a", "Cecily", 1, last, True),
        life("b", "Anna", 1, day, True),
        life("c", "Anna", 31, day, True, product="GTXPro"),
        life("d", "Anna", 11, day, False),
        life("e", "Anna", 11, day, False, product="MG Special"),
        life("f", "Anna", 11, last, False),
        life("g", "Anna", 11, date(2017, 6, 1), True),
        life("h", "Anna", 11, None, True),
    ]
    found = month_tables(export(lives, MAY.end), MAY).closings
    assert found.schema == DAILY_CLOSINGS.polars_schema()
    assert found.rows() == [
        ("2017-05", day, "Anna", "Dustin", "Central", "GTX Pro", 2, 1, 62 + 32 + 52),
        ("2017-05", day, "Anna", "Dustin", "Central", "MG Special", 0, 1, 52),
        ("2017-05", last, "Anna", "Dustin", "Central", "GTX Pro", 0, 1, 81),
        ("2017-05", last, "Cecily", "Elke", "West", "GTX Pro", 1, 0, 91),
    ]


def test_of_nothing_closed() -> None:
    for lives in ([], [life("a", "Anna", 1, None, False)]):
        found = month_tables(export(lives, MAY.end), MAY).closings
        assert found.is_empty()
        assert found.schema == DAILY_CLOSINGS.polars_schema()


@fixed
@given(some_lives(), months())
def test_book_and_closings_are_all_that_was_engaged(lives: list[Life], month: Month) -> None:
    engaged = sum(by(life.engaged, month.end) for life in lives)
    closed = [life for life in lives if by(life.closed, month.end)]
    won = sum(life.won for life in closed)
    took = [(life.closed - life.engaged).days for life in closed if life.closed and life.engaged]
    for pipeline in (export(lives, month.end), replayed(export(lives, LAST.end), month)):
        tables = month_tables(pipeline, month)
        sums = tables.closings.select(pl.sum("won", "lost", "days_to_close")).row(0)
        assert sums == (won, len(took) - won, sum(took))
        assert tables.book.height + len(took) == engaged


@fixed
@given(some_lives(), months())
def test_of_a_month_are_among_those_of_the_next(lives: list[Life], month: Month) -> None:
    late = export(lives, LAST.end)
    now, later = (month_tables(replayed(late, m), m).closings.drop("snapshot_month") for m in (month, month.next))
    assert_frame_equal(now, later.filter(pl.col("close_date") <= month.end))


def test_nothing_had_closed_before_the_first_month() -> None:
    late = export([life("a", "Anna", 1, MAY.end, True)], LAST.end)
    assert month_tables(replayed(late, FIRST), FIRST).closings.is_empty()
