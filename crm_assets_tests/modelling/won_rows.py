"""Rows of won deals by hand."""

from __future__ import annotations

from typing import Any

import pandas as pd

from crm_assets.history.wins import WINS


def won_rows(*rows: tuple[Any, ...]) -> pd.DataFrame:
    """Rows of `WINS` from (month, whether new, list price, wins) and optionally the agent, sold at list price."""
    made = [
        {
            "won_month": month,
            "is_new": new,
            "regional_office": "West",
            "product": "GTX Pro",
            "sales_agent": agent[0] if agent else "Ann",
            "list_price": price,
            "wins": wins,
            "close_value": price * wins,
        }
        for month, new, price, wins, *agent in rows
    ]
    return pd.DataFrame(made, columns=WINS.column_names).astype(WINS.pandas_types())
