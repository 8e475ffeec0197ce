"""Scores at a given age: what is left of their movement when the book has become older or younger."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crm_assets.monitoring.two_samples import PSI_BINS, psi

AGE_STRATA = (31, 61, 91, 111, 139)
"""Ages in days at which a stratum begins, besides 0: months at first, then around the ages at which deals close and at
which they never will."""
RESOLUTION = 0.005
"""Differences in a probability below it are none: deals past every closing age all have about 0, and which decile of
that they fall in says nothing."""
FEWEST_IN_STRATUM = 20
"""Reference rows without which a stratum is left out."""


@dataclass(frozen=True)
class AtFixedAge:
    """How far scores moved among deals of like age.

    Attributes:
        psi: population stability index against the reference as it would be with the current ages; None without any
            stratum that can be compared.
        share_compared: share of the current rows in strata that the reference has.
        weights: for each reference row how many current rows it stands for, (n,).
    """

    psi: float | None
    share_compared: float
    weights: NDArray[np.float64]


def psi_at_fixed_age(
    reference: NDArray[np.float64],
    reference_age: NDArray[np.float64],
    current: NDArray[np.float64],
    current_age: NDArray[np.float64],
) -> AtFixedAge:
    """Compare two samples of scores, the reference weighted to the current ages (direct standardisation).

    A book ages as abandoned deals gather in it, and a month of little intake makes it old at once: both move the scores
    without anything being wrong. Bins are deciles of the weighted reference.

    Args:
        reference, reference_age: scores and ages in days, (n,); ages may be NaN, which is a stratum of its own.
        current, current_age: the same of the month, (m,).
    """
    reference, current = (np.round(scores / RESOLUTION) for scores in (reference, current))
    strata, now = (_strata(ages) for ages in (reference_age, current_age))
    held = np.bincount(strata, minlength=len(AGE_STRATA) + 2)
    wanted = np.bincount(now, minlength=len(AGE_STRATA) + 2)
    enough = held >= FEWEST_IN_STRATUM
    weights = np.where(enough, wanted / np.maximum(held, 1), 0.0)[strata]
    compared = enough[now]
    if not compared.any():
        return AtFixedAge(None, 0.0, weights)
    edges = _weighted_deciles(reference, weights)
    before = np.bincount(np.searchsorted(edges, reference, side="left"), weights, minlength=len(edges) + 1)
    after = np.bincount(np.searchsorted(edges, current[compared], side="left"), minlength=len(edges) + 1)
    return AtFixedAge(psi(before, after), float(compared.mean()), weights)


def _strata(ages: NDArray[np.float64]) -> NDArray[np.int64]:
    strata = np.searchsorted(np.array(AGE_STRATA), ages, side="right")
    return np.where(np.isnan(ages), len(AGE_STRATA) + 1, strata).astype(np.int64)


def _weighted_deciles(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    order = np.argsort(values, kind="stable")
    cumulated = np.cumsum(weights[order])
    wanted = np.arange(1, PSI_BINS) / PSI_BINS * cumulated[-1]
    at = np.minimum(np.searchsorted(cumulated, wanted), len(values) - 1)
    return np.unique(values[order][at])
