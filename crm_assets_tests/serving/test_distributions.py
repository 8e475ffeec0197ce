"""Small distributions: shares that add up, in bins that people can read."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from crm_assets.serving.distributions import MOST_BINS, categories, numbers


def test_numbers_fall_in_round_bins_that_hold_all_of_them() -> None:
    now = np.append(np.arange(100.0), 10_000.0)
    found = numbers(now, np.arange(50.0))
    assert found is not None
    edges = [one["low"] for one in found["bins"]]
    assert edges == [10.0 * at for at in range(len(edges))]
    assert found["bins"][-1]["high"] is None
    assert len(edges) <= MOST_BINS
    for side in ("current", "reference"):
        assert sum(one[side] for one in found["bins"]) == pytest.approx(1)
    assert found["bins"][-1]["current"] == pytest.approx(11 / 101)
    assert (found["current_rows"], found["reference_rows"]) == (101, 50)


def test_few_values_are_told_one_by_one() -> None:
    found = numbers(np.array([55.0, 55.0, 1096.0, np.nan]), np.array([55.0, 1096.0]))
    assert found is not None
    assert [(one["name"], one["current"], one["reference"]) for one in found["bins"]] == [
        ("55", 0.5, 0.5),
        ("1,096", 0.25, 0.5),
    ]


def test_rows_of_the_reference_count_by_their_weight() -> None:
    found = numbers(np.array([1.0, 2.0]), np.array([1.0, 2.0]), np.array([3.0, 1.0]))
    assert found is not None
    assert [one["reference"] for one in found["bins"]] == [0.75, 0.25]


def test_what_is_left_of_many_categories_is_told_together() -> None:
    names = [f"a{at:02d}" for at in range(MOST_BINS + 3) for _ in range(at + 1)]
    found = categories(pl.Series(names), pl.Series(["b", None]))
    assert found is not None
    assert [one["name"] for one in found["bins"]][:2] == ["b", "a12"]
    assert found["bins"][-1]["name"] == "4 others"
    assert sum(one["current"] for one in found["bins"]) == pytest.approx(1)
    assert sum(one["reference"] for one in found["bins"]) == 0.5


def test_a_side_without_values_has_no_distribution() -> None:
    nothing = pl.Series([None, None], dtype=pl.String)
    assert categories(nothing, pl.Series(["a"])) is None
    assert numbers(np.array([np.nan]), np.array([1.0])) is None
