"""What every candidate sees of a frame of features: the columns in order, numbers as float64, categories as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from crm_assets.errors import CrmAssetsError, QualityError

if TYPE_CHECKING:
    import pandas as pd

MISSING = "missing"
"""The category of an empty value."""


class FeatureMismatchError(CrmAssetsError, ValueError):
    """A frame does not hold the features that a model was trained on."""


def feature_frame(frame: pd.DataFrame, features: Sequence[str], categorical: Sequence[str]) -> pd.DataFrame:
    """The features of `frame` as candidates learn from them and predict by them.

    Args:
        frame: (n, columns) frame; columns that are no features are ignored. Numbers may be of any numeric, boolean or
            nullable type.
        features: columns to take, in this order.
        categorical: which of them are categories.

    Returns:
        (n, features) frame with the index of `frame`: categories as text with MISSING where empty, everything else as
        float64 with NaN where empty.

    Raises:
        FeatureMismatchError: a feature column is missing, or is neither a number nor named categorical.
        QualityError: infinite numbers.
    """
    import pandas as pd

    missing = [name for name in features if name not in frame.columns]
    if missing:
        raise FeatureMismatchError(
            f"the frame lacks the feature columns {', '.join(missing)}: rebuild the features, or train a model "
            "on those that are there"
        )
    columns: dict[str, pd.Series[Any]] = {}
    for name in features:
        column = frame[name]
        if name in categorical:
            texts = column.astype(object)
            columns[name] = texts.where(texts.notna(), MISSING).astype(str)
            continue
        if not pd.api.types.is_numeric_dtype(column.dtype):
            if column.notna().any():
                raise FeatureMismatchError(
                    f"feature {name} holds {column.dropna().iloc[0]!r} (type {column.dtype}), not numbers: "
                    "rebuild the features, or name it categorical"
                )
            # An all-empty column may have lost its type on the way; empty is all it says.
            columns[name] = pd.Series(np.nan, index=frame.index, dtype="float64")
            continue
        numbers = pd.Series(column.to_numpy(dtype="float64", na_value=np.nan), index=frame.index)
        if np.isinf(numbers).any():
            raise QualityError(f"feature {name} holds {int(np.isinf(numbers).sum())} infinite values: mend the feature")
        columns[name] = numbers
    return pd.DataFrame(columns, index=frame.index)
