from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

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
    BacktestReport,
    RollingOrigin,
    first_informative_month,
    too_little_to_train,
)
from crm_assets.modelling.metrics import measure
from crm_assets.modelling.win_model import TrainingParameters, WinModel
from crm_assets_tests.modelling.book_rows import CATEGORICAL, FEATURES, FIRST_WITH_CLOSES, LAST, book_rows


class Sensitive:
    """A model whose every prediction changes when any training row changes."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self._share = float((rows["outcome"] == "won").mean())
        self._lost = float((rows["outcome"] == "lost").mean())
        self._price = float(np.sqrt(rows["list_price"]).mean())

    def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        price = frame["list_price"].to_numpy(dtype=np.float64)
        mixed = self._share + 0.31 * self._lost + 0.17 * self._price + 0.01 * price
        return np.asarray(1 / (1 + np.exp(-mixed)), dtype=np.float64)


@dataclass
class Recorder:
    """Keeps what it was given to train on."""

    seen: list[pd.DataFrame] = field(default_factory=list)

    def __call__(self, rows: pd.DataFrame) -> Sensitive:
        self.seen.append(rows)
        return Sensitive(rows)


def assert_equal_reports(one: BacktestReport, other: BacktestReport) -> None:
    assert one.months == other.months
    assert one.pooled == other.pooled
    assert one.mean_auc == other.mean_auc
    assert one.reason == other.reason
    pd.testing.assert_frame_equal(one.predictions, other.predictions, check_exact=True)


def test_the_model_of_a_month_learns_from_informative_books_whose_outcomes_it_can_know() -> None:
    train = Recorder()
    RollingOrigin(book_rows(), train, min_wins=1).model_for(Month(2017, 6))
    assert sorted(train.seen[0]["snapshot_month"].unique()) == ["2017-03", "2017-04", "2017-05"]


def test_censored_rows_are_neither_trained_on_nor_judged() -> None:
    rows = book_rows()
    censored = (rows["snapshot_month"] == "2017-05") & (rows["age_days"] > 100)
    rows.loc[censored, "outcome"] = None
    train = Recorder()
    rolling = RollingOrigin(rows, train, min_wins=1)
    rolling.model_for(Month(2017, 6))
    assert train.seen[0]["outcome"].notna().all()
    assert len(rolling.predictions(Month(2017, 5))) == 120 - censored.sum()


def test_each_month_is_fitted_once() -> None:
    train = Recorder()
    rolling = RollingOrigin(book_rows(), train, min_wins=1)
    for month in month_range(FIRST_WITH_CLOSES, LAST):
        rolling.report(month, 6)
        rolling.report(month, 3)
    rolling.model_for(Month(2017, 9))
    assert [rows["snapshot_month"].max() for rows in train.seen] == [
        str(month) for month in month_range(FIRST_WITH_CLOSES, Month(2017, 8))
    ]


def test_predictions_stand_beside_references_and_outcomes() -> None:
    predictions = RollingOrigin(book_rows(), Recorder(), min_wins=1).predictions(Month(2017, 6))
    assert list(predictions.columns) == BACKTEST.column_names
    rows = book_rows().set_index("opportunity_id")
    won = rows.loc[predictions["opportunity_id"], "outcome"] == "won"
    assert predictions["won"].tolist() == won.astype(int).tolist()
    assert set(predictions["snapshot_month"]) == {"2017-06"}


def test_a_book_whose_outcomes_have_not_matured_has_no_predictions_to_judge() -> None:
    rolling = RollingOrigin(book_rows(), Recorder(), min_wins=1)
    assert rolling.predictions(LAST).empty
    assert LAST not in rolling.test_months(LAST.next)


def test_the_report_covers_the_newest_matured_months() -> None:
    rolling = RollingOrigin(book_rows(), Recorder(), min_wins=1)
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
    rolling = RollingOrigin(book_rows(), Recorder(), min_wins=1)
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
    rolling = RollingOrigin(book_rows(), Recorder(), min_wins=100_000)
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
        RollingOrigin(pd.concat([rows, rows.tail(1)]), Recorder(), min_wins=1)


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
@settings(max_examples=100, deadline=None)
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
    expected = RollingOrigin(rows[~unknown], Sensitive, min_wins=1).report(as_of, 3)
    assert_equal_reports(RollingOrigin(rows, Sensitive, min_wins=1).report(as_of, 3), expected)
    assert_equal_reports(RollingOrigin(changed, Sensitive, min_wins=1).report(as_of, 3), expected)


@given(book=BOOKS, month=st.sampled_from(MONTHS))
@settings(max_examples=25, deadline=None)
def test_a_report_does_not_depend_on_what_was_asked_before(book: list[dict[str, object]], month: str) -> None:
    rolling = RollingOrigin(frame(book), Sensitive, min_wins=1)
    for earlier in reversed(MONTHS):
        rolling.report(Month.parse(earlier), 6)
    fresh = RollingOrigin(frame(book), Sensitive, min_wins=1)
    assert_equal_reports(rolling.report(Month.parse(month), 2), fresh.report(Month.parse(month), 2))


def test_the_win_model_predicts_the_same_with_and_without_a_future() -> None:
    rows, month = book_rows(), Month(2017, 7)
    train = partial(
        WinModel.fit, features=FEATURES, categorical=CATEGORICAL, parameters=TrainingParameters(iterations=20)
    )
    past = rows[rows["snapshot_month"] < str(month)]
    future = rows.assign(outcome=rows["outcome"].where(rows["snapshot_month"] < str(month), "won"))
    expected = RollingOrigin(past, train, min_wins=1).report(month, 2)
    assert_equal_reports(RollingOrigin(rows, train, min_wins=1).report(month, 2), expected)
    assert_equal_reports(RollingOrigin(future, train, min_wins=1).report(month, 2), expected)
    assert expected.mean_auc is not None
    assert 0.5 < expected.mean_auc < 0.99
