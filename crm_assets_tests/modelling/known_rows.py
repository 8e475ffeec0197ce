"""Rows of the made-up book as what was known at the end of its last month, without deals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crm_assets.calendar import Month
from crm_assets.modelling.candidate import Known
from crm_assets.modelling.deals import Deals, to_days
from crm_assets_tests.modelling.book_rows import LAST

if TYPE_CHECKING:
    import pandas as pd


def no_deals(month: Month) -> Deals:
    """No deal as of the end of a month."""
    none = np.empty(0, dtype=np.int64)
    return Deals(
        as_of=int(to_days(month.end)),
        engaged=none,
        closed=none,
        won=np.empty(0, dtype=np.bool_),
        agent=none,
        region=none,
        product=none,
        agents=(),
        regions=(),
        products=(),
    )


def known_of(rows: pd.DataFrame) -> Known:
    """`rows` as they were known at LAST, with no deal."""
    return Known(LAST, rows, no_deals(LAST))
