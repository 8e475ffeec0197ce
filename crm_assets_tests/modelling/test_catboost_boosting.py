from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crm_assets.modelling.catboost_boosting import CatBoost
from crm_assets.modelling.win_model import TrainingParameters, WinModel
from crm_assets_tests.modelling.book_rows import CATEGORICAL, FEATURES, book_rows
from crm_assets_tests.modelling.known_rows import known_of


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    matured = book_rows()
    return matured[matured["outcome"].notna()].reset_index(drop=True)


def test_it_is_the_win_model(rows: pd.DataFrame) -> None:
    assert CatBoost().parameters() == TrainingParameters().as_dict()
    numbers = tuple(name for name in FEATURES if name not in CATEGORICAL)
    recipe = CatBoost(features=numbers, categorical=(), iterations=40)
    model = WinModel.fit(rows, numbers, (), TrainingParameters(iterations=40))
    fitted = recipe.fit(known_of(rows))
    assert np.array_equal(fitted.predict(rows), model.predict(rows))
    assert fitted.importance() == pytest.approx(model.importance())


def test_the_content_does_not_say_when_it_was_made(rows: pd.DataFrame) -> None:
    recipe = CatBoost(features=FEATURES, categorical=CATEGORICAL, iterations=5)
    contents = {recipe.fit(known_of(rows)).content for _ in range(2)}
    assert len(contents) == 1
    # CatBoost writes the time as 2026-01-31T12:00:00Z.
    assert b"T1" not in contents.pop().split(b"train_finish_time")[-1][:40]
