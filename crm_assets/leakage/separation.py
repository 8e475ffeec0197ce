"""Too good to be true: single features that tell how a deal will end better than anything honest could.

A limit is the separation that an honest reference reaches on the same rows, plus what chance may add in a sample of
that size: the upper confidence bound of an AUC with n1 and n0 rows, with the standard error of Hanley and McNeil ("The
meaning and use of the area under a ROC curve", Radiology 143, 1982) on the logit scale, so that it stays below 1. All
the probes of a month together have a chance of `FALSE_ALARMS` to fail without cause.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crm_assets.features.counts import GROUPS
from crm_assets.history.outcomes import LOST_OUTCOME, OPEN_OUTCOME, WON_OUTCOME
from crm_assets.leakage.finding import Finding, Probe, Verdict

FALSE_ALARMS = 1e-6
"""Chance that honest features of one month fail a probe of this module, were the reference their true separation."""
FEWEST = 10
"""Rows that each outcome needs for a probe to be run."""
_STRATA, _FINE_GROUPS, _FEW_VALUES = 10, 20, 50
_PRIOR_ROWS = 5.0

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]


def auc(values: Numbers, positive: Flags) -> float:
    """Area under the ROC curve of `values` (n,) for telling `positive` (n,) from the others; ties count half."""
    from scipy.stats import rankdata

    n1 = int(positive.sum())
    n0 = positive.size - n1
    ranks = rankdata(values)
    return float((ranks[positive].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


def standard_error(area: float, n1: int, n0: int) -> float:
    """Standard error of an AUC with `n1` positive and `n0` other rows (Hanley and McNeil 1982, equation 1)."""
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (n1 - 1) * (q1 - area**2) + (n0 - 1) * (q2 - area**2)) / (n1 * n0)
    return float(np.sqrt(max(variance, 0.0)))


def upper_bound(area: float, z: float, n1: int, n0: int) -> float:
    """The AUC below 1 that lies `z` standard errors above `area`, reckoned on the logit scale."""
    from scipy.special import expit, logit

    inside = min(area, 1 - 1 / (2 * n1 * n0))
    error = standard_error(inside, n1, n0) / (inside * (1 - inside))
    return float(expit(logit(inside) + z * error))


def cross_fitted_rate(groups: NDArray[np.int64], positive: Flags) -> Numbers:
    """Share of positives in a row's group, counted on the other half of the rows, so that no row tells of itself.

    Args:
        groups: group number of each row, shape (n,).
        positive: outcome of each row, shape (n,).
    """
    rates = np.empty(groups.size)
    # Half by the order within a group and outcome, so that each half holds about half of either.
    order = np.lexsort((positive, groups))
    half = np.empty(groups.size, dtype=np.int64)
    half[order] = np.arange(groups.size) % 2
    size = int(groups.max()) + 1 if groups.size else 0
    for side in (0, 1):
        others = half != side
        hits = np.bincount(groups[others], weights=positive[others], minlength=size)
        rows = np.bincount(groups[others], minlength=size)
        overall = positive[others].mean() if others.any() else 0.5
        rates[~others] = ((hits + _PRIOR_ROWS * overall) / (rows + _PRIOR_ROWS))[groups[~others]]
    return rates


def quantile_groups(values: Numbers, groups: int = _STRATA) -> NDArray[np.int64]:
    """Group number of each value, cut at the quantiles; equal values share a group, missing ones have their own."""
    known = ~np.isnan(values)
    found = np.full(values.size, groups, dtype=np.int64)
    if known.any():
        edges = np.unique(np.quantile(values[known], np.arange(1, groups) / groups, method="inverted_cdf"))
        found[known] = np.searchsorted(edges, values[known], side="left")
    return found


@dataclass(frozen=True)
class Contrast:
    """Two outcomes that a feature is asked to tell apart.

    Attributes:
        probe: the probe that asks.
        positive, other: outcomes, as in the sentence "positive from other".
    """

    probe: Probe
    positive: tuple[str, ...]
    other: tuple[str, ...]


CONTRASTS = (
    Contrast(Probe.WON_FROM_LOST, (WON_OUTCOME,), (LOST_OUTCOME,)),
    Contrast(Probe.CLOSED_FROM_OPEN, (WON_OUTCOME, LOST_OUTCOME), (OPEN_OUTCOME,)),
)


@dataclass(frozen=True)
class _Asked:
    """One contrast on one month's rows.

    Attributes:
        contrast: which.
        inside: rows with one of its outcomes, shape (n,).
        positive: of these, those with the positive outcome.
        honest: AUC of the honest reference.
        limit: largest AUC that passes.
    """

    contrast: Contrast
    inside: Flags
    positive: Flags
    honest: float
    limit: float

    @property
    def counts(self) -> tuple[int, int]:
        """Positive rows and others."""
        return int(self.positive.sum()), int((~self.positive).sum())


def separations(
    rows: pl.DataFrame,
    closings: pl.DataFrame,
    features: Sequence[str],
    *,
    month: str,
    table: str,
    understood: Collection[str] = (),
) -> list[Finding]:
    """Probe every feature of one month's book against what became of it a month later.

    Args:
        rows: the book with `features`, `outcome` (won, lost, open), `age_days` and the columns of `GROUPS`, a row per
            opportunity.
        closings: rows of `DAILY_CLOSINGS` of that month.
        features: columns to probe, numbers or categories.
        understood: features that people have looked into and found honest; they are measured, and pass.
        month: of the book.
        table: name of the table the features stand in.

    Returns:
        One finding per feature and contrast, and one per feature with missing values for its missingness.
    """
    outcome = rows["outcome"].to_numpy()
    coded = {name: _codes(rows[name]) for name in features}
    strata = quantile_groups(rows["age_days"].cast(pl.Float64).to_numpy())
    z = _critical(2 * len(features) * len(CONTRASTS))
    found: list[Finding] = []
    for contrast in CONTRASTS:
        inside = np.isin(outcome, (*contrast.positive, *contrast.other))
        positive = np.isin(outcome[inside], contrast.positive)
        n1, n0 = int(positive.sum()), int((~positive).sum())
        if min(n1, n0) < FEWEST:
            told = f"too few to tell: {n1} {' or '.join(contrast.positive)}, {n0} {' or '.join(contrast.other)}"
            found.append(Finding(contrast.probe, month, table, "*", Verdict.NOT_RUN, told))
            continue
        honest = max([0.5, *_references(rows.filter(pl.Series(inside)), strata[inside], closings, positive)])
        asked = _Asked(contrast, inside, positive, honest, upper_bound(honest, z, n1, n0))
        for name in features:
            measured = _separation(coded[name][inside], positive)
            verdict, told = _judged(name, measured, asked.limit, _told(asked, measured), understood)
            found.append(
                Finding(contrast.probe, month, table, name, verdict, told, measured=measured, limit=asked.limit)
            )
    if not any(np.isnan(column).any() for column in coded.values()):
        told = "no feature has an empty value"
        found.append(Finding(Probe.MISSINGNESS, month, table, "*", Verdict.PASSED, told, rows=0))
    for name in features:
        missing = np.isnan(coded[name])
        if 0 < missing.sum() < missing.size:
            measured, told = _missingness(missing, outcome, strata)
            verdict, told = _judged(name, measured, z, told, understood)
            found.append(Finding(Probe.MISSINGNESS, month, table, name, verdict, told, measured=measured, limit=z))
    return found


def _judged(name: str, measured: float, limit: float, told: str, understood: Collection[str]) -> tuple[Verdict, str]:
    if measured <= limit:
        return Verdict.PASSED, told
    if name in understood:
        return Verdict.PASSED, f"{told}; it was looked into and is understood"
    return Verdict.FAILED, f"{told}. If it is honest, and you know why, name it in CRM_UNDERSTOOD_FEATURES"


def _told(asked: _Asked, measured: float) -> str:
    n1, n0 = asked.counts
    positive, other = (" or ".join(outcomes) for outcomes in (asked.contrast.positive, asked.contrast.other))
    return (
        f"AUC {measured:.3f} of {positive} ({n1}) against {other} ({n0}); the limit is {asked.limit:.3f}, for an "
        f"honest reference reaches {asked.honest:.3f} on these rows"
    )


def _references(
    rows: pl.DataFrame, strata: NDArray[np.int64], closings: pl.DataFrame, positive: Flags
) -> Iterator[float]:
    """AUCs that honest knowledge reaches: age, and agent, manager, region and product, alone and within age groups.

    As the deals of the other half of the rows turn out; of the groups also as the deals closed by the month-end did.
    """
    yield auc(cross_fitted_rate(strata, positive), positive)
    for column in GROUPS.values():
        rate = pl.col("won").sum() / (pl.col("won").sum() + pl.col("lost").sum())
        known = closings.group_by(column).agg(rate=rate)
        rates = rows.select(column).join(known, on=column, how="left", maintain_order="left")["rate"]
        yield auc(rates.fill_null(0.5).cast(pl.Float64).to_numpy(), positive)
        groups = rows[column].rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
        yield auc(cross_fitted_rate(groups, positive), positive)
        yield auc(cross_fitted_rate(groups * (_STRATA + 1) + strata, positive), positive)


def _critical(probes: int) -> float:
    from scipy.stats import norm

    return float(norm.isf(FALSE_ALARMS / (2 * probes)))


def _codes(values: pl.Series) -> Numbers:
    """Numbers as float64 with NaN for missing; categories as their rank in the alphabet."""
    if values.dtype == pl.String():
        values = values.rank("dense")
    return values.cast(pl.Float64).to_numpy()


def _separation(values: Numbers, positive: Flags) -> float:
    """AUC of a feature, whichever way it points, by its rank or by the rates of its values; missing is the lowest."""
    filled = np.where(np.isnan(values), -np.inf, values)
    distinct = np.unique(filled)
    few = distinct.size <= _FEW_VALUES
    groups = np.searchsorted(distinct, filled).astype(np.int64) if few else quantile_groups(values, _FINE_GROUPS)
    by_rank = auc(filled, positive)
    return max(by_rank, 1 - by_rank, auc(cross_fitted_rate(groups, positive), positive))


def _missingness(missing: Flags, outcome: NDArray[np.object_], strata: NDArray[np.int64]) -> tuple[float, str]:
    """The larger |z| of missingness against closing and against winning, and what it is about.

    Within age groups, because a value may be missing for young deals, and young deals seldom close.
    """
    worst, told = 0.0, "no outcome to compare with"
    for contrast in CONTRASTS:
        inside = np.isin(outcome, (*contrast.positive, *contrast.other))
        positive, absent = np.isin(outcome[inside], contrast.positive), missing[inside]
        if positive.all() or not positive.any():
            continue
        z = abs(mantel_haenszel(absent, positive, strata[inside]))
        if z >= worst:
            worst = z
            told = (
                f"missing in {absent[positive].mean():.1%} of {' or '.join(contrast.positive)} and "
                f"{absent[~positive].mean():.1%} of {' or '.join(contrast.other)}, z {z:.1f} within age groups"
            )
    return worst, told


def mantel_haenszel(exposed: Flags, positive: Flags, strata: NDArray[np.int64]) -> float:
    """Signed root of the Cochran-Mantel-Haenszel statistic without continuity correction; 0 where nothing varies.

    Mantel and Haenszel, "Statistical aspects of the analysis of data from retrospective studies of disease", JNCI 22
    (1959).

    Args:
        exposed, positive: flags of each row, shape (n,).
        strata: stratum of each row, shape (n,).
    """
    size = int(strata.max()) + 1 if strata.size else 0
    rows = np.bincount(strata, minlength=size).astype(np.float64)
    both = np.bincount(strata, weights=exposed & positive, minlength=size)
    first, second = (np.bincount(strata, weights=flags, minlength=size) for flags in (exposed, positive))
    used = rows > 1
    rows, both, first, second = rows[used], both[used], first[used], second[used]
    expected = first * second / rows
    variance = first * (rows - first) * second * (rows - second) / (rows**2 * (rows - 1))
    total = float(variance.sum())
    return float((both - expected).sum() / np.sqrt(total)) if total > 0 else 0.0
