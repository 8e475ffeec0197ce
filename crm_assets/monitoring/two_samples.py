"""Two samples of one column: whether they differ (a test) and by how much (PSI)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crm_assets.monitoring.rows import MISSING

PSI_BINS = 10
MIN_EXPECTED = 5
"""Rows a category must be expected to have in the smaller sample for chi-square to be trusted (Cochran 1954)."""

_PSI_PSEUDOCOUNT = 0.5


@dataclass(frozen=True)
class Difference:
    """Outcome of a test that two samples come from one distribution.

    Attributes:
        statistic: KS distance or chi-square; None when not tested.
        p_value: chance of a statistic as large if they do; None when not tested.
        reason: why it was not tested; None when it was.
    """

    statistic: float | None
    p_value: float | None
    reason: str | None = None


def kolmogorov_smirnov(reference: NDArray[np.float64], current: NDArray[np.float64]) -> Difference:
    """Two-sample Kolmogorov-Smirnov test, two-sided, of non-empty samples without NaN.

    The p-value is the asymptotic one, which errs to the large side where values are tied.
    """
    from scipy.stats import ks_2samp

    result = ks_2samp(reference, current, method="asymp")
    return Difference(float(result.statistic), float(result.pvalue))


def chi_square(reference: NDArray[np.str_], current: NDArray[np.str_]) -> Difference:
    """Pearson's chi-square test of homogeneity on the contingency table of non-empty samples.

    Unlike a goodness-of-fit test it takes the reference for a sample too, not for the truth. Rare categories, whose
    expected count in the smaller sample is below MIN_EXPECTED, are pooled, with the next smallest one if need be.
    """
    from scipy.stats import chi2_contingency

    table = _contingency_table(reference, current)
    if len(table) == 1:
        return Difference(0.0, 1.0)
    table = _pool_rare(table)
    if len(table) == 1:
        return Difference(None, None, f"no two categories have {MIN_EXPECTED} expected rows in both samples")
    result = chi2_contingency(table, correction=False)
    return Difference(float(result.statistic), float(result.pvalue))


def missing_share_p_value(
    missing_reference: int, rows_reference: int, missing_current: int, rows_current: int
) -> float:
    """P-value of Fisher's exact test, two-sided, that the share of missing values is the same on both sides."""
    from scipy.stats import fisher_exact

    table = [
        [missing_reference, rows_reference - missing_reference],
        [missing_current, rows_current - missing_current],
    ]
    return float(fisher_exact(table).pvalue)


def psi_of_numbers(reference: NDArray[np.float64], current: NDArray[np.float64]) -> float:
    """Population stability index of two samples of numbers, NaN where missing.

    Bins are cut at the reference's deciles (fewer with many ties), with one more below its minimum, above its maximum,
    and of missing values. See `psi` for the figure.
    """
    present = reference[~np.isnan(reference)]
    if present.size == 0:
        edges = np.empty(0)
    else:
        deciles = np.quantile(present, np.arange(1, PSI_BINS + 1) / PSI_BINS, method="inverted_cdf")
        below = np.nextafter(present.min(), -np.inf)
        edges = np.unique(np.concatenate([[below], deciles]))

    def counts(values: NDArray[np.float64]) -> NDArray[np.int64]:
        known = values[~np.isnan(values)]
        # A value equal to an edge belongs below it, so a tie is never split.
        inside = np.bincount(np.searchsorted(edges, known, side="left"), minlength=len(edges) + 1)
        return np.append(inside, values.size - known.size).astype(np.int64)

    return psi(counts(reference), counts(current))


def psi_of_labels(reference: NDArray[np.str_], current: NDArray[np.str_]) -> float:
    """Population stability index of two samples of categories, one bin each."""
    table = _contingency_table(reference, current)
    return psi(table[:, 0], table[:, 1])


def psi(reference: NDArray[np.int64] | NDArray[np.float64], current: NDArray[np.int64]) -> float:
    """Population stability index of two histograms over the same bins, shape (bins,): sum of (q - p) ln(q / p).

    p and q are the shares of the reference and the current rows in each bin, with half a row added to every bin that
    is not empty in both, so that an empty one gives a large number that depends on the sample size, not infinity.
    It is 0 for equal shares and symmetric. Chance alone gives about (bins - 1) (1 / n + 1 / m) for n and m rows.
    Siddiqi, "Credit Risk Scorecards", Wiley 2006: below 0.1 small, above 0.25 large.
    """
    used = (reference + current) > 0
    p, q = reference[used] + _PSI_PSEUDOCOUNT, current[used] + _PSI_PSEUDOCOUNT
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum((q - p) * np.log(q / p)))


def new_labels(reference: NDArray[np.str_], current: NDArray[np.str_]) -> dict[str, int]:
    """Categories that only the current sample has, with their rows, most first; MISSING is none."""
    names, counts = np.unique(current[~np.isin(current, [*np.unique(reference), MISSING])], return_counts=True)
    return {str(names[i]): int(counts[i]) for i in np.argsort(-counts, kind="stable")}


def _contingency_table(reference: NDArray[np.str_], current: NDArray[np.str_]) -> NDArray[np.int64]:
    """Rows per category in (reference, current), shape (categories, 2)."""
    names, codes = np.unique(np.concatenate([reference, current]), return_inverse=True)
    sides = codes[: reference.size], codes[reference.size :]
    return np.stack([np.bincount(side, minlength=names.size) for side in sides], axis=1)


def _pool_rare(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """The table with its rare categories added up in one row, which is not rare itself unless it is the only one."""
    table = table[np.argsort(-table.sum(axis=1), kind="stable")]
    expected = table.sum(axis=1) * (table.sum(axis=0).min() / table.sum())
    frequent = int((expected >= MIN_EXPECTED).sum())
    if frequent < len(table) and expected[frequent:].sum() < MIN_EXPECTED:
        frequent = max(frequent - 1, 0)
    if frequent == len(table):
        return table
    return np.vstack([table[:frequent], table[frequent:].sum(axis=0)])
