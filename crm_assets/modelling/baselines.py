"""Two references a model must beat: win rate by quarter position, and win rate by age and quarter position."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from crm_assets.errors import QualityError
from crm_assets.modelling.training_rows import label

if TYPE_CHECKING:
    import pandas as pd

AGE_EDGES = (8, 15, 31, 61, 91, 121, 151)
"""First day of every age bin but the first, in days since engagement: 0-7, 8-14, 15-30, 31-60, ..., 151 and more."""

PRIOR_ROWS = 20.0
"""Rows that the rate of the quarter position counts for in each cell of the age table."""


@dataclass(frozen=True)
class BaseRate:
    """Share of rows won, by position in its quarter of the month being predicted.

    Attributes:
        overall: share won in all training rows, for positions that were not seen.
        by_position: position 1 to 3 -> share won.
    """

    overall: float
    by_position: Mapping[int, float]

    @classmethod
    def fit(cls, rows: pd.DataFrame, prior: float = 0.0) -> Self:
        """Count wins in matured rows, with `prior` wins and as many others added to each rate.

        Raises QualityError when there are no rows.
        """
        if rows.empty:
            raise QualityError("no matured rows to take a win rate from: train later")
        won, position = label(rows), rows["next_quarter_position"]

        def rate(among: NDArray[np.int64]) -> float:
            return float((among.sum() + prior) / (len(among) + 2 * prior))

        seen = sorted(position.dropna().unique())
        return cls(rate(won), {int(at): rate(won[(position == at).to_numpy()]) for at in seen})

    def predict(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        """Probability for each row, shape (n,)."""
        rates = rows["next_quarter_position"].map(self.by_position)
        return np.asarray(rates.fillna(self.overall), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Everything `from_dict` needs, as JSON types."""
        return {"overall": self.overall, "by_position": [[at, rate] for at, rate in self.by_position.items()]}

    @classmethod
    def from_dict(cls, parts: Mapping[str, Any]) -> Self:
        """The rates that `to_dict` wrote."""
        return cls(parts["overall"], dict(parts["by_position"]))


@dataclass(frozen=True)
class AgeTable:
    """Smoothed share of rows won, by age bin and quarter position.

    A cell's rate is (wins + PRIOR_ROWS * rate of the quarter position) / (rows + PRIOR_ROWS); an unseen cell has the
    rate of its quarter position.

    Attributes:
        base: rates of the quarter positions.
        cells: (age bin, position) -> rate.
    """

    base: BaseRate
    cells: Mapping[tuple[int, int], float]

    @classmethod
    def fit(cls, rows: pd.DataFrame, prior: float = 0.0) -> Self:
        """Count wins in matured rows; `prior` is that of the quarter positions. Raises QualityError without rows."""
        base = BaseRate.fit(rows, prior)
        won, usual, bins, position = label(rows), base.predict(rows), _age_bin(rows), rows["next_quarter_position"]
        cells: dict[tuple[int, int], float] = {}
        seen = position.notna().to_numpy()
        for age, at in {(int(age), int(at)) for age, at in zip(bins[seen], position[seen], strict=True)}:
            inside = (bins == age) & (position == at).to_numpy()
            wins = float(won[inside].sum()) + PRIOR_ROWS * float(usual[inside][0])
            cells[age, at] = wins / (float(inside.sum()) + PRIOR_ROWS)
        return cls(base, cells)

    def predict(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        """Probability for each row, shape (n,)."""
        rates, bins, position = self.base.predict(rows), _age_bin(rows), rows["next_quarter_position"].to_numpy()
        for (age, at), rate in self.cells.items():
            rates[(bins == age) & (position == at)] = rate
        return rates

    def to_dict(self) -> dict[str, Any]:
        """Everything `from_dict` needs, as JSON types."""
        cells = [[age, at, rate] for (age, at), rate in sorted(self.cells.items())]
        return {"base": self.base.to_dict(), "cells": cells}

    @classmethod
    def from_dict(cls, parts: Mapping[str, Any]) -> Self:
        """The table that `to_dict` wrote."""
        return cls(BaseRate.from_dict(parts["base"]), {(age, at): rate for age, at, rate in parts["cells"]})


def _age_bin(rows: pd.DataFrame) -> NDArray[np.int64]:
    age = rows["age_days"].to_numpy(dtype=np.float64, na_value=np.nan)
    # An empty age has a bin of its own.
    return np.where(np.isnan(age), -1, np.searchsorted(AGE_EDGES, age, side="right")).astype(np.int64)
