"""Out-of-sample predictions of the very rows a model learnt from, by its own recipe."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crm_assets.calendar import Month
from crm_assets.modelling.candidate import Candidate, Known
from crm_assets.modelling.deals import Deals

if TYPE_CHECKING:
    import pandas as pd

FOLDS = 5
"""Each model learns from four fifths of the opportunities, nearly as many as the one it stands for."""


def cross_fitted(
    candidate: Candidate, month: Month, rows: pd.DataFrame, snapshot: pd.DataFrame, wanted: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Predictions by models that saw neither the row nor any other row of its opportunity.

    Opportunities are dealt into FOLDS by a digest of their ids. The rows of each are predicted by the recipe fitted to
    the rows and deals of the others.

    Args:
        candidate: the recipe.
        month: at whose end the model was trained.
        rows: what it was trained on (`candidate.Known.rows`).
        snapshot: the opportunities as known then: `opportunity_id` and `deals.DEAL_COLUMNS`.
        wanted: which of `rows` to predict, (n,).

    Returns:
        Probabilities in [0, 1], (wanted.sum(),), in the order of `rows`.

    Raises QualityError when a fit lacks wins.
    """
    of_rows, of_deals = folds(rows["opportunity_id"]), folds(snapshot["opportunity_id"])
    found = np.empty(len(rows))
    for fold in np.unique(of_rows[wanted]):
        known = Known(month, rows[of_rows != fold], Deals.from_snapshot(snapshot[of_deals != fold], month))
        out = wanted & (of_rows == fold)
        found[out] = candidate.fit(known).predict(rows[out])
    return found[wanted]


def folds(opportunities: pd.Series) -> NDArray[np.int64]:
    """The fold of each opportunity, from 0 to FOLDS - 1: the same for the same id, whatever else there is."""
    codes, names = opportunities.factorize()
    dealt = np.array([zlib.crc32(str(name).encode()) % FOLDS for name in names], dtype=np.int64)
    fold: NDArray[np.int64] = dealt[codes]
    return fold
