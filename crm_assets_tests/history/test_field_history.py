"""The pipeline as of a day: what had happened by then, as it was recorded by then."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from crm_assets.calendar import Month, month_range
from crm_assets.contracts import ENGAGING, LOST, OPPORTUNITY_HISTORY, PROSPECTING, SALES_PIPELINE, STAGES, WON
from crm_assets.simulator import Simulation, SimulationConfig, simulate
from crm_assets_tests.history.lives import FIRST, LAST, MONTHS, Change, Life, by, export, fixed, history, some_lives
from crm_assets_tests.history.on_polars import as_of

Row = tuple[object, ...]
LATER = [*MONTHS, *month_range(LAST.next, LAST.shift(6))]
"""The months of the lives, and some in which their changes are still recorded."""


def day(number: int) -> date:
    return FIRST.start + timedelta(days=number)


def shown(lives: list[Life], month: Month) -> pl.DataFrame:
    return export(lives, month.end).sort("opportunity_id")


@fixed
@given(some_lives())
def test_recorded_on_its_day_it_is_the_extract_of_each_month(lives: list[Life]) -> None:
    events = history(change.recorded() for life in lives for change in life.changes())
    for month in MONTHS:
        assert_frame_equal(as_of(events, month.end), shown(lives, month), check_exact=True)


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate(SimulationConfig(3000))


def test_the_simulators_history_gives_each_of_its_extracts(simulation: Simulation) -> None:
    events = simulation.events()
    for month in simulation.config.months:
        extract = simulation.tables(month)["sales_pipeline"].sort("opportunity_id")
        assert_frame_equal(as_of(events, month.end), extract, check_exact=True)
    assert "GTXPro" in extract["product"].to_list()
    assert set(extract["deal_stage"]) == set(STAGES)


Telling = tuple[Change, date]
"""A change with the day it was said to happen on, and the day that was recorded."""


@st.composite
def told(draw: st.DrawFn, life: Life) -> list[Telling]:
    """Each change of a life recorded late or at once, some first with a wrong day that was corrected later.

    A CRM learns of the changes of a field one after another; of corrections in any order.
    """
    first: dict[str, date] = {}
    tellings = []
    for change in life.changes():
        on = max(change.day + timedelta(draw(st.sampled_from([0, 0, 1, 20, 60]))), first.get(change.field, date.min))
        first[change.field] = on
        if draw(st.integers(0, 2)) == 0:
            # Of a stage before the opportunity was there nobody could tell which came first on one day.
            wrong = max(on - timedelta(draw(st.integers(0, 60))), life.created)
            tellings.append((replace(change, day=wrong), on))
            on += timedelta(draw(st.integers(1, 90)))
        tellings.append((change, max(on, change.day)))
    return tellings


def as_known(tellings: list[Telling], then: date) -> Row | None:
    """The row of one opportunity, by the last that was told of each change."""
    last = {
        (change.field, change.old_value, change.new_value): change
        for change, on in sorted(tellings, key=lambda telling: telling[1])
        if on <= then
    }
    if not last:
        return None
    stages = {change.new_value: change.day for change in last.values() if change.field == "deal_stage"}
    # What happened later counts; on one day, what comes after the other.
    stage = max(stages, key=lambda stage: (stages[stage], STAGES.index(str(stage))), default=None)
    values = {change.field: change.new_value for change in last.values()}
    closed = stage in {WON, LOST}
    return (
        next(iter(last.values())).opportunity_id,
        values.get("sales_agent"),
        values.get("product"),
        values.get("account"),
        stage,
        None if stage == PROSPECTING else stages.get(ENGAGING),
        stages[stage] if closed else None,
        float(values["close_value"] or 0) if closed and "close_value" in values else None,
    )


@fixed
@given(some_lives(), st.data())
def test_each_month_is_as_it_was_known_then(lives: list[Life], data: st.DataObject) -> None:
    tellings = [data.draw(told(life)) for life in lives]
    rows = [change.recorded(on) for those in tellings for change, on in those]
    events = history(data.draw(st.permutations(rows)))
    for month in LATER:
        known = [row for row in (as_known(those, month.end) for those in tellings) if row is not None]
        expected = pl.DataFrame(known, SALES_PIPELINE.polars_schema(), orient="row").sort("opportunity_id")
        assert_frame_equal(as_of(events, month.end), expected, check_exact=True)


@fixed
@given(some_lives(), st.data())
def test_once_all_is_recorded_right_it_is_what_happened(lives: list[Life], data: st.DataObject) -> None:
    rows = [change.recorded(on) for life in lives for change, on in data.draw(told(life))]
    end = LAST.shift(24)
    assert_frame_equal(as_of(history(rows), end.end), shown(lives, end), check_exact=True)


@pytest.mark.parametrize("field", ["deal_stage", "close_date"])
@fixed
@given(lives=some_lives(), data=st.data())
def test_a_correction_changes_the_months_from_its_recording_on(
    lives: list[Life], data: st.DataObject, field: str
) -> None:
    """Of the day a deal closed: by its change of stage, told anew, or by a change of `close_date`."""
    rows = [change.recorded() for life in lives for change in life.changes()]
    corrected, corrections, recorded = [], [], {}
    for life in lives:
        now = life
        if life.closed is not None and life.engaged is not None:
            right = life.engaged + timedelta(data.draw(st.integers(0, (life.closed - life.engaged).days)))
            on = life.closed + timedelta(data.draw(st.integers(1, 60)))
            now, recorded[life.opportunity_id] = replace(life, closed=right), on
            closing = next(c for c in life.changes() if c.field == "deal_stage" and c.old_value == ENGAGING)
            if field == "close_date":
                closing = Change(life.opportunity_id, field, None, str(right), on)
                corrections.append(closing.recorded())
            else:
                corrections.append(replace(closing, day=right).recorded(on))
        corrected.append(now)
    events = history([*rows, *corrections])
    for month in data.draw(st.lists(st.sampled_from(LATER), min_size=1, max_size=5, unique=True)):
        expected = [
            right if by(recorded.get(life.opportunity_id), month.end) else life
            for life, right in zip(lives, corrected, strict=True)
        ]
        assert_frame_equal(as_of(events, month.end), shown(expected, month), check_exact=True)


@fixed
@given(some_lives(), st.sampled_from(MONTHS), st.data())
def test_neither_the_order_of_rows_nor_repeated_rows_matter(
    lives: list[Life], month: Month, data: st.DataObject
) -> None:
    rows = [change.recorded(on) for life in lives for change, on in data.draw(told(life))]
    again = data.draw(st.lists(st.sampled_from(rows))) if rows else []
    shuffled = data.draw(st.permutations([*rows, *again]))
    assert_frame_equal(as_of(history(shuffled), month.end), as_of(history(rows), month.end), check_exact=True)


@st.composite
def walks(draw: st.DrawFn) -> list[Change]:
    """A field going from value to value, back to earlier ones on later days too, but not on one day."""
    number, value, held, changes = 0, None, set[str | None](), list[Change]()
    for _ in range(draw(st.integers(1, 12))):
        choices = [stage for stage in STAGES if stage not in {value, *held}]
        step = draw(st.integers(0 if choices else 1, 3))
        if step:
            held, choices = {value}, [stage for stage in STAGES if stage != value]
            number += step
        new = draw(st.sampled_from(choices))
        changes.append(Change("A", "deal_stage", value, new, day(number)))
        held.add(new)
        value = new
    return changes


@fixed
@given(walks())
def test_a_field_may_go_back_and_forth(changes: list[Change]) -> None:
    assert all(one.new_value == other.old_value for one, other in pairwise(changes))
    events = history(change.recorded() for change in changes)
    for then in sorted({change.day for change in changes}):
        by_then = [change for change in changes if change.day <= then]
        row = as_of(events, then).row(0, named=True)
        assert row["deal_stage"] == by_then[-1].new_value
        assert row["close_date"] == (by_then[-1].day if row["deal_stage"] in {WON, LOST} else None)


def stage(old: str | None, new: str, changed: int, recorded: int | None = None) -> Row:
    return Change("A", "deal_stage", old, new, day(changed)).recorded(None if recorded is None else day(recorded))


def field(name: str, old: str | None, new: str | None, changed: int, recorded: int | None = None) -> Row:
    return Change("A", name, old, new, day(changed)).recorded(None if recorded is None else day(recorded))


CREATED = [stage(None, PROSPECTING, 0), field("sales_agent", None, "Anna", 0), field("product", None, "GTX Pro", 0)]
ENGAGED = [*CREATED, stage(PROSPECTING, ENGAGING, 3)]
CLOSED = [*ENGAGED, stage(ENGAGING, WON, 10), field("close_value", None, "4800", 10)]
REOPENED = [*CLOSED, stage(WON, ENGAGING, 15)]


def known(rows: list[Row], number: int, *columns: str) -> Row:
    return as_of(history(rows), day(number)).select(columns).row(0)


DATED = ("deal_stage", "engage_date", "close_date", "close_value")


def test_before_the_first_change_nothing_is_known() -> None:
    for events in (history(CREATED), history([])):
        assert as_of(events, day(-1)).schema == SALES_PIPELINE.polars_schema()
        assert as_of(events, day(-1)).is_empty()


def test_a_prospect_has_no_dates() -> None:
    assert as_of(history(CREATED), day(0)).rows() == [("A", "Anna", "GTX Pro", None, PROSPECTING, None, None, None)]
    back = [*ENGAGED, stage(ENGAGING, PROSPECTING, 5)]
    assert known(back, 5, *DATED) == (PROSPECTING, None, None, None)
    assert known([*back, stage(PROSPECTING, ENGAGING, 9)], 9, *DATED) == (ENGAGING, day(3), None, None)


def test_what_happened_but_was_not_recorded_is_not_known() -> None:
    late = [*ENGAGED, stage(ENGAGING, WON, 10, 20), field("close_value", None, "4800", 10, 30)]
    assert known(late, 19, *DATED) == (ENGAGING, day(3), None, None)
    assert known(late, 20, *DATED) == (WON, day(3), day(10), None)
    assert known(late, 30, *DATED) == (WON, day(3), day(10), 4800.0)


def test_what_was_recorded_before_it_happened_is_not_known_before() -> None:
    ahead = [*ENGAGED, stage(ENGAGING, WON, 10, 8)]
    assert [known(ahead, number, "deal_stage") for number in (9, 10)] == [(ENGAGING,), (WON,)]


def test_changes_of_one_day_chain_whatever_order_they_were_recorded_in() -> None:
    chain = [*CREATED, stage(PROSPECTING, ENGAGING, 0, 2), stage(ENGAGING, LOST, 0, 1)]
    assert known(chain, 2, *DATED) == (LOST, day(0), day(0), None)
    agents = [field("sales_agent", "Anna", "Boris", 0, 5), field("sales_agent", "Boris", "Cecily", 0)]
    assert known([*CREATED, *agents], 5, "sales_agent") == ("Cecily",)


def test_a_day_that_ends_where_it_began_changes_nothing() -> None:
    there_and_back = [stage(ENGAGING, LOST, 6), stage(LOST, ENGAGING, 6)]
    assert known([*ENGAGED, *there_and_back], 6, *DATED) == (ENGAGING, day(3), None, None)
    same_day = [stage(PROSPECTING, ENGAGING, 0), stage(ENGAGING, PROSPECTING, 0)]
    assert known([*CREATED, *same_day], 0, *DATED) == (PROSPECTING, None, None, None)
    assert known([*CLOSED, stage(WON, WON, 15)], 15, *DATED) == (WON, day(3), day(10), 4800.0)


def test_of_two_values_of_one_day_the_last_recorded_counts() -> None:
    other = field("sales_agent", None, "Aaron", 0, 4)
    assert known([*CREATED, other], 3, "sales_agent") == ("Anna",)
    assert known([*CREATED, other], 4, "sales_agent") == ("Aaron",)
    # Nothing tells them apart, so the greater one does.
    assert known([*CREATED, field("sales_agent", None, "Boris", 0)], 0, "sales_agent") == ("Boris",)


def test_a_value_may_be_corrected_and_cleared() -> None:
    account = [
        field("account", None, "Acme", 2),
        field("account", "Acme", None, 5),
        field("account", None, "Zenith", 7),
    ]
    for number, expected in ((1, None), (2, "Acme"), (5, None), (7, "Zenith")):
        assert known([*CREATED, *account], number, "account") == (expected,)
    value = [*CLOSED, field("close_value", "4800", "5000", 10, 12)]
    assert [known(value, number, "close_value") for number in (11, 12)] == [(4800.0,), (5000.0,)]


def test_a_deal_that_is_reopened_is_open_again_until_it_closes_again() -> None:
    assert known(REOPENED, 14, *DATED) == (WON, day(3), day(10), 4800.0)
    assert known(REOPENED, 15, *DATED) == (ENGAGING, day(3), None, None)
    again = [*REOPENED, stage(ENGAGING, WON, 20)]
    assert known(again, 20, *DATED) == (WON, day(3), day(20), 4800.0)
    assert known([*REOPENED, stage(ENGAGING, LOST, 20)], 20, *DATED) == (LOST, day(3), day(20), 4800.0)
    # The first of two closings is corrected; it closed twice all the same.
    assert known([*again, stage(ENGAGING, WON, 8, 25)], 25, *DATED) == (WON, day(3), day(20), 4800.0)
    assert known([*again, stage(ENGAGING, WON, 18, 25)], 25, *DATED) == (WON, day(3), day(18), 4800.0)


def test_a_deal_that_is_reopened_and_closed_on_one_day_stays_closed() -> None:
    fixed_value = [*CLOSED, stage(WON, ENGAGING, 15), stage(ENGAGING, WON, 15), field("close_value", "4800", "5", 15)]
    assert known(fixed_value, 15, *DATED) == (WON, day(3), day(15), 5.0)


def test_both_dates_of_a_deal_may_be_corrected() -> None:
    earlier = [*CLOSED, stage(PROSPECTING, ENGAGING, 1, 12), stage(ENGAGING, WON, 2, 12)]
    assert known(earlier, 11, *DATED) == (WON, day(3), day(10), 4800.0)
    assert known(earlier, 12, *DATED) == (WON, day(1), day(2), 4800.0)
    reopening = [*REOPENED, stage(ENGAGING, WON, 20), stage(WON, ENGAGING, 12, 25), stage(ENGAGING, WON, 14, 25)]
    assert known(reopening, 25, *DATED) == (WON, day(3), day(14), 4800.0)
    # Until the engagement is corrected too, the deal was engaged after it closed.
    closing_only = [*CLOSED, stage(ENGAGING, WON, 2, 12)]
    assert known(closing_only, 12, *DATED) == (ENGAGING, day(3), None, None)


def test_a_correction_may_itself_be_corrected() -> None:
    there_and_back = [*CLOSED, stage(ENGAGING, WON, 8, 12), stage(ENGAGING, WON, 10, 14)]
    assert [known(there_and_back, number, "close_date") for number in (12, 13, 14)] == [
        (day(8),),
        (day(8),),
        (day(10),),
    ]
    twice = [*ENGAGED, stage(PROSPECTING, ENGAGING, 1, 12), stage(PROSPECTING, ENGAGING, 2, 12)]
    assert known(twice, 12, "engage_date") == (day(2),)


def test_dates_given_by_hand_take_the_place_of_those_of_the_changes() -> None:
    given_by_hand = [
        *CLOSED,
        field("engage_date", None, str(day(1)), 12),
        field("close_date", None, str(day(9)), 13, 14),
        field("close_date", str(day(9)), None, 20),
    ]
    assert known(given_by_hand, 11, *DATED) == (WON, day(3), day(10), 4800.0)
    assert known(given_by_hand, 13, *DATED) == (WON, day(1), day(10), 4800.0)
    assert known(given_by_hand, 14, *DATED) == (WON, day(1), day(9), 4800.0)
    assert known(given_by_hand, 20, *DATED) == (WON, day(1), day(10), 4800.0)
    assert known([*ENGAGED, field("close_date", None, str(day(9)), 5)], 5, *DATED) == (ENGAGING, day(3), None, None)


def test_a_date_given_on_the_day_the_change_was_recorded_counts() -> None:
    at_once = [*CLOSED, field("close_date", None, str(day(9)), 10)]
    assert known(at_once, 10, "close_date") == (day(9),)
    # That of the second close, though the first one was corrected since.
    again = [*REOPENED, stage(ENGAGING, WON, 20), field("close_date", None, str(day(19)), 22)]
    assert known([*again, stage(ENGAGING, WON, 8, 25)], 25, "close_date") == (day(19),)


def test_dates_given_before_the_change_was_recorded_are_of_something_else() -> None:
    """Such as the day a close was expected on, or that of an earlier close."""
    expected = [*ENGAGED, field("close_date", None, str(day(90)), 5), stage(ENGAGING, WON, 10)]
    assert known(expected, 10, *DATED) == (WON, day(3), day(10), None)
    assert known([*expected, stage(WON, ENGAGING, 15)], 15, *DATED) == (ENGAGING, day(3), None, None)
    first = [*CLOSED, field("close_date", None, str(day(9)), 12), stage(WON, ENGAGING, 15), stage(ENGAGING, WON, 20)]
    assert known(first, 20, *DATED) == (WON, day(3), day(20), 4800.0)


def test_what_no_change_tells_is_left_to_quality_control() -> None:
    assert as_of(history([field("account", None, "Acme", 0)]), day(0)).rows() == [
        ("A", None, None, "Acme", None, None, None, None)
    ]
    assert known([*CREATED, stage(PROSPECTING, WON, 4)], 4, *DATED) == (WON, None, day(4), None)
    imported = [*CREATED, stage(PROSPECTING, WON, 4), field("engage_date", None, str(day(2)), 4)]
    assert known(imported, 4, *DATED) == (WON, day(2), day(4), None)
    assert known([*CREATED, stage(PROSPECTING, "Parked", 4)], 4, *DATED) == ("Parked", None, None, None)


def test_the_example_of_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "sources.md").read_text(encoding="utf-8")
    example = page.split("```csv\n")[1].split("```")[0]
    events = pl.read_csv(example.encode(), schema=OPPORTUNITY_HISTORY.polars_schema())
    april, may, june = (as_of(events, Month(2017, number).end).row(0, named=True) for number in (4, 5, 6))
    assert (april["account"], april["deal_stage"], april["close_value"]) == ("Cancity", ENGAGING, None)
    assert (may["deal_stage"], may["close_date"], may["close_value"]) == (WON, date(2017, 4, 28), 1054.0)
    assert june == may | {"close_date": date(2017, 4, 24)}
