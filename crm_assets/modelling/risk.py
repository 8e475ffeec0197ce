"""How much at risk an open deal is: a class of its probability of being won by the end of the next month."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LOW, MEDIUM, HIGH = RISKS = ("low", "medium", "high")


@dataclass(frozen=True)
class RiskThresholds:
    """Where the classes begin.

    Attributes:
        low_from: probability from which the risk is low.
        high_below: probability below which it is high; medium in between.
    """

    low_from: float
    high_below: float

    def of(self, probability: float) -> str:
        """The class of one probability. Raises ValueError when it is none."""
        return str(self.of_all([probability])[0])

    def of_all(self, probabilities: ArrayLike) -> NDArray[np.str_]:
        """The class of each probability, shape (n,). Raises ValueError when one is outside [0, 1] or empty."""
        given = np.asarray(probabilities, dtype=np.float64)
        if not ((given >= 0) & (given <= 1)).all():
            wrong = given[~((given >= 0) & (given <= 1))][0]
            raise ValueError(f"{wrong} is no probability: hand over numbers from 0 to 1")
        return np.where(given >= self.low_from, LOW, np.where(given < self.high_below, HIGH, MEDIUM))
