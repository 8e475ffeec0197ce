"""When deals close: the daily hazard by age and month of the quarter, and its sums along the life of a deal."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from crm_assets.calendar import Month

Floats: TypeAlias = npt.NDArray[np.float64]

MAX_AGE = 138
"""No deal closes later than this many days after it engaged."""
SILENT_MONTHS = 5
"""Nothing closes in this many months at the beginning: the CRM took over no deals that were further on."""

_AGES = (0, 1, 3, 7, 11, 14, 18, 22, 30, 45, 60, 75, 90, 105, 120, 130, 138)
_DAILY = (
    (0, 0.07, 0.07, 0.13, 0.16, 0.03, 0.001, 0.0005, 0.0005, 0.0005, 0.0005, 0.0005, 0.001, 0.003, 0.03, 0.15, 0.5),
    (0, 0.02, 0.02, 0.045, 0.05, 0.04, 0.02, 0.002, 0.002, 0.004, 0.013, 0.03, 0.05, 0.08, 0.14, 0.25, 0.5),
    (0, 0.01, 0.01, 0.02, 0.026, 0.03, 0.02, 0.002, 0.001, 0.004, 0.020, 0.055, 0.09, 0.12, 0.17, 0.25, 0.5),
)
"""Hazard per day at each of the ages, in the first, second and third month of the quarter."""


def first_engagement(first: Month) -> date:
    """The first day on which a deal may be engaged, early enough that none reaches `MAX_AGE` while nothing closes."""
    return first.shift(SILENT_MONTHS).start - timedelta(days=MAX_AGE - 5)


def cumulative_hazard(first: Month, days: int) -> Floats:
    """Cumulative hazard of a deal whose agent has speed 1.

    A deal whose agent has speed f is still open at the end of its day `age` with probability
    exp(-f * C[engage day, age]), unless it is abandoned.

    Args:
        first: first month of the simulation; engage day 0 is its first day.
        days: engage days wanted.

    Returns:
        (days, MAX_AGE + 1) array, rising along the second axis; its last column is infinite: what is open then closes.
    """
    calendar = np.datetime64(first.start, "D") + np.arange(days + MAX_AGE)
    quarter_month = calendar.astype("datetime64[M]").astype(np.int64) % 3
    ages = np.arange(MAX_AGE + 1)
    by_age = np.stack([np.interp(ages, _AGES, daily) for daily in _DAILY])
    day = np.arange(days)[:, None] + ages[None, :]
    hazard = by_age[quarter_month[day], ages[None, :]]
    hazard[day < (first.shift(SILENT_MONTHS).start - first.start).days] = 0
    total = np.cumsum(hazard, axis=1)
    total[:, MAX_AGE] = np.inf
    return total
