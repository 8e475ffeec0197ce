"""Made-up books for the tests of monitoring: the same distributions for every seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from crm_assets.calendar import Month

NUMERIC = ("age_days", "list_price", "cohort_size")
CATEGORICAL = ("product", "regional_office")
MONTH = Month(2017, 8)
VERSION = "3"
MONITORED: dict[str, Any] = {"numeric": NUMERIC, "categorical": CATEGORICAL}
COMPARED: dict[str, Any] = {**MONITORED, "month": MONTH, "model_version": VERSION}

_PRICES = {"GTX Basic": 550.0, "GTX Pro": 4821.0, "MG Special": 55.0, "MG Advanced": 3393.0}


def book(rows: int, seed: int) -> pd.DataFrame:
    """A scored book: opportunity_id, NUMERIC, CATEGORICAL, probability."""
    random = np.random.default_rng(seed)
    product = random.choice(list(_PRICES), rows, p=[0.4, 0.3, 0.2, 0.1])
    return pd.DataFrame(
        {
            "opportunity_id": [f"O{number:05d}" for number in range(rows)],
            "age_days": random.integers(0, 139, rows),
            "list_price": [_PRICES[name] for name in product],
            "cohort_size": random.poisson(60, rows).astype(float),
            "product": product,
            "regional_office": random.choice(["Central", "East", "West"], rows),
            "probability": random.beta(2, 8, rows),
        }
    )


def reference(rows: int = 3000, seed: int = 1000) -> pd.DataFrame:
    """A reference set of two months, 2017-02 and 2017-05, of the quarter position of MONTH."""
    half = rows // 2
    months = [
        book(half, seed).assign(snapshot_month="2017-02"),
        book(rows - half, seed + 1).assign(snapshot_month="2017-05"),
    ]
    return pd.concat(months, ignore_index=True).assign(next_quarter_position=3, model_version=VERSION)
