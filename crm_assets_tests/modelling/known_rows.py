"""Rows of the made-up book as what was known at the end of its last month, without deals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crm_assets.modelling.candidate import Known
from crm_assets.modelling.deals import Deals, to_days
from crm_assets_tests.modelling.book_rows import LAST

if TYPE_CHECKING:
    import pandas as pd


def known_of(rows: pd.DataFrame) -> Known:
    """`rows` as they were known at LAST, with no deal."""
    none = np.empty(0, dtype=np.int64)
    names = np.empty(0, dtype=np.str_)
    deals = Deals(int(to_days(LAST.end)), none, none, np.empty(0, dtype=np.bool_), names, names, names)
    return Known(LAST, rows, deals)
