from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from crm_assets.errors import CrmAssetsError, QualityError
from crm_assets.modelling.feature_frame import MISSING, FeatureMismatchError, feature_frame

FRAME = pd.DataFrame(
    {
        "price": [55, 1096, 4821],
        "share": [0.5, np.nan, 1.0],
        "office": ["West", None, "East"],
        "grade": [1, 2, 3],
        "other": ["x", "y", "z"],
    },
    index=[4, 7, 2],
)


def test_numbers_become_float64_and_categories_text_in_the_order_asked_for() -> None:
    seen = feature_frame(FRAME, ["share", "office", "price", "grade"], ["office", "grade"])
    assert list(seen.columns) == ["share", "office", "price", "grade"]
    assert list(seen.index) == [4, 7, 2]
    assert seen["price"].dtype == seen["share"].dtype == np.float64
    assert np.isnan(seen["share"].iloc[1])
    assert seen["office"].tolist() == ["West", MISSING, "East"]
    assert seen["grade"].tolist() == ["1", "2", "3"]


def test_missing_columns_are_named() -> None:
    with pytest.raises(FeatureMismatchError, match="lacks the feature columns age, size") as raised:
        feature_frame(FRAME, ["age", "price", "size"], [])
    assert isinstance(raised.value, CrmAssetsError)
    assert isinstance(raised.value, ValueError)


def test_text_in_a_number_is_refused() -> None:
    with pytest.raises(FeatureMismatchError, match=r"price holds '55 USD' .*not numbers: rebuild"):
        feature_frame(FRAME.assign(price="55 USD"), ["price"], [])


def test_infinite_numbers_are_refused() -> None:
    with pytest.raises(QualityError, match="share holds 2 infinite"):
        feature_frame(FRAME.assign(share=[np.inf, -np.inf, np.nan]), ["share"], [])


@pytest.mark.parametrize("empty", [None, pd.NaT, np.nan])
def test_a_column_that_is_all_empty_is_a_number_without_values(empty: Any) -> None:
    seen = feature_frame(FRAME.assign(share=empty), ["share"], [])
    assert seen["share"].dtype == np.float64
    assert seen["share"].isna().all()


def test_nullable_and_boolean_columns_are_numbers() -> None:
    frame = FRAME.assign(price=pd.array([1, None, 3], dtype="Int64"), share=[True, False, True])
    seen = feature_frame(frame, ["price", "share"], [])
    assert seen["price"].tolist()[::2] == [1.0, 3.0]
    assert np.isnan(seen["price"].iloc[1])
    assert seen["share"].tolist() == [1.0, 0.0, 1.0]


def test_a_frame_without_rows_keeps_its_columns() -> None:
    assert list(feature_frame(FRAME.iloc[:0], ["share", "office"], ["office"]).columns) == ["share", "office"]
