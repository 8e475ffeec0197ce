from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, ks_2samp

from crm_assets.monitoring.rows import MISSING
from crm_assets.monitoring.two_samples import (
    chi_square,
    kolmogorov_smirnov,
    missing_share_p_value,
    new_labels,
    psi,
    psi_of_labels,
    psi_of_numbers,
)

counts = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=12).map(
    lambda pairs: (np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]))
)
numbers = st.lists(st.one_of(st.just(math.nan), st.floats(-1e6, 1e6, width=32)), min_size=1, max_size=40).map(np.array)
labels = st.lists(st.sampled_from(["a", "b", "c", "d", MISSING]), min_size=1, max_size=40).map(np.array)


def words(**rows: int) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    return np.repeat(np.array(list(rows)), list(rows.values()))


def test_psi_of_a_hand_counted_example() -> None:
    p, q = np.array([60.5, 40.5]) / 101, np.array([30.5, 70.5]) / 101
    by_hand = (q[0] - p[0]) * math.log(q[0] / p[0]) + (q[1] - p[1]) * math.log(q[1] / p[1])
    assert psi(np.array([60, 40]), np.array([30, 70])) == pytest.approx(by_hand)


@given(counts)
def test_psi_is_symmetric_and_never_negative(pair: tuple[np.ndarray, np.ndarray]) -> None:
    before, now = pair
    assert psi(before, now) == pytest.approx(psi(now, before))
    assert psi(before, now) >= 0
    assert psi(before, before) == 0


@given(numbers)
def test_psi_of_numbers_with_themselves_is_zero(values: np.ndarray) -> None:
    assert psi_of_numbers(values, values) == 0


@given(numbers, numbers)
def test_psi_of_numbers_is_finite_and_counts_every_row(before: np.ndarray, now: np.ndarray) -> None:
    assert 0 <= psi_of_numbers(before, now) < math.inf


@pytest.mark.parametrize("now", [4.0, 6.0, math.nan])
def test_psi_sees_a_constant_that_changed(now: float) -> None:
    assert psi_of_numbers(np.full(100, 5.0), np.full(100, now)) > 5


def test_psi_does_not_split_ties() -> None:
    mostly_zero = np.array([0.0] * 95 + [1.0] * 5)
    assert psi_of_numbers(mostly_zero, mostly_zero[::-1]) == 0
    assert psi_of_numbers(mostly_zero, np.array([0.0] * 50 + [1.0] * 50)) > 0.25


def test_psi_of_chance_alone_is_near_its_expectation() -> None:
    random = np.random.default_rng(0)
    found = [psi_of_numbers(random.normal(size=2000), random.normal(size=1000)) for _ in range(60)]
    # Ten bins that both samples fill, and now and then one outside the reference's range.
    assert np.mean(found) == pytest.approx(9 * (1 / 2000 + 1 / 1000), rel=0.25)


def test_ks_is_that_of_scipy_and_flags_a_shift() -> None:
    random = np.random.default_rng(0)
    before, now = random.normal(size=400), random.normal(0.5, size=300)
    found = kolmogorov_smirnov(before, now)
    assert found.statistic == pytest.approx(ks_2samp(before, now).statistic)
    assert found.p_value is not None
    assert found.p_value < 1e-6


def test_chi_square_takes_the_reference_for_a_sample() -> None:
    before, now = words(a=60, b=40), words(a=45, b=55)
    expected = chi2_contingency([[60, 45], [40, 55]], correction=False)
    found = chi_square(before, now)
    assert (found.statistic, found.p_value) == pytest.approx((expected.statistic, expected.pvalue))


def test_rare_categories_are_pooled() -> None:
    before, now = words(a=600, b=395, c=3, d=2), words(a=60, b=35, e=3, f=2)
    expected = chi2_contingency([[600, 60], [395 + 3 + 2, 35 + 3 + 2]], correction=False)
    found = chi_square(before, now)
    # Ten rare rows are expected to put 0.9 in the smaller sample: too few even together, so b joins them.
    assert (found.statistic, found.p_value) == pytest.approx((expected.statistic, expected.pvalue))


def test_rare_categories_are_a_row_of_their_own_when_they_are_enough() -> None:
    before, now = words(a=100, b=80, c=5, d=5), words(a=100, b=80, e=5, f=5)
    expected = chi2_contingency([[100, 100], [80, 80], [10, 10]], correction=False)
    assert chi_square(before, now).p_value == pytest.approx(expected.pvalue)


def test_only_rare_categories_cannot_be_tested() -> None:
    found = chi_square(np.array([f"r{i}" for i in range(100)]), np.array([f"c{i}" for i in range(100)]))
    assert found.p_value is None
    assert found.reason == "no two categories have 5 expected rows in both samples"


def test_one_category_on_both_sides_is_no_difference() -> None:
    assert chi_square(words(a=50), words(a=20)).p_value == 1


@given(labels, labels)
@settings(max_examples=200, deadline=None)
def test_chi_square_has_a_p_value_or_a_reason(before: np.ndarray, now: np.ndarray) -> None:
    found = chi_square(before, now)
    assert (found.p_value is None) == (found.reason is not None)
    assert found.p_value is None or 0 <= found.p_value <= 1
    assert psi_of_labels(before, before) == 0
    assert 0 <= psi_of_labels(before, now) < math.inf


def test_missing_share_is_tested_exactly() -> None:
    assert missing_share_p_value(0, 1000, 0, 500) == 1
    assert missing_share_p_value(0, 1000, 50, 500) < 1e-20
    assert missing_share_p_value(1, 1000, 1, 500) > 0.1


def test_new_labels_come_with_their_rows_most_first() -> None:
    assert new_labels(words(a=5, b=5), np.array(["c", "d", "d", "a", MISSING])) == {"d": 2, "c": 1}
    assert new_labels(words(a=5), words(a=3)) == {}
