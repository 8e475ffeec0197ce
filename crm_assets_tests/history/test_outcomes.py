from __future__ import annotations

from datetime import date

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.calendar import Month
from crm_assets.history.outcomes import OUTCOMES
from crm_assets_tests.history.lives import LAST, Life, by, export, fixed, months, some_lives
from crm_assets_tests.history.on_polars import MonthTables, month_tables, replayed

APRIL, MAY = Month(2017, 4), Month(2017, 5)
MARCH_1, MAY_1 = date(2017, 3, 1), date(2017, 5, 1)


def life(name: str, engaged: date | None = MARCH_1, closed: date | None = None, won: bool = False) -> Life:
    return Life(name, "Anna", "GTX Pro", MARCH_1, engaged, closed, won, 4800.0)


def month_of(lives: list[Life], month: Month) -> MonthTables:
    return month_tables(export(lives, month.end), month)


def test_won_lost_and_open() -> None:
    lives = [
        life("won on the first", closed=MAY_1, won=True),
        life("lost on the last", closed=MAY.end),
        life("open"),
        life("closes later", closed=date(2017, 6, 1), won=True),
        life("closed before", closed=APRIL.end, won=True),
        life("engaged later", engaged=MAY_1),
        life("engaged and won later", engaged=MAY_1, closed=MAY.end, won=True),
        life("prospecting", engaged=None),
    ]
    found = month_of(lives, MAY).outcomes(month_of(lives, APRIL))
    assert found.schema == OUTCOMES.polars_schema()
    assert found.rows() == [
        ("closes later", "2017-04", "2017-05", "open", None, None),
        ("lost on the last", "2017-04", "2017-05", "lost", MAY.end, 0.0),
        ("open", "2017-04", "2017-05", "open", None, None),
        ("won on the first", "2017-04", "2017-05", "won", MAY_1, 4800.0),
    ]


def test_what_vanished_has_no_outcome() -> None:
    before = month_of([life("deleted"), life("kept")], APRIL)
    found = month_of([life("kept"), life("merged")], MAY).outcomes(before)
    assert found["opportunity_id"].to_list() == ["kept"]


def test_what_was_quarantined_has_no_outcome() -> None:
    lives = [life("good", closed=MAY_1), life("bad", closed=MAY_1, won=True)]
    bad = pl.col("opportunity_id") == "bad"
    later = export(lives, MAY.end).with_columns(close_date=pl.when(~bad).then("close_date"))
    tables = month_tables(later, MAY)
    assert tables.quarantine["opportunity_id"].to_list() == ["bad"]
    assert tables.outcomes(month_of(lives, APRIL))["opportunity_id"].to_list() == ["good"]


def test_what_went_back_to_prospecting_has_no_outcome() -> None:
    before = month_of([life("back"), life("on")], APRIL)
    found = month_of([life("back", engaged=None), life("on")], MAY).outcomes(before)
    assert found["opportunity_id"].to_list() == ["on"]


def test_sorted_by_id_whatever_the_order_of_the_snapshots() -> None:
    lives = [life(name) for name in ("b", "B", "a", "9", "10")]
    before, now = (
        MonthTables(month, month_of(lives, month).snapshots.reverse(), month_of(lives, month).quarantine)
        for month in (APRIL, MAY)
    )
    assert now.outcomes(before)["opportunity_id"].to_list() == ["10", "9", "B", "a", "b"]


def test_without_rows() -> None:
    nothing, something = month_of([], APRIL), month_of([life("open")], MAY)
    for found in (something.outcomes(nothing), month_of([], MAY).outcomes(month_of([life("open")], APRIL))):
        assert found.is_empty()
        assert found.schema == OUTCOMES.polars_schema()


@fixed
@given(some_lives(), months(), st.data())
def test_equal_what_happened_to_the_book(lives: list[Life], month: Month, data: st.DataObject) -> None:
    """Whatever vanishes from the CRM in between, and whether it kept extracts or was exported once."""
    vanished = set(data.draw(st.lists(st.sampled_from([life.opportunity_id for life in lives] or [""]), max_size=3)))
    kept = [life for life in lives if life.opportunity_id not in vanished]
    later = month.next
    expected = {}
    for life in kept:
        if life.in_book(month.end):
            closed = "won" if life.won else "lost"
            expected[life.opportunity_id] = closed if by(life.closed, later.end) else "open"
    before = month_of(lives, month)
    for now in (month_of(kept, later), month_tables(replayed(export(kept, LAST.end), later), later)):
        found = now.outcomes(before)
        assert dict(found.select("opportunity_id", "outcome").iter_rows()) == expected
        assert found["opportunity_id"].is_sorted()
        still_open = found.filter(outcome="open")
        assert still_open["close_date"].null_count() == still_open["close_value"].null_count() == still_open.height
        assert found.filter(pl.col("outcome") != "open")["close_date"].is_between(later.start, later.end).all()
