from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crm_assets.errors import QualityError
from crm_assets.modelling.training_rows import TrainingRows
from crm_assets_tests.modelling.book_rows import CATEGORICAL, FEATURES, book_rows


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    matured = book_rows(per_month=40)
    return matured[matured["outcome"].notna()].reset_index(drop=True)


def test_the_order_and_the_ids_of_the_rows_do_not_matter(rows: pd.DataFrame) -> None:
    first = TrainingRows.of(rows, FEATURES, CATEGORICAL)
    shuffled = rows.sample(frac=1, random_state=2).assign(opportunity_id=[f"{at}" for at in range(len(rows))])
    again = TrainingRows.of(shuffled, FEATURES, CATEGORICAL)
    pd.testing.assert_frame_equal(again.features, first.features)
    assert np.array_equal(again.won, first.won)
    assert list(first.features.columns) == list(FEATURES)
    assert first.won.sum() == (rows["outcome"] == "won").sum()


def test_each_outcome_stays_with_its_features(rows: pd.DataFrame) -> None:
    marked = rows.assign(share_open=(rows["outcome"] == "won").astype(float))
    ordered = TrainingRows.of(marked, FEATURES, CATEGORICAL)
    assert np.array_equal(ordered.features["share_open"], ordered.won)


def test_censored_rows_are_not_trained_on() -> None:
    with pytest.raises(QualityError, match="120 training rows have no outcome"):
        TrainingRows.of(book_rows(), FEATURES, CATEGORICAL)


def test_an_unknown_outcome_is_named(rows: pd.DataFrame) -> None:
    with pytest.raises(QualityError, match="outcome holds Won"):
        TrainingRows.of(rows.assign(outcome=rows["outcome"].replace("won", "Won")), FEATURES, CATEGORICAL)


def test_a_repeated_row_is_named(rows: pd.DataFrame) -> None:
    with pytest.raises(QualityError, match="2017-01-0000 in 2017-01"):
        TrainingRows.of(pd.concat([rows, rows.iloc[:1]]), FEATURES, CATEGORICAL)
