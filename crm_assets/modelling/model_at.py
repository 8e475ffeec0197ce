"""A model at one month-end, asked about any deals without the cost of a frame.

The formulas are those of the models. What they need of a day of engagement is computed by them once, for all days.
Candidates that have no such path are asked with a frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.modelling.blend import FittedBlend
from crm_assets.modelling.candidate import Fitted
from crm_assets.modelling.cure_hazard import Fates, fates_of
from crm_assets.modelling.deals import to_days
from crm_assets.modelling.feature_frame import MISSING
from crm_assets.modelling.hazard_candidate import LONGEST_MONTHS, FittedHazard
from crm_assets.modelling.lightgbm_trees import FittedTrees
from crm_assets.modelling.recalibration import log_odds
from crm_assets.modelling.win_model import WinModel, fates_beside

_HALF = 0.5

Row = Mapping[str, Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """What a model says of a deal: see `WinModel.predict` and `WinModel.fates`."""

    probability: float
    probability_lost: float | None
    probability_abandoned: float | None
    expected_close_month: str | None


class ModelAt:
    """A win model at a month-end.

    Args:
        model: any.
        month: as of whose end deals are asked about.
    """

    def __init__(self, model: WinModel, month: Month) -> None:
        self._model = model
        self._months = [str(month.shift(ahead)) for ahead in range(1, LONGEST_MONTHS + 1)]
        members = [member for member, _ in model.fitted.members] if isinstance(model.fitted, FittedBlend) else []
        # By identity: models of equal parts may be unequal objects, and live as long as this one.
        self._hazards = {
            id(fitted): _HazardAt(fitted, month)
            for fitted in (model.fitted, *members, model.hazard)
            if isinstance(fitted, FittedHazard)
        }

    def __call__(self, rows: Sequence[Row]) -> list[Scored]:
        """What the model says of each deal.

        Args:
            rows: the model's features of each deal; None where empty. `age_days` is not below 0.
        """
        if not rows:
            return []
        known: dict[int, Fates] = {}
        won = self._won(self._model.fitted, rows, known)
        if self._model.hazard is None:
            return [Scored(probability, None, None, None) for probability in won.tolist()]
        fates = self._fates(self._model.hazard, rows, known)
        lost, abandoned, closes, soon = fates_beside(won, _next_month(fates))
        later = fates.closes[:, 1:] >= _HALF * (1 - fates.abandoned)
        # Places among the months; -1 for none.
        ahead = np.where(later.any(axis=1), later.argmax(axis=1) + 1, -1)
        ahead = np.where(soon, 0, np.where(closes, ahead, -1))
        figures = zip(won.tolist(), lost.tolist(), abandoned.tolist(), ahead.tolist(), strict=True)
        return [Scored(wins, loses, gone, None if at < 0 else self._months[at]) for wins, loses, gone, at in figures]

    def _won(self, fitted: Fitted, rows: Sequence[Row], known: dict[int, Fates]) -> Floats:
        """Probability of a win of each, (n,)."""
        if isinstance(fitted, FittedBlend):
            mixed = np.zeros(len(rows))
            for member, weight in fitted.members:
                mixed = mixed + weight * log_odds(self._won(member, rows, known))
            return np.asarray(1 / (1 + np.exp(-mixed)), dtype=np.float64)
        if isinstance(fitted, FittedHazard):
            return fitted.recalibration(_next_month(self._fates(fitted, rows, known)).won)
        if isinstance(fitted, FittedTrees):
            return fitted.predict_matrix(_matrix(fitted, rows))
        return fitted.predict(_frame(fitted.features, rows))

    def _fates(self, fitted: FittedHazard, rows: Sequence[Row], known: dict[int, Fates]) -> Fates:
        if id(fitted) not in known:
            known[id(fitted)] = self._hazards[id(fitted)].fates(rows)
        return known[id(fitted)]


class _HazardAt:
    """A cure-hazard model at a month-end, with what it says of every age kept."""

    def __init__(self, fitted: FittedHazard, month: Month) -> None:
        self._model = model = fitted.model
        as_of = int(to_days(month.end))
        days = [int(to_days(month.shift(ahead).end)) - as_of for ahead in range(1, LONGEST_MONTHS + 1)]
        self._win = model.win_level_after(as_of)
        # Any deal that is older is as if it were of this age.
        self._oldest = as_of - model.oldest(as_of)
        engaged = as_of - np.arange(self._oldest + 1)
        parts = [model.log_survival_of(engaged, as_of, ahead) for ahead in days]
        self._lived = parts[0][0]
        self._ahead = np.stack([part for _, part in parts], axis=1)

    def fates(self, rows: Sequence[Row]) -> Fates:
        """What becomes of deals; `closes` by the end of each of the next 24 months, (n, 24), the others (n, 1)."""
        model = self._model
        age = np.minimum([row["age_days"] for row in rows], self._oldest).astype(np.int64)
        agents = [row["sales_agent"] for row in rows]
        abandoned = [
            model.abandoned_by_agent.get(agent, 0.0)
            + model.abandoned_by_cohort.get((row["regional_office"], row["engage_fortnight"]), 0.0)
            for agent, row in zip(agents, rows, strict=True)
        ]
        win = [
            model.win_by_agent.get(agent, 0.0) + model.win_by_product.get(row["product"], 0.0)
            for agent, row in zip(agents, rows, strict=True)
        ]
        return fates_of(
            self._lived[age, None],
            self._ahead[age],
            speed=_column([model.speed.get(agent, 1.0) for agent in agents]),
            abandoned=model.abandoned_level + _column(abandoned),
            win=self._win + _column(win),
        )


def _column(values: list[float]) -> Floats:
    return np.array(values, dtype=np.float64)[:, None]


def _next_month(fates: Fates) -> Fates:
    """What becomes of deals by the end of the next month, (n,)."""
    return Fates(fates.abandoned[:, 0], fates.closes[:, 0], fates.win_share[:, 0])


def _matrix(fitted: FittedTrees, rows: Sequence[Row]) -> Floats:
    """(n, features) numbers as the trees take them."""
    columns = []
    for name in fitted.features:
        values = [row[name] for row in rows]
        if name in fitted.categorical:
            codes = {level: float(code) for code, level in enumerate(fitted.levels[name])}
            numbers = [codes.get(MISSING if value is None else str(value), np.nan) for value in values]
        else:
            numbers = [np.nan if value is None else float(value) for value in values]
        columns.append(numbers)
    return np.array(columns, dtype=np.float64).T.copy()


def _frame(features: tuple[str, ...], rows: Sequence[Row]) -> Any:
    import pandas as pd

    return pd.DataFrame({name: [np.nan if row[name] is None else row[name] for row in rows] for name in features})
