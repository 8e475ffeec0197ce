"""The cold-start ladder: what is served while too few deals have closed for a model.

Every score names the rung it comes from. A rung is a table of win rates; the next one is taken as soon as there are
wins enough for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crm_assets.modelling.baselines import AgeTable, BaseRate
from crm_assets.modelling.training_rows import label

if TYPE_CHECKING:
    import pandas as pd

OVERALL_RATE, QUARTER_RATE, AGE_TABLE, MODEL = RUNGS = ("overall_rate", "quarter_rate", "age_table", "model")
"""The rungs, lowest first: win rate of all open deals, by position of the predicted month in its quarter, and by age
and position; then a trained model."""
WORDS: Mapping[str, str] = {
    OVERALL_RATE: "win rate of all open deals",
    QUARTER_RATE: "win rate by month of the quarter",
    AGE_TABLE: "win rate by age and month of the quarter",
    MODEL: "trained model",
}
"""Rung -> what it is, for readers."""

_WINS_FOR = {QUARTER_RATE: 10, AGE_TABLE: 20}
_PRIOR = 0.5
"""Wins, and as many others, added to each rate, so that none is 0 or 1 (Jeffreys' prior)."""


@dataclass(frozen=True)
class RateTable:
    """A rung of the ladder that is no model: win rates of matured rows.

    Attributes:
        rung: which.
        overall: (wins + 0.5) / (rows + 1).
        age_table: rates by age and quarter position; None on the lower rungs.
        base_rate: rates by quarter position; None on the lowest.
    """

    rung: str
    overall: float
    base_rate: BaseRate | None = None
    age_table: AgeTable | None = None

    @property
    def candidate(self) -> str:
        """Name of the rung."""
        return self.rung

    @property
    def features(self) -> tuple[str, ...]:
        """The columns a rung may read."""
        return ("age_days", "next_quarter_position")

    def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Probability of a win by the end of the next month for each row, (n,)."""
        if self.age_table is not None:
            return self.age_table.predict(frame)
        if self.base_rate is not None:
            return self.base_rate.predict(frame)
        return np.full(len(frame), self.overall)

    def importance(self) -> dict[str, float]:
        """Nothing: a table of rates has none."""
        return {}

    def to_dict(self) -> dict[str, Any]:
        """Everything `from_dict` needs, as JSON types."""
        return {
            "candidate": self.rung,
            "overall": self.overall,
            "base_rate": None if self.base_rate is None else self.base_rate.to_dict(),
            "age_table": None if self.age_table is None else self.age_table.to_dict(),
        }

    @classmethod
    def from_dict(cls, parts: Mapping[str, Any]) -> RateTable:
        """The rung that `to_dict` wrote."""
        base_rate, age_table = parts["base_rate"], parts["age_table"]
        return cls(
            parts["candidate"],
            parts["overall"],
            None if base_rate is None else BaseRate.from_dict(base_rate),
            None if age_table is None else AgeTable.from_dict(age_table),
        )


def best_rung(rows: pd.DataFrame, position: int) -> RateTable | None:
    """The highest rung below a model that matured rows carry; None while no deal has closed.

    Args:
        rows: matured rows from the first informative month on: `outcome`, `age_days`, `next_quarter_position`.
        position: that of the month to predict in its quarter: 1, 2 or 3.
    """
    if rows.empty:
        return None
    wins = int(label(rows).sum())
    overall = (wins + _PRIOR) / (len(rows) + 2 * _PRIOR)
    # A position that was not seen would get the rate of the others, and they differ by a factor of four.
    seen = (rows["next_quarter_position"] == position).any()
    if seen and wins >= _WINS_FOR[AGE_TABLE]:
        return RateTable(AGE_TABLE, overall, None, AgeTable.fit(rows, _PRIOR))
    if seen and wins >= _WINS_FOR[QUARTER_RATE]:
        return RateTable(QUARTER_RATE, overall, BaseRate.fit(rows, _PRIOR))
    return RateTable(OVERALL_RATE, overall)
