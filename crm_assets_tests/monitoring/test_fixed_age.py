from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_assets.monitoring.fixed_age import psi_at_fixed_age


def scores(rows: int, seed: int, old: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores that depend on age alone, with a share of old deals."""
    random = np.random.default_rng(seed)
    is_old = random.random(rows) < old
    ages = np.where(is_old, random.integers(139, 300, rows), random.integers(0, 31, rows)).astype(float)
    return np.where(is_old, random.beta(1, 60, rows), random.beta(4, 6, rows)), ages


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), old=st.floats(0.1, 0.9))
def test_an_older_book_with_the_same_scores_at_each_age_has_not_moved(seed: int, old: float) -> None:
    found = psi_at_fixed_age(*scores(3000, seed, 0.3), *scores(3000, seed + 1, old))
    assert found.psi is not None
    assert found.psi < 0.1
    assert found.share_compared == 1


def test_other_scores_at_the_same_ages_have_moved() -> None:
    now, ages = scores(3000, 2, 0.3)
    found = psi_at_fixed_age(*scores(3000, 1, 0.3), now / 3, ages)
    assert found.psi is not None
    assert found.psi > 1


def test_differences_below_the_resolution_are_none() -> None:
    ages = np.full(1000, 200.0)
    random = np.random.default_rng(1)
    found = psi_at_fixed_age(random.uniform(0, 1e-6, 1000), ages, random.uniform(1e-4, 1e-3, 1000), ages)
    assert found.psi == 0


def test_ages_the_reference_lacks_are_left_out_and_counted() -> None:
    before, ages = scores(1000, 1, 0.0)
    now, later = scores(1000, 2, 0.75)
    found = psi_at_fixed_age(before, ages, now, later)
    assert found.share_compared == pytest.approx(0.25, abs=0.05)
    assert found.psi is not None
    assert found.psi < 0.2


def test_without_any_age_in_common_there_is_no_figure() -> None:
    ages = np.full(50, 10.0)
    found = psi_at_fixed_age(np.full(50, 0.1), ages, np.full(50, 0.1), ages + 300)
    assert (found.psi, found.share_compared) == (None, 0)


def test_the_weights_bring_the_reference_to_the_ages_of_the_month() -> None:
    before, ages = scores(1000, 1, 0.5)
    now, later = scores(400, 2, 0.2)
    weights = psi_at_fixed_age(before, ages, now, later).weights
    assert weights.sum() == pytest.approx(400)
    assert weights[ages > 138].sum() == pytest.approx((later > 138).sum())
