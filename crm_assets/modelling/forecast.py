"""Expected wins and revenue of the book by the end of the next month, with intervals, in total and by group.

Revenue is R = sum of v_i B_i, with list price v_i and B_i ~ Bernoulli(p_i), a weighted Poisson-binomial variable with
mean sum v_i p_i and variance sum v_i^2 p_i (1 - p_i). The B_i are taken as independent given their probabilities, and
the probabilities and prices as exact. Deals that move together, a miscalibrated model or discounts make the true
intervals wider than these.

Intervals are quantiles of R: of a seeded simulation for up to SIMULATED_DEALS deals, where a few large deals make R
lumpy and skewed, and of the normal distribution with R's mean and variance above that.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.contracts import Column, Kind, Table
from crm_assets.errors import QualityError

if TYPE_CHECKING:
    import pandas as pd

LEVELS = {"region": "regional_office", "product": "product", "agent": "sales_agent"}
"""Level of the forecast -> column that holds its groups."""

TOTAL = "total"
NO_NAME = "missing"

FORECAST = Table(
    "revenue_forecast",
    "One row for the total and one per region, product and agent: what the book is expected to bring next month.",
    (
        Column("level", Kind.STRING, "What the row adds up", required=True, allowed=(TOTAL, *LEVELS)),
        Column("name", Kind.STRING, "Which region, product or agent", required=True),
        Column("snapshot_month", Kind.STRING, "Month at whose end it was made, YYYY-MM", required=True),
        Column("forecast_month", Kind.STRING, "Month it is for, YYYY-MM", required=True),
        Column("deals", Kind.INTEGER, "Open opportunities", unit="opportunities", required=True, minimum=0),
        Column("expected_wins", Kind.FLOAT, "Sum of the probabilities", unit="deals", required=True, minimum=0),
        Column("expected_revenue", Kind.FLOAT, "Sum of the expected values", unit="USD", required=True, minimum=0),
        *(
            Column(f"{end}_{level}", Kind.FLOAT, f"{text} end of the {level} % interval", unit="USD", required=True)
            for level in (80, 95)
            for end, text in (("low", "Lower"), ("high", "Upper"))
        ),
    ),
    key=("level", "name"),
)

SIMULATED_DEALS = 5_000
DRAWS = 4_000
_QUANTILES = (0.10, 0.90, 0.025, 0.975)
_STANDARD_NORMAL = (-1.2815515655446004, 1.2815515655446004, -1.959963984540054, 1.959963984540054)
_DRAWS_AT_ONCE = 1 << 22


def forecast(scores: pd.DataFrame, *, month: Month, seed: int) -> pd.DataFrame:
    """Roll scores up to expected wins and revenue.

    Args:
        scores: one row per open opportunity: `probability` in [0, 1], `list_price` in USD, and the groups
            `regional_office`, `product`, `sales_agent`; the order of the rows does not matter.
        month: the snapshot month that was scored; the forecast is for the month after.
        seed: seed of the simulation. A group's interval depends on the seed and its own deals alone.

    Returns:
        Rows of FORECAST: one for the total (also of an empty book, all zeros), then one per region, product and agent
        in alphabetical order. `low_80` to `high_80` holds the revenue with probability 80 %, likewise 95.

    Raises:
        QualityError: a probability is outside [0, 1] or empty, or a price is negative, infinite or empty.
    """
    import pandas as pd

    _check(scores)
    rows = [_roll_up(TOTAL, TOTAL, scores, seed)]
    for level, column in LEVELS.items():
        names = scores[column].astype(object)
        grouped = scores.groupby(names.where(names.notna(), NO_NAME).astype(str), sort=True)
        rows += [_roll_up(level, str(name), group, seed) for name, group in grouped]
    months = {"snapshot_month": str(month), "forecast_month": str(month.next)}
    return pd.DataFrame([row | months for row in rows], columns=FORECAST.column_names)


def _check(scores: pd.DataFrame) -> None:
    probability, price = (
        scores["probability"].to_numpy(dtype=np.float64),
        scores["list_price"].to_numpy(dtype=np.float64),
    )
    faults = {
        "probability": (~((probability >= 0) & (probability <= 1)), "between 0 and 1: score the month anew"),
        "list_price": (~((price >= 0) & np.isfinite(price)), "0 or more: mend the price list and rebuild the features"),
    }
    for column, (bad, remedy) in faults.items():
        if bad.any():
            shown = ", ".join(str(value) for value in scores.loc[bad, column].head(5))
            raise QualityError(f"{int(bad.sum())} scores have a {column} of {shown}; it must be {remedy}")


def _roll_up(level: str, name: str, deals: pd.DataFrame, seed: int) -> dict[str, Any]:
    probability = deals["probability"].to_numpy(dtype=np.float64)
    price = deals["list_price"].to_numpy(dtype=np.float64)
    order = np.lexsort((price, probability))
    probability, price = probability[order], price[order]
    low_80, high_80, low_95, high_95 = _revenue_quantiles(
        probability, price, [seed, zlib.crc32(f"{level}/{name}".encode())]
    )
    return {
        "level": level,
        "name": name,
        "deals": len(deals),
        "expected_wins": float(probability.sum()),
        "expected_revenue": float(probability @ price),
        "low_80": low_80,
        "high_80": high_80,
        "low_95": low_95,
        "high_95": high_95,
    }


def _revenue_quantiles(probability: NDArray[np.float64], price: NDArray[np.float64], seed: list[int]) -> list[float]:
    if probability.size == 0:
        return [0.0] * len(_QUANTILES)
    if probability.size > SIMULATED_DEALS:
        mean = float(probability @ price)
        deviation = float(np.sqrt((probability * (1 - probability)) @ price**2))
        # Revenue lies between nothing and everything, which the normal distribution does not know.
        return [float(np.clip(mean + z * deviation, 0, price.sum())) for z in _STANDARD_NORMAL]
    random = np.random.default_rng(seed)
    at_once = max(1, _DRAWS_AT_ONCE // probability.size)
    revenue = [
        (random.random((min(at_once, DRAWS - start), probability.size), dtype=np.float32) < probability) @ price
        for start in range(0, DRAWS, at_once)
    ]
    # The inverse of the distribution function gives sums that can occur, not values between two of them.
    quantiles = np.quantile(np.concatenate(revenue), _QUANTILES, method="inverted_cdf")
    return [float(value) for value in quantiles]
