from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.errors import QualityError
from crm_assets.modelling.backtest import BACKTEST
from crm_assets.modelling.promotion import champion_predictions, decide
from crm_assets_tests.modelling.book_rows import book_rows


def predictions(
    probability: list[float], won: list[int], base_rate: float = 0.5, month: str = "2017-05"
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "opportunity_id": [f"A{number}" for number in range(len(won))],
            "snapshot_month": month,
            "probability": probability,
            "base_rate_probability": base_rate,
            "age_table_probability": base_rate,
            "won": won,
        },
        columns=BACKTEST.column_names,
    )


def champion(probability: list[float]) -> pd.DataFrame:
    return predictions(probability, [0] * len(probability))[["opportunity_id", "snapshot_month", "probability"]]


class ByAge:
    def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        return frame["age_days"].to_numpy(dtype=np.float64) / 1000


def test_the_first_champion_beats_the_base_rate() -> None:
    decision = decide(None, predictions([0.9, 0.2], [1, 0]))
    assert decision.promoted
    assert decision.figures == {
        "rows": 2,
        "first_month": "2017-05",
        "last_month": "2017-05",
        "challenger_brier": pytest.approx(0.025),
        "base_rate_brier": pytest.approx(0.25),
    }
    assert "0.0250 is below 0.2500" in decision.reasons[0]


@pytest.mark.parametrize("probability", [[0.4, 0.6], [0.5, 0.5]])
def test_no_better_than_the_base_rate_is_not_promoted(probability: list[float]) -> None:
    decision = decide(None, predictions(probability, [1, 0]))
    assert not decision.promoted
    assert "not below 0.2500" in decision.reasons[0]


def test_without_a_backtest_there_is_no_first_champion() -> None:
    decision = decide(None, predictions([], []))
    assert not decision.promoted
    assert decision.figures["rows"] == 0
    assert decision.figures["challenger_brier"] is None
    assert "no month to backtest on" in decision.reasons[0]


@pytest.mark.parametrize(("probability", "promoted"), [([0.9, 0.1], True), ([0.7, 0.3], False), ([0.6, 0.4], False)])
def test_a_challenger_must_have_the_smaller_brier(probability: list[float], promoted: bool) -> None:
    decision = decide(champion([0.7, 0.3]), predictions(probability, [1, 0]))
    assert decision.promoted is promoted
    assert decision.figures["champion_brier"] == pytest.approx(0.09)
    assert decision.figures["rows"] == 2


def test_an_equal_brier_keeps_the_champion() -> None:
    decision = decide(champion([0.7, 0.3]), predictions([0.7, 0.7], [1, 1]).assign(probability=[0.3, 0.7]))
    assert not decision.promoted
    assert "not below" in decision.reasons[0]


def test_identical_predictions_keep_the_champion() -> None:
    decision = decide(champion([0.7, 0.3]), predictions([0.7, 0.3], [1, 0]))
    assert not decision.promoted
    assert decision.reasons == ("challenger and champion predict the same",)


def test_without_common_rows_the_champion_stays() -> None:
    for challenger in (predictions([], []), predictions([0.9, 0.1], [1, 0], month="2017-04")):
        decision = decide(champion([0.7, 0.3]), challenger)
        assert not decision.promoted
        assert decision.reasons == ("no outcome has matured since the champion was trained",)
        assert decision.figures["champion_brier"] is None


def test_only_rows_both_predicted_count() -> None:
    challenger = predictions([0.8, 0.2, 0.0], [1, 0, 1])
    decision = decide(champion([0.7, 0.3]), challenger)
    assert decision.promoted
    assert decision.figures["rows"] == 2


def test_a_row_that_stands_twice_is_refused() -> None:
    twice = pd.concat([champion([0.7, 0.3])] * 2)
    with pytest.raises(QualityError, match="2 rows of the champion stand twice"):
        decide(twice, predictions([0.9, 0.1], [1, 0]))


def test_the_champion_is_judged_on_books_it_has_not_seen_and_that_have_matured() -> None:
    rows = book_rows()
    predicted = champion_predictions(ByAge(), rows, Month(2017, 5), Month(2017, 8))
    assert sorted(predicted["snapshot_month"].unique()) == ["2017-05", "2017-06", "2017-07"]
    ages = rows.set_index("opportunity_id").loc[predicted["opportunity_id"], "age_days"]
    assert (predicted["probability"].to_numpy() * 1000).tolist() == pytest.approx(ages.tolist())
    assert champion_predictions(ByAge(), rows, Month(2017, 8), Month(2017, 8)).empty
    assert champion_predictions(ByAge(), rows, Month(2017, 10), Month(2017, 12)).empty


@given(
    rows=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 1)), max_size=20),
    has_champion=st.booleans(),
)
def test_promotion_always_means_a_smaller_brier(rows: list[tuple[float, float, int]], has_champion: bool) -> None:
    challenger = predictions([row[0] for row in rows], [row[2] for row in rows])
    decision = decide(champion([row[1] for row in rows]) if has_champion else None, challenger)
    figures: dict[str, Any] = decision.figures
    assert decision.reasons
    if decision.promoted:
        assert figures["challenger_brier"] < figures["champion_brier" if has_champion else "base_rate_brier"]
