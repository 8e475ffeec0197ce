"""How sure the figures of a backtest are: 95 % intervals, bootstrapped by opportunity.

A resample draws opportunities with replacement, each with all of its rows: what a deal does in one month is not
independent of what it does in the next, so rows on their own would make the intervals too narrow. The interval holds
the middle 95 % of the resamples' figures (percentile method).

Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13; for drawing whole clusters Davison and
Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8, and Field and Welsh, "Bootstrapping clustered
data", Journal of the Royal Statistical Society B 69 (2007).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crm_assets.modelling.metrics import CALIBRATION_BINS, brier_score, mean_defined, measure, skill, top_decile_lift
from crm_assets.modelling.training_rows import KEY

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.95
RESAMPLES = 1000

_CELLS_AT_ONCE = 4_000_000
"""Rows times resamples that are held in memory together."""

_TINY = float(np.finfo(np.float64).eps)

Floats = NDArray[np.float64]
Counts = NDArray[np.int32]


@dataclass(frozen=True)
class Interval:
    """A figure and the interval it lies in with 95 % confidence.

    Attributes:
        estimate: the figure on the rows as they are; None where it is undefined.
        low, high: ends of the interval; None where the figure is undefined, and with fewer than two opportunities.
    """

    estimate: float | None
    low: float | None
    high: float | None

    def above(self, limit: float) -> bool:
        """Whether all of the interval is above `limit`; an undefined one is not."""
        return self.low is not None and self.low > limit

    def below(self, limit: float) -> bool:
        """Whether all of the interval is below `limit`; an undefined one is not."""
        return self.high is not None and self.high < limit


@dataclass(frozen=True)
class BacktestIntervals:
    """Intervals of a backtest's figures, by the names they have in `BacktestReport`.

    Attributes:
        pooled: figures over all rows: `auc`, `average_precision`, `brier`, `log_loss`, `calibration_error`,
            `top_decile_lift`, `skill_vs_base_rate`, `skill_vs_age_table`, and `mean_auc`, the mean of the monthly AUCs.
        months: snapshot month -> the same but for `mean_auc`, oldest month first.
    """

    pooled: Mapping[str, Interval]
    months: Mapping[str, Mapping[str, Interval]]


def bootstrapped(predictions: pd.DataFrame, *, seed: int, resamples: int = RESAMPLES) -> BacktestIntervals:
    """Intervals of the figures of a backtest, pooled and month by month; the order of the rows does not matter.

    A resample that leaves a figure undefined, such as the AUC of a month that lost its wins, does not count for it.
    The calibration error is a sum of absolute values, so that its resamples lie above it: its interval does, too.

    Args:
        predictions: rows of `backtest.BACKTEST`, in any order.
        seed: of the resamples.
        resamples: how many; the time grows with rows times resamples, about 2 s for 13,000 times 1,000.
    """
    ordered = predictions.sort_values(KEY, kind="stable")
    month = ordered["snapshot_month"].to_numpy(dtype=str)
    names = [str(name) for name in np.unique(month)]
    opportunity, clusters = _clusters(ordered)
    samples = {name: _Sample(ordered[month == name], opportunity[month == name]) for name in names}
    pooled = _Sample(ordered, opportunity)
    drawn: dict[str, list[dict[str, Floats]]] = {name: [] for name in ("", *names)}
    for counts in _draws(clusters, len(ordered), seed, resamples):
        by_month = {name: sample.figures(counts) for name, sample in samples.items()}
        for name, figures in by_month.items():
            drawn[name].append(figures)
        aucs = np.array([figures["auc"] for figures in by_month.values()])
        drawn[""].append({"mean_auc": _mean_of_defined(aucs), **pooled.figures(counts)})
    estimates = {name: sample.estimates() for name, sample in samples.items()}
    mean_auc = mean_defined(figures["auc"] for figures in estimates.values())
    return BacktestIntervals(
        pooled=_intervals({"mean_auc": mean_auc, **pooled.estimates()}, drawn[""]),
        months={name: _intervals(estimates[name], drawn[name]) for name in names},
    )


def paired_improvement(rows: pd.DataFrame, *, over: str, seed: int, resamples: int = RESAMPLES) -> dict[str, Interval]:
    """By how much `probability` is better than the column `over` on the same rows, with the same resamples for both.

    Args:
        rows: `opportunity_id`, `snapshot_month`, `won`, `probability` and the column `over`, in any order.
        over: column of the probabilities it is compared with.
        seed: of the resamples.
        resamples: how many.

    Returns:
        `brier`: Brier score of `over` minus that of `probability`; `average_precision`: that of `probability` minus
        that of `over`. Above 0 is better in both.
    """
    ordered = rows.sort_values(KEY, kind="stable")
    opportunity, clusters = _clusters(ordered)
    won, new, old = (ordered[name].to_numpy(dtype=np.float64) for name in ("won", "probability", over))
    gain = _by_cluster(np.column_stack([(old - won) ** 2 - (new - won) ** 2, np.ones_like(won)]), opportunity, clusters)
    rank_new, rank_old = _Ranking(won, new, opportunity), _Ranking(won, old, opportunity)
    drawn = []
    for counts in _draws(clusters, len(ordered), seed, resamples):
        total, size = (counts @ gain).T
        precision = rank_new.average_precision(counts) - rank_old.average_precision(counts)
        drawn.append({"brier": _ratio(total, size), "average_precision": precision})
    after, before = measure(won, new), measure(won, old)
    estimates = {
        "brier": _difference(before.brier, after.brier),
        "average_precision": _difference(after.average_precision, before.average_precision),
    }
    return _intervals(estimates, drawn)


def clustered_mean(value: ArrayLike, cluster: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Mean of `value` (n,) with a normal interval whose standard error lets rows of one `cluster` (n,) go together.

    For confidences that so many resamples cannot tell, as where many groups are looked at together. The standard error
    is the sandwich one: Liang and Zeger, "Longitudinal data analysis using generalized linear models", Biometrika 73
    (1986), with the factor clusters / (clusters - 1).
    """
    values = np.asarray(value, dtype=np.float64)
    if values.size == 0:
        return Interval(None, None, None)
    mean = float(values.mean())
    _, number = np.unique(np.asarray(cluster), return_inverse=True)
    residual = np.bincount(number, weights=values - mean)
    if residual.size < 2:
        return Interval(mean, None, None)
    error = float(np.sqrt(residual.size / (residual.size - 1) * (residual @ residual)) / values.size)
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * error
    return Interval(mean, mean - reach, mean + reach)


class _Ranking:
    """Outcomes from the highest probability down, for figures of ranking with whole-number weights.

    Rows of equal probability are one step, of which the first or last are not told apart.
    """

    def __init__(self, won: Floats, probability: Floats, opportunity: NDArray[np.int64]) -> None:
        order = np.argsort(-probability, kind="stable")
        ranked = probability[order]
        self._opportunity = opportunity[order]
        self._won = won[order].astype(np.int32)
        self._excess = ranked - won[order]
        self._steps = np.append(np.flatnonzero(np.diff(ranked)), ranked.size - 1)

    def average_precision(self, counts: Counts) -> Floats:
        """Average precision of each resample; NaN unless it holds wins and non-wins, as in `metrics.measure`."""
        rows, wins = self._down(counts)
        found, all_wins = np.diff(wins, axis=1), wins[:, -1]
        precision = _ratio((found * _ratio(wins[:, 1:], rows[:, 1:], empty=0.0)).sum(axis=1), all_wins)
        return np.where(rows[:, -1] > all_wins, precision, np.nan)

    def figures(self, counts: Counts) -> dict[str, Floats]:
        """AUC, average precision, top-decile lift and calibration error of each resample."""
        weight = counts[:, self._opportunity]
        rows, wins = self._down(counts, weight)
        all_rows, all_wins = rows[:, -1], wins[:, -1]
        found = np.diff(wins, axis=1)
        passed_over = np.diff(rows - wins, axis=1)
        above = (passed_over * (wins[:, 1:] + wins[:, :-1])).sum(axis=1) / 2
        precision = _ratio((found * _ratio(wins[:, 1:], rows[:, 1:], empty=0.0)).sum(axis=1), all_wins)
        in_tenth = [np.interp(n / 10, x, y) for n, x, y in zip(all_rows, rows, wins, strict=True)]
        return {
            "auc": _ratio(above, all_wins * (all_rows - all_wins)),
            "average_precision": np.where(all_rows > all_wins, precision, np.nan),
            "calibration_error": self._calibration_error(weight, rows),
            "top_decile_lift": _ratio(10 * np.array(in_tenth), all_wins),
        }

    def _down(self, counts: Counts, weight: Counts | None = None) -> tuple[Floats, Floats]:
        """Rows and wins down to each step, beginning with none: shape (resamples, steps + 1)."""
        weight = counts[:, self._opportunity] if weight is None else weight
        return self._at_steps(weight), self._at_steps(weight * self._won)

    def _at_steps(self, weight: NDArray[np.generic]) -> Floats:
        down = np.cumsum(weight, axis=1, dtype=np.float64)[:, self._steps]
        return np.concatenate([np.zeros((len(down), 1)), down], axis=1)

    def _calibration_error(self, weight: Counts, rows: Floats) -> Floats:
        """As `metrics.expected_calibration_error`, with the bins cut anew in each resample."""
        gap = self._at_steps(weight * self._excess)
        shares = np.arange(1, CALIBRATION_BINS)
        error = np.empty(len(weight))
        for at, (down, size) in enumerate(zip(rows, rows[:, -1], strict=True)):
            # The lowest step above which no more than the share lies is the last of its bin.
            cuts = np.searchsorted(CALIBRATION_BINS * down[:-1], shares * size, side="right") - 1
            edges = np.concatenate([[0], cuts, [len(down) - 1]])
            error[at] = np.abs(np.diff(gap[at][edges])).sum()
        return _ratio(error, rows[:, -1])


class _Sample:
    """Predictions of some months, and their figures in each resample."""

    def __init__(self, rows: pd.DataFrame, opportunity: NDArray[np.int64]) -> None:
        won, probability, base_rate, age_table = (
            rows[name].to_numpy(dtype=np.float64)
            for name in ("won", "probability", "base_rate_probability", "age_table_probability")
        )
        self._won, self._probability, self._references = won, probability, (base_rate, age_table)
        # Only its own opportunities: a month's sums are then as small as the month.
        self._inside, local = np.unique(opportunity, return_inverse=True)
        self._ranking = _Ranking(won, probability, local)
        clipped = np.clip(probability, _TINY, 1 - _TINY)
        losses = [
            np.ones_like(won),
            (probability - won) ** 2,
            -np.where(won > 0, np.log(clipped), np.log1p(-clipped)),
            (base_rate - won) ** 2,
            (age_table - won) ** 2,
        ]
        self._losses = _by_cluster(np.column_stack(losses), local, self._inside.size)

    def estimates(self) -> dict[str, float | None]:
        """The figures on the rows as they are."""
        figures = measure(self._won, self._probability)
        base_rate, age_table = (brier_score(self._won, reference) for reference in self._references)
        return {
            "auc": figures.auc,
            "average_precision": figures.average_precision,
            "brier": figures.brier,
            "log_loss": figures.log_loss,
            "calibration_error": figures.calibration_error,
            "top_decile_lift": top_decile_lift(self._won, self._probability),
            "skill_vs_base_rate": skill(figures.brier, base_rate),
            "skill_vs_age_table": skill(figures.brier, age_table),
        }

    def figures(self, counts: Counts) -> dict[str, Floats]:
        """The same in each resample, shape (resamples,); NaN where undefined."""
        inside = counts[:, self._inside]
        rows, brier, log_loss, base_rate, age_table = (inside @ self._losses).T
        return {
            **self._ranking.figures(inside),
            "brier": _ratio(brier, rows),
            "log_loss": _ratio(log_loss, rows),
            "skill_vs_base_rate": 1 - _ratio(brier, base_rate),
            "skill_vs_age_table": 1 - _ratio(brier, age_table),
        }


def _clusters(rows: pd.DataFrame) -> tuple[NDArray[np.int64], int]:
    """Number of each row's opportunity, shape (n,), and how many there are."""
    names, number = np.unique(rows["opportunity_id"].to_numpy(dtype=str), return_inverse=True)
    return number.astype(np.int64), names.size


def _by_cluster(values: Floats, cluster: NDArray[np.int64], clusters: int) -> Floats:
    """Sums of the columns of `values` over the rows of each cluster, shape (clusters, columns)."""
    return np.column_stack([np.bincount(cluster, weights=column, minlength=clusters) for column in values.T])


def _draws(clusters: int, rows: int, seed: int, resamples: int) -> Iterator[Counts]:
    """How often each resample holds each cluster, in blocks of shape (some resamples, clusters); none below two."""
    if clusters < 2:
        return
    random = np.random.default_rng(seed)
    at_once = max(1, _CELLS_AT_ONCE // rows)
    for start in range(0, resamples, at_once):
        block = np.empty((min(at_once, resamples - start), clusters), dtype=np.int32)
        for counts in block:
            counts[:] = np.bincount(random.integers(clusters, size=clusters), minlength=clusters)
        yield block


def _intervals(estimates: Mapping[str, float | None], drawn: list[dict[str, Floats]]) -> dict[str, Interval]:
    return {
        name: _percentile(estimate, np.concatenate([block[name] for block in drawn] or [np.empty(0)]))
        for name, estimate in estimates.items()
    }


def _percentile(estimate: float | None, drawn: Floats) -> Interval:
    defined = drawn[np.isfinite(drawn)]
    if estimate is None or defined.size == 0:
        return Interval(estimate, None, None)
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(estimate, float(low), float(high))


def _ratio(part: Floats, whole: Floats, empty: float = np.nan) -> Floats:
    return np.divide(part, whole, out=np.full_like(np.asarray(part, dtype=np.float64), empty), where=whole != 0)


def _mean_of_defined(values: Floats) -> Floats:
    """Mean over the first axis of what is not NaN."""
    defined = np.isfinite(values)
    return _ratio(np.where(defined, values, 0.0).sum(axis=0), defined.sum(axis=0).astype(np.float64))


def _difference(greater: float | None, smaller: float | None) -> float | None:
    return None if greater is None or smaller is None else greater - smaller
