from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_assets.calendar import Month
from crm_assets.errors import QualityError
from crm_assets.modelling import forecast as module
from crm_assets.modelling.forecast import FORECAST, forecast

MONTH = Month(2017, 12)


def scores(probability: list[float], price: list[float], agent: list[str | None] | None = None) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "probability": np.array(probability, dtype=np.float64),
            "list_price": np.array(price, dtype=np.float64),
            "regional_office": "West",
            "product": "GTX Pro",
            "sales_agent": agent or ["Ann"] * len(price),
        }
    )


def row(table: pd.DataFrame, level: str, name: str) -> pd.Series:
    found = table[(table["level"] == level) & (table["name"] == name)]
    assert len(found) == 1
    return found.iloc[0]


def exact_quantile(probability: list[float], price: list[float], share: float) -> float:
    sums: dict[float, float] = {}
    for wins in itertools.product([0, 1], repeat=len(price)):
        chance = float(np.prod([p if won else 1 - p for p, won in zip(probability, wins, strict=True)]))
        total = float(np.dot(wins, price))
        sums[total] = sums.get(total, 0) + chance
    reached = 0.0
    for total in sorted(sums):
        reached += sums[total]
        if reached >= share:
            return total
    return max(sums)


def test_expected_wins_and_revenue_by_level() -> None:
    table = forecast(scores([0.5, 0.2, 0.1], [100, 50, 1000], ["Bob", "Ann", "Bob"]), month=MONTH, seed=1)
    assert list(table.columns) == FORECAST.column_names
    assert set(table["snapshot_month"]) == {"2017-12"}
    assert set(table["forecast_month"]) == {"2018-01"}
    assert table[["level", "name"]].to_numpy().tolist() == [
        ["total", "total"],
        ["region", "West"],
        ["product", "GTX Pro"],
        ["agent", "Ann"],
        ["agent", "Bob"],
    ]
    total = row(table, "total", "total")
    assert total["deals"] == 3
    assert total["expected_wins"] == pytest.approx(0.8)
    assert total["expected_revenue"] == pytest.approx(160)
    assert row(table, "agent", "Bob")["expected_revenue"] == pytest.approx(150)


def test_intervals_of_a_small_book_are_its_exact_quantiles() -> None:
    # No sum's cumulative probability lies within four standard errors of a quantile asked for.
    probability, price = [0.3, 0.3, 0.25, 0.6, 0.7], [100.0, 100.0, 5000.0, 300.0, 55.0]
    total = row(forecast(scores(probability, price), month=MONTH, seed=7), "total", "total")
    for column, share in (("low_80", 0.1), ("high_80", 0.9), ("low_95", 0.025), ("high_95", 0.975)):
        assert total[column] == exact_quantile(probability, price, share), column


def test_simulated_and_normal_intervals_agree_on_a_large_book(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(4)
    book = scores(random.random(2000).tolist(), random.choice([100.0, 120.0, 150.0], 2000).tolist())
    simulated = row(forecast(book, month=MONTH, seed=7), "total", "total")
    monkeypatch.setattr(module, "SIMULATED_DEALS", 0)
    normal = row(forecast(book, month=MONTH, seed=7), "total", "total")
    width = normal["high_95"] - normal["low_95"]
    for column in ("low_80", "high_80", "low_95", "high_95"):
        assert simulated[column] == pytest.approx(normal[column], abs=0.05 * width), column
    assert simulated["high_80"] - simulated["low_80"] == pytest.approx(width * 1.2816 / 1.96, rel=0.05)


def test_a_normal_interval_stays_between_nothing_and_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SIMULATED_DEALS", 0)
    total = row(forecast(scores([0.01], [100]), month=MONTH, seed=1), "total", "total")
    assert total["low_95"] == 0
    assert total["high_95"] <= 100


def test_an_empty_book_has_a_total_of_zero() -> None:
    table = forecast(scores([], []), month=MONTH, seed=1)
    assert len(table) == 1
    assert table.iloc[0].to_dict() == {
        "level": "total",
        "name": "total",
        "snapshot_month": "2017-12",
        "forecast_month": "2018-01",
        **dict.fromkeys(FORECAST.column_names[4:], 0),
    }


def test_the_order_of_rows_does_not_matter_and_a_group_stands_alone() -> None:
    random = np.random.default_rng(2)
    book = scores(random.random(60).tolist(), random.choice([55.0, 550.0], 60).tolist(), ["Ann", "Bob", "Cid"] * 20)
    table = forecast(book, month=MONTH, seed=3)
    pd.testing.assert_frame_equal(forecast(book.sample(frac=1, random_state=1), month=MONTH, seed=3), table)
    only_ann = forecast(book[book["sales_agent"] == "Ann"], month=MONTH, seed=3)
    assert row(only_ann, "agent", "Ann").to_dict() == row(table, "agent", "Ann").to_dict()


def test_deals_without_a_name_are_kept() -> None:
    table = forecast(scores([0.5, 0.5], [10, 20], ["Ann", None]), month=MONTH, seed=1)
    assert row(table, "agent", "missing")["expected_revenue"] == pytest.approx(10)


@pytest.mark.parametrize(
    ("probability", "price", "named"),
    [
        (1.2, 10.0, "probability of 1.2"),
        (float("nan"), 10.0, "probability of nan"),
        (0.5, -1.0, "list_price of -1.0"),
        (0.5, float("nan"), "list_price of nan"),
        (0.5, float("inf"), "list_price of inf"),
    ],
)
def test_what_is_no_probability_or_price_is_named(probability: float, price: float, named: str) -> None:
    with pytest.raises(QualityError, match=named):
        forecast(scores([0.1, probability], [5.0, price]), month=MONTH, seed=1)


@given(deals=st.lists(st.tuples(st.floats(0, 1), st.sampled_from([55.0, 4821.0, 26768.0])), max_size=12))
@settings(max_examples=40, deadline=None)
def test_intervals_are_nested_and_levels_add_up(deals: list[tuple[float, float]]) -> None:
    agents: list[str | None] = [["Ann", "Bob"][number % 2] for number in range(len(deals))]
    table = forecast(scores([deal[0] for deal in deals], [deal[1] for deal in deals], agents), month=MONTH, seed=5)
    for _, line in table.iterrows():
        assert 0 <= line["low_95"] <= line["low_80"] <= line["high_80"] <= line["high_95"]
    total = row(table, "total", "total")
    assert table.loc[table["level"] == "agent", "deals"].sum() == total["deals"]
    assert table.loc[table["level"] == "agent", "expected_revenue"].sum() == pytest.approx(total["expected_revenue"])
