from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.modelling.candidates import fitted_from_dict
from crm_assets.modelling.cold_start import (
    AGE_TABLE,
    MODEL,
    OVERALL_RATE,
    QUARTER_RATE,
    RUNGS,
    WORDS,
    RateTable,
    best_rung,
)


def matured(wins: int, others: int, positions: tuple[float, ...] = (1, 2, 3)) -> pd.DataFrame:
    size = wins + others
    return pd.DataFrame(
        {
            "outcome": ["won"] * wins + ["lost", "open"] * (others // 2) + ["open"] * (others % 2),
            "age_days": np.arange(size, dtype=float) * 7 % 200,
            "next_quarter_position": [positions[number % len(positions)] for number in range(size)],
        }
    )


ANY = pd.DataFrame(
    [(age, at) for age in (0, 7, 8, 100, 5000, np.nan) for at in (1, 2, 3, np.nan)],
    columns=["age_days", "next_quarter_position"],
)


def rung_of(rows: pd.DataFrame, position: int = 1) -> RateTable:
    rung = best_rung(rows, position)
    assert rung is not None
    return rung


@pytest.mark.parametrize(
    ("wins", "rung"),
    [(0, OVERALL_RATE), (9, OVERALL_RATE), (10, QUARTER_RATE), (19, QUARTER_RATE), (20, AGE_TABLE), (500, AGE_TABLE)],
)
def test_each_rung_is_taken_as_soon_as_there_are_wins_enough(wins: int, rung: str) -> None:
    table = rung_of(matured(wins, 40))
    assert (table.rung, table.candidate) == (rung, rung)
    assert table.overall == (wins + 0.5) / (wins + 41)


def test_without_a_matured_row_there_is_no_rung() -> None:
    assert best_rung(matured(0, 0), 1) is None


@pytest.mark.parametrize("wins", [10, 19, 500])
def test_a_position_that_was_not_seen_keeps_the_rung_down(wins: int) -> None:
    for positions in ((1, 3), (1, np.nan, 3)):
        assert rung_of(matured(wins, 40, positions=positions), 2).rung == OVERALL_RATE
        assert rung_of(matured(wins, 40, positions=positions), 3).rung != OVERALL_RATE


def test_a_position_that_was_not_seen_has_the_rate_of_all() -> None:
    table = rung_of(matured(20, 40, positions=(1, 3)))
    assert table.rung == AGE_TABLE
    rows = ANY[ANY["next_quarter_position"] == 2]
    assert table.predict(rows) == pytest.approx(20.5 / 61)


def test_rates_are_those_of_the_rows() -> None:
    low = rung_of(matured(4, 16))
    assert low.predict(ANY) == pytest.approx(4.5 / 21)
    middle = rung_of(
        pd.DataFrame(
            {
                "outcome": ["won"] * 12 + ["open"] * 28,
                "age_days": 5,
                "next_quarter_position": [1] * 2 + [3] * 10 + [1] * 8 + [2] * 10 + [3] * 10,
            }
        )
    )
    rows = pd.DataFrame({"age_days": 5, "next_quarter_position": [1, 2, 3]})
    assert middle.predict(rows) == pytest.approx([2.5 / 11, 0.5 / 11, 10.5 / 21])


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["won", "lost", "open"]),
            st.sampled_from([0.0, 5.0, 40.0, 400.0, np.nan]),
            st.sampled_from([1.0, 2.0, 3.0, np.nan]),
        ),
        max_size=5,
    ),
    copies=st.sampled_from([1, 4, 30]),
)
def test_no_rate_is_0_or_1_or_none(rows: list[tuple[str, float, float]], copies: int) -> None:
    frame = pd.DataFrame(rows * copies, columns=["outcome", "age_days", "next_quarter_position"])
    rung = best_rung(frame, 3)
    if rung is None:
        assert not rows
        return
    predicted = rung.predict(ANY)
    assert predicted.shape == (len(ANY),)
    assert ((predicted > 0) & (predicted < 1)).all()
    again = fitted_from_dict(json.loads(json.dumps(rung.to_dict(), allow_nan=False)))
    assert np.array_equal(again.predict(ANY), predicted)
    assert again.to_dict() == rung.to_dict()
    assert rung.predict(ANY.iloc[:0]).shape == (0,)


def test_rungs_have_words_and_no_importance() -> None:
    assert set(WORDS) == set(RUNGS)
    assert RUNGS[-1] == MODEL
    assert rung_of(matured(3, 3)).importance() == {}
