"""How good probabilities are: ranking, squared error, log loss and calibration."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

CALIBRATION_BINS = 10


@dataclass(frozen=True)
class Metrics:
    """Figures of one set of predictions. A figure that is undefined is None, never NaN.

    Attributes:
        rows: number of predictions.
        wins: number of them that were won.
        auc: area under the ROC curve; None unless there are wins and non-wins.
        average_precision: area under the precision-recall curve as a step function; None unless there are both.
        brier: mean squared error, 0 is best (Brier 1950); None without rows.
        log_loss: mean negative log likelihood in nats, clipped to float64's resolution; None without rows.
        calibration_error: expected calibration error in [0, 1], see `expected_calibration_error`; None without rows.
    """

    rows: int
    wins: int
    auc: float | None
    average_precision: float | None
    brier: float | None
    log_loss: float | None
    calibration_error: float | None

    def as_dict(self) -> dict[str, int | float | None]:
        """Name -> value, in the order of the fields."""
        return asdict(self)


def measure(won: ArrayLike, probability: ArrayLike) -> Metrics:
    """All figures of `probability` (n,) in [0, 1] against `won` (n,) of 0 and 1.

    Raises ValueError when the lengths differ or a probability is outside [0, 1] or NaN.
    """
    from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

    y, p = np.asarray(won, dtype=np.int64), np.asarray(probability, dtype=np.float64)
    if y.shape != p.shape:
        raise ValueError(f"{len(y)} outcomes against {len(p)} probabilities")
    if not np.all((p >= 0) & (p <= 1)):
        raise ValueError("probabilities must lie between 0 and 1")
    if y.size == 0:
        return Metrics(0, 0, None, None, None, None, None)
    both = 0 < y.sum() < y.size
    return Metrics(
        rows=int(y.size),
        wins=int(y.sum()),
        auc=float(roc_auc_score(y, p)) if both else None,
        average_precision=float(average_precision_score(y, p)) if both else None,
        brier=float(brier_score_loss(y, p, labels=[0, 1])),
        log_loss=float(log_loss(y, p, labels=[0, 1])),
        calibration_error=expected_calibration_error(y, p),
    )


def brier_score(won: ArrayLike, probability: ArrayLike) -> float | None:
    """`measure(...).brier` in a hundredth of the time, without its checks, for many small sets; None without rows."""
    y, p = np.asarray(won, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    return float(np.mean((p - y) ** 2)) if y.size else None


def area_under_curve(won: ArrayLike, probability: ArrayLike) -> float | None:
    """`measure(...).auc` likewise: the share of pairs of a win and a non-win that are ranked rightly, ties as half."""
    y, p = np.asarray(won, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    wins = float(y.sum())
    if not 0 < wins < y.size:
        return None
    _, tie, rows = np.unique(p, return_inverse=True, return_counts=True)
    middle = np.cumsum(rows) - (rows - 1) / 2
    return float((middle[tie] @ y - wins * (wins + 1) / 2) / (wins * (y.size - wins)))


def equal_frequency_bins(probability: ArrayLike, bins: int = CALIBRATION_BINS) -> NDArray[np.int64]:
    """Bin number of each probability, shape (n,): cut at the deciles, equal probabilities always in the same bin.

    With many ties there are fewer bins than `bins`, and they are not of equal size.
    """
    p = np.asarray(probability, dtype=np.float64)
    if p.size == 0:
        return np.empty(0, dtype=np.int64)
    # A decile that is one of the values, not one between two: rounding then cannot split a tie.
    edges = np.unique(np.quantile(p, np.arange(1, bins) / bins, method="inverted_cdf"))
    return np.searchsorted(edges, p, side="left").astype(np.int64)


def expected_calibration_error(won: ArrayLike, probability: ArrayLike) -> float | None:
    """Mean over 10 equal-frequency bins of |mean probability - share won|, weighted by rows; None without rows.

    Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015; the bins are those of
    `equal_frequency_bins`, not of equal width.
    """
    y, p = np.asarray(won, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    if p.size == 0:
        return None
    inside = equal_frequency_bins(p)
    gaps = np.abs(np.bincount(inside, weights=p - y))
    return float(gaps.sum() / p.size)


def top_decile_lift(won: ArrayLike, probability: ArrayLike) -> float | None:
    """Share of wins among the tenth of rows with the highest probability, over the share among all; None without wins.

    Where equal probabilities straddle the tenth it is the mean over all orders of them. A tenth of a number of rows
    that 10 does not divide takes its last row in part. Between 0 and 10; 1 is no better than drawing at random.
    """
    y, p = np.asarray(won, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    if y.sum() == 0:
        return None
    _, tie, rows = np.unique(-p, return_inverse=True, return_counts=True)
    ranked = np.concatenate([[0], np.cumsum(rows)])
    found = np.concatenate([[0], np.cumsum(np.bincount(tie, weights=y))])
    return float(10 * np.interp(y.size / 10, ranked, found) / y.sum())


def skill(brier: float | None, reference: float | None) -> float | None:
    """Brier skill score 1 - brier / reference: 1 is perfect, 0 as good as the reference; None where undefined."""
    if brier is None or reference is None or reference == 0:
        return None
    return 1 - brier / reference


def mean_defined(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are not None; None when there is none."""
    defined = [value for value in values if value is not None]
    return math.fsum(defined) / len(defined) if defined else None


def numbers_only(figures: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """The figures that are numbers, as floats, with `prefix` before each name: what an experiment tracker takes."""
    return {
        prefix + name: float(value)
        for name, value in figures.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
