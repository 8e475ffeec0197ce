from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl
import pytest
from hypothesis import given
from polars.testing import assert_series_equal

from crm_assets.calendar import Month
from crm_assets.features.registry import FEATURE_NAMES, FEATURE_TABLE, FEATURES
from crm_assets_tests.history.lives import Life, export, fixed, months, some_lives
from crm_assets_tests.history.on_polars import month_tables

MAY = Month(2017, 5)


def life(name: str, agent: str, product: str, engaged: date, closed: date | None = None, *, won: bool = False) -> Life:
    return Life(name, agent, product, engaged, engaged, closed, won, 9.0)


JUNE_1 = date(2017, 6, 1)
LIVES = [
    # Closed: Anna 2 of 3 won, Boris 1 of 2. All but c1 and c5 within 90 days: c1 closed on the last day before them.
    life("c1", "Anna", "GTX Pro", date(2016, 12, 1), date(2017, 3, 2), won=True),  # 91 days
    life("c2", "Anna", "GTXPro", date(2017, 1, 10), date(2017, 3, 3)),  # 52 days
    life("c3", "Anna", "MG Special", date(2017, 4, 26), MAY.end, won=True),  # 35 days
    life("c4", "Boris", "MG Special", date(2017, 2, 1), date(2017, 5, 1), won=True),  # 89 days
    life("c5", "Boris", "GTX Pro", date(2016, 11, 1), date(2017, 1, 5)),  # 65 days
    # The book, at ages of 100, 99, 138, 137 and 0 days.
    life("o1", "Anna", "GTX Pro", date(2017, 2, 20), JUNE_1, won=True),
    life("o2", "Anna", "MG Special", date(2017, 2, 21)),
    life("o3", "Boris", "GTXPro", date(2017, 1, 13), JUNE_1),
    life("o4", "Boris", "MG Special", date(2017, 1, 14)),
    life("o5", "Cecily", "GTX Pro", MAY.end),
    # Not in it: prospecting, and not there yet.
    Life("p1", "Anna", "GTX Pro", date(2017, 1, 1), JUNE_1),
    life("p2", "Anna", "GTX Pro", JUNE_1, JUNE_1, won=True),
]


def drawn(hits: int, trials: int, overall: float) -> float:
    """A group's rate drawn towards the overall one by 20 deals."""
    return (hits + 20 * overall) / (trials + 20)


WON, WON_RECENT, CLOSED_RECENT, DAYS, OLD_100, OLD_138 = 3 / 5, 2 / 3, 3 / 8, 332 / 5, 3 / 7, 1 / 4
ANNA, BORIS, CECILY = (
    {
        "win_rate": drawn(2, 3, WON),
        "win_rate_recent": drawn(1, 2, WON_RECENT),
        "close_rate_recent": drawn(2, 4, CLOSED_RECENT),
        "days_to_close": drawn(178, 3, DAYS),
        "share_open_100": drawn(1, 3, OLD_100),
        "share_open_138": drawn(0, 2, OLD_138),
    },
    {
        "win_rate": drawn(1, 2, WON),
        "win_rate_recent": drawn(1, 1, WON_RECENT),
        "close_rate_recent": drawn(1, 3, CLOSED_RECENT),
        "days_to_close": drawn(154, 2, DAYS),
        "share_open_100": drawn(2, 4, OLD_100),
        "share_open_138": drawn(1, 2, OLD_138),
    },
    {
        "win_rate": WON,
        "win_rate_recent": WON_RECENT,
        "close_rate_recent": drawn(0, 1, CLOSED_RECENT),
        "days_to_close": DAYS,
        "share_open_100": OLD_100,
        "share_open_138": OLD_138,
    },
)
DUSTIN = {
    "win_rate": drawn(3, 5, WON),
    "win_rate_recent": drawn(2, 3, WON_RECENT),
    "close_rate_recent": drawn(3, 7, CLOSED_RECENT),
    "days_to_close": drawn(332, 5, DAYS),
}
GTX_PRO, MG_SPECIAL = (
    {
        "win_rate": drawn(1, 3, WON),
        "win_rate_recent": drawn(0, 1, WON_RECENT),
        "close_rate_recent": drawn(1, 4, CLOSED_RECENT),
        "days_to_close": drawn(208, 3, DAYS),
    },
    {
        "win_rate": drawn(2, 2, WON),
        "win_rate_recent": drawn(2, 2, WON_RECENT),
        "close_rate_recent": drawn(2, 4, CLOSED_RECENT),
        "days_to_close": drawn(124, 2, DAYS),
    },
)
AGENTS = (ANNA, ANNA, BORIS, BORIS, CECILY)
EXPECTED: dict[str, Sequence[object]] = {
    "age_days": [100, 99, 138, 137, 0],
    "next_quarter_position": [3] * 5,
    "next_month_days": [30] * 5,
    "engage_quarter_position": [2, 2, 1, 1, 2],
    # Mondays of the fortnights: 2017-02-13, 2017-01-02, 2017-05-22; 14 days each from 1970-01-05.
    "engage_fortnight": [1229, 1229, 1226, 1226, 1236],
    "list_price": [4821.0, 55.0, 4821.0, 55.0, 4821.0],
    "product": ["GTX Pro", "MG Special", "GTX Pro", "MG Special", "GTX Pro"],
    "series": ["GTX", "MG", "GTX", "MG", "GTX"],
    "sales_agent": ["Anna", "Anna", "Boris", "Boris", "Cecily"],
    "manager": ["Dustin"] * 4 + ["Elke"],
    "regional_office": ["Central"] * 4 + ["West"],
    **{f"agent_{rate}": [agent[rate] for agent in AGENTS] for rate in ANNA},
    # Elke and the West are Cecily; Dustin and Central are the others.
    **{f"{group}_{rate}": [DUSTIN[rate]] * 4 + [CECILY[rate]] for group in ("manager", "region") for rate in DUSTIN},
    **{
        f"product_{rate}": [product[rate] for product in (GTX_PRO, MG_SPECIAL, GTX_PRO, MG_SPECIAL, GTX_PRO)]
        for rate in DUSTIN
    },
    "agent_open": [2, 2, 2, 2, 1],
    "agent_closed_recent": [2, 2, 1, 1, 0],
    # o1 and o2 were engaged in one week; o3, o4 and c2 in another.
    "cohort_size": [2, 2, 3, 3, 1],
    "cohort_share_open": [1.0, 1.0, 2 / 3, 2 / 3, 1.0],
    "agent_days_since_close": [0, 0, 30, 30, None],
}


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    return month_tables(export(LIVES, MAY.end), MAY).features


def test_one_row_per_opportunity_of_the_book(table: pl.DataFrame) -> None:
    assert table.schema == FEATURE_TABLE.polars_schema()
    assert table["opportunity_id"].to_list() == ["o1", "o2", "o3", "o4", "o5"]
    assert set(table["snapshot_month"]) == {"2017-05"}
    assert set(table["as_of"]) == {MAY.end}


def test_every_feature_is_tried() -> None:
    assert set(EXPECTED) == set(FEATURE_NAMES)


@pytest.mark.parametrize("name", FEATURE_NAMES)
def test_value(table: pl.DataFrame, name: str) -> None:
    assert_series_equal(table[name], pl.Series(name, EXPECTED[name]), rel_tol=1e-12)


@pytest.mark.parametrize(
    ("month", "position", "length"), [("2016-12", 1, 31), ("2017-01", 2, 28), ("2016-01", 2, 29), ("2017-11", 3, 31)]
)
def test_the_month_that_is_predicted(month: str, position: int, length: int) -> None:
    snapshot = Month.parse(month)
    found = month_tables(export([life("a", "Anna", "GTX Pro", snapshot.start)], snapshot.end), snapshot).features
    assert found.select("next_quarter_position", "next_month_days").rows() == [(position, length)]


def test_before_anything_closed_there_are_no_rates() -> None:
    found = month_tables(export([life("a", "Anna", "GTX Pro", MAY.start)], MAY.end), MAY).features
    (row,) = found.to_dicts()
    empty = {name for name, value in row.items() if value is None}
    rates = {name for name in FEATURE_NAMES if name.endswith(("win_rate", "win_rate_recent", "days_to_close"))}
    assert empty == rates | {"agent_share_open_100", "agent_share_open_138", "agent_days_since_close"}
    assert row["agent_close_rate_recent"] == 0


def test_without_a_book() -> None:
    closed = [life("a", "Anna", "GTX Pro", MAY.start, MAY.end)]
    for lives in ([], closed):
        found = month_tables(export(lives, MAY.end), MAY).features
        assert found.is_empty()
        assert found.schema == FEATURE_TABLE.polars_schema()


@fixed
@given(some_lives(), months())
def test_shares_lie_between_0_and_1_and_numbers_are_finite(lives: list[Life], month: Month) -> None:
    found = month_tables(export(lives, month.end), month).features
    for feature in FEATURES:
        values = found[feature.name].drop_nulls()
        if feature.unit == "share":
            assert values.is_between(0, 1).all(), feature.name
        elif not feature.categorical:
            assert (values.is_finite() & (values >= 0)).all(), feature.name
