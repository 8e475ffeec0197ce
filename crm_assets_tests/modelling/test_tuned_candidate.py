from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from crm_assets.calendar import Month
from crm_assets.modelling.blend import Blend
from crm_assets.modelling.candidate import Known
from crm_assets.modelling.hazard_candidate import HazardCandidate
from crm_assets.modelling.lightgbm_boosting import LightGBM
from crm_assets.modelling.logistic import Logistic
from crm_assets.modelling.tuned_candidate import TunedCandidate, settled, tuned
from crm_assets.modelling.tuning import tune
from crm_assets_tests.modelling.book_rows import LAST, book_rows
from crm_assets_tests.modelling.known_rows import known_of, no_deals
from crm_assets_tests.modelling.made_up_business import Business

RECIPE = Logistic(features=("age_days", "next_quarter_position", "list_price"), categorical=(), l2=300.0)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    matured = book_rows(per_month=200)
    return matured[matured["outcome"].notna()].reset_index(drop=True)


def test_a_fit_is_one_of_the_settings_that_tuning_finds(rows: pd.DataFrame) -> None:
    candidate = tuned(RECIPE, seconds=600.0, trials=5, seed=3)
    known = known_of(rows)
    fitted = candidate.fit(known)
    found = tune(RECIPE, known, candidate.limits)
    assert found.candidate != RECIPE
    assert fitted.to_dict() == found.candidate.fit(known).to_dict()
    assert fitted.to_dict() != RECIPE.fit(known).to_dict()
    assert settled(candidate, LAST) == found.candidate
    assert candidate.found[LAST].trials == found.trials


def test_what_was_found_is_of_a_month(rows: pd.DataFrame) -> None:
    candidate = tuned(RECIPE, seconds=600.0, trials=3, seed=3)
    candidate.fit(known_of(rows))
    early = Month(2017, 5)
    assert settled(candidate, early) == RECIPE
    candidate.fit(Known(early, rows[rows["snapshot_month"] < "2017-05"], no_deals(early)))
    assert set(candidate.found) == {LAST, early}
    assert candidate.found[early].reason is not None


def test_it_is_called_as_its_candidate_and_says_what_it_may_cost() -> None:
    candidate = tuned(RECIPE, seconds=7.0, trials=9, seed=3)
    assert candidate.name == "logistic"
    assert candidate.parameters() == {**RECIPE.parameters(), "tuning_seconds": 7.0, "tuning_trials": 9}
    assert candidate == tuned(RECIPE, seconds=7.0, trials=9, seed=3)
    assert candidate != tuned(RECIPE, seconds=7.0, trials=9, seed=4)


def test_what_is_not_tuned_is_settled_as_it_is(rows: pd.DataFrame) -> None:
    assert settled(RECIPE, LAST) is RECIPE
    candidate = tuned(RECIPE, seconds=600.0, trials=3, seed=3)
    other = LightGBM(features=("age_days",), categorical=(), iterations=5)
    blend = Blend(((candidate, 0.4), (other, 0.6)))
    assert settled(blend, LAST) == Blend(((RECIPE, 0.4), (other, 0.6)))
    fitted = blend.fit(known_of(rows))
    assert settled(blend, LAST) == Blend(((candidate.found[LAST].candidate, 0.4), (other, 0.6)))
    again = settled(blend, LAST).fit(known_of(rows))
    assert again.to_dict() == fitted.to_dict()


def test_the_cure_hazard_model_can_be_tuned() -> None:
    candidate: Any = tuned(HazardCandidate(), seconds=600.0, trials=2, seed=1)
    assert isinstance(candidate, TunedCandidate)
    known = Business.of(1500, seed=1).known(Month(2017, 6))
    candidate.fit(known)
    found = candidate.found[Month(2017, 6)]
    assert len(found.trials) == 2
    assert set(found.trials[1].values) == set(HazardCandidate.space)
    assert len({trial.by_month for trial in found.trials}) == 2
