from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crm_assets.modelling.catboost_boosting import CatBoost
from crm_assets_tests.modelling.book_rows import CATEGORICAL, FEATURES, book_rows
from crm_assets_tests.modelling.known_rows import known_of


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    matured = book_rows()
    return matured[matured["outcome"].notna()].reset_index(drop=True)


def test_it_is_the_classifier_of_catboost_with_these_settings(rows: pd.DataFrame) -> None:
    from catboost import CatBoostClassifier

    numbers = tuple(name for name in FEATURES if name not in CATEGORICAL)
    # In the order that training rows are put in: rounding goes by it.
    won = (rows["outcome"] == "won").astype(int)
    ordered = rows.assign(won=won).sort_values(["snapshot_month", *numbers, "won"], ignore_index=True)
    booster = CatBoostClassifier(
        iterations=40,
        depth=3,
        learning_rate=0.1,
        l2_leaf_reg=5.0,
        random_seed=4,
        thread_count=1,
        allow_writing_files=False,
        logging_level="Silent",
    ).fit(ordered[list(numbers)].astype(float), ordered["won"])
    recipe = CatBoost(features=numbers, categorical=(), iterations=40, depth=3, learning_rate=0.1, l2=5.0, seed=4)
    fitted = recipe.fit(known_of(rows))
    expected = booster.predict_proba(rows[list(numbers)].astype(float))[:, 1]
    assert fitted.predict(rows) == pytest.approx(expected, abs=1e-12)
    assert np.ptp(expected) > 0.1


def test_the_content_does_not_say_when_it_was_made(rows: pd.DataFrame) -> None:
    recipe = CatBoost(features=FEATURES, categorical=CATEGORICAL, iterations=5)
    contents = {recipe.fit(known_of(rows)).content for _ in range(2)}
    assert len(contents) == 1
    # CatBoost writes the time as 2026-01-31T12:00:00Z.
    assert b"T1" not in contents.pop().split(b"train_finish_time")[-1][:40]
