from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from crm_assets.modelling.recalibration import PENALTY, Recalibration, log_odds

Floats = NDArray[np.float64]


def drawn(probability: Floats, shift: float, slope: float, seed: int = 1) -> Floats:
    """What happens when the truth is `probability` with its log-odds stretched and shifted."""
    truth = 1 / (1 + np.exp(-(shift + slope * log_odds(probability))))
    return (np.random.default_rng(seed).random(len(probability)) < truth).astype(np.float64)


def spread(rows: int = 50_000) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.random.default_rng(2).normal(-2, 1.2, rows))))


@pytest.mark.parametrize(("shift", "slope"), [(0.0, 1.0), (-0.7, 1.0), (0.4, 0.6), (1.5, 1.8)])
def test_shift_and_slope_are_found(shift: float, slope: float) -> None:
    found = Recalibration.fit(spread(), drawn(spread(), shift, slope))
    assert found.shift == pytest.approx(shift, abs=0.08)
    assert found.slope == pytest.approx(slope, abs=0.05)


def test_afterwards_probabilities_come_true_in_the_mean() -> None:
    happened = drawn(spread(), -0.8, 0.7)
    found = Recalibration.fit(spread(), happened)
    assert abs(spread().mean() - happened.mean()) > 0.03
    assert found(spread()).mean() == pytest.approx(happened.mean(), abs=1e-4)


@pytest.mark.parametrize(("said", "share"), [(0.01, 0.5), (0.02, 0.3), (0.002, 0.2), (0.999, 0.6)])
def test_probabilities_that_are_far_off_are_moved_to_what_happened(said: float, share: float) -> None:
    """From far off a full step of Newton's leads astray."""
    happened = (np.arange(5000) < 5000 * share).astype(np.float64)
    found = Recalibration.fit(np.full(5000, said), happened)
    assert found(np.array([said]))[0] == pytest.approx(share, abs=0.02)


def test_without_rows_nothing_changes() -> None:
    none = Recalibration.fit(np.empty(0), np.empty(0))
    assert none == Recalibration(0.0, 1.0)
    assert none(spread(100)) == pytest.approx(spread(100), abs=1e-15)


def test_few_rows_change_little_and_the_penalty_is_what_it_says() -> None:
    few = Recalibration.fit(np.array([0.2, 0.3]), np.array([1.0, 1.0]))
    assert 0 < few.shift < 0.5
    probability, happened = spread(200), drawn(spread(200), 0.5, 1.0)

    def loss(shift: float, slope: float) -> float:
        share = 1 / (1 + np.exp(-(shift + slope * log_odds(probability))))
        likelihood = np.sum(np.where(happened == 1, np.log(share), np.log1p(-share)))
        return float(PENALTY / 2 * (shift**2 + (slope - 1) ** 2) - likelihood)

    found = Recalibration.fit(probability, happened)
    least = loss(found.shift, found.slope)
    for step in (-1e-3, 1e-3):
        assert loss(found.shift + step, found.slope) > least
        assert loss(found.shift, found.slope + step) > least


def test_what_would_turn_the_order_is_left_alone() -> None:
    probability = spread(2000)
    turned = (probability < np.median(probability)).astype(np.float64)
    assert Recalibration.fit(probability, turned) == Recalibration()


@given(
    probability=st.lists(st.floats(0, 1), min_size=1, max_size=30),
    seed=st.integers(0, 10),
    share=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    copies=st.sampled_from([1, 300]),
)
def test_order_and_bounds_stay_whatever_happened(
    probability: list[float], seed: int, share: float, copies: int
) -> None:
    given_ = np.sort(np.array(probability))
    happened = np.random.default_rng(seed).random(len(given_) * copies) < share
    found = Recalibration.fit(np.repeat(given_, copies), happened.astype(np.float64))
    assert found.slope > 0
    changed = found(given_)
    assert ((changed >= 0) & (changed <= 1)).all()
    # Log-odds are kept a millionth away from 0 and 1, and there it may turn by as much.
    assert (np.diff(changed[(given_ > 1e-6) & (given_ < 1 - 1e-6)]) >= -1e-12).all()
    assert found(np.array([0.0, 1.0])).tolist() == [0.0, 1.0]
