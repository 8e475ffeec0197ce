from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.errors import QualityError
from crm_assets.modelling.cure_hazard import Calendar, CureHazard, Fates, HazardParameters, Names, cohorts, fortnight
from crm_assets.modelling.deals import OPEN, Deals, to_days
from crm_assets_tests.modelling.known_rows import no_deals
from crm_assets_tests.modelling.made_up_business import LAST, Business, Laws

LIGHT = HazardParameters(
    bins=15,
    hazard_prior=1e-3,
    abandoned_agent_prior=1.0,
    abandoned_cohort_prior=1e6,
    speed_prior=10.0,
    win_prior=1.0,
    iterations=500,
)
"""Little is drawn towards the average and the EM runs to its end, so that the estimates are what the deals say."""


def fates(
    model: CureHazard,
    *,
    age: int | NDArray[np.int64] = 30,
    days: int = 31,
    agent: str = "Cid",
    region: str = "East",
    product: str = "GTX",
    as_of: int | None = None,
) -> Fates:
    """Of open deals that differ in their age only."""
    as_of = int(to_days(LAST.end)) if as_of is None else as_of
    ages = np.atleast_1d(np.asarray(age, dtype=np.int64))
    engaged, zero = as_of - ages, np.zeros(len(ages), dtype=np.int64)
    when, cohort = np.unique(fortnight(engaged), return_inverse=True)
    names = Names([agent], [(region, int(at)) for at in when], [product])
    return model.fates(engaged=engaged, as_of=as_of, days=days, agent=zero, cohort=cohort, product=zero, names=names)


def of(**columns: Any) -> Deals:
    """Deals of one agent, region and product unless they are given."""
    size = len(columns["engaged"])
    code = np.zeros(size, dtype=np.int64)
    deals = replace(
        no_deals(LAST),
        engaged=code,
        closed=np.full(size, OPEN),
        won=code > 0,
        agent=code,
        region=code,
        product=code,
        agents=("Ann",),
        regions=("East",),
        products=("GTX",),
    )
    arrays = {name: np.asarray(values) for name, values in columns.items() if name not in ("as_of", "agents")}
    return replace(deals, **{**columns, **arrays})


@pytest.fixture(scope="module")
def business() -> Business:
    return Business.of(40_000, seed=5)


@pytest.fixture(scope="module")
def model(business: Business) -> CureHazard:
    return CureHazard.fit(business.deals(LAST), LIGHT)


@pytest.fixture(scope="module")
def small() -> CureHazard:
    return CureHazard.fit(Business.of(1500, seed=6).deals(LAST))


def test_daily_hazards_by_age_and_month_are_found(model: CureHazard) -> None:
    """Of Cid, a deal's chance to close within a month against what the laws say of deals that are not abandoned."""
    laws = Laws()
    for month in (Month(2017, 3), Month(2017, 4), Month(2017, 5), Month(2017, 6)):
        as_of = int(to_days(month.end))
        for age, factor in ((20, 1.0), (90, 1 / 3)):
            days = 10
            found = fates(model, age=age, days=days, as_of=as_of)
            hazard = laws.hazard[(month.next.number - 1) % 3] * factor
            truth = 1 - (1 - hazard) ** days
            assert found.closes[0] / (1 - found.abandoned[0]) == pytest.approx(truth, rel=0.2)


def test_speeds_of_agents_are_found_and_keep_their_scale(model: CureHazard) -> None:
    others = np.mean([model.speed[name] for name in ("Cid", "Dee", "Eve", "Fay")])
    assert model.speed["Bob"] / others == pytest.approx(2, rel=0.1)
    assert model.speed["Ann"] / others == pytest.approx(1, rel=0.1)
    assert 0.8 < others < 1


def test_shares_abandoned_by_agents_are_found(model: CureHazard) -> None:
    for agent, share in (("Ann", 0.6), ("Bob", 0.15), ("Fay", 0.15)):
        log_odds = model.abandoned_level + model.abandoned_by_agent[agent]
        assert 1 / (1 + np.exp(-log_odds)) == pytest.approx(share, abs=0.05)


def test_shares_abandoned_of_open_deals_are_those_that_never_close(business: Business, model: CureHazard) -> None:
    """Cid's open deals that are older than a quarter, against what the business knows of them."""
    at = int(to_days(LAST.end))
    still_open = (business.agent == "Cid") & ((business.closed == OPEN) | (business.closed > at))
    for young, old in ((10, 60), (120, 200), (250, 330)):
        which = still_open & (at - business.engaged >= young) & (at - business.engaged < old)
        found = fates(model, age=at - business.engaged[which]).abandoned.mean()
        assert found == pytest.approx(business.abandoned[which].mean(), abs=0.06)


def test_shares_won_by_product_are_found(model: CureHazard) -> None:
    for product, share in (("GTX", 0.8), ("MG", 0.4)):
        assert fates(model, product=product).win_share[0] == pytest.approx(share, abs=0.03)


def test_an_abandoned_cohort_is_told_from_the_others() -> None:
    when = int(fortnight(to_days(date(2017, 3, 15))))
    business = Business.of(6000, seed=3, laws=Laws(bad_cohort=("East", when)))
    model = CureHazard.fit(business.deals(LAST))
    effects = model.abandoned_by_cohort
    assert max(effects, key=lambda cohort: effects[cohort]) == ("East", when)
    as_of, engaged = int(to_days(LAST.end)), int(to_days(date(2017, 3, 15)))
    bad, good = (fates(model, age=as_of - engaged, region=region) for region in ("East", "West"))
    assert bad.abandoned[0] > 0.9
    assert bad.abandoned[0] > good.abandoned[0] + 0.1


def test_effects_are_shrunk_more_by_a_larger_prior() -> None:
    deals = Business.of(1500, seed=6).deals(LAST)
    little, much = (
        CureHazard.fit(
            deals,
            HazardParameters(
                abandoned_agent_prior=prior, abandoned_cohort_prior=prior, speed_prior=prior, win_prior=prior
            ),
        )
        for prior in (1.0, 1e7)
    )
    for name in ("abandoned_by_agent", "abandoned_by_cohort", "win_by_agent", "win_by_product"):
        assert np.std([*getattr(little, name).values()]) > 0.05
        assert np.abs([*getattr(much, name).values()]).max() < 1e-3
    assert np.std([*little.speed.values()]) > 0.1
    assert [*much.speed.values()] == pytest.approx([1] * len(much.speed), abs=1e-3)


def test_who_was_not_seen_counts_as_average(small: CureHazard) -> None:
    average = replace(
        small,
        speed={**small.speed, "Zoe": 1.0},
        abandoned_by_agent={**small.abandoned_by_agent, "Zoe": 0.0},
        win_by_agent={**small.win_by_agent, "Zoe": 0.0},
        win_by_product={**small.win_by_product, "new": 0.0},
        abandoned_by_cohort={**small.abandoned_by_cohort, ("North", 1234): 0.0},
    )
    asked: dict[str, Any] = {"age": np.array([3, 50]), "agent": "Zoe", "product": "new", "region": "North"}
    for one, other in zip(_parts(fates(small, **asked)), _parts(fates(average, **asked)), strict=True):
        assert np.array_equal(one, other)
    assert fates(small, agent="Ann").abandoned[0] > fates(small, agent="Zoe").abandoned[0]


@given(
    age=st.integers(0, 800),
    days=st.integers(1, 400),
    names=st.tuples(*map(st.sampled_from, (["Ann", "Bob", "Zoe"], ["East", "North"], ["GTX", "MG", "new"]))),
    later=st.integers(-300, 300),
)
@settings(max_examples=100)
def test_probabilities_are_some_and_move_as_they_must(
    small: CureHazard, age: int, days: int, names: tuple[str, str, str], later: int
) -> None:
    at: dict[str, Any] = dict(zip(("agent", "region", "product"), names, strict=True))
    at["as_of"] = int(to_days(LAST.end)) + later
    found = fates(small, age=age, days=days, **at)
    for part in (*_parts(found), found.won):
        assert ((part >= 0) & (part <= 1)).all()
    assert (found.closes + found.abandoned <= 1 + 1e-12).all()
    # Further ahead more of them close, and what is abandoned does not depend on how far one looks.
    further = fates(small, age=age, days=days + 7, **at)
    assert further.closes[0] >= found.closes[0]
    assert further.abandoned[0] == found.abandoned[0]
    # The longer a deal of the same day is open, the likelier it was abandoned.
    waited = fates(small, age=age + 20, days=days, **{**at, "as_of": at["as_of"] + 20})
    assert waited.abandoned[0] >= found.abandoned[0]


@given(seed=st.integers(0, 1000))
@settings(max_examples=10)
def test_the_order_of_deals_does_not_matter(seed: int) -> None:
    deals = Business.of(300, seed=6).deals(LAST)
    order = np.random.default_rng(seed).permutation(len(deals))
    columns = ("engaged", "closed", "won", "agent", "region", "product")
    shuffled = replace(deals, **{name: getattr(deals, name)[order] for name in columns})
    one, other = fates(CureHazard.fit(deals)), fates(CureHazard.fit(shuffled))
    for first, second in zip(_parts(one), _parts(other), strict=True):
        assert second == pytest.approx(first, rel=1e-9)


def test_names_say_nothing(small: CureHazard) -> None:
    deals = Business.of(1500, seed=6).deals(LAST)
    renamed = replace(deals, agents=tuple(f"{name} Jr" for name in deals.agents), products=("a", "b"))
    one, other = fates(small), fates(CureHazard.fit(renamed), agent="Cid Jr", product="a")
    for first, second in zip(_parts(one), _parts(other), strict=True):
        assert np.array_equal(first, second)


def test_a_history_of_another_time_is_the_same_history(small: CureHazard) -> None:
    """800 years later months are as long, and weeks and fortnights begin on the same days."""
    by = 2 * 146_097
    deals = Business.of(1500, seed=6).deals(LAST)
    closed = np.where(deals.is_closed, deals.closed + by, OPEN)
    moved = CureHazard.fit(replace(deals, as_of=deals.as_of + by, engaged=deals.engaged + by, closed=closed))
    ages = np.array([0, 10, 100])
    one, other = fates(small, age=ages), fates(moved, age=ages, as_of=deals.as_of + by)
    for first, second in zip(_parts(one), _parts(other), strict=True):
        assert np.array_equal(first, second)


def test_written_as_json_and_read_back_it_is_the_same(small: CureHazard) -> None:
    text = json.dumps(small.to_dict(), allow_nan=False)
    again = CureHazard.from_dict(json.loads(text))
    assert json.dumps(again.to_dict()) == text
    for one, other in zip(_parts(fates(again)), _parts(fates(small)), strict=True):
        assert np.array_equal(one, other)
    assert json.dumps(CureHazard.fit(Business.of(1500, seed=6).deals(LAST)).to_dict()) == text


def test_no_closing_is_too_little() -> None:
    with pytest.raises(QualityError, match="none of 3 engaged deals has closed: train later"):
        CureHazard.fit(of(engaged=np.array([17_000, 17_001, 17_100])))
    with pytest.raises(QualityError, match="none of 0 engaged deals"):
        CureHazard.fit(no_deals(LAST))


DAY = int(to_days(LAST.end)) - 100
ENGAGED = DAY - np.arange(10)


@pytest.mark.parametrize(
    "deals",
    [
        pytest.param(of(engaged=ENGAGED, closed=ENGAGED, won=ENGAGED > 0), id="all closed on their day and won"),
        pytest.param(of(engaged=ENGAGED, closed=ENGAGED + 40, won=ENGAGED < 0), id="all closed and none won"),
        pytest.param(of(engaged=ENGAGED, closed=np.where(ENGAGED % 2, OPEN, DAY + 3)), id="ten deals"),
        pytest.param(of(engaged=ENGAGED[:1], closed=ENGAGED[:1]), id="one deal of one day"),
        pytest.param(
            of(engaged=ENGAGED[:2], closed=np.array([OPEN, DAY + 100]), won=ENGAGED[:2] > 0), id="a win on the last day"
        ),
        pytest.param(
            of(engaged=np.array([DAY + 100] * 3), closed=np.array([OPEN, OPEN, DAY + 100])), id="all ages zero"
        ),
        pytest.param(
            of(engaged=np.array([0, DAY]), closed=np.array([OPEN, DAY + 1])), id="a deal that is open for 48 years"
        ),
    ],
)
@pytest.mark.parametrize("parameters", [HazardParameters(), LIGHT, HazardParameters(bins=1, iterations=1)])
def test_whatever_the_deals_there_are_probabilities(deals: Deals, parameters: HazardParameters) -> None:
    model = CureHazard.fit(deals, parameters)
    for days in (1, 31, 400):
        found = fates(model, age=np.array([0, 1, 40, 4000]), days=days, agent="Ann")
        for part in (*_parts(found), found.won):
            assert ((part >= 0) & (part <= 1)).all()
    json.dumps(model.to_dict(), allow_nan=False)


def test_a_closing_on_the_day_of_engagement_was_at_risk_for_a_day() -> None:
    """As a deal that was engaged on the day before, and closed on the same day."""
    ages = np.arange(10) % 2
    same = CureHazard.fit(of(engaged=ENGAGED, closed=ENGAGED + ages, won=ages > 0))
    next_day = CureHazard.fit(of(engaged=ENGAGED - (ages == 0), closed=ENGAGED + ages, won=ages > 0))
    assert np.array_equal(same.log_survival, next_day.log_survival)
    # All of ten closed on their first day: hazards are as high as they may be.
    assert -np.expm1(same.log_survival[0]).max() > 0.8


def test_days_before_the_first_month_with_a_closing_are_not_at_risk() -> None:
    late = Business.of(6000, seed=8, laws=Laws(first_close=int(to_days(date(2017, 3, 1)))))
    deals = late.deals(LAST)
    model = CureHazard.fit(deals, LIGHT)
    assert model.start == to_days(date(2017, 3, 1))
    laws = Laws()
    found = fates(model, age=20, days=10, as_of=int(to_days(Month(2017, 5).end)))
    assert found.closes[0] / (1 - found.abandoned[0]) == pytest.approx(1 - (1 - laws.hazard[2]) ** 10, rel=0.25)
    # Nothing was seen of a deal before: it is as likely abandoned as a new one.
    before = int(to_days(date(2017, 2, 28)))
    some = fates(model, age=np.array([100]), as_of=before, region="North")
    assert some.abandoned == pytest.approx(fates(model, age=np.array([0]), as_of=before, region="North").abandoned)
    assert fates(model, age=np.array([100]), as_of=before + 60, region="North").abandoned > some.abandoned


def test_with_one_agent_its_effects_are_none() -> None:
    business = Business.of(800, seed=9, agents=("Dee",))
    model = CureHazard.fit(business.deals(LAST))
    assert [*model.speed] == ["Dee"]
    assert model.speed["Dee"] == pytest.approx(1, abs=0.02)
    assert model.abandoned_by_agent["Dee"] == pytest.approx(0, abs=0.05)
    assert model.win_by_agent["Dee"] == pytest.approx(0, abs=0.01)


@given(
    first=st.integers(16_000, 16_200),
    deals=st.lists(
        st.tuples(st.integers(0, 150), st.integers(0, 150), st.integers(0, 150)).map(sorted), min_size=1, max_size=6
    ),
    edges=st.lists(st.integers(2, 120), max_size=4, unique=True).map(sorted),
)
@settings(max_examples=50)
def test_days_at_risk_are_those_that_a_loop_counts(first: int, deals: list[list[int]], edges: list[int]) -> None:
    engaged, after, until = (first + np.array(column) for column in zip(*deals, strict=True))
    found = Calendar(first, first + 150).days_at_risk(engaged, after, until, np.array(edges, dtype=np.int64))
    expected = np.zeros((len(deals), len(edges) + 1, 3))
    for row, (begin, begun, ended) in enumerate(zip(engaged, after, until, strict=True)):
        for day in range(begun + 1, ended + 1):
            age = day - begin
            month = date.fromordinal(date(1970, 1, 1).toordinal() + int(day)).month
            expected[row, sum(edge <= age for edge in edges), (month - 1) % 3] += 1
    assert np.array_equal(found, expected.reshape(len(deals), -1))


def test_cohorts_are_a_region_and_a_fortnight() -> None:
    days = [to_days(date(2017, 1, 2)), to_days(date(2017, 1, 15)), to_days(date(2017, 1, 16))]
    deals = replace(
        of(engaged=np.array([*days, days[0]])), region=np.array([1, 1, 1, 0]), regions=("East", "West", "of no deal")
    )
    names, code = cohorts(deals)
    first = int(fortnight(np.array(days))[0])
    assert {names[at] for at in code} == set(names)
    assert len(names) == len({names[at] for at in code})
    assert [names[at][0] for at in code] == ["West", "West", "West", "East"]
    for at, day in zip(code, deals.engaged, strict=True):
        assert names[at][1] == (int(day) - 4) // 14
    assert first == (int(days[0]) - 4) // 14
    assert cohorts(no_deals(LAST))[0] == []


def test_parameters_are_named() -> None:
    assert HazardParameters(bins=3).as_dict()["bins"] == 3
    assert [*HazardParameters().as_dict()][-2:] == ["iterations", "tolerance"]


def _parts(found: Fates) -> tuple[NDArray[np.float64], ...]:
    return found.abandoned, found.closes, found.win_share
