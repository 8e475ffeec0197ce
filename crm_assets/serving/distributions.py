"""Small distributions of a column on two sides, in the same few bins, to be drawn beside each other."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

MOST_BINS = 10
"""Bins of numbers, and categories with a bar of their own; what is left is told as one more."""
_FEW_VALUES = 16
_STEPS = (1, 2, 2.5, 5, 10)

Distribution = dict[str, Any]
"""`kind`, `current_rows`, `reference_rows`, and `bins`: `name`, `low`, `high`, and the shares of both sides' rows."""


def numbers(
    current: NDArray[np.float64], reference: NDArray[np.float64], weights: NDArray[np.float64] | None = None
) -> Distribution | None:
    """The distribution of a number; None where a side has no value.

    Few different values are told one by one; others in bins that begin at round numbers, of which the last takes in
    all beyond the 99th percentile.

    Args:
        current: the month's, (m,); NaN where missing, which counts as a row and falls in no bin.
        reference: what it is compared with, (n,).
        weights: how much each row of the reference counts, (n,); all alike when None.
    """
    counts = np.ones(reference.size) if weights is None else weights
    now, before = current[~np.isnan(current)], reference[~np.isnan(reference)]
    kept = counts[~np.isnan(reference)]
    if not now.size or not before.size or kept.sum() <= 0:
        return None
    both = np.concatenate([now, before])
    values = np.unique(both)
    if values.size <= _FEW_VALUES:
        bins = [
            _bin(f"{value:,.10g}", value, value, (now == value).sum() / current.size, kept[before == value].sum())
            for value in values
        ]
    else:
        edges = _edges(float(both.min()), float(np.quantile(both, 0.99)))
        at_now, at_before = (np.clip(np.digitize(side, edges) - 1, 0, len(edges) - 2) for side in (now, before))
        share = np.bincount(at_now, minlength=len(edges) - 1) / current.size
        weight = np.bincount(at_before, kept, minlength=len(edges) - 1)
        bins = [
            _bin(None, float(low), float(high), share[at], weight[at]) for at, (low, high) in enumerate(pairwise(edges))
        ]
        if both.max() > edges[-1]:
            bins[-1]["high"] = None
    total = float(counts.sum())
    for one in bins:
        one["reference"] /= total
    return {"kind": "numbers", "bins": bins, "current_rows": current.size, "reference_rows": reference.size}


def categories(current: pl.Series, reference: pl.Series) -> Distribution | None:
    """The distribution of a text, the largest categories first; None where a side has no value."""
    if current.null_count() == current.len() or reference.null_count() == reference.len():
        return None
    now, before = (dict(side.drop_nulls().value_counts().iter_rows()) for side in (current, reference))
    shares = {
        str(name): (now.get(name, 0) / current.len(), before.get(name, 0) / reference.len()) for name in {*now, *before}
    }
    ordered = sorted(shares, key=lambda name: (-max(shares[name]), name))
    # One that is left over needs no summary of its own.
    shown = ordered if len(ordered) <= MOST_BINS + 1 else ordered[:MOST_BINS]
    bins = [_bin(name, None, None, *shares[name]) for name in shown]
    if rest := ordered[len(shown) :]:
        left = [sum(shares[name][side] for name in rest) for side in (0, 1)]
        bins.append(_bin(f"{len(rest)} others", None, None, *left))
    return {"kind": "categories", "bins": bins, "current_rows": current.len(), "reference_rows": reference.len()}


def _bin(name: str | None, low: float | None, high: float | None, current: float, reference: float) -> dict[str, Any]:
    return {"name": name, "low": low, "high": high, "current": float(current), "reference": float(reference)}


def _edges(low: float, high: float) -> NDArray[np.float64]:
    """Round numbers, evenly spaced, at most MOST_BINS + 1, of which the first is not above `low`."""
    width = max(high - low, 1e-12 * max(1.0, abs(high)))
    power = 10.0 ** math.floor(math.log10(width / MOST_BINS))
    for factor in (*_STEPS, *(10 * step for step in _STEPS)):
        step = factor * power
        first = math.floor(low / step + 1e-9)
        last = max(first + 1, math.ceil(high / step - 1e-9))
        if last - first <= MOST_BINS:
            break
    # 3 times 0.05 is not 0.15 to a computer.
    return np.round(np.arange(first, last + 1) * step, 12)
