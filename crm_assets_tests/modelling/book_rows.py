"""A small made-up book with outcomes, for the tests of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crm_assets.calendar import Month, month_range

if TYPE_CHECKING:
    import pandas as pd

FEATURES = ("age_days", "next_quarter_position", "list_price", "share_open", "product", "regional_office")
CATEGORICAL = ("product", "regional_office")
FIRST, FIRST_WITH_CLOSES, LAST = Month(2017, 1), Month(2017, 3), Month(2017, 10)


def book_rows(per_month: int = 120, seed: int = 3) -> pd.DataFrame:
    """`per_month` rows for each month from FIRST to LAST; nothing closes before FIRST_WITH_CLOSES, LAST is censored.

    Wins are likelier for old deals in the last month of a quarter, so there is something to learn.
    """
    import pandas as pd

    random, books = np.random.default_rng(seed), []
    for month in month_range(FIRST, LAST):
        age = random.integers(1, 160, per_month)
        position = month.next.quarter_position
        outcome = np.full(per_month, "open", dtype=object)
        if month >= FIRST_WITH_CLOSES:
            chance = 0.02 + 0.5 * (age > 60) * (position == 3) + 0.2 * (age < 15)
            draw = random.random(per_month)
            outcome[draw < chance] = "won"
            outcome[draw > 0.93] = "lost"
        if month == LAST:
            outcome[:] = None
        books.append(
            pd.DataFrame(
                {
                    "opportunity_id": [f"{month}-{number:04d}" for number in range(per_month)],
                    "snapshot_month": str(month),
                    "next_quarter_position": position,
                    "age_days": age,
                    "list_price": random.choice([55.0, 1096.0, 4821.0, 26768.0], per_month),
                    "share_open": np.where(random.random(per_month) < 0.1, np.nan, random.random(per_month)),
                    "product": random.choice(["GTX Pro", "MG Special", "GTK 500"], per_month),
                    "regional_office": random.choice(np.array(["West", "East", None], dtype=object), per_month),
                    "sales_agent": random.choice(["Ann", "Bob", "Cid"], per_month),
                    "outcome": outcome,
                }
            )
        )
    return pd.concat(books, ignore_index=True)
