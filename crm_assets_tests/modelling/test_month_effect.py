from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from crm_assets.modelling.month_effect import MonthEffect, PastMonth, Shifts, past_months


def months_with(tau: float, count: int, deals: int = 1500, seed: int = 3) -> list[PastMonth]:
    """Months whose deals have log-odds about -1.5 and share a normal effect."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        probability = expit(random.normal(-1.5, 1.5, deals))
        shifts = Shifts.of(tau * random.standard_normal(2000))
        given_effect = expit(shifts.centred(probability) + tau * random.standard_normal())
        found.append(PastMonth(f"2017-{number:02d}", probability, int((random.random(deals) < given_effect).sum())))
    return found


@given(
    probability=st.lists(st.floats(0, 1), min_size=1, max_size=30),
    tau=st.floats(0, 3),
    draws=st.sampled_from([1000, 4000]),
)
@settings(max_examples=40, deadline=None)
def test_the_mean_probability_over_the_draws_is_the_probability(
    probability: list[float], tau: float, draws: int
) -> None:
    shifts, wanted = MonthEffect.of(tau).drawn(draws), np.array(probability)
    given_effect = shifts.drawn(expit(shifts.centred(wanted) + shifts.nodes[:, None]))
    assert given_effect.shape == (draws, len(probability))
    np.testing.assert_allclose(given_effect.mean(axis=0), wanted, rtol=1e-4, atol=1e-12)
    assert (np.diff(given_effect, axis=0) >= -1e-12).all()


@pytest.mark.parametrize("tau", [0.05, 0.3, 2.0])
def test_drawn_effects_have_the_standard_deviation_and_no_mean(tau: float) -> None:
    shifts = MonthEffect.of(tau).drawn(4000)
    effects = shifts.drawn(shifts.nodes)
    assert effects.mean() == pytest.approx(0, abs=1e-9)
    assert effects.std() == pytest.approx(tau, rel=0.01)


def test_without_an_effect_every_draw_is_the_same() -> None:
    shifts = MonthEffect.of(0).drawn(100)
    assert shifts.nodes.tolist() == [0]
    assert shifts.drawn(np.array([[0.25, 0.5]])).tolist() == [[0.25, 0.5]] * 100


def test_the_effect_of_the_next_month_has_longer_tails_while_tau_is_uncertain() -> None:
    unknown = MonthEffect.learnt([])
    known = MonthEffect.of(unknown.tau)
    far = [
        np.quantile(np.abs(shifts.drawn(shifts.nodes)), 0.999) for shifts in (unknown.drawn(4000), known.drawn(4000))
    ]
    assert far[0] > 1.2 * far[1]


@pytest.mark.parametrize("tau", [0.0, 0.15, 0.4, 0.8])
def test_tau_is_found_again_from_many_months(tau: float) -> None:
    effect = MonthEffect.learnt(months_with(tau, 60))
    assert effect.months == 60
    assert effect.tau == pytest.approx(tau, abs=0.08)


def test_without_past_months_there_is_the_prior() -> None:
    effect = MonthEffect.learnt([])
    assert effect.months == 0
    assert effect.weights.sum() == pytest.approx(1)
    assert (effect.weights * effect.scales).sum() == pytest.approx(0.3, rel=0.01)


def test_months_that_came_as_expected_narrow_the_effect_and_others_widen_it() -> None:
    probability = np.full(1000, 0.2)
    taus = [MonthEffect.learnt([PastMonth("2017-05", probability, wins)] * 4).tau for wins in (200, 230, 260, 320, 400)]
    assert taus[0] < MonthEffect.learnt([]).tau < taus[-1]
    assert all(less < more for less, more in itertools.pairwise(taus))


@pytest.mark.parametrize(
    "month",
    [
        PastMonth("2017-05", np.empty(0), 0),
        PastMonth("2017-05", np.zeros(5), 3),
        PastMonth("2017-05", np.ones(5), 0),
        PastMonth("2017-05", np.array([0.5]), 1),
    ],
)
def test_odd_months_leave_a_distribution(month: PastMonth) -> None:
    effect = MonthEffect.learnt([month, month])
    assert np.isfinite(effect.weights).all()
    assert effect.weights.sum() == pytest.approx(1)
    assert effect.months == (2 if month.probability.size else 0)


def test_the_order_of_months_and_deals_does_not_matter() -> None:
    months = months_with(0.3, 4)
    turned = [PastMonth(month.snapshot_month, month.probability[::-1], month.wins) for month in months[::-1]]
    np.testing.assert_allclose(MonthEffect.learnt(turned).weights, MonthEffect.learnt(months).weights, rtol=1e-9)


def test_past_months_are_those_of_the_predictions_oldest_first() -> None:
    rows = pd.DataFrame(
        {
            "snapshot_month": ["2017-06", "2017-05", "2017-06"],
            "probability": [0.1, 0.2, 0.3],
            "won": [1, 0, 1],
        }
    )
    found = past_months(rows)
    assert [(month.snapshot_month, month.probability.tolist(), month.wins) for month in found] == [
        ("2017-05", [0.2], 0),
        ("2017-06", [0.1, 0.3], 2),
    ]


@pytest.mark.parametrize("tau", [-0.1, float("nan"), float("inf")])
def test_what_is_no_standard_deviation_is_refused(tau: float) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        MonthEffect.of(tau)
