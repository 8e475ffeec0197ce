from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.modelling.metrics import (
    area_under_curve,
    brier_score,
    equal_frequency_bins,
    expected_calibration_error,
    mean_defined,
    measure,
    numbers_only,
    skill,
    top_decile_lift,
)

outcomes_and_probabilities = st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=0, max_size=40).map(
    lambda pairs: ([won for won, _ in pairs], [probability for _, probability in pairs])
)


def test_figures_of_a_small_example() -> None:
    figures = measure([1, 0, 1, 0], [0.8, 0.4, 0.3, 0.1])
    assert (figures.rows, figures.wins) == (4, 2)
    assert figures.auc == pytest.approx(0.75)
    assert figures.average_precision == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert figures.brier == pytest.approx((0.04 + 0.16 + 0.49 + 0.01) / 4)
    assert figures.log_loss == pytest.approx(-np.log([0.8, 0.6, 0.3, 0.9]).mean())
    assert figures.calibration_error == pytest.approx((0.2 + 0.4 + 0.7 + 0.1) / 4)


@pytest.mark.parametrize("won", [0, 1])
def test_ranking_is_undefined_with_one_class(won: int) -> None:
    figures = measure([won, won], [0.5, 0.6])
    assert figures.auc is None
    assert figures.average_precision is None
    assert figures.brier == pytest.approx(((won - 0.5) ** 2 + (won - 0.6) ** 2) / 2)
    assert figures.log_loss is not None


def test_nothing_is_defined_without_rows() -> None:
    assert set(list(measure([], []).as_dict().values())[2:]) == {None}


@given(outcomes_and_probabilities)
def test_a_figure_is_a_number_or_none(pairs: tuple[list[int], list[float]]) -> None:
    for value in measure(*pairs).as_dict().values():
        assert value is None or math.isfinite(value)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan])
def test_only_probabilities_are_measured(wrong: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        measure([1, 0], [0.5, wrong])
    with pytest.raises(ValueError, match="2 outcomes against 1"):
        measure([1, 0], [0.5])


def test_bins_hold_equally_many_rows() -> None:
    assert np.bincount(equal_frequency_bins(np.linspace(0, 1, 50))).tolist() == [5] * 10


@given(st.lists(st.sampled_from([0.0, 0.1, 0.10000000000000002, 0.5, 1.0]), min_size=1, max_size=60))
def test_equal_probabilities_share_a_bin_and_bins_follow_the_order(probabilities: list[float]) -> None:
    inside = equal_frequency_bins(probabilities)
    by_value: dict[float, set[int]] = {}
    for value, number in zip(probabilities, inside.tolist(), strict=True):
        by_value.setdefault(value, set()).add(number)
    assert all(len(numbers) == 1 for numbers in by_value.values())
    in_order = [by_value[value].copy().pop() for value in sorted(by_value)]
    assert in_order == sorted(in_order)


def test_calibration_error_is_the_gap_between_said_and_happened() -> None:
    assert expected_calibration_error([1] * 3 + [0] * 7, [0.3] * 10) == pytest.approx(0)
    assert expected_calibration_error([1] * 5 + [0] * 5, [0.3] * 10) == pytest.approx(0.2)
    assert expected_calibration_error([], []) is None


@given(outcomes_and_probabilities, st.randoms(use_true_random=False))
def test_calibration_error_does_not_depend_on_the_order(pairs: tuple[list[int], list[float]], random: Random) -> None:
    order = list(range(len(pairs[0])))
    random.shuffle(order)
    shuffled = expected_calibration_error([pairs[0][i] for i in order], [pairs[1][i] for i in order])
    assert shuffled == pytest.approx(expected_calibration_error(*pairs))


def test_skill_is_relative_to_the_reference() -> None:
    assert skill(0.05, 0.1) == pytest.approx(0.5)
    assert skill(0.1, 0.1) == 0
    assert skill(0.2, 0.1) == pytest.approx(-1)
    assert skill(0.0, 0.0) is None
    assert skill(None, 0.1) is None
    assert skill(0.1, None) is None


def test_a_mean_leaves_out_what_is_undefined() -> None:
    assert mean_defined([0.5, None, 1.0]) == 0.75
    assert mean_defined([None]) is None


def test_a_tracker_gets_numbers_only() -> None:
    assert numbers_only({"a": 1, "b": None, "c": "x", "d": True, "e": 0.5}, "p_") == {"p_a": 1.0, "p_e": 0.5}


def test_lift_is_the_share_of_wins_in_the_best_tenth_over_the_share_in_all() -> None:
    won = [1, 0] + [0] * 17 + [1]
    assert top_decile_lift(won, np.linspace(1, 0, 20)) == pytest.approx((1 / 2) / (2 / 20))
    assert top_decile_lift(won, np.linspace(0, 1, 20)) == pytest.approx((1 / 2) / (2 / 20))
    assert top_decile_lift([1] * 5, [0.5] * 5) == pytest.approx(1)
    assert top_decile_lift([0] * 5, [0.5] * 5) is None
    assert top_decile_lift([], []) is None


def test_a_tenth_of_15_rows_takes_half_of_the_second() -> None:
    assert top_decile_lift([0, 1] + [0] * 13, np.linspace(1, 0, 15)) == pytest.approx((0.5 / 1.5) / (1 / 15))


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.1, 0.2, 0.3])), min_size=20, max_size=20))
def test_equal_probabilities_are_as_if_in_every_order(rows: list[tuple[int, float]]) -> None:
    won, probability = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    last = np.sort(probability)[-2]
    surely, maybe = won[probability > last], won[probability == last]
    expected = surely.sum() + (2 - surely.size) * maybe.mean()
    found = top_decile_lift(won, probability)
    assert found == (pytest.approx(expected / 2 / won.mean()) if won.any() else None)


@given(outcomes_and_probabilities)
def test_quick_figures_are_the_same(pairs: tuple[list[int], list[float]]) -> None:
    figures = measure(*pairs)
    assert brier_score(*pairs) == (figures.brier if figures.brier is None else pytest.approx(figures.brier))
    assert area_under_curve(*pairs) == (figures.auc if figures.auc is None else pytest.approx(figures.auc))
