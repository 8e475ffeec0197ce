from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from crm_assets.calendar import Month
from crm_assets.contracts import PRODUCTS, SALES_PIPELINE, SALES_TEAMS, STAGES
from crm_assets.history.snapshots import QUARANTINE, RULES, SNAPSHOTS, reason_counts
from crm_assets_tests.history.lives import LAST, TEAMS, Life, export, fixed, months, some_lives
from crm_assets_tests.history.on_polars import MonthTables, month_tables, replayed

MAY = Month(2017, 5)
OPEN: dict[str, Any] = {
    "opportunity_id": "A",
    "sales_agent": "Anna",
    "product": "GTX Pro",
    "account": None,
    "deal_stage": "Engaging",
    "engage_date": date(2017, 3, 1),
    "close_date": None,
    "close_value": None,
}
WON = {**OPEN, "deal_stage": "Won", "close_date": date(2017, 4, 30), "close_value": 4800.0, "account": "Acme"}
LOST = {**WON, "deal_stage": "Lost", "close_value": 0.0}
PROSPECTING = {**OPEN, "deal_stage": "Prospecting", "engage_date": None}

BREAKS: dict[str, tuple[dict[str, Any], ...]] = {
    "no opportunity_id": ({**OPEN, "opportunity_id": None},),
    "no sales_agent": ({**OPEN, "sales_agent": None},),
    "no product": ({**WON, "product": None},),
    "no deal_stage": ({**OPEN, "deal_stage": None},),
    "duplicate opportunity_id": (OPEN, WON),
    "unknown deal_stage": ({**OPEN, "deal_stage": "engaging"},),
    "unknown sales_agent": ({**OPEN, "sales_agent": "Zoe"},),
    "unknown product": ({**OPEN, "product": "gtx pro"},),
    "closed before it was engaged": ({**WON, "close_date": date(2017, 2, 28)},),
    "closed without close_date": ({**WON, "close_date": None}, {**LOST, "opportunity_id": "B", "close_date": None}),
    "engaged or closed without engage_date": (
        {**OPEN, "engage_date": None},
        {**WON, "opportunity_id": "B", "engage_date": None},
    ),
    "open with a close_date": (
        {**OPEN, "close_date": date(2017, 4, 1)},
        {**PROSPECTING, "opportunity_id": "B", "close_date": date(2017, 4, 1)},
    ),
    "prospecting with an engage_date": ({**PROSPECTING, "engage_date": date(2017, 3, 1)},),
    "negative close_value": ({**WON, "close_value": -0.01},),
    "won without close_value": ({**WON, "close_value": None},),
    "dated after the snapshot": (
        {**OPEN, "engage_date": date(2017, 6, 1)},
        {**WON, "opportunity_id": "B", "close_date": date(2017, 6, 1)},
    ),
}
"""Reason -> rows that break that rule and no other."""


def made(*rows: dict[str, Any]) -> MonthTables:
    return month_tables(pl.DataFrame(rows, SALES_PIPELINE.polars_schema(), orient="row"), MAY)


def test_every_rule_is_tried() -> None:
    assert list(BREAKS) == [rule.reason for rule in RULES]


@pytest.mark.parametrize(("reason", "rows"), BREAKS.items(), ids=lambda value: value if isinstance(value, str) else "")
def test_rule(reason: str, rows: tuple[dict[str, Any], ...]) -> None:
    good = {**OPEN, "opportunity_id": "good"}
    tables = made(*rows, good)
    assert tables.quarantine["reasons"].to_list() == [reason] * len(rows)
    assert tables.snapshots["opportunity_id"].to_list() == ["good"]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(OPEN, id="open"),
        pytest.param(WON, id="won"),
        pytest.param(LOST, id="lost"),
        pytest.param(PROSPECTING, id="prospecting"),
        pytest.param({**LOST, "close_value": None}, id="lost without a value"),
        pytest.param({**WON, "close_value": 0.0}, id="won for nothing"),
        pytest.param({**WON, "close_date": date(2017, 3, 1)}, id="closed on the day it was engaged"),
        pytest.param({**WON, "engage_date": MAY.end, "close_date": MAY.end}, id="on the last day"),
        pytest.param({**OPEN, "product": "GTXPro"}, id="known wrong spelling"),
    ],
)
def test_good_row(row: dict[str, Any]) -> None:
    tables = made(row)
    assert tables.quarantine.is_empty()
    assert tables.snapshots.height == 1


def test_a_row_has_every_reason_in_the_order_of_the_rules() -> None:
    row = {**WON, "sales_agent": "Zoe", "product": None, "close_date": date(2017, 2, 1), "close_value": -1.0}
    assert made(row).quarantine["reasons"].to_list() == [
        "no product; unknown sales_agent; closed before it was engaged; negative close_value"
    ]


def test_a_row_of_nulls_is_quarantined() -> None:
    tables = made(dict.fromkeys(SALES_PIPELINE.column_names))
    assert tables.quarantine["reasons"].to_list() == ["no opportunity_id; no sales_agent; no product; no deal_stage"]


def test_every_copy_of_an_id_is_quarantined() -> None:
    tables = made(OPEN, OPEN, {**OPEN, "opportunity_id": "B"}, WON)
    assert tables.quarantine["opportunity_id"].to_list() == ["A", "A", "A"]
    assert tables.snapshots["opportunity_id"].to_list() == ["B"]


def test_rows_without_id_are_no_duplicates_of_each_other() -> None:
    tables = made({**OPEN, "opportunity_id": None}, {**WON, "opportunity_id": None})
    assert tables.quarantine["reasons"].to_list() == ["no opportunity_id"] * 2


def test_snapshot_row() -> None:
    (row,) = made({**WON, "product": "GTXPro"}).snapshots.to_dicts()
    assert row == {
        "opportunity_id": "A",
        "snapshot_month": "2017-05",
        "as_of": date(2017, 5, 31),
        "sales_agent": "Anna",
        "manager": "Dustin",
        "regional_office": "Central",
        "product": "GTX Pro",
        "series": "GTX",
        "list_price": 4821.0,
        "account": "Acme",
        "deal_stage": "Won",
        "in_book": False,
        "engage_date": date(2017, 3, 1),
        "close_date": date(2017, 4, 30),
        "close_value": 4800.0,
        "age_days": 91,
        "days_to_close": 60,
    }


def test_ages_and_the_book() -> None:
    rows = [
        {**OPEN, "opportunity_id": "1", "engage_date": MAY.end},
        {**PROSPECTING, "opportunity_id": "2"},
        {**LOST, "opportunity_id": "3", "close_date": date(2017, 3, 1)},
    ]
    found = made(*rows).snapshots.select("in_book", "age_days", "days_to_close").rows()
    assert found == [(True, 0, None), (False, None, None), (False, 91, 0)]


def test_products_without_a_price_are_unknown() -> None:
    pipeline = pl.DataFrame([OPEN], SALES_PIPELINE.polars_schema(), orient="row")
    no_prices = pl.DataFrame(schema=PRODUCTS.polars_schema())
    tables = month_tables(pipeline, MAY, no_prices, pl.DataFrame(schema=SALES_TEAMS.polars_schema()))
    assert tables.quarantine["reasons"].to_list() == ["unknown sales_agent; unknown product"]


def test_sorted_by_id() -> None:
    tables = made(*({**OPEN, "opportunity_id": name} for name in ("b", "B", "é", "10", "9", "a")))
    assert tables.snapshots["opportunity_id"].to_list() == ["10", "9", "B", "a", "b", "é"]


def test_quarantine_is_sorted_by_all_it_holds() -> None:
    rows = [{**OPEN, "sales_agent": agent} for agent in ("Cecily", "Anna", "Boris")]
    expected = made(*rows).quarantine
    assert expected["sales_agent"].to_list() == ["Anna", "Boris", "Cecily"]
    assert_frame_equal(made(*reversed(rows)).quarantine, expected)


def test_types_are_those_of_the_contract_even_without_rows() -> None:
    for tables in (made(), made(OPEN), made(WON, {**OPEN, "sales_agent": None})):
        assert tables.snapshots.schema == SNAPSHOTS.polars_schema()
        assert tables.quarantine.schema == QUARANTINE.polars_schema()


def test_reason_counts() -> None:
    reasons = ["no product", "no deal_stage; no product", "negative close_value", "no product"]
    counts = reason_counts(reasons)
    assert counts == {"no product": 3, "negative close_value": 1, "no deal_stage": 1}
    assert list(counts) == ["no product", "negative close_value", "no deal_stage"]
    assert reason_counts([]) == {}


_days = st.none() | st.dates(date(2017, 2, 27), date(2017, 6, 2))
any_rows = st.lists(
    st.fixed_dictionaries(
        {
            "opportunity_id": st.sampled_from(["A", "B", "C", "D", "E", "F", "G", None]),
            "sales_agent": st.sampled_from([*TEAMS["sales_agent"], "Zoe", None]),
            "product": st.sampled_from(["GTX Pro", "GTXPro", "MG Special", "gtx pro", None]),
            "account": st.sampled_from(["Acme", None]),
            "deal_stage": st.sampled_from([*STAGES, *STAGES, "", None]),
            "engage_date": _days,
            "close_date": _days,
            "close_value": st.sampled_from([None, 0.0, 4800.0, -1.0]),
        }
    ),
    max_size=12,
)


@fixed
@given(any_rows)
def test_every_row_is_in_the_snapshot_or_the_quarantine(rows: list[dict[str, Any]]) -> None:
    tables = made(*rows)
    names = SALES_PIPELINE.column_names
    mended = [tuple("GTX Pro" if row[name] == "GTXPro" else row[name] for name in names) for row in rows]
    both = tables.snapshots.select(names).rows() + tables.quarantine.select(names).rows()
    assert Counter(both) == Counter(mended)
    assert tables.snapshots["opportunity_id"].is_unique().all()
    assert set(tables.snapshots["opportunity_id"]).isdisjoint(tables.quarantine["opportunity_id"])


@fixed
@given(any_rows)
def test_what_a_snapshot_holds_fits_its_contract(rows: list[dict[str, Any]]) -> None:
    snapshots = made(*rows).snapshots
    for column in SNAPSHOTS.columns:
        values = snapshots[column.name].drop_nulls()
        assert not column.required or len(values) == snapshots.height
        assert not column.allowed or set(values) <= set(column.allowed)
        assert column.minimum is None or (values >= column.minimum).all()
    assert (snapshots["age_days"].drop_nulls() >= 0).all()
    assert (snapshots["days_to_close"].drop_nulls() >= 0).all()


@fixed
@given(some_lives(), months())
def test_nothing_of_a_sound_crm_is_quarantined(lives: list[Life], month: Month) -> None:
    for pipeline in (export(lives, month.end), replayed(export(lives, LAST.end), month)):
        tables = month_tables(pipeline, month)
        assert tables.quarantine.is_empty()
        assert set(tables.book["opportunity_id"]) == {life.opportunity_id for life in lives if life.in_book(month.end)}
