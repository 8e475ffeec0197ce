from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_assets.calendar import Month
from crm_assets.monitoring.retraining import Asked, Failure, Found, Limits, causes, decide

NOW = datetime(2018, 1, 2, 5, tzinfo=UTC)
MONTH = Month(2017, 12)
HIGH = Found(MONTH, "a", level="HIGH", why="half of the columns moved")
LIMITS = Limits(timedelta(days=45), 3, timedelta(days=365))

LEVELS = st.sampled_from([None, "NONE", "LOW", "MEDIUM", "HIGH"])
FAILURES = st.dictionaries(
    st.sampled_from(["calibrated", "as_estimated", "as_backtested"]),
    st.builds(Failure, st.booleans(), st.booleans()),
)
FOUND = st.builds(
    Found,
    st.integers(0, 40).map(Month(2017, 1).shift),
    st.sampled_from("ab"),
    LEVELS,
    st.just(""),
    FAILURES,
    st.sampled_from([False, False, False, True]),
)
LIMITING = st.builds(
    Limits,
    st.integers(0, 60).map(lambda days: timedelta(days=days)),
    st.integers(0, 4),
    st.integers(1, 200).map(lambda days: timedelta(days=days)),
)


@pytest.mark.parametrize("level", [None, "NONE", "LOW", "MEDIUM"])
def test_less_than_high_calls_for_nothing(level: str | None) -> None:
    assert causes(replace(HIGH, level=level)) == []
    assert not decide(replace(HIGH, level=level), [], LIMITS, NOW).retrain


def test_high_is_told_with_what_it_comes_from() -> None:
    decision = decide(HIGH, [], LIMITS, NOW)
    assert (decision.retrain, decision.attempt) == (True, 1)
    assert decision.reason == "drift of 2017-12 is HIGH, half of the columns moved"


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (Failure(severe=True), ["calibrated of 2017-12 failed as an error"]),
        (Failure(severe=False, lasting=True), ["calibrated of 2017-12 failed for the second month running"]),
        (Failure(severe=False), []),
    ],
)
def test_performance_calls_for_it_when_it_is_an_error_or_lasts(failure: Failure, said: list[str]) -> None:
    assert causes(Found(MONTH, "a", "LOW", failures={"calibrated": failure})) == said


def test_a_month_whose_model_became_champion_is_left_to_the_next() -> None:
    decision = decide(replace(HIGH, promoted=True), [], LIMITS, NOW)
    assert not decision.retrain
    assert "is champion already" in decision.reason


def test_the_same_data_is_retrained_once_and_again_only_when_that_failed() -> None:
    long_ago = Asked(NOW - timedelta(days=400), MONTH, "a")
    assert "its data is the same since" in decide(HIGH, [long_ago], LIMITS, NOW).reason
    assert decide(replace(HIGH, evidence="b"), [long_ago], LIMITS, NOW).retrain
    again = decide(HIGH, [replace(long_ago, failed=True)], LIMITS, NOW)
    assert (again.retrain, again.attempt) == (True, 2)


def test_within_the_cooldown_nothing_is_asked_for_and_at_its_end_it_is() -> None:
    before = Asked(NOW - timedelta(days=45) + timedelta(seconds=1), MONTH.previous, "z")
    assert "the next may be on 2018-01-02" in decide(HIGH, [before], LIMITS, NOW).reason
    assert decide(HIGH, [before], LIMITS, NOW + timedelta(seconds=1)).retrain


def test_the_cap_holds_until_one_is_older_than_its_span() -> None:
    asked = [Asked(NOW - timedelta(days=days), MONTH.shift(-days), "z") for days in (364, 200, 100)]
    held = decide(HIGH, asked, LIMITS, NOW)
    assert "3 were asked for within 365 days, and the next may be on 2018-01-03" in held.reason
    assert decide(HIGH, asked, LIMITS, NOW + timedelta(days=1)).retrain
    assert not decide(HIGH, [], replace(LIMITS, cap=0), NOW).retrain


@given(
    ticks=st.lists(st.tuples(st.integers(0, 20 * 24), FOUND, st.booleans()), min_size=15, max_size=60),
    limits=LIMITING,
    order=st.randoms(),
)
def test_never_within_the_cooldown_never_above_the_cap_never_twice_for_the_same(
    ticks: list[tuple[int, Found, bool]], limits: Limits, order: object
) -> None:
    """However months go: hours between ticks, what is found at each, and whether a retrain asked for fails."""
    now, asked = NOW, list[Asked]()
    for hours, found, fails in ticks:
        now += timedelta(hours=hours)
        order.shuffle(asked)  # type: ignore[attr-defined]  # a random.Random
        decision = decide(found, asked, limits, now)
        assert decision.reason
        if decision.retrain:
            assert causes(found)
            asked.append(Asked(now, found.month, found.evidence, fails))
    times = sorted(one.at for one in asked)
    assert all(later - earlier >= limits.cooldown for earlier, later in itertools.pairwise(times))
    assert all(sum(at <= other < at + limits.span for other in times) <= limits.cap for at in times)
    done = [(one.month, one.evidence) for one in asked if not one.failed]
    assert len(done) == len(set(done))
