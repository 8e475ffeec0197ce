from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_assets.calendar import Month, month_range
from crm_assets.modelling.new_business import NewBusiness
from crm_assets_tests.modelling.won_rows import won_rows

JANUARY, DECEMBER = Month(2017, 1), Month(2017, 12)


def monthly(counts: list[int], first: Month = JANUARY, price: float = 100.0) -> list[tuple[str, bool, float, int]]:
    return [(str(first.shift(number)), True, price, count) for number, count in enumerate(counts) if count]


def test_the_position_of_the_month_in_its_quarter_decides() -> None:
    wins = won_rows(*monthly([200, 80, 90] * 4))
    found = {month: NewBusiness.learnt(wins, month).mean for month in month_range(Month(2017, 10), DECEMBER)}
    assert found[DECEMBER] == pytest.approx(200, abs=3)
    assert found[Month(2017, 10)] == pytest.approx(80, abs=3)
    assert found[Month(2017, 11)] == pytest.approx(90, abs=3)


def test_a_position_with_few_months_is_drawn_towards_the_mean_of_all() -> None:
    once = NewBusiness.learnt(won_rows(*monthly([200, 80, 140])), Month(2017, 3))
    assert 185 < once.mean < 199
    unseen = NewBusiness.learnt(won_rows(*monthly([200, 80])), Month(2017, 2))
    assert unseen.mean == pytest.approx(140)
    assert unseen.variance / unseen.mean**2 > 2 * once.variance / once.mean**2
    small = NewBusiness.learnt(won_rows(*monthly([2, 0, 0])), Month(2017, 3))
    assert 2 / 3 < small.mean < 1.2


def test_what_comes_after_the_month_or_was_in_the_book_does_not_count() -> None:
    known = monthly([20, 8, 9] * 2)
    later = won_rows(*known, ("2017-07", True, 5.0, 999), ("2017-05", False, 5.0, 999))
    before, after = (NewBusiness.learnt(wins, Month(2017, 6)) for wins in (won_rows(*known), later))
    assert (after.mean, after.variance, after.months) == (before.mean, before.variance, before.months) != (0, 0, 0)
    assert after.prices.tolist() == [100]


def test_months_without_new_business_count_from_the_first_win_on() -> None:
    late = won_rows(("2017-04", False, 100.0, 5), *monthly([12, 12, 12], Month(2017, 10)))
    found = NewBusiness.learnt(late, DECEMBER)
    assert found.months == 9
    assert found.mean == pytest.approx(4, abs=0.2)


def test_scatter_within_a_position_widens_the_interval() -> None:
    steady = NewBusiness.learnt(won_rows(*monthly([100, 100, 100] * 4)), DECEMBER)
    wild = NewBusiness.learnt(won_rows(*monthly([150, 100, 50, 50, 100, 150] * 2)), DECEMBER)
    assert steady.mean == pytest.approx(wild.mean, rel=0.05)
    assert wild.variance > 3 * steady.variance
    assert steady.variance > steady.mean


def test_draws_have_the_mean_and_the_variance() -> None:
    found = NewBusiness.learnt(won_rows(*monthly([200, 80, 90] * 4, price=10.0)), DECEMBER)
    drawn = found.drawn(200_000, np.random.default_rng(1))
    assert drawn.mean() == pytest.approx(found.revenue, rel=0.01)
    assert drawn.var() == pytest.approx(100 * found.variance, rel=0.03)


def test_prices_are_those_of_earlier_new_business() -> None:
    wins = won_rows(*monthly([30, 30, 30], price=10.0), *monthly([10, 10, 10], price=1000.0))
    found = NewBusiness.learnt(wins, Month(2017, 3))
    assert found.prices.tolist() == [10, 1000]
    assert found.shares.tolist() == [0.75, 0.25]
    assert found.revenue == pytest.approx(found.mean * 257.5)


@pytest.mark.parametrize("rows", [[], [("2017-03", False, 100.0, 5)], [("2018-03", True, 100.0, 5)]])
def test_without_new_business_nothing_is_expected(rows: list[tuple[str, bool, float, int]]) -> None:
    found = NewBusiness.learnt(won_rows(*rows), DECEMBER)
    assert (found.mean, found.variance, found.revenue) == (0, 0, 0)
    assert found.drawn(3, np.random.default_rng(1)).tolist() == [0, 0, 0]


@given(counts=st.lists(st.integers(0, 500), max_size=14))
@settings(max_examples=60, deadline=None)
def test_figures_are_finite_and_the_variance_is_at_least_poissons(counts: list[int]) -> None:
    month = Month(2017, 1).shift(max(len(counts) - 1, 0))
    found = NewBusiness.learnt(won_rows(*monthly(counts)), month)
    assert np.isfinite([found.mean, found.variance, found.revenue]).all()
    assert found.variance >= found.mean >= 0
    assert (found.mean > 0) == (sum(counts) > 0)
    if counts:
        assert found.mean <= max(counts)
    assert np.isfinite(found.drawn(10, np.random.default_rng(1))).all()
