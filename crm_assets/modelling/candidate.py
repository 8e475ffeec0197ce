"""What every candidate model is: a recipe that is fitted to what was known at a month-end, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.modelling.deals import Deals, to_days

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Known:
    """What was known at the end of a month, and all that a model of that month may learn from.

    Attributes:
        month: that month.
        rows: books of earlier months whose outcomes had matured, from the first informative month on: one row per
            opportunity and snapshot month with `opportunity_id`, `snapshot_month`, `as_of`, `outcome` and the features.
        deals: the engaged opportunities, open and closed, as known then.
    """

    month: Month
    rows: pd.DataFrame
    deals: Deals

    def at(self, month: Month) -> Known:
        """What of it was known at an earlier month-end, for choosing settings inside the past."""
        rows = self.rows[self.rows["snapshot_month"] < str(month)]
        return Known(month, rows, self.deals.as_known_at(int(to_days(month.end))))


@dataclass(frozen=True)
class TrainingHistory:
    """What all models of a backtest learn from.

    Attributes:
        rows: one row per opportunity of every month's book, with `outcome` None where it is censored.
        deals: from a month to the engaged opportunities as known at its end.
    """

    rows: pd.DataFrame
    deals: Callable[[Month], Deals]


class ProbabilityModel(Protocol):
    """Anything that gives each row of a frame a probability of a win."""

    def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Probability in [0, 1] for each row of `frame`, (n,); a row's does not depend on the rows beside it."""
        ...


class Fitted(ProbabilityModel, Protocol):
    """A fitted candidate: P(won by the end of the month after the snapshot)."""

    @property
    def candidate(self) -> str:
        """Name of the recipe."""
        ...

    @property
    def features(self) -> tuple[str, ...]:
        """Columns that `predict` reads; `as_of` and categories among them."""
        ...

    def importance(self) -> dict[str, float]:
        """Feature -> share of the total in percent, largest first."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Everything `from_dict` of its class needs, as JSON types; equal for equal fits."""
        ...


class Candidate(Protocol):
    """A recipe for a model. Equal recipes on equal knowledge give equal models."""

    @property
    def name(self) -> str:
        """As in settings, tables and plots."""
        ...

    def parameters(self) -> dict[str, Any]:
        """Name -> value of what shapes a fit, for the experiment tracker."""
        ...

    def fit(self, known: Known) -> Fitted:
        """Fit to what was known. Raises QualityError when it holds no wins, or nothing else."""
        ...
