from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.errors import QualityError
from crm_assets.modelling import promotion
from crm_assets.modelling.backtest import BACKTEST
from crm_assets.modelling.promotion import (
    PROMOTION_CHECKS,
    SEGMENT_ROWS,
    Check,
    GateLimits,
    PromotionDecision,
    champion_predictions,
    decide,
)
from crm_assets.modelling.training_rows import KEY
from crm_assets_tests.modelling.book_rows import book_rows

MONTHS = ("2017-05", "2017-06", "2017-07")
DEALS = 1200
EVERY = f"{MONTHS[0]} to {MONTHS[-1]}"
QUICK = GateLimits(resamples=200)


class Book:
    """Three months of deals whose true probabilities are known, each deal in the books of two months."""

    def __init__(self, seed: int = 1) -> None:
        self.random = np.random.default_rng(seed)
        deal = np.arange(DEALS)
        self.rows = pd.DataFrame(
            {
                "opportunity_id": [f"A{number:04d}" for number in np.concatenate([deal, deal])],
                "snapshot_month": [MONTHS[number % 2 + later] for later in range(2) for number in deal],
                "regional_office": np.array(["East", "West", "Central"])[np.concatenate([deal, deal]) % 3],
                "product": "GTX Basic",
                "sales_agent": [f"Agent {number % 30:02d}" for number in np.concatenate([deal, deal])],
            }
        )
        self.margin = self.random.normal(-1.6, 1.3, 2 * DEALS)
        self.truth = _share(self.margin)
        self.won = (self.random.random(2 * DEALS) < self.truth).astype(int)

    @property
    def segments(self) -> pd.DataFrame:
        return self.rows

    def challenger(self, probability: NDArray[np.float64]) -> pd.DataFrame:
        given = {
            "candidate": "blend",
            "probability": probability,
            "base_rate_probability": self.truth.mean(),
            "age_table_probability": self.truth.mean(),
            "won": self.won,
        }
        return self.rows[KEY].assign(**given)[BACKTEST.column_names]

    def champion(self, probability: NDArray[np.float64]) -> pd.DataFrame:
        return self.rows[KEY].assign(probability=probability)

    def noisy(self, size: float) -> NDArray[np.float64]:
        """The truth with an error in its log odds; right on average."""
        blurred = _share(self.margin + size * self.random.normal(size=2 * DEALS))
        return np.asarray(blurred * self.truth.mean() / blurred.mean(), dtype=np.float64)


def _share(margin: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-margin)), dtype=np.float64)


def gate(
    book: Book, champion: NDArray[np.float64] | None, challenger: NDArray[np.float64], **more: Any
) -> PromotionDecision:
    before = None if champion is None else book.champion(champion)
    asked: dict[str, Any] = {"trained_on": "c1", "current": "c1", "segments": book.segments, "limits": QUICK} | more
    return decide(before, book.challenger(challenger), **asked)


def failed(decision: PromotionDecision) -> list[str]:
    assert decision.promoted is not any(check.passed is False for check in decision.checks)
    return [check.name for check in decision.checks if check.passed is False]


def check_of(decision: PromotionDecision, name: str) -> Check:
    return next(check for check in decision.checks if check.name == name)


def predictions(probability: list[float], won: list[int], month: str = "2017-05") -> pd.DataFrame:
    rows = {
        "opportunity_id": [f"A{number}" for number in range(len(won))],
        "snapshot_month": month,
        "candidate": "blend",
        "probability": probability,
        "base_rate_probability": 0.5,
        "age_table_probability": 0.5,
        "won": won,
    }
    return pd.DataFrame(rows, columns=BACKTEST.column_names)


class ByAge:
    def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        return frame["age_days"].to_numpy(dtype=np.float64) / 1000


def test_a_better_challenger_is_promoted_for_its_brier() -> None:
    book = Book()
    decision = gate(book, book.noisy(1.5), book.truth)
    assert failed(decision) == []
    brier = check_of(decision, "brier")
    assert brier.low is not None and brier.low > 0
    assert check_of(decision, "average precision").passed is None
    assert len(decision.reasons) == 2
    assert "compared with the champion on 2400 rows of 2017-05 to 2017-07" in decision.reasons[0]
    assert "better, improvement +0.0" in decision.reasons[1]
    figures = decision.figures
    assert figures["rows"] == 2 * DEALS
    assert (figures["first_month"], figures["last_month"]) == (MONTHS[0], MONTHS[-1])
    assert figures["brier_improvement"] == pytest.approx(figures["champion_brier"] - figures["challenger_brier"])
    json.dumps(figures)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_worse_challengers_are_refused_for_their_brier(seed: int) -> None:
    book = Book(seed)
    mean = book.truth.mean()
    planted = {
        "noise": book.noisy(1.5),
        "shrunk": mean + 0.4 * (book.truth - mean),
        "overconfident": np.clip(mean + 2.0 * (book.truth - mean), 0, 1),
    }
    for name, worse in planted.items():
        decision = gate(book, book.truth, worse)
        assert "brier" in failed(decision), name
        assert "worse, improvement -0.0" in " ".join(decision.reasons), name


def test_a_challenger_that_is_as_good_keeps_the_champion() -> None:
    promoted = []
    for seed in range(12):
        book = Book(seed)
        decision = gate(book, book.noisy(0.4), book.noisy(0.4))
        promoted.append(decision.promoted)
        if check_of(decision, "brier").passed is None:
            assert check_of(decision, "average precision").passed is not None
    assert sum(promoted) <= 1


def test_the_margin_must_be_exceeded_by_all_of_the_interval() -> None:
    book = Book()
    champion = book.noisy(1.5)
    found = check_of(gate(book, champion, book.truth), "brier")
    assert found.low is not None and found.figure is not None and found.low < found.figure
    between = (found.low + found.figure) / 2
    limits = GateLimits(margin=between, resamples=QUICK.resamples)
    decision = gate(book, champion, book.truth, limits=limits)
    brier = check_of(decision, "brier")
    assert brier.passed is None
    assert (brier.low, brier.limit) == (found.low, between)
    assert "not surely better" in brier.detail


def test_where_brier_does_not_decide_average_precision_does() -> None:
    book = Book()
    champion = book.noisy(0.9)
    # Ranks like the truth, and is shrunk until it costs as much squared error as the champion's noise.
    shrink = np.sqrt(((champion - book.truth) ** 2).mean() / book.truth.var())
    ranked = book.truth - shrink * (book.truth - book.truth.mean())
    decision = gate(book, champion, ranked)
    precision = check_of(decision, "average precision")
    assert check_of(decision, "brier").verdict == "not applicable"
    assert precision.low is not None and precision.low > 0
    assert failed(decision) == []
    assert "which decides where the Brier score does not" in decision.reasons[1]
    asked_more = gate(book, champion, ranked, limits=GateLimits(margin=precision.low + 1e-6, resamples=200))
    assert failed(asked_more) == ["average precision"]
    back = gate(book, ranked, champion)
    assert failed(back) == ["average precision"]


def test_ranking_better_does_not_help_where_brier_is_worse() -> None:
    book = Book()
    decision = gate(book, book.noisy(0.7), np.clip(book.truth * 0.3, 0, 1))
    assert check_of(decision, "average precision").figure > 0  # type: ignore[operator]
    assert "brier" in failed(decision)
    assert check_of(decision, "average precision").passed is None


def test_every_month_must_be_calibrated() -> None:
    book = Book()
    off = np.where(book.rows["snapshot_month"] == MONTHS[1], np.clip(book.truth + 0.08, 0, 1), book.truth)
    decision = gate(book, np.full(2 * DEALS, 0.5), off)
    assert failed(decision) == [f"calibration {MONTHS[1]}"]
    found = check_of(decision, f"calibration {MONTHS[1]}")
    assert found.figure == pytest.approx(0.08, abs=0.03)
    assert "wins expected" in found.detail and "beyond" in found.detail
    of_the_newest = gate(book, np.full(2 * DEALS, 0.5), off, limits=GateLimits(months=1, resamples=200))
    assert failed(of_the_newest) == []
    wide = gate(book, np.full(2 * DEALS, 0.5), off, limits=GateLimits(calibration=0.12, resamples=200))
    assert failed(wide) == []


def test_the_truth_is_not_refused_for_what_chance_does() -> None:
    tight = GateLimits(calibration=0.0, resamples=20)
    refused = [failed(gate(Book(seed), np.full(2 * DEALS, 0.5), Book(seed).truth, limits=tight)) for seed in range(60)]
    assert sum(bool(names) for names in refused) <= 2


@pytest.mark.parametrize(("level", "column"), promotion.SEGMENTS.items())
def test_no_segment_may_become_worse(level: str, column: str) -> None:
    book = Book()
    if level == "agent":
        book.rows["sales_agent"] = np.where(np.arange(2 * DEALS) % 7 == 0, "Zoe", book.rows["sales_agent"])
    if level == "product":
        book.rows["product"] = np.where(np.arange(2 * DEALS) % 5 == 0, "MG Special", "GTX Basic")
    victim = sorted(book.rows[column].unique())[-1]
    inside = (book.rows[column] == victim).to_numpy()
    champion = np.where(inside, book.truth, book.noisy(4))
    spoiled = np.where(inside, book.noisy(2.2), book.truth)
    decision = gate(book, champion, spoiled)
    assert check_of(decision, "brier").passed
    assert failed(decision) == [f"segments by {level}"]
    found = check_of(decision, f"segments by {level}")
    assert f"({victim})" in found.detail
    assert found.high is not None and found.high < 0
    forgiving = gate(book, champion, spoiled, limits=GateLimits(margin=-found.high, resamples=200))
    assert f"segments by {level}" not in failed(forgiving)


def test_segments_with_few_rows_are_not_looked_at() -> None:
    book = Book()
    few = np.arange(2 * DEALS) < SEGMENT_ROWS - 1
    book.rows["product"] = np.where(few, "Rare", "GTX Basic")
    book.rows["sales_agent"] = [f"Agent {number % 100}" for number in range(2 * DEALS)]
    spoiled = np.where(few, 1 - book.truth, book.truth)
    decision = gate(book, book.noisy(2.5), spoiled)
    assert "none of 1 worse" in check_of(decision, "segments by product").detail
    agents = check_of(decision, "segments by agent")
    assert (agents.passed, agents.detail) == (None, f"no agent has {SEGMENT_ROWS} rows")
    without = gate(book, book.noisy(2.5), book.truth, segments=None)
    assert check_of(without, "segments by region").verdict == "not applicable"


def test_segments_that_lack_rows_are_refused() -> None:
    book = Book()
    with pytest.raises(QualityError, match="5 rows of the challenger are missing in the segments"):
        gate(book, book.noisy(1), book.truth, segments=book.segments.iloc[5:])


def test_chance_alone_rarely_makes_a_segment_worse() -> None:
    found = []
    for seed in range(30):
        book = Book(seed)
        book.rows["sales_agent"] = [f"Agent {number % 10}" for number in range(2 * DEALS)]
        champion = book.noisy(0.5)
        names = failed(gate(book, champion, book.noisy(0.5), limits=GateLimits(resamples=20)))
        found.append(any(name.startswith("segments") for name in names))
    assert sum(found) <= 3


@pytest.mark.parametrize(
    ("given", "name", "reason"),
    [
        ({"leakage_faults": ["table.column fails"]}, "leakage", "it failed the leakage gate; table.column fails"),
        ({"trained_on": "c0"}, "contract", "trained on the contract c0, and the current one is c1"),
        ({"withdrawn": "too many wins in May"}, "withdrawn", "rolled back and stays so: too many wins in May"),
    ],
)
@pytest.mark.parametrize("champion", ["worse", "none"])
def test_what_no_score_outweighs(given: dict[str, Any], name: str, reason: str, champion: str) -> None:
    book = Book()
    before = book.noisy(1.5) if champion == "worse" else None
    decision = gate(book, before, book.truth, **given)
    assert failed(decision) == [name]
    assert len(decision.reasons) == 1
    assert reason in decision.reasons[0]


def test_the_first_champion_beats_the_win_rate() -> None:
    book = Book()
    decision = gate(book, None, book.truth)
    assert failed(decision) == []
    assert "no champion yet; compared with the win rate by quarter position" in decision.reasons[0]
    assert "champion_brier" not in decision.figures
    assert decision.figures["base_rate_brier"] > decision.figures["challenger_brier"]
    assert not [check for check in decision.checks if check.name.startswith("segments")]
    off = gate(book, None, np.clip(book.truth + 0.09, 0, 1))
    assert [name.split()[0] for name in failed(off)] == ["calibration"] * 3


def test_the_first_champion_is_not_chosen_for_its_ranking() -> None:
    book = Book()
    ranked = (
        book.truth.mean() + 0.001 * (book.truth - book.truth.mean()) + 0.02 * np.where(np.arange(2 * DEALS) % 2, 1, -1)
    )
    decision = gate(book, None, ranked)
    assert failed(decision) == ["brier"]
    assert "not surely better" in decision.reasons[0] or "worse" in decision.reasons[0]
    assert check_of(decision, "average precision").passed is None


def test_a_rung_that_is_champion_is_not_beaten_by_ranking() -> None:
    """What is better than a table of rates by its ranking alone would be promoted over any."""
    book = Book()
    # Overconfident, so that its Brier score is about that of the rate itself.
    loud = _share(np.log(book.truth / (1 - book.truth)) * 6)
    loud = np.clip(loud * book.truth.mean() / loud.mean(), 0, 1)
    rate = np.full(2 * DEALS, book.truth.mean())
    over_model = gate(book, rate, loud)
    assert check_of(over_model, "brier").passed is None
    assert check_of(over_model, "average precision").passed
    over_rung = gate(book, rate, loud, champion_is_model=False)
    assert check_of(over_rung, "brier").passed is False
    assert not over_rung.promoted


def test_without_a_backtest_there_is_no_first_champion() -> None:
    decision = decide(None, predictions([], []), trained_on="c", current="c")
    assert failed(decision) == ["comparison"]
    assert decision.figures["rows"] == 0
    assert decision.figures["challenger_brier"] is None
    assert "no month to backtest on" in decision.reasons[0]


def test_identical_predictions_keep_the_champion() -> None:
    book = Book()
    decision = gate(book, book.truth, book.truth + 1e-15)
    assert decision.reasons == (
        f"challenger and champion predict the same in {EVERY}: wait for another month to mature",
    )
    assert failed(decision) == ["comparison"]
    same = gate(book, None, np.full(2 * DEALS, book.truth.mean()))
    assert same.reasons == (
        f"challenger and win rate by quarter position predict the same in {EVERY}: wait for another month to mature",
    )


def test_without_common_rows_the_champion_stays() -> None:
    before = predictions([0.7, 0.3], [1, 0])[[*KEY, "probability"]]
    for challenger in (predictions([], []), predictions([0.9, 0.1], [1, 0], month="2017-04")):
        decision = decide(before, challenger, trained_on="c", current="c")
        assert failed(decision) == ["comparison"]
        assert decision.reasons == ("no month with known outcomes that both could predict without having seen it",)
        assert decision.figures["champion_brier"] is None


def test_one_opportunity_shows_nothing() -> None:
    before = predictions([0.5], [1])[[*KEY, "probability"]]
    decision = decide(before, predictions([0.9], [1]), trained_on="c", current="c")
    assert failed(decision) == ["average precision"]
    assert "without an interval" in check_of(decision, "brier").detail


def test_only_rows_both_predicted_are_compared() -> None:
    book = Book()
    before = book.champion(book.noisy(1.5)).iloc[:1500]
    decision = decide(
        before, book.challenger(book.truth), trained_on="c", current="c", segments=book.segments, limits=QUICK
    )
    assert decision.figures["rows"] == 1500


def test_a_row_that_stands_twice_is_refused() -> None:
    once = predictions([0.9, 0.1], [1, 0])
    twice = pd.concat([once[[*KEY, "probability"]]] * 2)
    with pytest.raises(QualityError, match="2 rows of the champion stand twice"):
        decide(twice, once, trained_on="c", current="c")
    with pytest.raises(QualityError, match="2 rows of the challenger stand twice"):
        decide(None, pd.concat([once, once]), trained_on="c", current="c")


def test_the_champion_is_judged_on_books_it_has_not_seen_and_that_have_matured() -> None:
    rows = book_rows()
    predicted = champion_predictions(ByAge(), rows, Month(2017, 5), Month(2017, 8))
    assert sorted(predicted["snapshot_month"].unique()) == ["2017-05", "2017-06", "2017-07"]
    ages = rows.set_index("opportunity_id").loc[predicted["opportunity_id"], "age_days"]
    assert (predicted["probability"].to_numpy() * 1000).tolist() == pytest.approx(ages.tolist())
    assert champion_predictions(ByAge(), rows, Month(2017, 8), Month(2017, 8)).empty
    assert champion_predictions(ByAge(), rows, Month(2017, 10), Month(2017, 12)).empty


def test_the_table_holds_the_decision_and_every_check() -> None:
    book = Book()
    decision = gate(book, book.truth, book.noisy(1.5), withdrawn="asked for by sales")
    table = decision.as_table(Month(2017, 8), "12")
    stored = pl.from_pandas(table).cast(PROMOTION_CHECKS.polars_schema())
    PROMOTION_CHECKS.pandera_schema().validate(stored)
    assert table["check"].tolist() == ["decision", *(check.name for check in decision.checks)]
    first = table.iloc[0]
    assert (first["verdict"], first["model_version"], first["snapshot_month"]) == ("failed", "12", "2017-08")
    assert first["detail"].startswith("not promoted: it was rolled back")
    assert all(reason in first["detail"] for reason in decision.reasons)
    assert set(table["verdict"]) == {"passed", "failed", "not applicable"}
    brier = table[table["check"] == "brier"].iloc[0]
    assert brier["low"] < brier["figure"] < brier["high"] < brier["limit"] == 0
    nothing = decide(None, predictions([], []), trained_on="c", current="c").as_table(Month(2017, 8))
    PROMOTION_CHECKS.pandera_schema().validate(pl.from_pandas(nothing).cast(PROMOTION_CHECKS.polars_schema()))


@given(
    rows=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 1)), max_size=20),
    has_champion=st.booleans(),
)
def test_a_promotion_never_means_a_larger_brier_by_itself(
    rows: list[tuple[float, float, int]], has_champion: bool
) -> None:
    challenger = predictions([row[0] for row in rows], [row[2] for row in rows])
    before = predictions([row[1] for row in rows], [0] * len(rows))[[*KEY, "probability"]] if has_champion else None
    decision = decide(before, challenger, trained_on="c", current="c", limits=GateLimits(resamples=20))
    figures: dict[str, Any] = decision.figures
    assert decision.reasons
    names = failed(decision)
    if decision.promoted:
        assert check_of(decision, "brier").passed or check_of(decision, "average precision").passed
        assert figures["brier_improvement_high"] >= 0
    else:
        assert names
