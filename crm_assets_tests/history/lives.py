"""Small made-up CRMs of which all is known: what happens to each opportunity, and what the CRM shows on a day."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl
from hypothesis import settings
from hypothesis import strategies as st

from crm_assets.calendar import Month, month_range
from crm_assets.contracts import (
    ENGAGING,
    LOST,
    OPPORTUNITY_HISTORY,
    PRODUCTS,
    PROSPECTING,
    SALES_PIPELINE,
    SALES_TEAMS,
    WON,
)

fixed = settings(derandomize=True, database=None, deadline=None, max_examples=20)
"""The same examples in every run."""

FIRST, LAST = Month(2016, 11), Month(2017, 6)
MONTHS = month_range(FIRST, LAST)
"""Long enough for opportunities that are older than each age the features count by, over a year's end."""

TEAMS = pl.DataFrame(
    [("Anna", "Dustin", "Central"), ("Boris", "Dustin", "Central"), ("Cecily", "Elke", "West")],
    SALES_TEAMS.polars_schema(),
    orient="row",
)
PRICES = pl.DataFrame([("GTX Pro", "GTX", 4821.0), ("MG Special", "MG", 55.0)], PRODUCTS.polars_schema(), orient="row")


_OWNED = ("sales_agent", "product")


@dataclass(frozen=True)
class Change:
    """A change of one field of an opportunity."""

    opportunity_id: str
    field: str
    old_value: str | None
    new_value: str | None
    day: date

    def recorded(self, on: date | None = None) -> tuple[object, ...]:
        """Its row of `opportunity_history`, recorded on its day or on another."""
        return (self.opportunity_id, self.field, self.old_value, self.new_value, self.day, on or self.day)


@dataclass(frozen=True)
class Life:
    """What happens to one opportunity; None for what never does. Its account is filled in on `account_known`."""

    opportunity_id: str
    sales_agent: str
    product: str
    created: date
    engaged: date | None = None
    closed: date | None = None
    won: bool = False
    value: float = 0.0
    account_known: date | None = None

    def in_book(self, day: date) -> bool:
        return by(self.engaged, day) and not by(self.closed, day)

    def stage(self, day: date) -> str:
        if by(self.closed, day):
            return WON if self.won else LOST
        return ENGAGING if by(self.engaged, day) else PROSPECTING

    def changes(self) -> list[Change]:
        """Every change of a field of it, in the order of each field."""
        created = [Change(self.opportunity_id, "deal_stage", None, PROSPECTING, self.created)]
        created += [Change(self.opportunity_id, name, None, str(getattr(self, name)), self.created) for name in _OWNED]
        later = []
        if self.account_known is not None:
            later.append(Change(self.opportunity_id, "account", None, "Acme", self.account_known))
        if self.engaged is not None:
            later.append(Change(self.opportunity_id, "deal_stage", PROSPECTING, ENGAGING, self.engaged))
        if self.closed is not None:
            stage, value = (WON, self.value) if self.won else (LOST, 0.0)
            later.append(Change(self.opportunity_id, "deal_stage", ENGAGING, stage, self.closed))
            later.append(Change(self.opportunity_id, "close_value", None, str(value), self.closed))
        return created + later

    def shown(self, day: date) -> tuple[object, ...]:
        """Its row of `sales_pipeline` in an export taken at the end of `day`."""
        closed = by(self.closed, day)
        return (
            self.opportunity_id,
            self.sales_agent,
            self.product,
            "Acme" if by(self.account_known, day) else None,
            self.stage(day),
            self.engaged if by(self.engaged, day) else None,
            self.closed if closed else None,
            (self.value if self.won else 0.0) if closed else None,
        )


def by(happens: date | None, day: date) -> bool:
    """Whether it has happened by the end of `day`."""
    return happens is not None and happens <= day


def export(lives: Iterable[Life], day: date) -> pl.DataFrame:
    """`sales_pipeline` as exported at the end of `day`."""
    rows = [life.shown(day) for life in lives if life.created <= day]
    return pl.DataFrame(rows, SALES_PIPELINE.polars_schema(), orient="row")


def history(rows: Iterable[tuple[object, ...]]) -> pl.DataFrame:
    """The rows as `opportunity_history`."""
    return pl.DataFrame(list(rows), OPPORTUNITY_HISTORY.polars_schema(), orient="row")


_DAYS = (LAST.end - FIRST.start).days
_EDGES = sorted({(day - FIRST.start).days for month in MONTHS for day in (month.start, month.end)})
_WAITS = (0, 1, 7, 30, 60, 89, 90, 91, 120)


def days(low: int = 0) -> st.SearchStrategy[int]:
    """Days from the first of `FIRST`, not before `low`, often the first or last of a month."""
    edges = [day for day in _EDGES if day >= low]
    every = st.integers(low, max(low, _DAYS))
    return st.sampled_from(edges) | every if edges else every


@st.composite
def a_life(draw: st.DrawFn, opportunity_id: str) -> Life:
    start = draw(days())
    created = draw(st.integers(max(0, start - 20), start))
    engaged = None if draw(st.integers(0, 5)) == 0 else start
    closed = None
    if engaged is not None and draw(st.integers(0, 2)):
        closed = draw(st.sampled_from(_WAITS).map(lambda wait: start + wait) | days(start))
    account = draw(st.none() | st.integers(created, created + 200))

    def on(number: int | None) -> date | None:
        return None if number is None else FIRST.start + timedelta(days=number)

    return Life(
        opportunity_id,
        draw(st.sampled_from(TEAMS["sales_agent"].to_list())),
        draw(st.sampled_from(["GTX Pro", "GTXPro", "MG Special"])),
        FIRST.start + timedelta(days=created),
        on(engaged),
        on(closed),
        draw(st.booleans()),
        float(draw(st.integers(1, 9000))),
        # A CRM asks for the account at the latest when a deal closes.
        on(min((day for day in (account, closed) if day is not None), default=None)),
    )


@st.composite
def some_lives(draw: st.DrawFn, prefix: str = "", most: int = 25) -> list[Life]:
    """Up to `most` opportunities in an order that is not that of their ids, which begin with `prefix`."""
    count = draw(st.integers(0, most))
    return [draw(a_life(f"{prefix}{number * 7 % 26:02d}")) for number in range(count)]


def months() -> st.SearchStrategy[Month]:
    """A month before the last, some months after the first."""
    return st.sampled_from(MONTHS[2:-1])
