from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.modelling.candidate import Fitted, Known
from crm_assets.modelling.logistic import Logistic
from crm_assets.modelling.typical import AGE_STEP, BOOKS, PER_BOOK, Typical
from crm_assets_tests.modelling.known_rows import no_deals
from crm_assets_tests.modelling.made_up_business import FIRST, Business

AT = Month(2017, 8)


class Formula:
    """A fitted model that is a formula of the columns it reads."""

    candidate = "formula"

    def __init__(self, features: tuple[str, ...], formula: Callable[[pd.DataFrame], Any]) -> None:
        self.features = features
        self.formula = formula

    def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        return np.asarray(self.formula(frame[list(self.features)]), dtype=np.float64)

    def importance(self) -> dict[str, float]:
        return {}

    def to_dict(self) -> dict[str, Any]:
        return {}


BY_AGE = Formula(("age_days", "as_of", "sales_agent"), lambda frame: 1 / (1 + frame["age_days"]))


@pytest.fixture(scope="module")
def known() -> Known:
    return Business.of(1500, seed=2).known(AT)


@pytest.fixture(scope="module")
def typical(known: Known) -> Typical:
    return Typical.of(BY_AGE, known)


def test_they_are_the_middles_of_the_halves_of_the_newest_books(typical: Typical, known: Known) -> None:
    assert list(typical.rows.columns) == ["age_days", "as_of", "sales_agent"]
    assert len(typical.rows) == BOOKS * PER_BOOK
    assert typical.rows["as_of"].tolist() == ["2017-05-31"] * 2 + ["2017-06-30"] * 2 + ["2017-07-31"] * 2
    for month, of in typical.rows.groupby("as_of"):
        # The score falls with age, so the lower half holds the oldest.
        ages = np.sort(known.rows.loc[known.rows["as_of"] == month, "age_days"])[::-1]
        assert of["age_days"].tolist() == [ages[int(share * len(ages))] for share in (1 / 4, 3 / 4)]
    assert typical.base == pytest.approx((1 / (1 + typical.rows["age_days"])).mean(), abs=1e-15)


def test_the_order_and_the_ids_of_rows_do_not_matter(typical: Typical, known: Known) -> None:
    shuffled = known.rows.sample(frac=1, random_state=4).assign(opportunity_id="other").reset_index(drop=True)
    again = Typical.of(BY_AGE, Known(known.month, shuffled, known.deals))
    assert json.dumps(again.to_dict()) == json.dumps(typical.to_dict())


def test_figures_are_those_of_the_rows_and_the_deals(typical: Typical, known: Known) -> None:
    deals, rows = known.deals, known.rows
    ages = (deals.closed - deals.engaged)[deals.won]
    assert len(typical.won_at_age) == 101
    assert typical.won_at_age[0] == ages.min()
    assert typical.won_at_age[-1] == ages.max()
    assert typical.won_at_age[50] == np.median(ages)
    assert set(typical.win_rate_before) == {1, 2, 3}
    third = rows[rows["next_quarter_position"] == 3]
    assert typical.win_rate_before[3] == pytest.approx((third["outcome"] == "won").mean())
    young = rows[(rows["age_days"] >= AGE_STEP) & (rows["age_days"] < 2 * AGE_STEP)]
    assert typical.share_open_by_age[1] == pytest.approx(young["cohort_share_open"].median())
    assert typical.agent_share_open == pytest.approx(rows["agent_share_open_138"].median())


def test_written_as_json_and_read_back_they_are_the_same(typical: Typical) -> None:
    text = json.dumps(typical.to_dict(), allow_nan=False)
    again = Typical.from_dict(json.loads(text))
    assert json.dumps(again.to_dict()) == text
    assert again.win_rate_before == typical.win_rate_before
    assert again.share_open_by_age == typical.share_open_by_age
    pd.testing.assert_frame_equal(again.rows, typical.rows)


def test_empty_values_are_kept_as_such(known: Known) -> None:
    features = ("age_days", "agent_share_open_138", "regional_office")
    rows = known.rows.assign(
        agent_share_open_138=np.where(known.rows["age_days"] % 2, np.nan, 0.5), regional_office=None
    )
    typical = Typical.of(Formula(features, lambda frame: frame["age_days"] / 1000), Known(AT, rows, known.deals))
    again = Typical.from_dict(json.loads(json.dumps(typical.to_dict(), allow_nan=False)))
    assert again.rows["regional_office"].isna().all()
    assert np.array_equal(
        again.rows["agent_share_open_138"].astype(float), typical.rows["agent_share_open_138"], equal_nan=True
    )


def test_one_book_of_one_row_without_wins_will_do(known: Known) -> None:
    first = known.rows[known.rows["snapshot_month"] == str(FIRST)]
    for rows in (first.iloc[:1], first.iloc[:2]):
        little = rows.drop(columns=["cohort_share_open", "agent_share_open_138"]).assign(outcome="open")
        typical = Typical.of(BY_AGE, Known(AT, little, no_deals(AT)))
        assert len(typical.rows) == PER_BOOK
        assert typical.won_at_age == []
        assert typical.win_rate_before == {2: 0.0}
        assert typical.share_open_by_age == {}
        assert typical.agent_share_open is None
        json.dumps(typical.to_dict(), allow_nan=False)
    empty = Typical.of(BY_AGE, Known(AT, first.assign(cohort_share_open=None, agent_share_open_138=None), known.deals))
    assert empty.share_open_by_age == {}
    assert empty.agent_share_open is None


def test_of_a_real_candidate(known: Known) -> None:
    fitted: Fitted = Logistic(features=("age_days", "next_quarter_position"), categorical=()).fit(known)
    typical = Typical.of(fitted, known)
    assert typical.base == fitted.predict(typical.rows).mean()
    assert sorted(typical.rows["next_quarter_position"].unique()) == [1, 2, 3]
