"""Expected wins and revenue of the next month, with intervals and next to the seasonal naive forecast.

Revenue is the list price of the deals won in the month, discounts aside. It comes from two places:

- The book: the deals that are open now. Given the effect s of the month (`modelling.month_effect`), which all of them
  share, their revenue is sum of v_i B_i with list price v_i and independent B_i ~ Bernoulli(p_i(s)). The mean of p_i(s)
  over s is the probability p_i, so that sum v_i p_i is what is expected.
- New business: deals that are engaged in the month and won in it (`modelling.new_business`), drawn apart from the book.

Intervals are quantiles of simulated revenue. Every draw has one effect for all deals and one outcome for each, so in
every draw the regions add up to the book, as do the products and the agents, and book and new business to the total.
Up to SIMULATED_DEALS deals are drawn one by one. Of a larger book, the wins of the deals with the same agent, product
and price are drawn together from the binomial distribution that has the mean of their number given s, and its variance
but for rounding.

The seasonal naive forecast is the revenue of the month at the same position of the quarter before.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.contracts import Column, Kind, Table
from crm_assets.errors import QualityError
from crm_assets.modelling.month_effect import MonthEffect, Shifts
from crm_assets.modelling.new_business import NewBusiness, first_month

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

LEVELS = {"region": "regional_office", "product": "product", "agent": "sales_agent"}
"""Level of the forecast that adds up to the book -> column that holds its groups."""

TOTAL, BOOK, NEW_BUSINESS = "total", "book", "new business"
NO_NAME = "missing"

INTERVALS = (80, 95)
"""Levels of the intervals, in per cent."""

INTERVAL_ENDS = tuple(f"{end}_{level}" for level in INTERVALS for end in ("low", "high"))
"""Columns of their ends."""

FORECAST = Table(
    "revenue_forecast",
    "What next month is expected to bring, at list price: the total, its two parts (the book and new business), and "
    "one row per region, product and agent of the book.",
    (
        Column(
            "level", Kind.STRING, "What the row adds up", required=True, allowed=(TOTAL, BOOK, NEW_BUSINESS, *LEVELS)
        ),
        Column("name", Kind.STRING, "Which region, product or agent; else the level", required=True),
        Column("snapshot_month", Kind.STRING, "Month at whose end it was made, YYYY-MM", required=True),
        Column("forecast_month", Kind.STRING, "Month it is for, YYYY-MM", required=True),
        Column("deals", Kind.INTEGER, "Open opportunities", unit="opportunities", required=True, minimum=0),
        Column("expected_wins", Kind.FLOAT, "Deals expected to be won", unit="deals", required=True, minimum=0),
        Column("expected_revenue", Kind.FLOAT, "Their list price", unit="USD", required=True, minimum=0),
        *(
            Column(f"{end}_{level}", Kind.FLOAT, f"{text} end of the {level} % interval", unit="USD", required=True)
            for level in INTERVALS
            for end, text in (("low", "Lower"), ("high", "Upper"))
        ),
        Column(
            "naive_revenue",
            Kind.FLOAT,
            "Seasonal naive forecast: list price of the same deals won three months before the forecast month; empty "
            "where the history of closes does not reach back that far",
            unit="USD",
            minimum=0,
        ),
    ),
    key=("level", "name"),
)

SIMULATED_DEALS = 5_000
DRAWS, FEWEST_DRAWS = 4_000, 1_000
_DRAWN_NUMBERS = 1 << 25
_QUARTER = 3
_QUANTILES = (0.10, 0.90, 0.025, 0.975)
_GROUPS = tuple(LEVELS.values())
_CELL = ("sales_agent", "product", "regional_office", "list_price")


def forecast(scores: pd.DataFrame, wins: pd.DataFrame, *, month: Month, effect: MonthEffect, seed: int) -> pd.DataFrame:
    """Roll scores up to expected wins and revenue, and add new business.

    Args:
        scores: one row per open opportunity: `probability` in [0, 1], `list_price` in USD, and the groups
            `regional_office`, `product`, `sales_agent`; the order of the rows does not matter.
        wins: `history.wins.WINS` as known at the end of `month`; rows of later months are left out.
        month: the snapshot month that was scored; the forecast is for the month after.
        effect: how far a month can be from what its probabilities say.
        seed: seed of the simulation. A group's interval depends on the seed, the effect and its own deals alone, as
            long as the book is on the same side of SIMULATED_DEALS.

    Returns:
        Rows of FORECAST: total, book and new business (also without any deal, all zeros), then one per region, product
        and agent in alphabetical order, those included that have no open deal and only a naive forecast. `low_80` to
        `high_80` holds the revenue with probability 80 %, likewise 95.

    Raises:
        QualityError: a probability is outside [0, 1] or empty, or a price is negative, infinite or empty.
    """
    import pandas as pd

    check_deals(scores)
    cells = _Cells.of(scores)
    shifts = effect.drawn(cells.draws)
    book = np.zeros(shifts.draws)
    of_groups: dict[tuple[str, str], Floats] = {}
    intervals: dict[tuple[str, str], list[float]] = {}
    for agent, parts in cells.by_agent(shifts, seed):
        own = np.zeros(shifts.draws)
        for product, region, revenue in parts:
            own += revenue
            for key in (("product", product), ("region", region)):
                of_groups[key] = of_groups.get(key, 0.0) + revenue
        book += own
        # There can be many agents: each is summed up as soon as all of it is drawn.
        intervals["agent", agent] = _interval(own)
    new = NewBusiness.learnt(wins, month)
    new_revenue = new.drawn(shifts.draws, _random(seed, NEW_BUSINESS))
    intervals |= {key: _interval(revenue) for key, revenue in of_groups.items()}
    intervals |= {
        (TOTAL, TOTAL): _interval(book + new_revenue),
        (BOOK, BOOK): _interval(book),
        (NEW_BUSINESS, NEW_BUSINESS): _interval(new_revenue),
    }
    expected = cells.expected()
    of_book = expected[BOOK, BOOK]
    expected[NEW_BUSINESS, NEW_BUSINESS] = (0, new.mean, new.revenue)
    expected[TOTAL, TOTAL] = (of_book[0], of_book[1] + new.mean, of_book[2] + new.revenue)
    before = naive_month(wins, month.next)
    naive = None if before is None else revenue_of(wins, before)
    rows = [
        {
            "level": level,
            "name": name,
            "snapshot_month": str(month),
            "forecast_month": str(month.next),
            **dict(
                zip(
                    ("deals", "expected_wins", "expected_revenue"),
                    expected.get((level, name), (0, 0.0, 0.0)),
                    strict=True,
                )
            ),
            **dict(zip(INTERVAL_ENDS, intervals.get((level, name), [0.0] * len(INTERVAL_ENDS)), strict=True)),
            "naive_revenue": None if naive is None else naive.get((level, name), 0.0),
        }
        for level, name in _lines(expected, naive)
    ]
    return pd.DataFrame(rows, columns=FORECAST.column_names).astype({"naive_revenue": "float64"})


def revenue_of(wins: pd.DataFrame, month: Month) -> dict[tuple[str, str], float]:
    """List price of the deals won in a month, USD, by (level, name) of FORECAST; groups are those of the book."""
    won = wins[wins["won_month"] == str(month)]
    revenue = won["list_price"] * won["wins"]
    new = won["is_new"].astype(bool)
    found = {
        (TOTAL, TOTAL): float(revenue.sum()),
        (BOOK, BOOK): float(revenue[~new].sum()),
        (NEW_BUSINESS, NEW_BUSINESS): float(revenue[new].sum()),
    }
    for level, column in LEVELS.items():
        summed = revenue[~new].groupby(_named(won.loc[~new, column]), sort=True).sum()
        found |= {(level, str(name)): float(value) for name, value in summed.items()}
    return found


def naive_month(wins: pd.DataFrame, forecast_month: Month) -> Month | None:
    """The month at the same position of the quarter before; None where the history of wins does not hold it."""
    first, before = first_month(wins), forecast_month.shift(-_QUARTER)
    return before if first is not None and first <= before else None


def total_interval(
    probability: Floats, price: Floats, new: NewBusiness, effect: MonthEffect, seed: int
) -> dict[str, float]:
    """`low_80` to `high_95` of book and new business together, without groups: deals of one price are drawn together.

    Args:
        probability: of each deal of the book, in [0, 1], shape (n,).
        price: list price of each, USD, shape (n,).
        new, effect, seed: as for `forecast`.
    """
    shifts = effect.drawn(DRAWS)
    order = np.lexsort((probability, price))
    prices, cell = np.unique(price[order], return_inverse=True)
    at_nodes = _sums_at_nodes(probability[order], cell, prices.size, shifts)
    revenue = new.drawn(DRAWS, _random(seed, NEW_BUSINESS))
    for number, value in enumerate(prices):
        deals = int((cell == number).sum())
        revenue = revenue + value * _counted(at_nodes, number, deals, shifts, _random(seed, repr(float(value))))
    return dict(zip(INTERVAL_ENDS, _interval(revenue), strict=True))


def check_deals(scores: pd.DataFrame) -> None:
    """Raise QualityError when a probability is outside [0, 1] or a list price is no number of 0 or more."""
    probability, price = (scores[name].to_numpy(dtype=np.float64) for name in ("probability", "list_price"))
    faults = {
        "probability": (~((probability >= 0) & (probability <= 1)), "between 0 and 1: score the month anew"),
        "list_price": (~((price >= 0) & np.isfinite(price)), "0 or more: mend the price list and rebuild the features"),
    }
    for column, (bad, remedy) in faults.items():
        if bad.any():
            shown = ", ".join(str(value) for value in scores.loc[bad, column].head(5))
            raise QualityError(f"{int(bad.sum())} scores have a {column} of {shown}; it must be {remedy}")


@dataclass(frozen=True)
class _Cells:
    """The book, sorted into cells of one agent, product, region and price.

    Attributes:
        deals: the rows, sorted by cell and probability.
        cell: number of the cell of each, shape (n,).
        starts: first row of each cell, and the number of rows, shape (cells + 1,).
    """

    deals: pd.DataFrame
    cell: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, scores: pd.DataFrame) -> Self:
        import pandas as pd

        named = {name: pd.Categorical(_named(scores[name])) for name in _GROUPS}
        deals = pd.DataFrame(named | {name: scores[name].to_numpy(dtype=np.float64) for name in _NUMBERS})
        deals = deals.sort_values([*_CELL, "probability"], ignore_index=True)
        if deals.empty:
            return cls(deals, np.empty(0, dtype=np.int64), np.zeros(1, dtype=np.int64))
        keys = np.column_stack([deals[name].cat.codes if name in named else deals[name] for name in _CELL])
        begins = np.append(True, (keys[1:] != keys[:-1]).any(axis=1))
        return cls(deals, np.cumsum(begins) - 1, np.append(np.flatnonzero(begins), len(deals)))

    @property
    def draws(self) -> int:
        """Fewer for very many cells: as many as keep the simulation within seconds."""
        if len(self.deals) <= SIMULATED_DEALS:
            return DRAWS
        return int(np.clip(_DRAWN_NUMBERS // (self.starts.size - 1), FEWEST_DRAWS, DRAWS))

    def expected(self) -> dict[tuple[str, str], tuple[int, float, float]]:
        """Deals, expected wins and expected revenue of the book and of every group."""
        probability = self.deals["probability"]
        figures = self.deals.assign(value=probability * self.deals["list_price"])
        found = {(BOOK, BOOK): (len(figures), float(probability.sum()), float(figures["value"].sum()))}
        for level, column in LEVELS.items():
            grouped = figures.groupby(column, sort=True, observed=True)
            for name, rows in grouped[["probability", "value"]]:
                found[level, str(name)] = (len(rows), float(rows["probability"].sum()), float(rows["value"].sum()))
        return found

    def by_agent(self, shifts: Shifts, seed: int) -> Iterator[tuple[str, list[tuple[str, str, Floats]]]]:
        """Each agent's cells as (product, region, revenue in each draw)."""
        first = self.starts[:-1]
        price = self.deals["list_price"].to_numpy()[first]
        agent, product, region = (self.deals[name].astype(str).to_numpy()[first] for name in _CELL[:3])
        parts: list[tuple[str, str, Floats]] = []
        for number, wins in enumerate(self._wins(shifts, seed, agent, product, region, price)):
            parts.append((product[number], region[number], price[number] * wins))
            if number + 1 == first.size or agent[number + 1] != agent[number]:
                yield agent[number], parts
                parts = []

    def _wins(self, shifts: Shifts, seed: int, *keys: NDArray[Any]) -> Iterator[Floats]:
        """Wins of each cell in each draw; each cell has random numbers of its own."""
        probability = self.deals["probability"].to_numpy()
        one_by_one = len(self.deals) <= SIMULATED_DEALS
        if one_by_one:
            log_odds = shifts.centred(probability)
        else:
            sums = _sums_at_nodes(probability, self.cell, self.starts.size - 1, shifts)
        for number, (start, end) in enumerate(zip(self.starts[:-1], self.starts[1:], strict=True)):
            random = _random(seed, "/".join(str(key[number]) for key in keys))
            if one_by_one:
                yield _one_by_one(log_odds[start:end], shifts, random)
            else:
                yield _counted(sums, number, int(end - start), shifts, random)


_NUMBERS = ("probability", "list_price")


def _one_by_one(log_odds: Floats, shifts: Shifts, random: np.random.Generator) -> Floats:
    from scipy.special import expit

    given = shifts.drawn(expit(log_odds + shifts.nodes[:, None]))
    wins: Floats = (random.random(given.shape) < given).sum(axis=1).astype(np.float64)
    return wins


def _sums_at_nodes(probability: Floats, cell: NDArray[np.int64], cells: int, shifts: Shifts) -> tuple[Floats, Floats]:
    """Sums over each cell of the probabilities given each node's effect, and of their squares, shape (k, cells)."""
    from scipy.special import expit

    log_odds = shifts.centred(probability)
    first, second = np.empty((shifts.nodes.size, cells)), np.empty((shifts.nodes.size, cells))
    for node, effect in enumerate(shifts.nodes):
        given = expit(log_odds + effect)
        first[node] = np.bincount(cell, given, cells)
        second[node] = np.bincount(cell, given * given, cells)
    return first, second


def _counted(
    sums: tuple[Floats, Floats], number: int, deals: int, shifts: Shifts, random: np.random.Generator
) -> Floats:
    """Wins of one cell in each draw: binomial with the mean of their number and, but for rounding, its variance."""
    mean, squares = (shifts.drawn(of_cells[:, number]) for of_cells in sums)
    # n q has the mean and n q (1 - q) the variance when n = mean^2 / squares, which is from the mean to the deals.
    trials = np.divide(mean**2, squares, out=np.ones_like(mean), where=squares > 0)
    trials = np.clip(np.ceil(trials - 1e-9), 1, deals)
    return random.binomial(trials.astype(np.int64), np.clip(mean / trials, 0, 1)).astype(np.float64)


def _random(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def _interval(revenue: Floats) -> list[float]:
    # The inverse of the distribution function gives sums that can occur, not values between two of them.
    return [float(value) for value in np.quantile(revenue, _QUANTILES, method="inverted_cdf")]


def _named(names: pd.Series) -> pd.Series:
    values = names.astype(object)
    return values.where(values.notna(), NO_NAME).astype(str)


def _lines(*figures: dict[tuple[str, str], Any] | None) -> list[tuple[str, str]]:
    """Every line that has a figure, in the order of the table."""
    order = {level: number for number, level in enumerate((TOTAL, BOOK, NEW_BUSINESS, *LEVELS))}
    found = {key for of in figures if of is not None for key in of}
    return sorted(found, key=lambda key: (order[key[0]], key[1]))
