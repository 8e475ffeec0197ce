from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import optuna
import pandas as pd
import pytest

from crm_assets.calendar import Month
from crm_assets.errors import QualityError
from crm_assets.modelling.candidate import Known
from crm_assets.modelling.lightgbm_boosting import LightGBM
from crm_assets.modelling.logistic import Logistic
from crm_assets.modelling.metrics import measure
from crm_assets.modelling.search_space import Real, Space, Whole
from crm_assets.modelling.training_rows import label
from crm_assets.modelling.tuning import Objective, State, Trial, Tuned, TuningLimits, tune
from crm_assets_tests.modelling.book_rows import CATEGORICAL, FEATURES, book_rows
from crm_assets_tests.modelling.known_rows import known_of

RECIPE = LightGBM(features=FEATURES, categorical=CATEGORICAL, iterations=25)
LIMITS = TuningLimits(months=2, least_months=2, standard_errors=0, trials=8, seconds=600.0, min_wins=5)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    matured = book_rows()
    return matured[matured["outcome"].notna()].reset_index(drop=True)


@dataclass(frozen=True)
class Flat:
    """Predicts one number, `level`, for every row, and notes what it was fitted to."""

    level: float = 0.5
    seen: list[tuple[Month, str, int, float]] = field(default_factory=list, compare=False)

    name: ClassVar[str] = "flat"
    space: ClassVar[Space] = {"level": Real(0.01, 0.99)}

    def parameters(self) -> dict[str, Any]:
        return {"level": self.level}

    def with_values(self, values: Mapping[str, Any]) -> Self:
        return replace(self, **values)

    def fit(self, known: Known) -> Any:
        self.seen.append((known.month, known.rows["snapshot_month"].max(), known.deals.as_of, self.level))
        return self

    def predict(self, frame: pd.DataFrame) -> np.ndarray[Any, Any]:
        return np.full(len(frame), self.level)


@pytest.fixture(scope="module")
def tuned(rows: pd.DataFrame) -> Tuned:
    return tune(RECIPE, known_of(rows), LIMITS)


def test_the_best_of_the_trials_is_chosen_and_it_is_no_worse_than_untuned(tuned: Tuned, rows: pd.DataFrame) -> None:
    assert tuned.months == (Month(2017, 8), Month(2017, 9))
    assert [trial.number for trial in tuned.trials] == list(range(LIMITS.trials))
    untuned, best = tuned.trials[0], tuned.chosen
    assert untuned.values == {name: RECIPE.parameters()[name] for name in RECIPE.space}
    assert untuned.state is State.COMPLETE
    assert best is not None
    assert best.value is not None
    assert untuned.value is not None
    assert best.value <= min(trial.value for trial in tuned.trials if trial.state is State.COMPLETE and trial.value)
    assert best.value < untuned.value
    assert tuned.candidate == RECIPE.with_values(best.values)
    assert tuned.reason is None


def test_a_trial_is_worth_what_a_backtest_of_the_inner_months_finds(tuned: Tuned, rows: pd.DataFrame) -> None:
    losses: list[float] = []
    for month in tuned.months:
        earlier, book = rows[rows["snapshot_month"] < str(month)], rows[rows["snapshot_month"] == str(month)]
        model = RECIPE.fit(replace(known_of(earlier), month=month))
        loss = measure(label(book), model.predict(book)).log_loss
        assert loss is not None
        losses.append(loss)
    assert tuned.trials[0].value == pytest.approx(np.mean(losses))


@pytest.mark.parametrize("recipe", [RECIPE, Logistic(features=FEATURES, categorical=CATEGORICAL)])
def test_equal_limits_choose_equal_settings(recipe: Any, rows: pd.DataFrame) -> None:
    first = tune(recipe, known_of(rows), LIMITS)
    again = tune(recipe, known_of(rows.sample(frac=1, random_state=8)), LIMITS)
    assert again == first
    other = tune(recipe, known_of(rows), replace(LIMITS, seed=8))
    assert other.trials[1].values != first.trials[1].values


def test_it_looks_at_the_past_only(rows: pd.DataFrame) -> None:
    flat, known = Flat(), known_of(rows)
    tune(flat, known, replace(LIMITS, months=3, trials=4))
    assert flat.seen
    for month, newest, as_of, _ in flat.seen:
        assert newest == str(month.previous)
        assert np.datetime64(as_of, "D") == np.datetime64(month.end)
    assert {month for month, *_ in flat.seen} == {Month(2017, 7), Month(2017, 8), Month(2017, 9)}


@pytest.mark.parametrize("objective", list(Objective))
def test_both_objectives_find_the_share_that_is_won(rows: pd.DataFrame, objective: Objective) -> None:
    newest = rows[rows["snapshot_month"].isin(["2017-08", "2017-09"])]
    found = tune(Flat(), known_of(rows), replace(LIMITS, trials=40, objective=objective))
    share = (newest["outcome"] == "won").mean()
    assert found.candidate.parameters()["level"] == pytest.approx(share, abs=0.06)
    assert found.objective is objective


def test_where_nothing_is_better_the_untuned_recipe_stays(rows: pd.DataFrame) -> None:
    newest = rows[rows["snapshot_month"].isin(["2017-08", "2017-09"])]
    best = Flat(float((newest["outcome"] == "won").mean()))
    found = tune(best, known_of(rows), LIMITS)
    assert found.candidate is best
    assert found.chosen is not None
    assert found.chosen.number == 0


def assured(untuned: Trial, trial: Trial, errors: float) -> float:
    gains = np.array(untuned.by_month) - np.array(trial.by_month)
    return float(gains.mean() - errors * gains.std(ddof=1) / np.sqrt(len(gains)))


@pytest.mark.parametrize("errors", [0.5, 1.0, 2.0])
def test_a_gain_counts_by_what_it_exceeds_its_error(rows: pd.DataFrame, errors: float) -> None:
    flat = Flat(level=0.35)
    found = tune(flat, known_of(rows), replace(LIMITS, months=4, trials=12, standard_errors=errors))
    complete = [trial for trial in found.trials if trial.state is State.COMPLETE]
    worth = {trial.number: assured(found.trials[0], trial, errors) for trial in complete}
    assert found.chosen is not None
    assert worth[found.chosen.number] == max(worth.values())
    assert len(complete) > 2


def test_a_gain_within_its_error_leaves_the_settings_untuned(rows: pd.DataFrame) -> None:
    flat = Flat(level=0.35)
    plain = tune(flat, known_of(rows), replace(LIMITS, months=4, trials=12))
    assert plain.chosen is not None
    assert plain.chosen.number > 0
    sure = tune(flat, known_of(rows), replace(LIMITS, months=4, trials=12, standard_errors=100.0))
    assert sure.trials == plain.trials
    assert sure.chosen == sure.trials[0]
    assert sure.candidate is flat


def test_trials_that_fall_behind_are_given_up(rows: pd.DataFrame) -> None:
    flat = Flat(level=0.12)
    found = tune(flat, known_of(rows), replace(LIMITS, months=3, trials=20))
    pruned = [trial for trial in found.trials if trial.state is State.PRUNED]
    assert pruned
    assert pruned[0].number >= 5
    fits = [level for *_, level in flat.seen]
    assert all(fits.count(trial.values["level"]) == 1 for trial in pruned)
    assert all(fits.count(trial.values["level"]) == 3 for trial in found.trials if trial.state is State.COMPLETE)


def ticks(step: float) -> Iterator[float]:
    return itertools.count(0.0, step)


def test_when_time_is_up_only_the_untuned_settings_are_judged(rows: pd.DataFrame) -> None:
    clock = ticks(100.0)
    found = tune(Flat(), known_of(rows), replace(LIMITS, seconds=1.0), clock=lambda: next(clock))
    assert [trial.state for trial in found.trials] == [State.COMPLETE]
    assert found.candidate == Flat()


def test_time_ends_a_trial_between_its_months(rows: pd.DataFrame) -> None:
    now = [0.0]

    @dataclass(frozen=True)
    class Slow(Flat):
        def fit(self, known: Known) -> Any:
            now[0] += 1
            return super().fit(known)

    found = tune(Slow(), known_of(rows), replace(LIMITS, seconds=5.0), clock=lambda: now[0])
    assert [trial.state for trial in found.trials] == [State.COMPLETE, State.COMPLETE, State.PRUNED]
    assert now[0] == 5
    assert found.trials[2].value is not None


def test_without_a_month_to_judge_by_nothing_is_tried(rows: pd.DataFrame) -> None:
    for known in (known_of(rows.iloc[:0]), known_of(rows[rows["snapshot_month"] < "2017-04"])):
        found = tune(RECIPE, known, LIMITS)
        assert found.candidate is RECIPE
        assert not found.trials
        assert not found.months
        assert found.chosen is None
        assert found.reason is not None
        assert "0 months before 2017-10 can judge settings, at least 2" in found.reason


def test_fewer_months_than_asked_for_will_do(rows: pd.DataFrame) -> None:
    found = tune(
        Flat(), known_of(rows[rows["snapshot_month"] < "2017-07"]), replace(LIMITS, months=12, trials=1, min_wins=1)
    )
    assert found.months == (Month(2017, 4), Month(2017, 5), Month(2017, 6))
    later = replace(LIMITS, months=12, trials=1, min_wins=1, history_months=4)
    assert tune(Flat(), known_of(rows[rows["snapshot_month"] < "2017-07"]), later).months == found.months[1:]
    least = replace(LIMITS, months=12, least_months=4, trials=1, min_wins=1)
    assert not tune(Flat(), known_of(rows[rows["snapshot_month"] < "2017-07"]), least).trials


def test_settings_outside_of_the_space_and_limits_without_sense_are_refused(rows: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="flat begins outside of its space in level"):
        tune(Flat(level=0.0), known_of(rows), LIMITS)
    for wrong in ({"trials": 0}, {"seconds": -1.0}, {"standard_errors": -1.0}):
        with pytest.raises(ValueError, match="needs at least one trial"):
            TuningLimits(**wrong)
    for months, least in ((0, 0), (3, 0), (2, 3)):
        with pytest.raises(ValueError, match="name at least 1 month"):
            TuningLimits(months=months, least_months=least)


def test_a_recipe_that_cannot_be_fitted_says_why(rows: pd.DataFrame) -> None:
    with pytest.raises(QualityError, match="infinite"):
        tune(RECIPE, known_of(rows.assign(share_open=np.inf)), LIMITS)


def test_it_is_quiet_and_leaves_the_logging_of_others_as_it_was(
    rows: pd.DataFrame, capfd: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    listener = logging.Handler()
    listener.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    shown = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    logging.getLogger("optuna").addHandler(listener)
    try:
        tune(Flat(), known_of(rows), LIMITS)
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
    finally:
        logging.getLogger("optuna").removeHandler(listener)
        optuna.logging.set_verbosity(shown)
    assert not said
    assert capfd.readouterr() == ("", "")


def test_values_of_a_space() -> None:
    assert 3 in Whole(1, 3)
    assert 4 not in Whole(1, 3)
    assert 2.0 not in Whole(1, 3)
    assert 1 in Real(0.5, 1.0)
    assert 1.01 not in Real(0.5, 1.0)
