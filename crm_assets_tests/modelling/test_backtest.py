from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crm_assets.calendar import Month, month_range
from crm_assets.errors import QualityError
from crm_assets.modelling.backtest import (
    BACKTEST,
    CERTAINTY,
    MONTHS_TO_CHOOSE_ON,
    BacktestReport,
    RollingOrigin,
    first_informative_month,
    too_little_to_train,
)
from crm_assets.modelling.blend import Blend
from crm_assets.modelling.candidate import Candidate, Known, TrainingHistory
from crm_assets.modelling.candidates import candidate_named
from crm_assets.modelling.deals import Deals
from crm_assets.modelling.hazard_candidate import HazardCandidate
from crm_assets.modelling.lightgbm_boosting import LightGBM
from crm_assets.modelling.metrics import measure
from crm_assets_tests.modelling.book_rows import FIRST_WITH_CLOSES, LAST, book_rows
from crm_assets_tests.modelling.known_rows import no_deals
from crm_assets_tests.modelling.made_up_business import Business


class Sensitive:
    """A model whose every prediction changes when any training row or deal changes."""

    candidate = "sensitive"
    features = ("list_price",)

    def __init__(self, known: Known) -> None:
        rows, deals = known.rows, known.deals
        self._share = float((rows["outcome"] == "won").mean())
        self._lost = float((rows["outcome"] == "lost").mean())
        self._price = float(np.sqrt(rows["list_price"]).mean())
        self._deals = float(np.sum(deals.engaged * 0.37 + deals.closed * 0.11 + deals.won) % 1)

    def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        price = frame["list_price"].to_numpy(dtype=np.float64)
        mixed = self._share + 0.31 * self._lost + 0.17 * self._price + self._deals + 0.01 * price
        return np.asarray(1 / (1 + np.exp(-mixed)), dtype=np.float64)

    def importance(self) -> dict[str, float]:
        return {}

    def to_dict(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class Recorder:
    """A candidate that keeps what it was given to train on; equal to any other of its name."""

    name: str = "recorder"
    seen: list[Known] = field(default_factory=list, compare=False)

    def parameters(self) -> dict[str, Any]:
        return {}

    def fit(self, known: Known) -> Sensitive:
        self.seen.append(known)
        return Sensitive(known)


@dataclass(frozen=True)
class Reads:
    """A candidate that predicts what stands in a column, whatever it was fitted to."""

    name: str
    candidate: str = "reads"
    features: tuple[str, ...] = ()

    def parameters(self) -> dict[str, Any]:
        return {}

    def fit(self, known: Known) -> Reads:
        return self

    def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        return frame[self.name].to_numpy(dtype=np.float64)

    def importance(self) -> dict[str, float]:
        return {}

    def to_dict(self) -> dict[str, Any]:
        return {}


def origin(rows: pd.DataFrame, *candidates: Any, min_wins: int = 1) -> RollingOrigin:
    """Without deals; of one recorder unless candidates are given."""
    return RollingOrigin(TrainingHistory(rows, no_deals), [*candidates] or [Recorder()], min_wins=min_wins)


def assert_equal_reports(one: BacktestReport, other: BacktestReport) -> None:
    assert one.months == other.months
    assert one.pooled == other.pooled
    assert one.mean_auc == other.mean_auc
    assert one.reason == other.reason
    pd.testing.assert_frame_equal(one.predictions, other.predictions, check_exact=True)


def test_the_model_of_a_month_learns_from_informative_books_whose_outcomes_it_can_know() -> None:
    train = Recorder()
    origin(book_rows(), train).model_for(Month(2017, 6))
    known = train.seen[-1]
    assert known.month == Month(2017, 6)
    assert sorted(known.rows["snapshot_month"].unique()) == ["2017-03", "2017-04", "2017-05"]
    assert known.deals.as_of == no_deals(Month(2017, 6)).as_of


def test_censored_rows_are_neither_trained_on_nor_judged() -> None:
    rows = book_rows()
    censored = (rows["snapshot_month"] == "2017-05") & (rows["age_days"] > 100)
    rows.loc[censored, "outcome"] = None
    train = Recorder()
    rolling = origin(rows, train)
    rolling.model_for(Month(2017, 6))
    assert train.seen[-1].rows["outcome"].notna().all()
    assert len(rolling.predictions(Month(2017, 5))) == 120 - censored.sum()


def test_each_month_is_fitted_once() -> None:
    train = Recorder()
    rolling = origin(book_rows(), train)
    for month in month_range(FIRST_WITH_CLOSES, LAST):
        rolling.report(month, 6)
        rolling.report(month, 3)
    rolling.model_for(Month(2017, 9))
    assert [known.month for known in train.seen] == month_range(FIRST_WITH_CLOSES.next, Month(2017, 9))
    assert [known.rows["snapshot_month"].max() for known in train.seen] == [
        str(month) for month in month_range(FIRST_WITH_CLOSES, Month(2017, 8))
    ]


def test_predictions_stand_beside_references_and_outcomes() -> None:
    predictions = origin(book_rows()).predictions(Month(2017, 6))
    assert list(predictions.columns) == BACKTEST.column_names
    rows = book_rows().set_index("opportunity_id")
    won = rows.loc[predictions["opportunity_id"], "outcome"] == "won"
    assert predictions["won"].tolist() == won.astype(int).tolist()
    assert set(predictions["snapshot_month"]) == {"2017-06"}
    assert set(predictions["candidate"]) == {"recorder"}


def test_a_book_whose_outcomes_have_not_matured_has_no_predictions_to_judge() -> None:
    rolling = origin(book_rows())
    assert rolling.predictions(LAST).empty
    assert LAST not in rolling.test_months(LAST.next)


def test_the_report_covers_the_newest_matured_months() -> None:
    rolling = origin(book_rows())
    report = rolling.report(Month(2017, 8), 2)
    assert [figures["snapshot_month"] for figures in report.months] == ["2017-06", "2017-07"]
    assert report.reason is None
    assert report.pooled["rows"] == 240
    pooled = measure(report.predictions["won"], report.predictions["probability"])
    assert report.pooled["brier"] == pooled.brier
    assert report.pooled["skill_vs_base_rate"] == pytest.approx(1 - pooled.brier / report.pooled["base_rate_brier"])
    assert report.mean_auc == pytest.approx(np.mean([figures["auc"] for figures in report.months]))
    metrics = report.as_metrics()
    assert metrics["backtest_months"] == 2
    assert metrics["backtest_mean_auc"] == report.mean_auc


def test_a_report_without_months_says_why_and_holds_no_figures() -> None:
    rolling = origin(book_rows())
    early = rolling.report(Month(2017, 1), 6)
    assert early.months == ()
    assert early.reason is not None
    assert "no outcome has matured" in early.reason
    assert early.pooled["brier"] is None
    assert early.mean_auc is None
    assert early.as_metrics() == {"backtest_rows": 0, "backtest_wins": 0, "backtest_months": 0}
    later = rolling.report(Month(2017, 3), 6)
    assert later.reason is not None
    assert "to predict 2017-02, 0 wins and 0 non-wins have matured, at least 1 of each" in later.reason
    with pytest.raises(ValueError, match="window of 0"):
        rolling.report(Month(2017, 8), 0)


def test_a_month_with_too_little_behind_it_has_no_model() -> None:
    rolling = origin(book_rows(), min_wins=100_000)
    with pytest.raises(QualityError, match=r"no model at 2017-08: \d+ wins and \d+ non-wins have matured"):
        rolling.model_for(Month(2017, 8))
    assert rolling.report(Month(2017, 8), 6).months == ()


def test_the_first_informative_month_is_the_first_whose_book_saw_a_close() -> None:
    assert first_informative_month(book_rows()) == FIRST_WITH_CLOSES
    quiet = book_rows().query("snapshot_month < '2017-03'")
    assert first_informative_month(quiet) is None
    lost_only = quiet.assign(outcome=["lost"] + ["open"] * (len(quiet) - 1))
    assert first_informative_month(lost_only) == Month(2017, 1)


def test_enough_wins_and_enough_others_are_needed() -> None:
    rows = pd.DataFrame({"outcome": ["won"] * 3 + ["lost", "open"] + [None] * 9})
    assert too_little_to_train(rows, 2) is None
    reason = too_little_to_train(rows, 3)
    assert reason == "3 wins and 2 non-wins have matured, at least 3 of each are needed"
    assert too_little_to_train(rows.iloc[:3], 3) == "3 wins and 0 non-wins have matured, at least 3 of each are needed"


def test_rows_that_stand_twice_are_refused() -> None:
    rows = book_rows()
    with pytest.raises(QualityError, match="repeat an opportunity"):
        origin(pd.concat([rows, rows.tail(1)]))


MONTHS = [str(month) for month in month_range(Month(2017, 1), Month(2017, 7))]
OUTCOMES = st.sampled_from(["won", "lost", "open", None])
BOOKS = st.lists(
    st.fixed_dictionaries(
        {
            "snapshot_month": st.sampled_from(MONTHS),
            "age_days": st.integers(0, 200),
            "list_price": st.integers(0, 300),
            "outcome": OUTCOMES,
        }
    ),
    min_size=1,
    max_size=40,
)


def frame(book: list[dict[str, object]], prefix: str = "A") -> pd.DataFrame:
    rows = pd.DataFrame(book, columns=["snapshot_month", "age_days", "list_price", "outcome"])
    rows["opportunity_id"] = [f"{prefix}{number}" for number in range(len(rows))]
    rows["next_quarter_position"] = [Month.parse(text).next.quarter_position for text in rows["snapshot_month"]]
    return rows


@given(book=BOOKS, later=BOOKS, month=st.sampled_from(MONTHS), data=st.data())
@settings(max_examples=60)
def test_nothing_that_matures_later_reaches_the_report(
    book: list[dict[str, object]], later: list[dict[str, object]], month: str, data: st.DataObject
) -> None:
    rows = frame(book)
    # The outcome of a book of `month` or later is known after `month`: change all of them, and add more such rows.
    unknown = rows["snapshot_month"] >= month
    changed = rows.copy()
    changed.loc[unknown, "outcome"] = data.draw(
        st.lists(OUTCOMES, min_size=int(unknown.sum()), max_size=int(unknown.sum()))
    )
    added = frame(later, "B")
    changed = pd.concat([changed, added[added["snapshot_month"] >= month]], ignore_index=True)
    as_of = Month.parse(month)
    expected = origin(rows[~unknown]).report(as_of, 3)
    assert_equal_reports(origin(rows).report(as_of, 3), expected)
    assert_equal_reports(origin(changed).report(as_of, 3), expected)


@given(book=BOOKS, month=st.sampled_from(MONTHS))
@settings(max_examples=15)
def test_a_report_does_not_depend_on_what_was_asked_before(book: list[dict[str, object]], month: str) -> None:
    rolling = origin(frame(book))
    for earlier in reversed(MONTHS):
        rolling.report(Month.parse(earlier), 6)
    fresh = origin(frame(book))
    assert_equal_reports(rolling.report(Month.parse(month), 2), fresh.report(Month.parse(month), 2))


def test_no_deals_of_a_later_month_are_asked_for() -> None:
    asked: list[Month] = []

    def deals(month: Month) -> Deals:
        asked.append(month)
        return no_deals(month)

    rolling = RollingOrigin(TrainingHistory(book_rows(), deals), [Recorder("one"), Recorder("two")], min_wins=1)
    rolling.report(Month(2017, 7), 6)
    rolling.chosen(Month(2017, 7))
    rolling.model_for(Month(2017, 7))
    assert max(asked) == Month(2017, 7)
    assert len(asked) == len(set(asked))


@given(month=st.integers(3, 8), later=st.integers(0, 40), seed=st.integers(0, 5))
@settings(max_examples=4)
def test_later_rows_and_deals_change_no_earlier_prediction(month: int, later: int, seed: int) -> None:
    """Of the candidates of the graph, on a business whose future is another one."""
    at = Month(2017, month)
    business = Business.of(250, seed=seed)
    future = business.closed > int(no_deals(at).as_of)
    other = business.with_(
        closed=np.where(future, business.closed + later, business.closed),
        won=business.won & (~future | (later % 2 > 0)),
    )
    candidates: list[Candidate] = [
        Blend(((HazardCandidate(), 0.7), (LightGBM(iterations=5), 0.3))),
        HazardCandidate(),
        candidate_named("logistic"),
    ]
    one = RollingOrigin(business.history(), candidates, min_wins=2)
    two = RollingOrigin(other.history(), candidates, min_wins=2)
    assert two.too_little(at) == one.too_little(at)
    assert two.chosen(at) == one.chosen(at)
    assert_equal_reports(one.report(at, 3), two.report(at, 3))
    if one.too_little(at) is None:
        for candidate in candidates:
            assert two.fitted(candidate.name, at).to_dict() == one.fitted(candidate.name, at).to_dict()


def test_members_of_a_blend_are_fitted_once_for_both() -> None:
    one, two = Recorder("one"), Recorder("two")
    blend = Blend(((one, 0.5), (Recorder("two", two.seen), 0.5)))
    rolling = origin(book_rows(), blend, one, two)
    months = month_range(Month(2017, 4), Month(2017, 8))
    for month in months:
        rolling.report(month, 6)
        for candidate in rolling.candidates:
            rolling.fitted(candidate.name, month)
    for seen in (one.seen, two.seen):
        assert sorted(known.month for known in seen) == months
    # A member that is no candidate is fitted for the blend alone.
    three = Recorder("three")
    origin(book_rows(), Blend(((one, 0.5), (three, 0.5)))).fitted("blend", months[0])
    assert len(three.seen) == 1


def with_predictions(seed: int, *, better: float) -> pd.DataFrame:
    """Rows whose wins are drawn of `truth`, and what candidates say; `other` is better by a share, `poor` worse."""
    generator = np.random.default_rng(seed)
    rows = book_rows(per_month=200, seed=seed)
    rows["opportunity_id"] = [f"A{number % 200}" for number in range(len(rows))]
    truth = 1 / (1 + np.exp(generator.normal(1, 1.5, len(rows))))
    won = np.where(generator.random(len(rows)) < truth, "won", "open")
    known = (rows["snapshot_month"] < "2017-10").tolist()
    rows["outcome"] = [outcome if matured else None for outcome, matured in zip(won.tolist(), known, strict=True)]
    noisy = np.clip(truth + generator.normal(0, 0.15, len(rows)), 0.01, 0.99)
    rows["preferred"] = noisy
    rows["other"] = (1 - better) * noisy + better * truth
    rows["poor"] = np.clip(noisy + 0.1, 0, 1)
    return rows


def test_another_candidate_is_chosen_when_it_is_surely_better() -> None:
    rows = with_predictions(1, better=1.0)
    at = Month(2017, 9)
    for names, chosen in (
        (("preferred", "other"), "other"),
        (("other", "preferred"), "other"),
        (("poor", "preferred"), "preferred"),
        (("poor", "preferred", "other"), "other"),
        (("preferred", "poor"), "preferred"),
        (("preferred",), "preferred"),
    ):
        assert origin(rows, *map(Reads, names)).chosen(at) == chosen
    predictions = origin(rows, Reads("preferred"), Reads("other")).predictions(Month(2017, 8))
    assert set(predictions["candidate"]) == {"other"}
    book = rows.set_index(["snapshot_month", "opportunity_id"])
    assert (
        predictions["probability"].tolist() == book.loc["2017-08"].loc[predictions["opportunity_id"], "other"].tolist()
    )


def test_before_a_month_could_be_judged_the_preferred_is_chosen() -> None:
    rolling = origin(with_predictions(1, better=1.0), Reads("preferred"), Reads("other"))
    first = rolling.test_months(LAST)[0]
    assert rolling.chosen(first) == "preferred"
    assert rolling.chosen(Month(2017, 1)) == "preferred"
    assert rolling.chosen(first.next) in {"preferred", "other"}


@given(seed=st.integers(0, 200), better=st.sampled_from([0.0, 0.03, 0.1, 0.3]))
@settings(max_examples=25)
def test_better_means_by_two_errors_clustered_by_opportunity(seed: int, better: float) -> None:
    rows, at = with_predictions(seed, better=better), Month(2017, 9)
    months = [str(month) for month in month_range(at.shift(-MONTHS_TO_CHOOSE_ON), at.previous)]
    book = rows[rows["snapshot_month"].isin(months)]
    won = (book["outcome"] == "won").astype(float)
    gain = (book["preferred"] - won) ** 2 - (book["other"] - won) ** 2
    of_deal = (gain - gain.mean()).groupby(book["opportunity_id"]).sum()
    sure = gain.mean() > CERTAINTY * np.sqrt((of_deal**2).sum()) / len(gain)
    assert origin(rows, Reads("preferred"), Reads("other")).chosen(at) == ("other" if sure else "preferred")


def test_as_good_a_candidate_rarely_replaces_the_preferred() -> None:
    generator = random.Random(4)
    chosen = []
    for seed in range(20):
        rows = with_predictions(seed, better=0.0)
        blurred = rows["preferred"] + np.random.default_rng(generator.randrange(10**6)).normal(0, 0.05, len(rows))
        # Against one that is blurred as much.
        again = rows["preferred"] + np.random.default_rng(generator.randrange(10**6)).normal(0, 0.05, len(rows))
        rows = rows.assign(preferred=np.clip(blurred, 0, 1), other=np.clip(again, 0, 1))
        chosen.append(origin(rows, Reads("preferred"), Reads("other")).chosen(Month(2017, 9)))
    assert chosen.count("other") <= 2


def test_figures_of_a_candidate_are_those_of_its_predictions() -> None:
    rows = with_predictions(2, better=0.5)
    rolling = origin(rows, Reads("preferred"), Reads("other"))
    months = [Month(2017, 6), Month(2017, 7)]
    book = rows[rows["snapshot_month"].isin([str(month) for month in months])]
    expected = measure((book["outcome"] == "won").astype(int), book["other"])
    assert rolling.figures("other", months).brier == pytest.approx(expected.brier)
    assert rolling.figures("other", []).rows == 0
