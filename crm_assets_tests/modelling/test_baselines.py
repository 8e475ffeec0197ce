from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crm_assets.errors import QualityError
from crm_assets.modelling.baselines import PRIOR_ROWS, AgeTable, BaseRate
from crm_assets_tests.modelling.book_rows import book_rows


def rows(*given: tuple[int, int, str]) -> pd.DataFrame:
    return pd.DataFrame(given, columns=["age_days", "next_quarter_position", "outcome"])


def test_the_base_rate_is_the_share_won_by_quarter_position() -> None:
    rate = BaseRate.fit(rows((5, 1, "won"), (9, 1, "lost"), (9, 1, "open"), (9, 1, "open"), (9, 3, "won")))
    assert rate.predict(rows((0, 3, "open"), (0, 1, "open"))).tolist() == [1.0, 0.25]


def test_an_unseen_quarter_position_gets_the_overall_rate() -> None:
    rate = BaseRate.fit(rows((5, 1, "won"), (9, 1, "lost"), (9, 3, "won")))
    assert rate.predict(rows((0, 2, "open"))).tolist() == [pytest.approx(2 / 3)]


def test_a_cell_of_the_age_table_is_smoothed_towards_its_quarter_position() -> None:
    table = AgeTable.fit(rows((7, 1, "won"), (8, 1, "lost"), (9, 1, "lost"), (200, 3, "won")))
    base = 1 / 3
    young, older = (1 + PRIOR_ROWS * base) / (1 + PRIOR_ROWS), (PRIOR_ROWS * base) / (2 + PRIOR_ROWS)
    predicted = table.predict(rows((0, 1, "open"), (14, 1, "open"), (200, 1, "open"), (7, 2, "open")))
    assert predicted == pytest.approx([young, older, base, 0.5])


def test_no_rows_give_no_rate() -> None:
    for baseline in (BaseRate, AgeTable):
        with pytest.raises(QualityError, match="no matured rows"):
            baseline.fit(rows())


def test_both_predict_probabilities_whatever_the_order() -> None:
    book = book_rows()
    matured = book[book["outcome"].notna()]
    for baseline in (BaseRate, AgeTable):
        predicted = baseline.fit(matured).predict(book)
        assert np.all((predicted >= 0) & (predicted <= 1))
        shuffled = baseline.fit(matured.sample(frac=1, random_state=2)).predict(book)
        assert shuffled == pytest.approx(predicted, abs=1e-15)
        assert baseline.fit(matured).predict(book.iloc[:0]).shape == (0,)
