from __future__ import annotations

import pickle
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from crm_assets.calendar import Month
from crm_assets.modelling.candidate import Candidate, Known
from crm_assets.modelling.catboost_boosting import CatBoost
from crm_assets.modelling.cold_start import RateTable
from crm_assets.modelling.deals import to_days
from crm_assets.modelling.hazard_candidate import HazardCandidate
from crm_assets.modelling.lightgbm_boosting import LightGBM
from crm_assets.modelling.logistic import Logistic
from crm_assets.modelling.model_at import ModelAt
from crm_assets.modelling.win_model import WinModel
from crm_assets_tests.modelling.made_up_business import Business
from crm_assets_tests.modelling.test_win_model import RECIPE

AT = Month(2017, 7)
RECIPES: Mapping[str, Candidate] = {
    "blend": RECIPE,
    "cure_hazard": HazardCandidate(),
    "lightgbm": LightGBM(
        iterations=20, features=("age_days", "sales_agent", "cohort_size"), categorical=("sales_agent",)
    ),
    "catboost": CatBoost(iterations=5),
    "logistic": Logistic(),
}


@pytest.fixture(scope="module")
def known() -> Known:
    return Business.of(1200, seed=3).known(AT)


@pytest.fixture(scope="module")
def book() -> pd.DataFrame:
    rows = Business.of(1200, seed=3).book(AT)
    # What a model has not seen, and ages of every kind.
    rows.loc[0, ["sales_agent", "product"]] = ["Nobody", "None such"]
    rows.loc[1, "regional_office"] = None
    rows.loc[2:6, "cohort_size"] = np.nan
    rows.loc[7:11, "age_days"] = [0, 399, 400, 801, 9000]
    return rows


def assert_same(model: WinModel, book: pd.DataFrame) -> None:
    probability, fates, at_month = model.predict(book), model.fates(book), ModelAt(model, AT)
    if model.candidate == "cure_hazard":
        # The next month, a later one and none: each has a path of its own.
        assert {None, *map(str, (AT.next, AT.next.next))} <= {*fates["expected_close_month"]}
    rows = [
        {str(name): None if value is None or value != value else value for name, value in row.items()}  # noqa: PLR0124  # NaN
        for row in book.to_dict("records")
    ]
    assert at_month([]) == []
    for found in (at_month(rows), [at_month([row])[0] for row in rows]):
        for at, scored in enumerate(found):
            assert scored.probability == pytest.approx(probability[at], rel=0, abs=1e-12)
            for name in ("probability_lost", "probability_abandoned"):
                told = getattr(scored, name)
                expected = fates[name][at]
                assert told is None if np.isnan(expected) else told == pytest.approx(expected, rel=0, abs=1e-12)
            month = fates["expected_close_month"][at]
            assert scored.expected_close_month == (month if isinstance(month, str) else None)


@pytest.mark.parametrize("name", RECIPES)
def test_deals_alone_and_together_are_told_as_in_a_frame(known: Known, book: pd.DataFrame, name: str) -> None:
    assert_same(WinModel.of(RECIPES[name].fit(known), known, HazardCandidate().fit(known), contract="c"), book)


def test_a_table_of_rates_has_no_fates(known: Known, book: pd.DataFrame) -> None:
    assert_same(WinModel.of(RateTable("overall_rate", 0.2), known, None, contract="c"), book)


def test_days_of_all_times_take_no_memory(known: Known, book: pd.DataFrame) -> None:
    hazard = HazardCandidate().fit(known)
    model = WinModel.of(hazard, known, hazard, contract="c")
    at_month = ModelAt(model, AT)
    row = {str(name): value for name, value in book.iloc[20].items()}
    sizes = []
    for oldest in (50_000, 735_000):
        for age in range(1000, oldest, 400):
            at_month([{**row, "age_days": age}])
        for age in range(1000, oldest, 20_000):
            # As reasons are computed, of a frame.
            engaged = to_days(AT.end) - np.array([age])
            hazard.model.log_survival_of(engaged, int(to_days(AT.end)), 31)
        sizes.append(len(pickle.dumps(at_month)))
    assert sizes[0] == sizes[1]
