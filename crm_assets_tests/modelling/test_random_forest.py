from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crm_assets.modelling.random_forest import RandomForest
from crm_assets_tests.modelling.book_rows import book_rows
from crm_assets_tests.modelling.known_rows import known_of


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    matured = book_rows()
    return matured[matured["outcome"].notna()].reset_index(drop=True)


def test_one_split_gives_the_shares_won_on_both_sides(rows: pd.DataFrame) -> None:
    random = np.random.default_rng(1)
    side = random.random(len(rows)) < 0.3
    outcome = np.where(random.random(len(rows)) < np.where(side, 0.8, 0.1), "won", "lost")
    shaped = rows.assign(side=side, outcome=outcome)
    forest = RandomForest(features=("side",), categorical=(), trees=200, features_per_split=1.0).fit(known_of(shaped))
    predicted = forest.predict(shaped)
    for value in (True, False):
        assert set(np.round(predicted[side == value], 12)) == {round(float(predicted[side == value][0]), 12)}
        assert predicted[side == value][0] == pytest.approx((outcome[side == value] == "won").mean(), abs=0.005)


def test_trees_without_a_split_say_the_share_won(rows: pd.DataFrame) -> None:
    forest = RandomForest(features=("age_days",), categorical=(), trees=50, rows_per_leaf=600).fit(known_of(rows))
    assert forest.predict(rows) == pytest.approx((rows["outcome"] == "won").mean(), abs=0.01)
