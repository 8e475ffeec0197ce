from __future__ import annotations

import pytest

from crm_assets.modelling.risk import HIGH, LOW, MEDIUM, RiskThresholds

THRESHOLDS = RiskThresholds(low_from=0.7, high_below=0.4)


@pytest.mark.parametrize(
    ("probability", "risk"),
    [(0, HIGH), (0.39999, HIGH), (0.4, MEDIUM), (0.69999, MEDIUM), (0.7, LOW), (1, LOW)],
)
def test_a_probability_has_a_class(probability: float, risk: str) -> None:
    assert THRESHOLDS.of(probability) == risk


def test_thresholds_may_meet() -> None:
    assert list(RiskThresholds(0.5, 0.5).of_all([0.49, 0.5])) == [HIGH, LOW]


@pytest.mark.parametrize("number", [-0.01, 1.01, float("nan")])
def test_what_is_no_probability_has_none(number: float) -> None:
    with pytest.raises(ValueError, match="is no probability"):
        THRESHOLDS.of_all([0.5, number])
