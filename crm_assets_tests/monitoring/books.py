"""Made-up months for the tests of monitoring: the same distributions for every seed."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from crm_assets.calendar import Month
from crm_assets.monitoring.drift import MonthRows
from crm_assets.monitoring.reference import BOOK, CLOSINGS, INTAKE, reference_set

MONTH = Month(2017, 8)
VERSION = "3"
COMPARED: dict[str, Any] = {"month": MONTH, "model_version": VERSION}
BEFORE = ("2017-02", "2017-05", "2017-06", "2017-07")
"""Months of the reference; the first two are of the quarter position of MONTH."""

_PRICES = {"GTX Basic": 550.0, "GTX Pro": 4821.0, "MG Special": 55.0, "MG Advanced": 3393.0}
_MANAGERS = {"Central": ("Dustin", "Melvin"), "East": ("Cara", "Rocco"), "West": ("Celia", "Summer")}


def deals(rows: int, seed: int) -> pd.DataFrame:
    """Deals with everything that a part of a month needs, closed ones' `won` among them."""
    random = np.random.default_rng(seed)
    product = random.choice(list(_PRICES), rows, p=[0.4, 0.3, 0.2, 0.1])
    region = random.choice(list(_MANAGERS), rows)
    return pd.DataFrame(
        {
            "opportunity_id": [f"O{seed}-{number:05d}" for number in range(rows)],
            "list_price": [_PRICES[name] for name in product],
            "product": product,
            "regional_office": region,
            "manager": [_MANAGERS[name][int(at)] for name, at in zip(region, random.integers(0, 2, rows), strict=True)],
            "age_days": random.integers(0, 139, rows),
            "cohort_size": random.poisson(60, rows).astype(float),
            "cohort_share_open": random.beta(5, 3, rows),
            "agent_share_open_100": random.beta(3, 5, rows),
            "agent_share_open_138": random.beta(2, 8, rows),
            "probability": random.beta(2, 8, rows),
            "won": random.binomial(1, 0.6, rows),
        }
    )


def answer(opportunity: str | None = "A", second: int = 0, **given: Any) -> dict[str, Any]:
    """A row of the prediction log: an answer of `VERSION` as of `MONTH`, some seconds past 08:00."""
    return {
        "request_id": f"r{second}",
        "place": 0,
        "asked_at": f"2017-09-03T08:00:{second:02d}.000+00:00",
        "asker": "crm",
        "snapshot_month": str(MONTH),
        "opportunity_id": opportunity,
        "sales_agent": "Anna",
        "product": "GTX Pro",
        "engage_date": date(2017, 8, 21),
        "age_days": 10,
        "list_price": 100.0,
        "probability": 0.25,
        "model_version": VERSION,
        "rung": "model",
        "shadow_probability": None,
        "shadow_version": None,
        **given,
    }


def month_rows(seed: int = 1, *, intake: int = 600, book: int = 1500, closings: int = 600) -> MonthRows:
    """A month like those of the reference."""
    new = deals(intake, 1000 + seed)
    new["age_days"] = new["age_days"] % 31
    return MonthRows(new, deals(book, 2000 + seed), deals(closings, 3000 + seed))


def reference(rows: int = 700, before: tuple[str, ...] = BEFORE) -> pd.DataFrame:
    """A reference set of some months, `rows` of each part in each."""
    parts: dict[str, list[pd.DataFrame]] = {INTAKE: [], BOOK: [], CLOSINGS: []}
    for number, month in enumerate(before):
        for start, part in ((5000, INTAKE), (6000, BOOK), (7000, CLOSINGS)):
            made = deals(rows, start + number).assign(snapshot_month=month)
            if part == INTAKE:
                made["age_days"] = made["age_days"] % 31
            parts[part].append(made)
    return reference_set(
        {part: pd.concat(frames, ignore_index=True) for part, frames in parts.items()},
        model_version=VERSION,
        made_in=MONTH,
    )
