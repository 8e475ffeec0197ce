"""New business: deals that are engaged in a month and won in it, which no book of the month before holds.

Their number depends on the position of the month in its quarter. With x_t deals in month t, the forecast for a position
is (sum of its x_t + k * overall) / (months of it + k): its own mean, drawn towards the mean of the positions by as many
months k as the scatter within a position is worth against the one between positions. The number is negative binomial,
with the variance of a month about its mean and that of the mean itself; prices are those of earlier new business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from crm_assets.calendar import Month, month_range

if TYPE_CHECKING:
    import pandas as pd

BETWEEN = 0.25
"""Prior variance of the mean of a quarter position about the overall mean, as a share of that mean squared: half of it
as standard deviation."""

WITHIN, WITHIN_MONTHS = 0.06, 4.0
"""Prior variance of a month about the mean of its position beyond Poisson's, as a share of that mean squared (24 % as
standard deviation), and the months it counts for."""


@dataclass(frozen=True)
class NewBusiness:
    """What is expected of one month.

    Attributes:
        mean: expected number of deals.
        variance: of their number, at least `mean`; 0 where `mean` is.
        prices: list prices, USD, shape (k,).
        shares: share of the deals at each, shape (k,), sum 1.
        months: how many past months it was learnt from.
    """

    mean: float
    variance: float
    prices: NDArray[np.float64]
    shares: NDArray[np.float64]
    months: int

    @classmethod
    def learnt(cls, wins: pd.DataFrame, month: Month) -> Self:
        """What is expected of the month after `month`.

        Months before the first win are not counted: their zeros say that the history begins.

        Args:
            wins: `won_month` (YYYY-MM), `is_new`, `list_price` in USD and the number of `wins`; rows of later months
                are left out.
            month: the last month that is known.
        """
        first = first_month(wins)
        months = [] if first is None else month_range(first, month)
        known = wins[wins["is_new"].astype(bool) & (wins["won_month"] <= str(month))]
        if known.empty or not months:
            return cls(0.0, 0.0, np.zeros(1), np.ones(1), len(months))
        counted = known.groupby("won_month")["wins"].sum()
        counts = np.array([float(counted.get(str(past), 0)) for past in months])
        positions = np.array([past.quarter_position for past in months])
        mean, variance = _expected(counts, positions, month.next.quarter_position)
        prices = known.groupby("list_price", sort=True)["wins"].sum()
        return cls(
            mean,
            variance,
            prices.index.to_numpy(dtype=np.float64),
            prices.to_numpy(dtype=np.float64) / float(prices.sum()),
            len(months),
        )

    @property
    def revenue(self) -> float:
        """Expected list price of the deals together, USD."""
        return float(self.mean * (self.prices * self.shares).sum())

    def drawn(self, draws: int, random: np.random.Generator) -> NDArray[np.float64]:
        """List price of the deals together in each of `draws` months, USD, shape (draws,)."""
        if self.mean == 0:
            return np.zeros(draws)
        beyond = max(self.variance - self.mean, 0.0)
        rate = (
            np.full(draws, self.mean)
            if beyond == 0
            else random.gamma(self.mean**2 / beyond, beyond / self.mean, size=draws)
        )
        # Poisson counts by price are independent, and their sum is Poisson.
        revenue = np.zeros(draws)
        for price, share in zip(self.prices, self.shares, strict=True):
            revenue += price * random.poisson(rate * share)
        return revenue


def first_month(wins: pd.DataFrame) -> Month | None:
    """The first month with a win; None when there is none."""
    return Month.parse(wins["won_month"].min()) if len(wins) else None


def _expected(counts: NDArray[np.float64], positions: NDArray[np.int64], wanted: int) -> tuple[float, float]:
    """Mean and variance of the number of deals in a month at the `wanted` position."""
    means = {int(at): float(counts[positions == at].mean()) for at in np.unique(positions)}
    overall = sum(means.values()) / len(means)
    if overall == 0:
        return 0.0, 0.0
    # What lies within the positions, less what Poisson's distribution has; of each one month is spent on its mean.
    squares = sum(float(((counts[positions == at] - mean) ** 2).sum()) for at, mean in means.items())
    free = {at: float((positions == at).sum() - 1) for at in means}
    beyond = squares - sum(free[at] * mean for at, mean in means.items())
    prior = WITHIN_MONTHS * overall**2
    within = max((beyond + prior * WITHIN) / (sum(free[at] * mean**2 for at, mean in means.items()) + prior), 0.0)
    of_a_month = overall + within * overall**2
    worth = of_a_month / (BETWEEN * overall**2)
    own = counts[positions == wanted]
    mean = (float(own.sum()) + worth * overall) / (own.size + worth)
    return mean, mean + within * mean**2 + of_a_month / (own.size + worth)
