"""What columns of the data are called on the page."""

from __future__ import annotations

from typing import Final

_NAMES: Final = {
    "age_days": "Age of the deal",
    "agent_share_open_100": "Agent's deals open after 100 days",
    "agent_share_open_138": "Agent's deals open after 138 days",
    "all closings": "All offices",
    "as_of": "Month that is predicted",
    "cohort_share_open": "Deals of its time and office still open",
    "cohort_size": "Deals of its time and office",
    "engage_fortnight": "When it was engaged",
    "next_quarter_position": "Month of the quarter that is predicted",
    "probability": "Probability of a win",
    "regional_office": "Region",
    "sales_agent": "Agent",
}


def name_of(column: str) -> str:
    """A column in words: `age_days` as `Age of the deal`, one without words of its own as `List price`."""
    return _NAMES.get(column) or column.replace("_", " ")[:1].upper() + column.replace("_", " ")[1:]
