"""Settings of a candidate chosen inside the past: what did clearly better on the newest months that had matured.

The best of many trials on a few months is best by luck too, and settings that fit one position in the quarter fail in
the next. So nothing is tuned before a few months can judge, and a gain counts only by what it exceeds its error.

Akiba et al., "Optuna: a next-generation hyperparameter optimization framework", KDD 2019; Bergstra et al., "Algorithms
for hyper-parameter optimization", NeurIPS 2011 (the tree-structured Parzen estimator).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from crm_assets.calendar import Month
from crm_assets.errors import QualityError
from crm_assets.modelling.candidate import Candidate, Known
from crm_assets.modelling.metrics import measure
from crm_assets.modelling.search_space import Space, Tunable, Whole
from crm_assets.modelling.training_rows import label

if TYPE_CHECKING:
    import pandas as pd
    from optuna import Study
    from optuna import Trial as OptunaTrial


class Objective(StrEnum):
    """What tuning makes small, in the mean over the inner months. Both are proper scores."""

    LOG_LOSS = "log_loss"
    BRIER = "brier"


class State(StrEnum):
    """How a trial ended."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    """Given up after some of the months, as worse than the median trial or as out of time."""


@dataclass(frozen=True)
class TuningLimits:
    """What tuning may cost. Equal limits on equal knowledge choose equal settings when `trials` is what ends it.

    Attributes:
        months: newest matured months to judge by.
        least_months: months without which nothing is tried, 1 to `months`; 3 are one of each position in a quarter.
        history_months: matured months that must lie before a month for it to be judged by: with fewer, a model has not
            seen each position in a quarter, and settings are chosen that learn little.
        standard_errors: how many standard errors of its mean, over the months, a gain on the untuned settings must
            exceed; 0 takes the best mean.
        trials: most trials, the untuned settings among them, at least 1.
        seconds: time after which no trial begins or goes on to its next month. The untuned settings are always judged,
            however long they take.
        min_wins: wins, and as many non-wins, that must have matured before a month for it to be judged by.
        objective: what is made small.
        seed: seed of the sampler.
    """

    months: int = 6
    least_months: int = 3
    history_months: int = 3
    standard_errors: float = 1.0
    trials: int = 30
    seconds: float = 120.0
    min_wins: int = 30
    objective: Objective = Objective.LOG_LOSS
    seed: int = 7

    def __post_init__(self) -> None:
        if not 1 <= self.least_months <= self.months:
            raise ValueError(
                f"tuning by {self.least_months} to {self.months} months: name at least 1 month, and the fewer first"
            )
        if self.trials < 1 or self.seconds < 0 or self.standard_errors < 0:
            raise ValueError(
                f"tuning in {self.trials} trials and {self.seconds} s for {self.standard_errors} standard errors: "
                "it needs at least one trial, and neither time nor errors below 0"
            )


@dataclass(frozen=True)
class Trial:
    """Settings that were tried.

    Attributes:
        number: from 0, which are the untuned settings.
        values: setting -> value, of those in the candidate's space.
        by_month: the objective in the months that were judged, oldest first: all of them unless pruned.
        state: how it ended.
    """

    number: int
    values: dict[str, Any]
    by_month: tuple[float, ...]
    state: State

    @property
    def value(self) -> float | None:
        """Mean of the objective over the months that were judged; None when there was no time for any."""
        return float(np.mean(self.by_month)) if self.by_month else None


@dataclass(frozen=True)
class Tuned:
    """What tuning found.

    Attributes:
        candidate: the chosen recipe; the untuned one where nothing was clearly better.
        trials: all that were tried, in order; none when there was no month to judge by.
        months: the months they were judged by, oldest first.
        objective: what was made small.
        chosen: the trial of `candidate`; None when nothing was tried.
        reason: why nothing was tried; None when something was.
    """

    candidate: Candidate
    trials: tuple[Trial, ...]
    months: tuple[Month, ...]
    objective: Objective
    chosen: Trial | None = None
    reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """What was tried and chosen, as JSON types."""
        return {
            "objective": self.objective,
            "months": [str(month) for month in self.months],
            "chosen": None if self.chosen is None else self.chosen.number,
            "reason": self.reason,
            "trials": [asdict(trial) for trial in self.trials],
        }


def tune(
    candidate: Tunable, known: Known, limits: TuningLimits, *, clock: Callable[[], float] = time.monotonic
) -> Tuned:
    """Choose settings of `candidate` by rolling-origin splits inside what was known.

    Every inner month k is judged by a model that was fitted to what was known at the end of k, as a backtest at a later
    month judges it, so nothing that came after `known.month` has a say. Trial 0 are the settings of `candidate`; the
    chosen ones are never worse than these in the objective.

    Args:
        candidate: the recipe with its untuned settings, all of them in its space.
        known: what was known at the end of a month.
        limits: what it may cost.
        clock: seconds that go by.

    Raises QualityError when the untuned settings cannot be fitted, and ValueError when one is not in the space.
    """
    outside = [name for name, values in candidate.space.items() if candidate.parameters()[name] not in values]
    if outside:
        raise ValueError(f"{candidate.name} begins outside of its space in {', '.join(outside)}: widen the space")
    splits = _splits(known, limits)
    months = tuple(split.known.month for split in splits)
    if len(splits) < limits.least_months:
        reason = (
            f"{len(splits)} months before {known.month} can judge settings, at least {limits.least_months} are needed, "
            f"each after {limits.history_months} months with {limits.min_wins} wins and as many non-wins"
        )
        return Tuned(candidate, (), months, limits.objective, reason=reason)
    trials = _Search(candidate, splits, limits, clock).run()
    chosen = _chosen(trials, limits.standard_errors)
    recipe = candidate if chosen.number == 0 else candidate.with_values(chosen.values)
    return Tuned(recipe, trials, months, limits.objective, chosen)


@dataclass(frozen=True)
class _Split:
    """What was known at an inner month, and the book of that month with its outcomes."""

    known: Known
    book: pd.DataFrame


def _splits(known: Known, limits: TuningLimits) -> list[_Split]:
    """The newest inner months, oldest first."""
    matured = known.rows[known.rows["outcome"].notna()]
    splits: list[_Split] = []
    for text in sorted(matured["snapshot_month"].unique(), reverse=True):
        inner = known.at(Month.parse(text))
        won = label(inner.rows)
        history = inner.rows["snapshot_month"].nunique()
        if history < limits.history_months or min(won.sum(), len(won) - won.sum()) < max(limits.min_wins, 1):
            break
        splits.append(_Split(inner, matured[matured["snapshot_month"] == text]))
        if len(splits) == limits.months:
            break
    return splits[::-1]


class _Search:
    """The trials of one candidate."""

    def __init__(
        self, candidate: Tunable, splits: list[_Split], limits: TuningLimits, clock: Callable[[], float]
    ) -> None:
        self._candidate = candidate
        self._splits = splits
        self._limits = limits
        self._clock = clock
        self._deadline = clock() + limits.seconds
        self._untuned: list[float] = []
        self._values: dict[int, list[float]] = {}

    def run(self) -> tuple[Trial, ...]:
        """All trials, in order."""
        import optuna

        shown = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            study = optuna.create_study(
                direction="minimize",
                sampler=optuna.samplers.TPESampler(seed=self._limits.seed),
                pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
            )
            untuned = self._candidate.parameters()
            study.enqueue_trial({name: untuned[name] for name in self._candidate.space})
            study.optimize(self._judge, n_trials=self._limits.trials, n_jobs=1, callbacks=[self._stop_when_late])
        finally:
            optuna.logging.set_verbosity(shown)
        return tuple(self._as_trial(trial.number, trial.params) for trial in study.trials)

    def _judge(self, trial: OptunaTrial) -> float:
        from optuna import TrialPruned

        values = _drawn(trial, self._candidate.space)
        recipe = self._candidate if trial.number == 0 else self._candidate.with_values(values)
        judged = self._values[trial.number] = []
        for step, split in enumerate(self._splits):
            if trial.number > 0 and self._is_late():
                raise TrialPruned
            judged.append(_score(recipe, split, self._limits.objective))
            if trial.number == 0:
                self._untuned.append(judged[-1])
            # Against the untuned settings: the months differ more than the settings do, and the pruner takes the best
            # of what a trial has reported.
            trial.report(float(np.mean(judged) - np.mean(self._untuned[: len(judged)])), step)
            if trial.number > 0 and step + 1 < len(self._splits) and trial.should_prune():
                raise TrialPruned
        return float(np.mean(judged))

    def _is_late(self) -> bool:
        return self._clock() >= self._deadline

    def _stop_when_late(self, study: Study, _: object) -> None:
        if self._is_late():
            study.stop()

    def _as_trial(self, number: int, values: dict[str, Any]) -> Trial:
        judged = tuple(self._values[number])
        return Trial(number, dict(values), judged, State.COMPLETE if len(judged) == len(self._splits) else State.PRUNED)


def _drawn(trial: OptunaTrial, space: Space) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, among in space.items():
        if isinstance(among, Whole):
            values[name] = trial.suggest_int(name, among.low, among.high, log=among.log)
        else:
            values[name] = trial.suggest_float(name, among.low, among.high, log=among.log)
    return values


def _score(recipe: Candidate, split: _Split, objective: Objective) -> float:
    won, probability = label(split.book), recipe.fit(split.known).predict(split.book)
    # Sums round by the order of rows, and the next draw follows the last bit.
    order = np.lexsort((won, probability))
    figures = measure(won[order], probability[order])
    value = figures.brier if objective is Objective.BRIER else figures.log_loss
    if value is None:
        raise QualityError(f"the book of {split.known.month} is empty: rebuild its features")
    return value


def _chosen(trials: tuple[Trial, ...], standard_errors: float) -> Trial:
    """The complete trial whose gain on trial 0 exceeds its error by most; trial 0 unless one does."""

    def assured(trial: Trial) -> float:
        gains = np.subtract(trials[0].by_month, trial.by_month)
        error = gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else 0.0
        return float(gains.mean() - standard_errors * error)

    complete = [trial for trial in trials if trial.state is State.COMPLETE]
    return max(complete, key=lambda trial: (assured(trial), -trial.number))
