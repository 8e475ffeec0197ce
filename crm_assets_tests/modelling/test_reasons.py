from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.features.registry import AS_OF, FEATURE_NAMES, WIN_MODEL_FEATURES
from crm_assets.modelling.blend import Blend
from crm_assets.modelling.candidate import Known
from crm_assets.modelling.cold_start import RateTable
from crm_assets.modelling.hazard_candidate import HAZARD_FEATURES, HazardCandidate
from crm_assets.modelling.lightgbm_boosting import LightGBM
from crm_assets.modelling.reasons import (
    LEAST,
    PARTS,
    SCORE_REASONS,
    SUBJECTS,
    WORDED,
    Subject,
    coalition_worth,
    main_parts,
    phrase,
    reasons,
)
from crm_assets.modelling.typical import Typical
from crm_assets.modelling.win_model import WinModel
from crm_assets_tests.modelling.made_up_business import Business
from crm_assets_tests.modelling.test_typical import Formula

AT = Month(2017, 8)
READ = ("as_of", "age_days", "sales_agent", "cohort_size", "product")


def interacting(frame: pd.DataFrame) -> Any:
    """A formula in which every feature depends on every other; of no row beside it."""
    month = pd.to_datetime(frame["as_of"]).dt.month
    age, size = frame["age_days"].fillna(40), frame["cohort_size"].astype(float).fillna(-3)
    agent = frame["sales_agent"].map({"Ann": 0.7, "Bob": -0.3}).astype(float).fillna(0.1)
    product = frame["product"].map({"GTX": 1.1, "MG": 0.4}).astype(float).fillna(0.2)
    return 1 / (1 + np.exp(1 + 0.02 * age * agent - 0.3 * product * (month % 3) + 0.01 * size * agent * product))


def model_of(features: tuple[str, ...], formula: Callable[[pd.DataFrame], Any], known: Known) -> WinModel:
    fitted = Formula(features, formula)
    return WinModel(fitted, None, Typical.of(fitted, known), {}, "")


@pytest.fixture(scope="module")
def business() -> Business:
    return Business.of(1200, seed=3)


@pytest.fixture(scope="module")
def known(business: Business) -> Known:
    return business.known(AT)


@pytest.fixture(scope="module")
def book(business: Business) -> pd.DataFrame:
    return business.book(AT).drop(columns=["outcome"])


@pytest.fixture(scope="module")
def model(known: Known) -> WinModel:
    return model_of(READ, interacting, known)


def brute_force(model: WinModel, rows: pd.DataFrame) -> NDArray[np.float64]:
    """(32, n) what each coalition is worth, every row mixed with every typical deal."""
    assert model.typical is not None
    worth = np.empty((32, len(rows)))
    for coalition in range(32):
        inside = {subject for at, subject in enumerate(Subject) if coalition >> at & 1}
        for at in range(len(rows)):
            mixed = model.typical.rows.copy()
            for name in model.fitted.features:
                if SUBJECTS[name] in inside:
                    mixed[name] = [rows[name].iloc[at]] * len(mixed)
            mixed["as_of"] = [str(value)[:10] for value in mixed["as_of"]]
            worth[coalition, at] = model.fitted.predict(mixed).mean()
    return worth


def by_orders(worth: NDArray[np.float64]) -> NDArray[np.float64]:
    parts = np.zeros((5, worth.shape[1]))
    for order in itertools.permutations(range(5)):
        coalition = 0
        for player in order:
            parts[player] += (worth[coalition | 1 << player] - worth[coalition]) / math.factorial(5)
            coalition |= 1 << player
    return parts


def test_parts_are_those_of_the_definition(model: WinModel, book: pd.DataFrame) -> None:
    # With twins and empty values among them, which are predicted once for all.
    some = pd.concat([book.iloc[:6], book.iloc[:3], book.iloc[20:24]], ignore_index=True)
    some.loc[4:9, "cohort_size"] = np.nan
    some.loc[7:12, "sales_agent"] = None
    assert model.typical is not None
    expected = brute_force(model, some)
    np.testing.assert_allclose(coalition_worth(model, some, model.typical), expected, rtol=0, atol=1e-12)
    found = reasons(model, some)
    np.testing.assert_allclose(found[[*PARTS]].T, by_orders(expected), rtol=0, atol=1e-12)
    assert (found[[*PARTS]].abs() > 1e-6).any().all()


@pytest.mark.parametrize("changed", ["age_days", "cohort_size", "product"])
def test_rows_that_agree_in_a_coalition_alone_share_its_prediction(
    model: WinModel, book: pd.DataFrame, changed: str
) -> None:
    """Two rows that differ in one feature, and in its kind of emptiness."""
    two = pd.concat([book.iloc[[0]]] * 4, ignore_index=True)
    two[changed] = ["MG", "GTX", None, np.nan] if changed == "product" else [3.0, 90.0, 50.0, 3.0]
    assert model.typical is not None
    np.testing.assert_allclose(coalition_worth(model, two, model.typical), brute_force(model, two), rtol=0, atol=1e-12)


def test_base_and_parts_sum_to_the_score(model: WinModel, book: pd.DataFrame) -> None:
    found = reasons(model, book)
    assert found["probability"].tolist() == model.predict(book).tolist()
    assert model.typical is not None
    assert (found["base"] == model.typical.base).all()
    np.testing.assert_allclose(found["base"] + found[[*PARTS]].sum(axis=1), found["probability"], rtol=0, atol=1e-12)
    assert found["opportunity_id"].tolist() == book["opportunity_id"].tolist()
    assert set(found.columns) == {*SCORE_REASONS.column_names} - {"snapshot_month", "model_version"}


def test_of_the_real_blend(known: Known, book: pd.DataFrame) -> None:
    fitted = Blend(((HazardCandidate(), 0.7), (LightGBM(iterations=10), 0.3))).fit(known)
    model = WinModel.of(fitted, known, None, contract="")
    some = book.iloc[::20]
    found = reasons(model, some)
    np.testing.assert_allclose(found["base"] + found[[*PARTS]].sum(axis=1), found["probability"], rtol=0, atol=1e-12)
    # A row's reasons are the same alone, and of a model that was saved.
    alone = reasons(model, some.iloc[[5]])
    np.testing.assert_allclose(alone[[*PARTS]], found.iloc[[5]][[*PARTS]], rtol=0, atol=1e-12)
    assert found[[*PARTS]].abs().mean().min() > 1e-4


def test_what_the_model_does_not_read_has_no_part(known: Known, book: pd.DataFrame) -> None:
    model = model_of(("age_days", "sales_agent"), lambda frame: 1 / (2 + frame["age_days"]), known)
    found = reasons(model, book)
    for name in ("due_to_month", "due_to_cohort", "due_to_product"):
        assert (found[name] == 0).all()
    # Read, but of no influence.
    np.testing.assert_allclose(found["due_to_agent"], 0, rtol=0, atol=1e-15)
    assert (found["due_to_age"] != 0).any()


def test_on_the_rungs_there_are_no_parts(book: pd.DataFrame) -> None:
    found = reasons(WinModel(RateTable("overall_rate", 0.25), None, None, {}, ""), book)
    assert (found["probability"] == 0.25).all()
    assert (found["base"] == 0.25).all()
    assert (found[[*PARTS]] == 0).all().all()
    assert found[[*WORDED]].isna().all().all()


def test_without_rows_there_are_no_reasons(model: WinModel, book: pd.DataFrame) -> None:
    assert reasons(model, book.iloc[:0]).empty
    assert set(reasons(model, book.iloc[:0]).columns) == set(reasons(model, book.head(1)).columns)


def test_words_name_what_is_large_the_largest_first(model: WinModel, book: pd.DataFrame) -> None:
    found = reasons(model, book)
    for row in found.iloc[::40].to_dict("records"):
        for column, sign in zip(WORDED, (1, -1), strict=True):
            parts = sorted((sign * row[name] for name in PARTS if sign * row[name] >= LEAST), reverse=True)
            told = [] if row[column] is None else row[column].split("; ")
            mark = "+" if sign > 0 else "-"
            assert [text.rsplit("(", 1)[1] for text in told] == [f"{mark}{100 * part:.0f})" for part in parts]
    assert found["raises"].notna().any()
    assert found["lowers"].notna().any()


TYPICAL = Typical(
    rows=pd.DataFrame(),
    base=0.2,
    won_at_age=np.percentile(np.arange(1, 202), np.arange(101)).tolist(),
    win_rate_before={1: 0.08, 3: 0.249},
    share_open_by_age={0: 0.5, 3: 0.31},
    agent_share_open=0.2,
)
NONE = Typical(pd.DataFrame(), 0.2, [], {}, {}, None)
SHARES = ("agent_share_open_138", "cohort_share_open")
SOONER = "were won sooner"
ROW: dict[str, Any] = {
    "age_days": 35,
    "as_of": pd.Timestamp(2017, 8, 31),
    "sales_agent": "Ann",
    "agent_share_open_138": 0.456,
    "regional_office": "East",
    "cohort_share_open": 0.777,
    "product": "GTX",
}


@pytest.mark.parametrize(
    ("subject", "change", "typical", "expected"),
    [
        (Subject.AGE, {"age_days": 0}, TYPICAL, "engaged 0 days ago: 100 % of the deals that were won took longer"),
        (Subject.AGE, {"age_days": 1}, TYPICAL, "engaged 1 day ago: 100 % of the deals that were won took longer"),
        (Subject.AGE, {"age_days": 41}, TYPICAL, "engaged 41 days ago: 80 % of the deals that were won took longer"),
        (Subject.AGE, {"age_days": 152}, TYPICAL, "engaged 152 days ago: 75 % of the deals that were won " + SOONER),
        (Subject.AGE, {"age_days": 201}, TYPICAL, "engaged 201 days ago: 99 % of the deals that were won " + SOONER),
        (Subject.AGE, {"age_days": 202}, TYPICAL, "engaged 202 days ago, longer than any deal that was won"),
        (Subject.AGE, {"age_days": 9.0}, NONE, "engaged 9 days ago"),
        (
            Subject.MONTH,
            {},
            TYPICAL,
            "2017-09 is the third month of a quarter, in which 25 % of the open deals were won",
        ),
        (Subject.MONTH, {"as_of": "2017-12-31"}, NONE, "2018-01 is the first month of a quarter"),
        (Subject.MONTH, {"as_of": date(2017, 7, 31)}, TYPICAL, "2017-08 is the second month of a quarter"),
        (
            Subject.AGENT,
            {},
            TYPICAL,
            "sold by Ann, who leaves 46 % of the deals open for more than 138 days (20 % is usual)",
        ),
        (Subject.AGENT, {"agent_share_open_138": None}, TYPICAL, "sold by Ann"),
        (Subject.AGENT, {"agent_share_open_138": np.nan}, TYPICAL, "sold by Ann"),
        (Subject.AGENT, {}, NONE, "sold by Ann"),
        (Subject.AGENT, {"sales_agent": None}, NONE, "sold by the agent"),
        (Subject.AGENT, {"sales_agent": np.nan}, NONE, "sold by the agent"),
        (
            Subject.COHORT,
            {},
            TYPICAL,
            "of the deals engaged in East at the time 78 % are still open (31 % is usual at this age)",
        ),
        (Subject.COHORT, {"age_days": 99}, TYPICAL, "of the deals engaged in East at the time 78 % are still open"),
        (Subject.COHORT, {"cohort_share_open": np.nan}, TYPICAL, "engaged in East when it was"),
        (
            Subject.COHORT,
            {"cohort_share_open": None, "regional_office": np.nan},
            NONE,
            "engaged in the same office when it was",
        ),
        (Subject.PRODUCT, {}, TYPICAL, "the product is GTX"),
        (Subject.PRODUCT, {"product": np.nan}, TYPICAL, "the product is unknown"),
    ],
)
def test_phrases(subject: Subject, change: dict[str, Any], typical: Typical, expected: str) -> None:
    against = {Subject.AGENT, Subject.COHORT}
    assert phrase(subject, {**ROW, **change}, typical, -0.1 if subject in against else 0.1) == expected


def test_a_comparison_that_speaks_for_the_other_direction_is_left_out() -> None:
    """Of an agent who leaves more open than is usual, or a month in which less is won, while the score is higher."""
    assert phrase(Subject.AGENT, ROW, TYPICAL, 0.1) == "sold by Ann"
    assert "is usual" in phrase(Subject.COHORT, ROW, TYPICAL, -0.1)
    assert "is usual" not in phrase(Subject.COHORT, ROW, TYPICAL, 0.1)
    rates = TYPICAL.win_rate_before
    for at, month in ((1, "2017-06-30"), (2, "2017-07-31"), (3, "2017-08-31")):
        mean = np.mean(list(rates.values()))
        for part in (0.1, -0.1):
            told = phrase(Subject.MONTH, {**ROW, "as_of": month}, TYPICAL, part)
            assert ("in which" in told) == (at in rates and (rates[at] - mean) * part >= 0)


@given(
    ages=st.lists(st.integers(0, 60), min_size=1, max_size=40),
    days=st.integers(0, 70),
)
def test_percentiles_are_right(ages: list[int], days: int) -> None:
    typical = Typical(pd.DataFrame(), 0.2, np.percentile(ages, np.arange(101)).tolist(), {}, {}, None)
    told = phrase(Subject.AGE, {**ROW, "age_days": days}, typical, 0.1)
    if "longer than any" in told:
        assert days > max(ages)
        return
    share = int(told.split(": ")[1].split(" %")[0])
    counted = np.array(ages)
    right = (counted < days).mean() if told.endswith("sooner") else (counted > days).mean()
    # Percentiles lie between the ages of few deals, so they are right to within one of them.
    assert abs(share / 100 - right) <= 1 / len(ages) + 0.011
    assert 0 <= share <= 100


@given(data=st.data())
@settings(max_examples=60)
def test_no_phrase_says_none_or_nan(data: st.DataObject) -> None:
    empty = [None, np.nan]
    row = {
        **ROW,
        "age_days": data.draw(st.sampled_from([*empty, 0, 1, 35.0, 400])),
        **{name: data.draw(st.sampled_from([*empty, "Ann"])) for name in ("sales_agent", "regional_office", "product")},
        **{name: data.draw(st.sampled_from([*empty, 0.0, 1.0, 0.5])) for name in SHARES},
    }
    missing = data.draw(st.sampled_from([None, *SHARES]))
    given_ = {name: value for name, value in row.items() if name != missing}
    for subject in Subject:
        told = phrase(
            subject, given_, data.draw(st.sampled_from([TYPICAL, NONE])), data.draw(st.sampled_from([-0.1, 0.1]))
        ).lower()
        assert "none" not in told
        assert "nan" not in told
        assert " 1 days" not in told


def test_every_column_a_model_may_read_has_a_subject() -> None:
    assert set(SUBJECTS) == {AS_OF, *FEATURE_NAMES}
    assert {*WIN_MODEL_FEATURES, *HAZARD_FEATURES} <= set(SUBJECTS)
    assert SUBJECTS["next_quarter_position"] is Subject.MONTH
    assert SUBJECTS["agent_share_open_138"] is Subject.AGENT
    assert SUBJECTS["engage_fortnight"] is Subject.COHORT
    assert SUBJECTS["series"] is Subject.PRODUCT


def test_the_main_part_is_the_largest_that_can_be_seen() -> None:
    parts = np.array([[0.1, -0.2, 0.0, 0.0, 0.0], [0.0, 0.0, LEAST / 2, 0.0, 0.0], [0.1, -0.1, 0.0, 0.0, 0.0]])
    subjects, largest = main_parts(parts)
    assert subjects == [Subject.MONTH, None, Subject.AGE]
    np.testing.assert_array_equal(largest, [-0.2, np.nan, 0.1])
    assert main_parts(parts[:0])[0] == []
