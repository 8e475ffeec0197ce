from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_assets.calendar import Month
from crm_assets.errors import QualityError
from crm_assets.history.wins import WINS
from crm_assets.modelling import forecast as module
from crm_assets.modelling.forecast import FORECAST, forecast, total_interval
from crm_assets.modelling.month_effect import MonthEffect
from crm_assets.modelling.new_business import NewBusiness
from crm_assets_tests.modelling.won_rows import won_rows

MONTH = Month(2017, 12)
INDEPENDENT = MonthEffect.of(0)
ENDS = ["low_80", "high_80", "low_95", "high_95"]
NO_WINS = won_rows()


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


def made(
    book: pd.DataFrame, wins: pd.DataFrame = NO_WINS, *, effect: MonthEffect = INDEPENDENT, seed: int = 1
) -> pd.DataFrame:
    return forecast(book, wins, month=MONTH, effect=effect, seed=seed)


def row(table: pd.DataFrame, level: str, name: str | None = None) -> pd.Series:
    found = table[(table["level"] == level) & (table["name"] == (name or level))]
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


def random_book(deals: int, seed: int = 4) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "probability": random.random(deals) ** 2,
            "list_price": random.choice([100.0, 120.0, 150.0], deals),
            "regional_office": random.choice(["East", "West"], deals),
            "product": random.choice(["GTX Pro", "MG Special"], deals),
            "sales_agent": random.choice([f"Agent {number}" for number in range(5)], deals),
        }
    )


def test_expected_wins_and_revenue_by_level() -> None:
    table = made(scores([0.5, 0.2, 0.1], [100, 50, 1000], ["Bob", "Ann", "Bob"]))
    assert list(table.columns) == FORECAST.column_names
    assert set(table["snapshot_month"]) == {"2017-12"}
    assert set(table["forecast_month"]) == {"2018-01"}
    assert table[["level", "name"]].to_numpy().tolist() == [
        ["total", "total"],
        ["book", "book"],
        ["new business", "new business"],
        ["region", "West"],
        ["product", "GTX Pro"],
        ["agent", "Ann"],
        ["agent", "Bob"],
    ]
    for level in ("total", "book"):
        line = row(table, level)
        assert line["deals"] == 3
        assert line["expected_wins"] == pytest.approx(0.8)
        assert line["expected_revenue"] == pytest.approx(160)
    assert row(table, "agent", "Bob")["expected_revenue"] == pytest.approx(150)
    assert table["naive_revenue"].isna().all()


def test_new_business_is_a_line_of_its_own_and_in_the_total() -> None:
    wins = won_rows(
        *[(f"2017-{number:02d}", True, 100.0, 10) for number in range(1, 13)],
        *[(f"2017-{number:02d}", False, 100.0, 40) for number in range(1, 13)],
    )
    table = made(scores([0.5], [1000]), wins)
    new, book, total = (row(table, level) for level in ("new business", "book", "total"))
    assert new["deals"] == 0
    assert new["expected_wins"] == pytest.approx(10)
    assert new["expected_revenue"] == pytest.approx(1000)
    assert new["low_95"] < new["low_80"] < 1000 < new["high_80"] < new["high_95"]
    assert (book["low_95"], book["high_95"]) == (0, 1000)
    assert total["deals"] == 1
    assert total["expected_wins"] == pytest.approx(10.5)
    assert total["expected_revenue"] == pytest.approx(1500)
    assert total["high_95"] - total["low_95"] > new["high_95"] - new["low_95"]


def test_naive_revenue_is_that_of_the_same_position_last_quarter_line_by_line() -> None:
    wins = won_rows(
        ("2017-10", False, 100.0, 3, "Ann"),
        ("2017-10", False, 50.0, 2, "Zoe"),
        ("2017-10", True, 70.0, 1, "Ann"),
        ("2017-11", False, 9.0, 9, "Ann"),
    )
    table = made(scores([0.5], [1000]), wins)
    naive = {(line.level, line.name): line.naive_revenue for line in table.itertuples(index=False)}
    assert naive == {
        ("total", "total"): 470,
        ("book", "book"): 400,
        ("new business", "new business"): 70,
        ("region", "West"): 400,
        ("product", "GTX Pro"): 400,
        ("agent", "Ann"): 300,
        ("agent", "Zoe"): 100,
    }
    gone = row(table, "agent", "Zoe")
    assert gone[["deals", "expected_revenue", *ENDS]].tolist() == [0] * 6


def test_there_is_no_naive_revenue_from_before_the_first_win() -> None:
    assert made(scores([0.5], [10]), won_rows(("2017-11", False, 5.0, 1)))["naive_revenue"].isna().all()
    table = made(scores([0.5], [10]), won_rows(("2017-09", False, 5.0, 1)))
    assert (table["naive_revenue"] == 0).all()


def test_intervals_of_a_small_book_are_its_exact_quantiles() -> None:
    # No sum's cumulative probability lies within four standard errors of a quantile asked for.
    probability, price = [0.3, 0.3, 0.25, 0.6, 0.7], [100.0, 100.0, 5000.0, 300.0, 55.0]
    total = row(made(scores(probability, price), seed=7), "total")
    for column, share in (("low_80", 0.1), ("high_80", 0.9), ("low_95", 0.025), ("high_95", 0.975)):
        assert total[column] == exact_quantile(probability, price, share), column


@pytest.mark.parametrize("tau", [0.0, 0.4])
def test_deals_drawn_one_by_one_and_together_agree(monkeypatch: pytest.MonkeyPatch, tau: float) -> None:
    book, effect = random_book(2000), MonthEffect.of(tau)
    one_by_one = made(book, effect=effect)
    monkeypatch.setattr(module, "SIMULATED_DEALS", 0)
    together = made(book, effect=effect)
    assert one_by_one["expected_revenue"].tolist() == together["expected_revenue"].tolist()
    for level, name in (("total", "total"), ("region", "East"), ("agent", "Agent 3")):
        line, other = row(one_by_one, level, name), row(together, level, name)
        for column in ENDS:
            assert other[column] == pytest.approx(line[column], abs=0.06 * (line["high_95"] - line["low_95"])), column


def test_the_interval_of_the_total_alone_agrees_with_that_of_the_table() -> None:
    book, effect = random_book(1500), MonthEffect.of(0.3)
    wins = won_rows(*[(f"2017-{number:02d}", True, 100.0, 60) for number in range(1, 13)])
    total = row(made(book, wins, effect=effect), "total")
    alone = total_interval(
        book["probability"].to_numpy(), book["list_price"].to_numpy(), NewBusiness.learnt(wins, MONTH), effect, 1
    )
    for column in ENDS:
        assert alone[column] == pytest.approx(total[column], abs=0.06 * (total["high_95"] - total["low_95"])), column


def test_deals_that_share_a_month_effect_have_wider_totals_than_independent_ones() -> None:
    book = random_book(1000)
    widths = []
    for tau in (0.0, 0.1, 0.3, 0.6):
        total = row(made(book, effect=MonthEffect.of(tau)), "total")
        widths.append((total["high_80"] - total["low_80"], total["high_95"] - total["low_95"]))
    for narrow, wide in itertools.pairwise(widths):
        assert narrow[0] < wide[0]
        assert narrow[1] < wide[1]
    # Independent deals of two halves cancel out; with a shared effect the halves move together.
    table = made(book, effect=MonthEffect.of(0.6))
    halves = [row(table, "region", name) for name in ("East", "West")]
    together = row(table, "total")
    assert together["high_80"] - together["low_80"] == pytest.approx(
        sum(half["high_80"] - half["low_80"] for half in halves), rel=0.1
    )


def test_a_month_effect_moves_the_interval_and_not_what_is_expected() -> None:
    book = random_book(500)
    independent, shared = made(book), made(book, effect=MonthEffect.of(1.0))
    assert independent["expected_revenue"].tolist() == shared["expected_revenue"].tolist()


@pytest.mark.parametrize("together", [False, True])
def test_sure_deals_have_no_interval(monkeypatch: pytest.MonkeyPatch, together: bool) -> None:
    if together:
        monkeypatch.setattr(module, "SIMULATED_DEALS", 0)
    total = row(made(scores([1, 0, 1], [100, 50, 30]), effect=MonthEffect.learnt([])), "total")
    assert total[ENDS].tolist() == [130] * 4
    assert total["expected_revenue"] == 130


def test_an_empty_book_has_lines_of_zero() -> None:
    table = made(scores([], []), effect=MonthEffect.learnt([]))
    assert table["level"].tolist() == ["total", "book", "new business"]
    assert (table[["deals", "expected_wins", "expected_revenue", *ENDS]] == 0).all(axis=None)


def test_an_empty_book_still_has_new_business() -> None:
    table = made(scores([], []), won_rows(("2017-11", True, 10.0, 30), ("2017-12", True, 10.0, 30)))
    assert row(table, "total")["expected_revenue"] == row(table, "new business")["expected_revenue"] > 0


def test_the_order_of_rows_does_not_matter_and_a_group_stands_alone() -> None:
    random = np.random.default_rng(2)
    book = scores(random.random(60).tolist(), random.choice([55.0, 550.0], 60).tolist(), ["Ann", "Bob", "Cid"] * 20)
    effect = MonthEffect.learnt([])
    table = made(book, effect=effect, seed=3)
    pd.testing.assert_frame_equal(made(book.sample(frac=1, random_state=1), effect=effect, seed=3), table)
    only_ann = made(book[book["sales_agent"] == "Ann"], effect=effect, seed=3)
    assert row(only_ann, "agent", "Ann").to_json() == row(table, "agent", "Ann").to_json()
    assert made(book, effect=effect, seed=4)[ENDS].to_json() != table[ENDS].to_json()


def test_deals_without_a_name_are_kept() -> None:
    table = made(scores([0.5, 0.5], [10, 20], ["Ann", None]))
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
        made(scores([0.1, probability], [5.0, price]))


DEALS = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from([55.0, 4821.0, 26768.0]), st.sampled_from(["Ann", "Bob"])), max_size=12
)


@given(deals=DEALS, tau=st.floats(0, 3), together=st.booleans())
@settings(max_examples=40, deadline=None)
def test_intervals_are_nested_and_levels_add_up(
    deals: list[tuple[float, float, str]], tau: float, together: bool
) -> None:
    book = scores([deal[0] for deal in deals], [deal[1] for deal in deals], [deal[2] for deal in deals])
    wins = won_rows(("2017-10", True, 100.0, 2), ("2017-10", False, 100.0, 5, "Bob"))
    with pytest.MonkeyPatch.context() as patch:
        if together:
            patch.setattr(module, "SIMULATED_DEALS", 0)
        table = made(book, wins, effect=MonthEffect.of(tau), seed=5)
        assert made(book, wins, effect=MonthEffect.of(tau), seed=5).to_json() == table.to_json()
    assert table.drop(columns=["level", "name"]).notna().all(axis=None)
    for _, line in table.iterrows():
        assert 0 <= line["low_95"] <= line["low_80"] <= line["high_80"] <= line["high_95"]
    total, of_book, new = (row(table, level) for level in ("total", "book", "new business"))
    assert of_book["high_95"] <= book["list_price"].sum()
    for column in ("deals", "expected_wins", "expected_revenue", "naive_revenue"):
        assert of_book[column] + new[column] == pytest.approx(total[column])
        for level in ("region", "product", "agent"):
            assert table.loc[table["level"] == level, column].sum() == pytest.approx(of_book[column]), (level, column)
    # One region holds the whole book: in every draw they are the same.
    if deals:
        assert row(table, "region", "West")[ENDS].tolist() == of_book[ENDS].tolist()


def test_the_wins_a_forecast_reads_are_those_of_the_contract() -> None:
    assert list(NO_WINS.columns) == WINS.column_names
