from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.modelling.shapley import shapley_values


@given(players=st.integers(1, 5), games=st.integers(0, 3), seed=st.integers(0, 1000))
def test_values_are_the_mean_over_all_orders(players: int, games: int, seed: int) -> None:
    worth = np.random.default_rng(seed).random((1 << players, games))
    expected = np.zeros((players, games))
    orders = list(itertools.permutations(range(players)))
    for order in orders:
        coalition = 0
        for player in order:
            expected[player] += (worth[coalition | 1 << player] - worth[coalition]) / len(orders)
            coalition |= 1 << player
    np.testing.assert_allclose(shapley_values(worth), expected, rtol=0, atol=1e-12)


def test_one_who_adds_nothing_has_exactly_nothing() -> None:
    random = np.random.default_rng(1).random((16, 50))
    # Player 2 adds nothing to any coalition.
    worth = random[np.arange(32) & 0b11 | np.arange(32) >> 1 & 0b1100]
    values = shapley_values(worth)
    assert (values[2] == 0).all()
    assert (np.abs(values[[0, 1, 3, 4]]) > 0).any(axis=1).all()


def test_the_glove_game() -> None:
    """Player 0 has a left glove, 1 and 2 a right one each; a pair is worth 1."""
    worth = np.array([[float(bool(c & 1) and c > 1)] for c in range(8)])
    assert shapley_values(worth)[:, 0] == pytest.approx([2 / 3, 1 / 6, 1 / 6])
