"""Shapley values of games with few players, exactly.

Shapley, "A value for n-person games", Contributions to the Theory of Games II, 1953.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def shapley_values(worth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shapley values of many games at once.

    Args:
        worth: shape (2**p, n): what each coalition of p players is worth in each of n games; coalition c holds player
            i when bit i of c is set.

    Returns:
        Shape (p, n): each player's value. Its column sums are `worth[-1] - worth[0]` up to rounding, and a player who
        adds nothing to any coalition has exactly 0.
    """
    players = worth.shape[0].bit_length() - 1
    coalitions = np.arange(worth.shape[0])
    values = np.zeros((players, worth.shape[1]))
    for player in range(players):
        for coalition in coalitions[coalitions >> player & 1 == 0]:
            size = int(coalition).bit_count()
            weight = math.factorial(size) * math.factorial(players - size - 1) / math.factorial(players)
            values[player] += weight * (worth[coalition | 1 << player] - worth[coalition])
    return values
