"""What a backfill would make: exactly what is missing or out of date, whatever was made before."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_assets.backfill_plan import (
    MissingInputError,
    MonthRangeError,
    Plan,
    Question,
    Step,
    UnknownAssetError,
    check_months,
)
from crm_assets.calendar import Month, month_range
from crm_assets.defs.assets import ASSETS
from crm_assets.defs.partitions import monthly_partitions
from crm_assets.defs.planning import answer, cause_of, planned
from crm_assets.defs.provenance import out_of_date
from crm_assets.errors import SettingsError
from crm_assets_tests.client.in_memory import BY_NAME, InMemory

FIRST = Month(2017, 1)
NAMES = tuple(asset.name for asset in ASSETS)


def cells(first: Month, months: int, *, by_month: bool) -> list[tuple[str, Month]]:
    """Assets times months in the order of a run per month, or of one run over the range."""
    span = month_range(first, first.shift(months - 1))
    if by_month:
        return [(name, month) for month in span for name in NAMES]
    return [(name, month) for name in NAMES for month in span]


def stored(prefix: list[tuple[str, Month]]) -> InMemory:
    held = InMemory()
    for name, month in prefix:
        held.store(BY_NAME[name], month)
    return held


def steps(plan: Plan) -> set[tuple[str, Month]]:
    return {(step.asset, step.month) for step in plan.steps}


@settings(max_examples=40)
@given(months=st.integers(1, 4), share=st.floats(0, 1), by_month=st.booleans())
def test_after_any_prefix_the_plan_is_exactly_the_rest(months: int, share: float, by_month: bool) -> None:
    order = cells(FIRST, months, by_month=by_month)
    done = round(share * len(order))
    plan = planned(stored(order[:done]).deployment, Question(FIRST, FIRST.shift(months - 1)))
    assert steps(plan) == set(order[done:])
    assert {step.cause for step in plan.steps} <= {"missing"}
    lacking = [month for _, month in order[done:]]
    assert plan.months == (month_range(min(lacking), max(lacking)) if lacking else [])
    assert [step.month for step in plan.steps] == sorted(step.month for step in plan.steps)


@settings(max_examples=30)
@given(
    months=st.integers(1, 3),
    share=st.floats(0, 1),
    by_month=st.booleans(),
    altered=st.lists(st.floats(0, 0.99), max_size=2),
    damaged=st.lists(st.floats(0, 0.99), max_size=2),
)
def test_a_run_that_keeps_what_is_up_to_date_makes_exactly_the_plan(
    months: int, share: float, by_month: bool, altered: list[float], damaged: list[float]
) -> None:
    order = cells(FIRST, months, by_month=by_month)
    done = order[: round(share * len(order))]
    held = stored(done)
    for place in altered if done else []:
        name, month = done[int(place * len(done))]
        held.store(BY_NAME[name], month, "another content")
    held.damaged = {done[int(place * len(done))] for place in damaged} if done else set()
    plan = steps(planned(held.deployment, Question(FIRST, FIRST.shift(months - 1))))
    made = set()
    # A run goes asset by asset, and asks of each month when its turn has come.
    for name, month in cells(FIRST, months, by_month=False):
        if out_of_date(held.deployment, BY_NAME[name], month) is not None:
            held.store(BY_NAME[name], month)
            made.add((name, month))
    # The plan cannot know that a damaged table comes out as it was, so that what is made of it need not be made.
    assert made <= plan
    assert damaged or made == plan
    assert not planned(held.deployment, Question(FIRST, FIRST.shift(months - 1)))


def test_what_is_damaged_is_made_again_with_what_is_made_of_it() -> None:
    held = stored(cells(FIRST, 2, by_month=True))
    held.damaged = {("opportunity_features", FIRST.next)}
    plan = planned(held.deployment, Question(FIRST, FIRST.next))
    causes = {step.asset: step.cause for step in plan.steps}
    assert causes["opportunity_features"] == "damaged"
    assert causes["scores"] == "inputs changed"
    assert "raw/products" not in causes
    assert plan.months == [FIRST.next]


def test_other_inputs_settings_and_code_are_told_apart() -> None:
    held = stored(cells(FIRST, 1, by_month=True))
    held.store(BY_NAME["opportunity_features"], FIRST, "another content")
    model, raw = held.held["win_model", FIRST], held.held["raw/products", FIRST]
    held.held["win_model", FIRST] = dataclasses.replace(model, settings={**model.settings, "seed": 99})
    held.held["raw/products", FIRST] = dataclasses.replace(raw, code_version="old")
    plan = planned(held.deployment, Question(FIRST, FIRST))
    causes = {step.asset: (step.cause, step.detail) for step in plan.steps}
    assert causes["raw/products"][0] == "code changed"
    assert causes["backtest_predictions"][0] == "inputs changed"
    assert cause_of("setting seed 7 is now 99") == "settings changed"
    assert cause_of("version 3 is not in the model store sqlite:///x") == "lost"
    text = str(plan)
    assert "raw/products" in text
    assert "code version old is now" in text


def test_force_asks_for_what_is_up_to_date() -> None:
    held = stored(cells(FIRST, 2, by_month=True))
    plan = planned(held.deployment, Question(FIRST, FIRST.next, ("scores", "win_model"), force=True))
    assert plan.assets == ("win_model", "scores")
    assert [(str(step.month), step.asset, step.cause) for step in plan.steps] == [
        ("2017-01", "win_model", "asked for"),
        ("2017-01", "scores", "asked for"),
        ("2017-02", "win_model", "asked for"),
        ("2017-02", "scores", "asked for"),
    ]


def test_what_an_asset_is_made_of_must_be_there_or_asked_for() -> None:
    held = stored(cells(FIRST, 1, by_month=True))
    with pytest.raises(MissingInputError, match=r"scores of 2017-02 is made of .* of 2017-02, which is missing"):
        planned(held.deployment, Question(FIRST.next, FIRST.next, ("scores",)))
    assert len(planned(held.deployment, Question(FIRST, FIRST, ("scores",), force=True))) == 1


def test_unknown_assets_are_told_with_the_closest() -> None:
    empty = InMemory().deployment
    with pytest.raises(UnknownAssetError, match=r"no asset 'score': did you mean scores\?"):
        planned(empty, Question(FIRST, FIRST, ("score",)))
    with pytest.raises(UnknownAssetError, match=r"no asset 'zzz': known are raw/accounts, "):
        planned(empty, Question(FIRST, FIRST, ("zzz",)))
    with pytest.raises(UnknownAssetError, match="no asset is asked for"):
        planned(empty, Question(FIRST, FIRST, ()))


def test_months_build_on_each_other() -> None:
    held = stored(cells(FIRST, 1, by_month=True))
    with pytest.raises(MonthRangeError, match=r"ends with 2017-01, so 2017-02 is missing before 2017-03: begin with"):
        planned(held.deployment, Question(Month(2017, 3), Month(2017, 4)))
    assert planned(InMemory().deployment, Question(Month(2017, 3), Month(2017, 3)))


def test_months_that_are_none_are_told_with_those_there_are() -> None:
    with pytest.raises(MonthRangeError, match=r"it does not have 2017-03: it has 2017-01 to 2017-02"):
        check_months([Month(2017, 2), Month(2017, 3)], ["2017-01", "2017-02"], "it")
    with pytest.raises(MonthRangeError, match=r"and 7 more: it has no month yet"):
        check_months(month_range(FIRST, FIRST.shift(11)), [], "it")
    with pytest.raises(MonthRangeError, match="2017-01 is before 2017-02"):
        Question(FIRST.next, FIRST)


def test_the_code_location_answers_in_json() -> None:
    held = InMemory().settings
    wrong = answer(held, monthly_partitions(held), Question(FIRST, Month(2031, 1)))
    assert json.loads(json.dumps(wrong))["error"]["type"] == "MonthRangeError"
    assert json.loads(json.dumps(wrong))["error"]["exit_code"] == SettingsError.exit_code


months_of = st.integers(0, 40).map(FIRST.shift)
plans = st.builds(
    lambda first, last, made: Plan(min(first, last), max(first, last), NAMES, tuple(made)),
    months_of,
    months_of,
    st.lists(
        st.builds(Step, months_of, st.sampled_from(NAMES), st.sampled_from(["missing", "lost"]), st.text()), max_size=5
    ),
)


@given(plans)
def test_a_plan_survives_the_way_through_json(plan: Plan) -> None:
    assert Plan.from_dict(json.loads(json.dumps(plan.as_dict()))) == plan
    assert bool(plan) is bool(plan.steps)
    assert str(plan)


@given(months_of, st.integers(0, 30), st.none() | st.lists(st.sampled_from(NAMES)).map(tuple), st.booleans())
def test_a_question_survives_the_way_through_json(
    first: Month, more: int, assets: tuple[str, ...] | None, force: bool
) -> None:
    asked = Question(first, first.shift(more), assets, force)
    assert Question.from_json(asked.to_json()) == asked


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"first": "2017-01"}'])
def test_what_is_no_question_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"question|Expecting"):
        Question.from_json(text)
