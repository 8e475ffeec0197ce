"""The rows of matured books that a candidate learns from: checked, labelled and in an order of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from crm_assets.errors import QualityError
from crm_assets.history.outcomes import OUTCOMES_ALLOWED
from crm_assets.modelling.feature_frame import feature_frame

if TYPE_CHECKING:
    import pandas as pd

KEY = ["snapshot_month", "opportunity_id"]
"""Columns that identify a row of the book."""

WON, LOST, OPEN = OUTCOMES = OUTCOMES_ALLOWED
"""What the next snapshot can tell about a row of the book."""

_MONTH, _WON = "(snapshot month)", "(won)"


@dataclass(frozen=True)
class TrainingRows:
    """What a fit sees, the same whatever the order and the ids of the rows it was made from.

    Attributes:
        features: (n, features) frame as `feature_frame` makes it.
        won: 1 where the opportunity was won by the end of the month after the snapshot, else 0; (n,).
    """

    features: pd.DataFrame
    won: NDArray[np.int64]

    @classmethod
    def of(cls, rows: pd.DataFrame, features: Sequence[str], categorical: Sequence[str]) -> Self:
        """Check and order matured rows.

        Args:
            rows: frame with `opportunity_id`, `snapshot_month`, `outcome` and the features; one row per opportunity and
                snapshot month.
            features: feature columns.
            categorical: which of them are categories; the others must be numbers or booleans.

        Raises:
            FeatureMismatchError: a feature column is missing or is not a number.
            QualityError: censored rows, an unknown outcome, a repeated row, infinite numbers, wins only or none, or no
                feature that varies.
        """
        check_rows(rows)
        censored = int(rows["outcome"].isna().sum())
        if censored:
            raise QualityError(f"{censored} training rows have no outcome yet: leave censored rows out of the training")
        won = label(rows)
        if len(set(won.tolist())) < 2:
            raise QualityError(
                f"{len(won)} training rows hold {int(won.sum())} wins: a model needs wins and non-wins; train later"
            )
        seen = feature_frame(rows, features, categorical)
        if not any(seen[name].nunique(dropna=False) > 1 for name in features):
            raise QualityError(
                f"none of the features {', '.join(features)} varies among the {len(won)} training rows: "
                "rebuild the features, or train later"
            )
        # By what they say and not by their ids: random draws and rounding go by the order of rows.
        seen[_MONTH], seen[_WON] = rows["snapshot_month"].astype(str), won
        ordered = seen.sort_values([_MONTH, *features, _WON], ignore_index=True)
        return cls(ordered[list(features)], ordered[_WON].to_numpy(dtype=np.int64))


def label(rows: pd.DataFrame) -> NDArray[np.int64]:
    """1 where the opportunity was won by the end of the month after the snapshot, 0 where it was lost or still open."""
    return np.asarray(rows["outcome"] == WON, dtype=np.int64)


def check_rows(rows: pd.DataFrame) -> None:
    """Raise QualityError when an outcome is not won, lost, open or empty, or a row of the book stands there twice."""
    outcomes = rows["outcome"]
    unknown = sorted({str(value) for value in outcomes[~outcomes.isin(OUTCOMES) & outcomes.notna()]})
    if unknown:
        raise QualityError(
            f"column outcome holds {', '.join(unknown[:5])}: allowed are {', '.join(OUTCOMES)} and empty"
        )
    repeated = rows.loc[rows.duplicated(KEY), KEY]
    if len(repeated):
        shown = ", ".join(f"{row.opportunity_id} in {row.snapshot_month}" for row in repeated.head(5).itertuples())
        raise QualityError(f"{len(repeated)} rows repeat an opportunity within a month ({shown}): rebuild those months")
