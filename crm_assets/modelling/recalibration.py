"""Logistic recalibration: log-odds stretched and shifted, so that probabilities come true in the mean.

Platt, "Probabilistic outputs for support vector machines", 1999, with log-odds for the score; Cox, "Two further
applications of a model for binary regression", Biometrika 45 (1958).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PENALTY = 5.0
"""Squared distance from no recalibration that costs half a nat."""
_CLIP = 1e-6
_STEPS = 50
_ENOUGH = 1e-9
_NONE = np.array([0.0, 1.0])


@dataclass(frozen=True)
class Recalibration:
    """log-odds of the result = shift + slope * log-odds.

    Attributes:
        shift: added log-odds.
        slope: above 0, so that the order of probabilities stays.
    """

    shift: float = 0.0
    slope: float = 1.0

    @classmethod
    def fit(cls, probability: Floats, happened: Floats) -> Self:
        """Fit to probabilities (n,) and whether what they are of happened (n,), by penalised maximum likelihood.

        The penalty draws towards no recalibration. Without rows, or where the slope would not be positive, there is
        none.
        """
        if not len(probability):
            return cls()
        score = log_odds(probability)
        design = np.column_stack([np.ones_like(score), score])
        beta = _NONE
        for _ in range(_STEPS):
            fitted = _logistic(design @ beta)
            gradient = design.T @ (happened - fitted) - PENALTY * (beta - _NONE)
            curvature = (design * (fitted * (1 - fitted))[:, None]).T @ design + PENALTY * np.eye(2)
            step = np.linalg.solve(curvature, gradient)
            # Where probabilities are far off a full step leads further off, and the next one further still.
            while _loss(beta + step, design, happened) > _loss(beta, design, happened) and np.abs(step).max() > _ENOUGH:
                step = step / 2
            beta = beta + step
            if np.abs(step).max() < _ENOUGH:
                break
        return cls(float(beta[0]), float(beta[1])) if beta[1] > 0 else cls()

    def __call__(self, probability: Floats) -> Floats:
        """The recalibrated probabilities, (n,); 0 stays 0 and 1 stays 1."""
        changed = _logistic(self.shift + self.slope * log_odds(probability))
        return np.where((probability <= 0) | (probability >= 1), probability, changed)


def log_odds(probability: Floats) -> Floats:
    """Log-odds of probabilities, (n,), which are kept a millionth away from 0 and 1."""
    inside = np.clip(probability, _CLIP, 1 - _CLIP)
    return np.asarray(np.log(inside) - np.log1p(-inside), dtype=np.float64)


def _logistic(score: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(score, -500, 500))), dtype=np.float64)


def _loss(beta: Floats, design: Floats, happened: Floats) -> float:
    """Penalised negative log-likelihood."""
    score = design @ beta
    likelihood = np.sum(happened * score - np.logaddexp(0, score))
    return float(PENALTY / 2 * np.sum((beta - _NONE) ** 2) - likelihood)
