"""The month effect: what all deals of a month have in common that their probabilities do not tell.

Given the effect s of a month, the log-odds of deal i are a_i + s, and the deals are independent. Over months s has
mean 0 and standard deviation tau, and a_i is such that the mean probability stays p_i: intervals get wider, what is
expected stays. It is a random intercept in a logistic model (McCulloch, Searle and Neuhaus, "Generalized, Linear, and
Mixed Models", 2nd ed., Wiley 2008, ch. 7), with p_i as offset.

tau is learnt from months that were predicted before they were known, by how far the number of wins was from the one
expected. Few months say little about it, so it is not one number but a distribution over a grid: the prior times the
likelihood of these months. The prior is Gamma(2, PRIOR_SCALE), which keeps tau off 0, as Chung et al. recommend ("A
nondegenerate penalized likelihood estimator for variance parameters in multilevel models", Psychometrika 78, 2013).
The effect of the next month is drawn over that distribution and so has longer tails than a normal one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

PRIOR_SCALE = 0.15
"""Scale of the prior of tau on the log-odds: its mode; the mean is twice that."""

_SCALES = np.geomspace(0.01, 3.0, 40)
_STANDARD = np.linspace(-4, 4, 33)
_STANDARD_WEIGHTS = np.exp(-(_STANDARD**2) / 2) / np.exp(-(_STANDARD**2) / 2).sum()
_NODES = 65
_BINS = 256


@dataclass(frozen=True)
class PastMonth:
    """A month that was predicted before it was known.

    Attributes:
        snapshot_month: YYYY-MM of the snapshot it was predicted at.
        probability: of each deal, in [0, 1], shape (n,).
        wins: how many were won.
    """

    snapshot_month: str
    probability: Floats
    wins: int

    @cached_property
    def log_likelihood(self) -> Floats:
        """Of the number of wins, for each tau of the grid; the number is taken as normal given the effect."""
        from scipy.special import expit, logit, logsumexp

        if not self.probability.size:
            return np.zeros(_SCALES.size)
        probability, deals = _binned(self.probability)
        wanted, found = logit(probability), []
        for number, scale in enumerate(_SCALES):
            mean_log_odds, offset = _centring_of_scale(number)
            log_odds = wanted + np.interp(wanted, mean_log_odds, offset)
            given = expit(log_odds[:, None] + scale * _STANDARD)
            mean = (deals[:, None] * given).sum(axis=0)
            # A whole number stands for an interval of length 1, which has this variance and keeps it off 0.
            variance = (deals[:, None] * given * (1 - given)).sum(axis=0) + 1 / 12
            density = -((self.wins - mean) ** 2) / (2 * variance) - np.log(variance) / 2
            found.append(float(logsumexp(density, b=_STANDARD_WEIGHTS)))
        return np.array(found)


def past_months(predictions: pd.DataFrame) -> list[PastMonth]:
    """The months of `snapshot_month`, oldest first, with `probability` and `won` of their rows."""
    return [
        PastMonth(str(month), rows["probability"].to_numpy(dtype=np.float64), int(rows["won"].sum()))
        for month, rows in predictions.groupby("snapshot_month", sort=True)
    ]


@dataclass(frozen=True)
class MonthEffect:
    """How far a month can be from what its probabilities say.

    Attributes:
        scales: values of tau, on the log-odds, shape (k,).
        weights: probability of each, shape (k,), sum 1.
        months: how many months it was learnt from.
    """

    scales: Floats
    weights: Floats
    months: int

    @classmethod
    def of(cls, tau: float) -> Self:
        """A known tau; 0 for deals that are independent. Raises ValueError when it is negative or not finite."""
        if not (tau >= 0 and math.isfinite(tau)):
            raise ValueError(f"tau is {tau}; it must be 0 or more")
        return cls(np.array([tau]), np.array([1.0]), 0)

    @classmethod
    def learnt(cls, months: Sequence[PastMonth]) -> Self:
        """The distribution of tau after these months; the prior when there is none."""
        # Equal steps of the grid's logarithm: the density times tau.
        log_weight = 2 * np.log(_SCALES) - _SCALES / PRIOR_SCALE
        for month in months:
            log_weight = log_weight + month.log_likelihood
        weights = np.exp(log_weight - log_weight.max())
        return cls(_SCALES.copy(), weights / weights.sum(), sum(bool(month.probability.size) for month in months))

    @property
    def tau(self) -> float:
        """Standard deviation of the effect of the next month, on the log-odds."""
        return float(np.sqrt((self.weights * self.scales**2).sum()))

    def drawn(self, draws: int) -> Shifts:
        """`draws` effects at evenly spaced probabilities of their distribution, lowest first."""
        from scipy.special import ndtr

        widest = float(self.scales[self.weights > 1e-12].max())
        if widest == 0:
            return Shifts.of(np.zeros(draws))
        grid = np.linspace(-6 * widest, 6 * widest, 4001)
        spread = np.where(self.scales > 0, self.scales, np.finfo(float).tiny)
        reached = (ndtr(grid[:, None] / spread) * self.weights).sum(axis=1)
        # A distribution that is symmetric about 0 is made so to the last bit.
        reached = (reached + 1 - reached[::-1]) / 2
        return Shifts.of(np.interp((np.arange(draws) + 0.5) / draws, reached, grid))


@dataclass(frozen=True)
class Shifts:
    """Effects of a month in many draws, with what is needed to look up what depends on them.

    Functions of the effect are computed at `nodes` and taken linearly between them, so that a large book costs as many
    evaluations as there are nodes, not draws.

    Attributes:
        nodes: values of the effect, increasing, shape (k,).
        weights: how much each counts in the mean over the draws, shape (k,), sum 1.
        below: node at or below the effect of each draw, shape (draws,).
        part: how far it is from there to the next node, in [0, 1], shape (draws,).
    """

    nodes: Floats
    weights: Floats
    below: NDArray[np.int64]
    part: Floats

    @classmethod
    def of(cls, effects: ArrayLike) -> Self:
        """From the effect of each draw, shape (draws,)."""
        drawn = np.asarray(effects, dtype=np.float64)
        low, high = float(drawn.min()), float(drawn.max())
        if low == high:
            return cls(np.array([low]), np.ones(1), np.zeros(drawn.size, dtype=np.int64), np.zeros(drawn.size))
        nodes = np.linspace(low, high, _NODES)
        below = np.clip(np.searchsorted(nodes, drawn, side="right") - 1, 0, _NODES - 2).astype(np.int64)
        part = np.clip((drawn - nodes[below]) / (nodes[1] - nodes[0]), 0, 1)
        weights = np.bincount(below, 1 - part, _NODES) + np.bincount(below + 1, part, _NODES)
        return cls(nodes, weights / drawn.size, below, part)

    @property
    def draws(self) -> int:
        """Number of draws."""
        return self.below.size

    def centred(self, probability: Floats) -> Floats:
        """Log-odds of each deal without an effect, such that its mean probability over the draws is `probability`."""
        return centred(probability, self.nodes, self.weights)

    def drawn(self, at_nodes: Floats) -> Floats:
        """Values at the nodes, shape (k,) or (k, n), as values in each draw, shape (draws,) or (draws, n)."""
        if self.nodes.size == 1:
            return np.repeat(at_nodes, self.draws, axis=0)
        part = self.part if at_nodes.ndim == 1 else self.part[:, None]
        return at_nodes[self.below] * (1 - part) + at_nodes[self.below + 1] * part


def centred(probability: Floats, shifts: Floats, weights: Floats) -> Floats:
    """Log-odds a, shape (n,), with sum over k of weights_k * expit(a + shifts_k) = probability, in [0, 1].

    Minus and plus infinity for 0 and 1.
    """
    from scipy.special import logit

    wanted = logit(probability)
    found: Floats = wanted + np.interp(wanted, *_centring(shifts, weights))
    return found


def _centring(shifts: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Log-odds of the mean probability, increasing, and what to add to each so that it is the mean."""
    from scipy.special import expit

    grid = np.linspace(-25, 25, 1001)
    shifted = grid[:, None] + shifts
    # Each side by itself: 1 minus a mean close to 1 would lose it.
    mean = np.log((expit(shifted) * weights).sum(axis=1)) - np.log((expit(-shifted) * weights).sum(axis=1))
    return mean, grid - mean


@cache
def _centring_of_scale(number: int) -> tuple[Floats, Floats]:
    return _centring(_SCALES[number] * _STANDARD, _STANDARD_WEIGHTS)


def _binned(probability: Floats) -> tuple[Floats, Floats]:
    """Up to _BINS mean probabilities and how many deals each stands for: neighbours are taken as equal."""
    ordered = np.sort(probability)
    starts = np.unique(np.linspace(0, ordered.size, min(_BINS, ordered.size), endpoint=False).astype(np.int64))
    deals = np.diff(np.append(starts, ordered.size)).astype(np.float64)
    # Rounding must not take a mean out of [0, 1].
    return np.clip(np.add.reduceat(ordered, starts) / deals, 0, 1), deals
