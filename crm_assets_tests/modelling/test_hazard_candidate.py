from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crm_assets.calendar import Month, month_range
from crm_assets.errors import QualityError
from crm_assets.modelling import hazard_candidate
from crm_assets.modelling.candidate import Known
from crm_assets.modelling.cure_hazard import CureHazard, Names, fortnight
from crm_assets.modelling.deals import OPEN, Deals, to_days
from crm_assets.modelling.feature_frame import FeatureMismatchError
from crm_assets.modelling.hazard_candidate import (
    CURE_HAZARD,
    HAZARD_FEATURES,
    HORIZON_DAYS,
    LONGEST_MONTHS,
    FittedHazard,
    HazardCandidate,
)
from crm_assets.modelling.recalibration import Recalibration
from crm_assets_tests.modelling.known_rows import no_deals
from crm_assets_tests.modelling.made_up_business import FIRST, Business, Laws

AT = Month(2017, 8)


@pytest.fixture(scope="module")
def business() -> Business:
    return Business.of(3000, seed=4)


@pytest.fixture(scope="module")
def fitted(business: Business) -> FittedHazard:
    return HazardCandidate().fit(business.known(AT))


@pytest.fixture(scope="module")
def book(business: Business) -> pd.DataFrame:
    return business.book(AT)


@dataclass(frozen=True)
class Told(HazardCandidate):
    """Notes the days it is recalibrated on."""

    days: list[int] = field(default_factory=list, compare=False)

    def _told(self, deals: Deals, day: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        self.days.append(day)
        return super()._told(deals, day)


def test_it_tells_wins_apart_and_comes_true_in_the_mean(fitted: FittedHazard, book: pd.DataFrame) -> None:
    won = (book["outcome"] == "won").to_numpy()
    predicted = fitted.predict(book)
    assert predicted[won].mean() > 1.5 * predicted[~won].mean()
    assert predicted.mean() == pytest.approx(won.mean(), abs=0.03)


def test_it_is_recalibrated_on_days_whose_outcomes_were_known(business: Business) -> None:
    days: dict[Month, list[int]] = {}
    for month in (Month(2017, 7), AT):
        candidate = Told()
        candidate.fit(business.known(month))
        days[month] = candidate.days
        deals = business.deals(month)
        first = int(deals.closed[deals.is_closed].min())
        assert max(candidate.days) + HORIZON_DAYS < deals.as_of
        assert max(candidate.days) + HORIZON_DAYS + candidate.every_days >= deals.as_of - 1
        assert first + candidate.after_days < min(candidate.days) <= first + candidate.after_days + candidate.every_days
    assert set(days[Month(2017, 7)]) < set(days[AT])


def test_what_it_told_is_compared_with_what_was_won_in_the_month_after(business: Business) -> None:
    deals, day = business.deals(AT), int(to_days(date(2017, 5, 10)))
    predicted, won = HazardCandidate()._told(deals, day)
    then = (business.engaged <= day) & ((business.closed == OPEN) | (business.closed > day))
    later = business.take(then)
    assert len(predicted) == len(won) == then.sum()
    assert won.sum() == (later.won & (later.closed <= day + HORIZON_DAYS)).sum()
    # Each outcome stands beside the prediction of its own deal: the wins are among the likelier ones.
    assert predicted[won == 1].mean() > 1.2 * predicted[won == 0].mean()


def test_recalibration_is_of_use(fitted: FittedHazard, business: Business) -> None:
    """In the year after the agents stop to close anything, what is told is too much, and is mended."""
    stops = int(to_days(date(2017, 4, 1)))
    closed = np.where((business.closed > stops) & (np.arange(len(business.closed)) % 4 > 0), OPEN, business.closed)
    slow = business.with_(closed=closed, won=business.won & (closed != OPEN))
    model = HazardCandidate().fit(slow.known(AT))
    assert fitted.recalibration != Recalibration()
    assert model.recalibration(np.array([0.2]))[0] < 0.15
    assert model.recalibration.slope > 0


@given(
    month=st.sampled_from(month_range(FIRST.shift(3), Month(2017, 7))),
    later=st.integers(1, 3),
    lost=st.booleans(),
    days=st.integers(0, 40),
)
@settings(max_examples=12)
def test_nothing_that_came_later_reaches_a_fit(month: Month, later: int, lost: bool, days: int) -> None:
    business = Business.of(200, seed=4)
    expected = HazardCandidate().fit(business.known(month)).to_dict()
    assert HazardCandidate().fit(business.known(month.shift(later)).at(month)).to_dict() == expected
    # And another future altogether, with other agents in it.
    at = int(to_days(month.end))
    future = business.closed > at
    closed = np.where(future, business.closed + days, business.closed)
    changed = business.with_(
        closed=closed,
        won=np.where(future, not lost, business.won),
        agent=np.where(business.engaged > at, "Zoe", business.agent),
    )
    assert HazardCandidate().fit(changed.known(month.shift(later)).at(month)).to_dict() == expected


def test_kept_fits_are_the_fits_and_months_share_them(business: Business, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hazard_candidate, "_fits", type(hazard_candidate._fits)())
    months = (Month(2017, 7), AT)
    kept = [HazardCandidate().fit(business.known(month)).to_dict() for month in months]
    # A month has about four days more than the one before, and a fit of its own.
    assert len(hazard_candidate._fits) <= len(_days(business, AT)) + 2
    for month, expected in zip(months, kept, strict=True):
        hazard_candidate._fits.clear()
        monkeypatch.setattr(hazard_candidate, "_KEPT", 1)
        assert HazardCandidate().fit(business.known(month)).to_dict() == expected
        assert len(hazard_candidate._fits) == 1


def test_other_parameters_are_another_fit(business: Business) -> None:
    known = business.known(AT)
    expected = HazardCandidate().fit(known).to_dict()
    for name, values in HazardCandidate.space.items():
        other = HazardCandidate().with_values({name: values.high})
        assert other.parameters()[name] == values.high
        assert HazardCandidate().parameters()[name] in values
        assert other.fit(known).to_dict() != expected
        assert other != HazardCandidate()


def test_with_little_history_nothing_is_recalibrated(business: Business) -> None:
    assert HazardCandidate().fit(business.known(FIRST.shift(3))).recalibration == Recalibration()
    with pytest.raises(QualityError, match="none of 0 engaged deals has closed"):
        HazardCandidate().fit(Known(AT, business.history().rows, no_deals(AT)))


def test_a_prediction_does_not_depend_on_the_rows_beside_it(fitted: FittedHazard, book: pd.DataFrame) -> None:
    order = np.random.default_rng(1).permutation(len(book))
    predicted, closing = fitted.predict(book), fitted.close_month(book)
    assert np.array_equal(fitted.predict(book.iloc[order]), predicted[order])
    assert fitted.close_month(book.iloc[order]) == [closing[at] for at in order]
    for at in (0, 17, len(book) - 1):
        assert np.array_equal(fitted.predict(book.iloc[[at]]), predicted[[at]])
        assert fitted.close_month(book.iloc[[at]]) == [closing[at]]


def test_rows_of_several_days_are_predicted_each_as_of_its_own(fitted: FittedHazard, business: Business) -> None:
    months = (Month(2017, 4), AT, Month(2017, 6))
    books = [business.book(month) for month in months]
    together = pd.concat(books, ignore_index=True)
    assert np.array_equal(fitted.predict(together), np.concatenate([fitted.predict(one) for one in books]))
    assert fitted.close_month(together) == [month for one in books for month in fitted.close_month(one)]


def test_dates_may_be_texts_or_dates(fitted: FittedHazard, book: pd.DataFrame) -> None:
    expected = fitted.predict(book)
    for as_of in ("2017-08-31", date(2017, 8, 31), pd.Timestamp(2017, 8, 31)):
        assert np.array_equal(fitted.predict(book.assign(as_of=as_of)), expected)


def test_without_rows_there_is_nothing(fitted: FittedHazard, book: pd.DataFrame) -> None:
    assert fitted.predict(book.iloc[:0]).shape == (0,)
    assert fitted.close_month(book.iloc[:0]) == []


def test_who_is_empty_or_was_not_seen_counts_as_average(fitted: FittedHazard, book: pd.DataFrame) -> None:
    columns = ["sales_agent", "regional_office", "product", "engage_fortnight"]
    unseen = book.assign(**dict.fromkeys(columns[:3], "never seen"), engage_fortnight=-5)
    for empty in (None, np.nan):
        strange = book.assign(**dict.fromkeys(columns, empty))
        assert np.array_equal(fitted.predict(strange), fitted.predict(unseen))
    assert not np.array_equal(fitted.predict(unseen), fitted.predict(book))
    some = book.assign(sales_agent=book["sales_agent"].where(np.arange(len(book)) % 2 == 0))
    assert np.array_equal(fitted.predict(some)[::2], fitted.predict(book)[::2])


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"age_days": None}, QualityError, "age_days is nan in 5 rows"),
        ({"age_days": [3, 4, -2, 1, 1]}, QualityError, "age_days is -2 in 1 rows: .* rebuild the features"),
        ({"age_days": [3, 4, np.inf, 1, 1]}, QualityError, "age_days holds 1 infinite"),
        ({"age_days": "a week"}, FeatureMismatchError, "age_days holds 'a week' .*not numbers"),
        ({"engage_fortnight": "spring"}, FeatureMismatchError, "engage_fortnight holds 'spring' .*not numbers"),
        ({"as_of": None}, QualityError, "as_of is empty in 5 rows: rebuild the features"),
        ({"as_of": [pd.NaT, *[pd.Timestamp(2017, 8, 31)] * 4]}, QualityError, "as_of is empty in 1 rows"),
        ({"as_of": "yesterday"}, QualityError, "as_of holds 'yesterday', which is no date"),
    ],
)
def test_a_bad_frame_is_named(
    fitted: FittedHazard, book: pd.DataFrame, change: Any, error: type[Exception], match: str
) -> None:
    for ask in (fitted.predict, fitted.close_month):
        with pytest.raises(error, match=match):
            ask(book.head(5).assign(**change))


@pytest.mark.parametrize("name", HAZARD_FEATURES)
def test_a_missing_column_is_named(fitted: FittedHazard, book: pd.DataFrame, name: str) -> None:
    for ask in (fitted.predict, fitted.close_month):
        with pytest.raises(FeatureMismatchError, match=f"lacks the feature columns {name}:"):
            ask(book.drop(columns=[name]))


def test_however_old_a_deal_is_there_is_a_probability(fitted: FittedHazard, book: pd.DataFrame) -> None:
    ages = [0, 400, 1000, 10_000, 1e9, 1e300]
    rows = pd.concat([book.iloc[[0]]] * len(ages), ignore_index=True).assign(age_days=ages)
    predicted = fitted.predict(rows)
    assert ((predicted >= 0) & (predicted <= 1)).all()
    # From the last age that closed on, and from before the first closing on, older is the same.
    assert len(set(predicted[2:])) == 1
    assert predicted[0] > predicted[1]


def test_the_close_month_is_the_first_by_whose_end_half_have_closed(fitted: FittedHazard, business: Business) -> None:
    rows = pd.concat([business.book(month).sample(12, random_state=1) for month in (Month(2017, 3), AT)])
    # Of deals that take longer and longer to close, too.
    slow = FittedHazard(_slower(fitted.model, 0.12), fitted.recalibration)
    never = FittedHazard(_slower(fitted.model, 1e-3), fitted.recalibration)
    for model in (fitted, slow, never):
        expected = [_close_month(model.model, row) for row in rows.to_dict("records")]
        assert model.close_month(rows) == expected
    assert all(month is None or month >= "2017-10" for month in fitted.close_month(rows[rows["as_of"] >= "2017-08"], 2))
    assert len(set(slow.close_month(rows))) > 3
    assert set(never.close_month(rows)) == {None}


def test_written_as_json_and_read_back_it_is_the_same(fitted: FittedHazard, book: pd.DataFrame) -> None:
    text = json.dumps(fitted.to_dict(), allow_nan=False)
    again = FittedHazard.from_dict(json.loads(text))
    assert json.dumps(again.to_dict()) == text
    assert np.array_equal(again.predict(book), fitted.predict(book))
    assert again.candidate == CURE_HAZARD
    assert again.importance() == fitted.importance()


def test_importance_is_a_percentage_of_features_that_it_reads(fitted: FittedHazard) -> None:
    importance = fitted.importance()
    assert set(importance) <= set(fitted.features) == set(HAZARD_FEATURES)
    assert sum(importance.values()) == pytest.approx(100)
    assert list(importance.values()) == sorted(importance.values(), reverse=True)
    flat = Laws(hazard=(0.02, 0.02, 0.02), slow_after=10_000, abandoned={"": 0.2}, speed={}, won={"GTX": 0.9, "": 0.1})
    told = HazardCandidate().fit(Business.of(1500, seed=1, laws=flat).known(AT)).importance()
    assert told["product"] > importance["product"]


def _days(business: Business, month: Month) -> list[int]:
    candidate = Told()
    candidate.fit(business.known(month))
    return candidate.days


def _slower(model: CureHazard, by: float) -> CureHazard:
    parts = model.to_dict()
    parts["log_survival"] = (by * model.log_survival).tolist()
    return CureHazard.from_dict({**parts, "abandoned_level": -9.0})


def _close_month(model: CureHazard, row: dict[Any, Any]) -> str | None:
    month = Month.of(row["as_of"].date())
    names = Names([row["sales_agent"]], [(row["regional_office"], row["engage_fortnight"])], [row["product"]])
    zero, as_of = np.zeros(1, dtype=np.int64), int(to_days(month.end))
    assert fortnight(np.array([as_of - row["age_days"]])).tolist() == [row["engage_fortnight"]]
    for ahead in range(1, LONGEST_MONTHS + 1):
        days = int(to_days(month.shift(ahead).end)) - as_of
        found = model.fates(
            engaged=np.array([as_of - row["age_days"]]),
            as_of=as_of,
            days=days,
            agent=zero,
            cohort=zero,
            product=zero,
            names=names,
        )
        if found.closes[0] / (1 - found.abandoned[0]) >= 0.5:
            return str(month.shift(ahead))
    return None
