"""What must hold between the snapshots of different months, whatever happened."""

from __future__ import annotations

import itertools

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.contracts import LOST, WON
from crm_assets_tests.history.lives import LAST, MONTHS, Life, export, fixed, some_lives
from crm_assets_tests.history.on_polars import MonthTables, month_tables, replayed

CLOSED = [WON, LOST]


def history(lives: list[Life], *, late: bool) -> list[MonthTables]:
    """Every month, from extracts or from one late export."""
    taken = export(lives, LAST.end)
    return [month_tables(replayed(taken, m) if late else export(lives, m.end), m) for m in MONTHS]


@fixed
@given(some_lives(), st.booleans())
def test_snapshots_are_monotone(lives: list[Life], late: bool) -> None:
    """What is engaged stays known, what is closed stays closed, on the same day with the same value."""
    for before, after in itertools.pairwise(history(lives, late=late)):
        engaged = before.snapshots.filter(pl.col("engage_date").is_not_null())
        both = engaged.join(after.snapshots, on="opportunity_id", how="left", suffix="_later")
        assert both["deal_stage_later"].is_not_null().all()
        assert (both["engage_date"] == both["engage_date_later"]).all()
        closed = both.filter(pl.col("deal_stage").is_in(CLOSED))
        for column in ("deal_stage", "close_date", "close_value", "days_to_close"):
            assert (closed[column] == closed[f"{column}_later"]).all()


@fixed
@given(some_lives(), st.booleans())
def test_book_and_closings_are_all_that_was_engaged(lives: list[Life], late: bool) -> None:
    for tables in history(lives, late=late):
        closed = tables.closings.select((pl.col("won") + pl.col("lost")).sum()).item()
        engaged = sum(1 for life in lives if life.engaged and life.engaged <= tables.month.end)
        assert tables.book.height + closed == engaged


@fixed
@given(some_lives(), st.booleans())
def test_outcomes_and_the_newest_book_are_every_book(lives: list[Life], late: bool) -> None:
    """Each row of a book has one outcome a month later, and each close is the outcome of one row."""
    for before, after in itertools.pairwise(history(lives, late=late)):
        told = after.outcomes(before)
        assert set(told["opportunity_id"]) == set(before.book["opportunity_id"])
        closed = told.filter(pl.col("outcome") != "open")
        assert (closed["close_date"] > before.month.end).all()
        assert (closed["close_date"] <= after.month.end).all()
