"""How deals behave, as probabilities: abandonment, closing and winning, with the drifts of a configuration in them."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from crm_assets.calendar import FIRST_MONDAY, Month
from crm_assets.simulator.config import SimulationConfig
from crm_assets.simulator.hazard import MAX_AGE, cumulative_hazard
from crm_assets.simulator.organisation import (
    NEW_PRODUCT_PRICE,
    NEW_PRODUCT_SERIES,
    PRODUCTS,
    REGIONS,
    Product,
    organise,
    stream,
)

Floats: TypeAlias = npt.NDArray[np.float64]
Codes: TypeAlias = npt.NDArray[np.integer[Any]]
"""Row numbers in a table of the organisation, or days or months counted from the first."""

_WIN_LOG_ODDS = (0.0, 0.27, 1.55)
"""Log-odds of a win in the first, second and third month of the quarter: 0.50, 0.57 and 0.82."""
_FORTNIGHTS_A_YEAR = 26


class Business:
    """The probabilities of one configuration. Days count from the first day of `config.first`, months from it.

    Attributes:
        config: the configuration.
        organisation: who sells to whom.
        products: on the price list by the end; a product's position is its code.
        product_start: (products,) month from which a product is on the list.
        price: (products, months) list price in USD, whole dollars.
        days: in the months of the configuration.
        cumulative: (days, MAX_AGE + 1), see `hazard.cumulative_hazard`.
    """

    def __init__(self, config: SimulationConfig) -> None:
        self.config = config
        self.organisation = organise(config.opportunities, config.seed)
        self.days = self.day(config.last) + 1
        self.cumulative = cumulative_hazard(config.first, self.days)
        # Deals close up to MAX_AGE days after the last month.
        calendar = np.datetime64(config.first.start, "D") + np.arange(self.days + MAX_AGE)
        months = calendar.astype("datetime64[M]").astype(np.int64)
        self._month_of_day = months - months[0]
        self._log_odds = np.array(_WIN_LOG_ODDS)[np.unique(months) % 3]
        self._fortnight_of_day = _fortnights(calendar)
        self._abandoned = self._abandonment_levels()
        self.products, self.product_start, self.price = self._price_list()
        self._product_effect = np.array([product.win_effect for product in self.products])
        regions = np.array([region.win_effect for region in REGIONS])
        self._agent_effect = self.organisation.agent_win_effect + regions[self.organisation.agent_region]
        self._win_factor = np.ones((len(REGIONS), len(self._log_odds)))
        for drift in config.drifts:
            if drift.kind == "win_rate":
                hit = [drift.region in {None, region.name} for region in REGIONS]
                self._win_factor[hit, self.month(drift.start) :] *= 1 - drift.size

    def day(self, month: Month) -> int:
        """Day on which `month` ends."""
        return (month.end - self.config.first.start).days

    def month(self, month: Month) -> int:
        """Months from the first to `month`."""
        first = self.config.first
        return (month.year - first.year) * 12 + month.number - first.number

    def month_of(self, day: Codes) -> Codes:
        """Month of each day."""
        month: Codes = self._month_of_day[day]
        return month

    def abandonment(self, agent: Codes, engaged: Codes) -> Floats:
        """Probability that a deal, when engaged, is one that never closes: (n,) for (n,) agents and engage days."""
        organisation = self.organisation
        level = self._abandoned[organisation.agent_region[agent], self._fortnight_of_day[engaged]]
        return np.minimum(level * organisation.agent_abandons[agent], 0.95)

    def still_open(self, agent: Codes, engaged: Codes, day: int) -> Floats:
        """Probability that a deal, not abandoned and engaged by `day`, is open at the end of it: (n,) for (n,)."""
        age = np.minimum(day - engaged, MAX_AGE)
        survival: Floats = np.exp(-self.organisation.agent_speed[agent] * self.cumulative[engaged, age])
        return survival

    def win_probability(self, agent: Codes, product: Codes, month: Codes | int) -> Floats:
        """Probability that a deal that closes in `month` is won: (n,) for (n,) agents, products and months."""
        log_odds = self._agent_effect[agent] + self._product_effect[product] + self._log_odds[month]
        factor = self._win_factor[self.organisation.agent_region[agent], month]
        probability: Floats = factor / (1 + np.exp(-log_odds))
        return probability

    def _abandonment_levels(self) -> Floats:
        """(regions, fortnights) share of deals that an ordinary agent of the region abandons."""
        rng = stream(self.config.seed, "abandonment")
        fortnights = int(self._fortnight_of_day[-1]) + 1
        levels = np.empty((len(REGIONS), fortnights))
        for code, region in enumerate(REGIONS):
            levels[code] = region.abandoned * rng.lognormal(0, 0.2, fortnights)
            for year in range(0, fortnights, _FORTNIGHTS_A_YEAR):
                start = year + int(rng.integers(_FORTNIGHTS_A_YEAR // 2, _FORTNIGHTS_A_YEAR - 2))
                levels[code, start : start + 2] = region.neglected
        return levels

    def _price_list(self) -> tuple[list[Product], npt.NDArray[np.int64], Floats]:
        products, starts = list(PRODUCTS), [0] * len(PRODUCTS)
        for drift in self.config.drifts:
            if drift.kind == "new_product" and drift.product is not None:
                products.append(Product(drift.product, NEW_PRODUCT_SERIES, NEW_PRODUCT_PRICE, drift.size, 0))
                starts.append(self.month(drift.start))
        price = np.empty((len(products), len(self._log_odds)))
        price[:] = [[product.price] for product in products]
        for drift in self.config.drifts:
            if drift.kind == "price":
                hit = [drift.product in {None, product.name} for product in products]
                price[hit, self.month(drift.start) :] *= 1 + drift.size
        return products, np.array(starts), np.maximum(np.round(price), 1)


def _fortnights(calendar: npt.NDArray[np.datetime64]) -> npt.NDArray[np.int64]:
    """Fortnights from the first day's on; each begins on the Monday of an even week since the first."""
    fortnight = (calendar - np.datetime64(FIRST_MONDAY, "D")).astype(np.int64) // 14
    since_first: npt.NDArray[np.int64] = fortnight - fortnight[0]
    return since_first
