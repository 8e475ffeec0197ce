from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from crm_assets.errors import QualityError
from crm_assets.modelling.blend import BLEND, Blend, FittedBlend
from crm_assets.modelling.candidate import Known
from crm_assets.modelling.candidates import HAZARD_WEIGHT, candidate_named, fitted_from_dict
from crm_assets.modelling.cold_start import RateTable
from crm_assets.modelling.hazard_candidate import HAZARD_FEATURES, HazardCandidate
from crm_assets.modelling.logistic import Logistic
from crm_assets_tests.modelling.book_rows import LAST, book_rows
from crm_assets_tests.modelling.known_rows import known_of, no_deals
from crm_assets_tests.modelling.made_up_business import Business

ROWS = pd.DataFrame({"x": [0.0, 1.0], "y": [1.0, 0.0]})


@dataclass(frozen=True)
class Says:
    """A fitted member that says the same of all rows, and reads some columns."""

    probability: float
    features: tuple[str, ...] = ()
    importances: Mapping[str, float] = field(default_factory=dict)
    candidate: str = "says"

    def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        return np.full(len(frame), self.probability)

    def importance(self) -> dict[str, float]:
        return dict(self.importances)

    def to_dict(self) -> dict[str, Any]:
        return {"candidate": self.candidate}


def test_log_odds_are_averaged_by_weight() -> None:
    odds = 4**0.75 * 0.25**0.25
    blend = FittedBlend(((Says(0.8), 0.75), (Says(0.2), 0.25)))
    assert blend.predict(ROWS) == pytest.approx([odds / (1 + odds)] * 2)
    assert FittedBlend(((Says(0.3), 1.0), (Says(0.9), 0.0))).predict(ROWS) == pytest.approx([0.3, 0.3])
    assert blend.predict(ROWS.iloc[:0]).shape == (0,)


@given(one=st.floats(0, 1), other=st.floats(0, 1), weight=st.floats(0, 1))
def test_a_blend_lies_between_its_members(one: float, other: float, weight: float) -> None:
    found = FittedBlend(((Says(one), weight), (Says(other), 1 - weight))).predict(ROWS)[0]
    assert 0 <= found <= 1
    # A member that is sure is a millionth away from it.
    assert min(one, other) - 1.1e-6 <= found <= max(one, other) + 1.1e-6
    swapped = FittedBlend(((Says(other), 1 - weight), (Says(one), weight))).predict(ROWS)[0]
    assert swapped == pytest.approx(found, abs=1e-12)


def test_it_reads_what_its_members_read_and_their_importances_count_by_weight() -> None:
    one = Says(0.5, ("x", "y"), {"x": 60.0, "y": 40.0})
    blend = FittedBlend(((one, 0.7), (Says(0.5, ("y", "z"), {"y": 10.0, "z": 90.0}), 0.3)))
    assert blend.features == ("x", "y", "z")
    assert blend.importance() == pytest.approx({"x": 42.0, "y": 31.0, "z": 27.0})
    assert [*blend.importance()] == ["x", "y", "z"]
    assert blend.candidate == BLEND


def test_members_are_fitted_in_their_order() -> None:
    known = known_of(book_rows().query("outcome.notna()"))
    one, two = Logistic(features=("age_days",), categorical=()), Logistic(features=("list_price",), categorical=())
    blend = Blend(((one, 0.25), (two, 0.75)))
    fitted = blend.fit(known)
    assert [member.to_dict() for member, _ in fitted.members] == [one.fit(known).to_dict(), two.fit(known).to_dict()]
    assert [weight for _, weight in fitted.members] == [0.25, 0.75]
    assert blend.of([one.fit(known), two.fit(known)]).to_dict() == fitted.to_dict()
    with pytest.raises(ValueError, match="longer"):
        blend.of([one.fit(known)])


def test_what_a_member_lacks_is_said() -> None:
    rows = book_rows().query("outcome.notna()")
    with pytest.raises(QualityError, match="none of 0 engaged deals has closed"):
        candidate_named(BLEND).fit(Known(LAST, rows, no_deals(LAST)))


def test_the_blend_of_the_cure_hazard_model_and_trees() -> None:
    blend: Any = candidate_named(BLEND)
    weights = {member.name: weight for member, weight in blend.members}
    assert weights == pytest.approx({"cure_hazard": HAZARD_WEIGHT, "lightgbm": 1 - HAZARD_WEIGHT})
    parameters = blend.parameters()
    assert parameters["weight_cure_hazard"] == HAZARD_WEIGHT
    assert parameters["lightgbm_iterations"] == 300
    assert parameters["cure_hazard_bins"] == HazardCandidate().parameters()["bins"]
    business = Business.of(800, seed=1)
    book = business.book(LAST.shift(-2))
    fitted = Blend(((HazardCandidate(), 0.5), (candidate_named("lightgbm", iterations=5), 0.5))).fit(
        business.known(LAST.shift(-2))
    )
    predicted = fitted.predict(book)
    for at in (0, 5):
        assert fitted.predict(book.iloc[[at]]) == pytest.approx(predicted[[at]], rel=1e-12)
    assert set(HAZARD_FEATURES) < set(fitted.features)
    text = json.dumps(fitted.to_dict(), allow_nan=False)
    again = fitted_from_dict(json.loads(text))
    assert json.dumps(again.to_dict()) == text
    assert np.array_equal(again.predict(book), predicted)


def test_a_rung_may_be_a_member() -> None:
    blend = FittedBlend(((RateTable("overall_rate", 0.25), 0.5), (RateTable("overall_rate", 0.5), 0.5)))
    again = fitted_from_dict(json.loads(json.dumps(blend.to_dict())))
    assert np.array_equal(again.predict(ROWS), blend.predict(ROWS))
