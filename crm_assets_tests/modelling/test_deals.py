from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_assets.calendar import Month, month_range
from crm_assets.modelling.deals import OPEN, Deals, to_days
from crm_assets_tests.modelling.made_up_business import LAST, Business

COLUMNS = ["engage_date", "close_date", "deal_stage", "sales_agent", "regional_office", "product"]
MONTHS = month_range(Month(2016, 11), Month(2017, 4))

Row = tuple[date | None, date | None, str, str, str, str]


def snapshot(*rows: Row) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=COLUMNS)
    for name in ("engage_date", "close_date"):
        frame[name] = pd.to_datetime(frame[name])
    return frame


ROWS: tuple[Row, ...] = (
    (date(2017, 1, 9), None, "Engaging", "Bob", "West", "MG"),
    (date(2016, 12, 30), date(2017, 1, 31), "Won", "Ann", "East", "GTX"),
    (None, None, "Prospecting", "Zoe", "North", "GTK"),
    (date(2017, 1, 9), date(2017, 1, 9), "Lost", "Bob", "East", "GTX"),
)


def test_a_snapshot_becomes_days_codes_and_outcomes() -> None:
    deals = Deals.from_snapshot(snapshot(*ROWS), Month(2017, 1))
    assert len(deals) == 3
    assert deals.as_of == (date(2017, 1, 31) - date(1970, 1, 1)).days
    assert deals.engaged.tolist() == [to_days(date(2016, 12, 30)), *[to_days(date(2017, 1, 9))] * 2]
    assert deals.closed.tolist() == [to_days(date(2017, 1, 31)), to_days(date(2017, 1, 9)), OPEN]
    assert deals.is_closed.tolist() == [True, True, False]
    assert deals.won.tolist() == [True, False, False]
    assert [deals.agents[code] for code in deals.agent] == ["Ann", "Bob", "Bob"]
    assert [deals.regions[code] for code in deals.region] == ["East", "East", "West"]
    assert [deals.products[code] for code in deals.product] == ["GTX", "GTX", "MG"]
    # A name of no engaged deal is none.
    assert (deals.agents, deals.regions, deals.products) == (("Ann", "Bob"), ("East", "West"), ("GTX", "MG"))


@pytest.mark.parametrize("kept", [0, 1])
def test_one_deal_or_none_will_do(kept: int) -> None:
    deals = Deals.from_snapshot(snapshot(*ROWS[:1]).iloc[:kept], Month(2017, 1))
    assert len(deals) == kept
    assert not deals.is_closed.any()
    assert deals.as_known_at(deals.as_of - 365).digest == deals.only(deals.won).as_known_at(deals.as_of - 365).digest


@pytest.mark.parametrize("kind", ["milliseconds", "dates"])
def test_dates_of_every_kind_are_the_same_days(kind: str) -> None:
    rows = snapshot(*ROWS)
    expected = Deals.from_snapshot(rows, Month(2017, 1))
    changed = rows.copy()
    for name in ("engage_date", "close_date"):
        dates = pd.Series(rows[name].dt.date, dtype=object)
        changed[name] = dates if kind == "dates" else rows[name].dt.as_unit("ms")
    assert Deals.from_snapshot(changed, Month(2017, 1)).digest == expected.digest


def test_the_order_the_ids_and_the_index_of_rows_do_not_matter() -> None:
    rows = Business.of(400, seed=2).snapshot(LAST)
    shuffled = rows.sample(frac=1, random_state=3).assign(opportunity_id="other")
    assert Deals.from_snapshot(shuffled, LAST).digest == Deals.from_snapshot(rows, LAST).digest


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.assign(engage_date=rows["engage_date"] - timedelta(days=1)),
        lambda rows: rows.assign(close_date=rows["close_date"] + timedelta(days=1)),
        lambda rows: rows.assign(deal_stage=rows["deal_stage"].replace("Won", "Lost")),
        lambda rows: rows.assign(sales_agent=rows["sales_agent"].replace("Bob", "Bobby")),
        lambda rows: rows.assign(regional_office=rows["regional_office"].replace("West", "North")),
        lambda rows: rows.assign(product="GTX"),
        lambda rows: rows.iloc[1:],
    ],
)
def test_the_digest_tells_any_difference(change: Any) -> None:
    rows = snapshot(*ROWS)
    changed = Deals.from_snapshot(change(rows), Month(2017, 2))
    assert changed.digest != Deals.from_snapshot(rows, Month(2017, 2)).digest
    assert Deals.from_snapshot(rows, Month(2017, 2)).digest != Deals.from_snapshot(rows, Month(2017, 3)).digest


@st.composite
def histories(draw: st.DrawFn) -> list[Row]:
    """Deals of half a year; many of them engaged or closed on the same days."""
    rows: list[Row] = []
    for _ in range(draw(st.integers(0, 25))):
        engaged = date(2016, 11, 1) + timedelta(days=draw(st.sampled_from([0, 3, 27, 30, 60, 61, 100])))
        age = draw(st.none() | st.sampled_from([0, 1, 4, 28, 60, 90]))
        names = [draw(st.sampled_from(pair)) for pair in (("Ann", "Bob", "Cid"), ("East", "West"), ("GTX", "MG"))]
        stage = "Engaging" if age is None else draw(st.sampled_from(["Won", "Lost"]))
        closed = None if age is None else engaged + timedelta(days=age)
        rows.append((engaged, closed, stage, *names))  # type: ignore[arg-type]
    return rows


def known_by(rows: list[Row], day: date) -> list[Row]:
    """The rows as a snapshot of an earlier day would have had them."""
    known: list[Row] = []
    for engaged, closed, stage, *names in rows:
        if engaged is None or engaged > day:
            continue
        is_open = closed is None or closed > day
        known.append((engaged, None if is_open else closed, "Engaging" if is_open else stage, *names))  # type: ignore[arg-type]
    return known


@given(rows=histories(), month=st.sampled_from(MONTHS), later=st.sampled_from(MONTHS))
@settings(max_examples=60)
def test_as_known_earlier_they_are_those_of_the_earlier_snapshot(rows: list[Row], month: Month, later: Month) -> None:
    month, later = sorted([month, later])
    now = Deals.from_snapshot(snapshot(*known_by(rows, later.end)), later)
    then = Deals.from_snapshot(snapshot(*known_by(rows, month.end)), month)
    assert now.as_known_at(int(to_days(month.end))).digest == then.digest


@given(rows=histories(), back=st.integers(0, 200), further=st.integers(0, 60))
@settings(max_examples=60)
def test_nothing_later_than_the_day_is_known(rows: list[Row], back: int, further: int) -> None:
    deals = Deals.from_snapshot(snapshot(*rows), Month(2017, 6))
    day = deals.as_of - back
    known = deals.as_known_at(day)
    assert known.as_of == day
    assert (known.engaged <= day).all()
    assert (known.closed <= day).all()
    assert not known.won[~known.is_closed].any()
    assert (known.closed[known.is_closed] >= known.engaged[known.is_closed]).all()
    assert known.as_known_at(day - further).digest == deals.as_known_at(day - further).digest
    assert set(known.agents) == {known.agents[code] for code in known.agent}


def test_only_some_keep_their_values() -> None:
    deals = Deals.from_snapshot(snapshot(*ROWS), Month(2017, 1))
    some = deals.only(np.array([True, False, True]))
    assert some.closed.tolist() == [deals.closed[0], OPEN]
    assert [some.agents[code] for code in some.agent] == ["Ann", "Bob"]
    assert some.as_of == deals.as_of
