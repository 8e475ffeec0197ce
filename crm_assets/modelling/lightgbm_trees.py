"""Trees grown by LightGBM, kept as its model text: what the candidates `lightgbm` and `random_forest` are fitted to.

Ke et al., "LightGBM: a highly efficient gradient boosting decision tree", NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from crm_assets.errors import CrmAssetsError
from crm_assets.modelling.feature_frame import feature_frame
from crm_assets.modelling.recipe import shares
from crm_assets.modelling.training_rows import TrainingRows

if TYPE_CHECKING:
    import pandas as pd
    from lightgbm import Booster

_SAME_EVERYWHERE = {"num_threads": 1, "deterministic": True, "force_row_wise": True, "verbosity": -1}
"""Equal rows give equal trees; LightGBM would otherwise pick threads and layout by the machine and by timing."""


@dataclass(frozen=True)
class FittedTrees:
    """Fitted trees.

    Attributes:
        candidate: name of the recipe.
        features: columns that it reads, in the order the trees know them.
        categorical: which of them are categories.
        levels: category column -> its values in training; any other value is as if empty to the trees.
        offset: what is added to the output of the trees to make a probability.
        text: the trees as LightGBM's model text; equal for equal fits.
    """

    candidate: str
    features: tuple[str, ...]
    categorical: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]]
    offset: float
    text: str

    @classmethod
    def grow(
        cls,
        candidate: str,
        rows: TrainingRows,
        categorical: tuple[str, ...],
        *,
        trees: int,
        offset: float,
        parameters: Mapping[str, Any],
    ) -> Self:
        """Grow `trees` trees that predict `rows.won - offset`; `parameters` are LightGBM's."""
        import lightgbm

        features = tuple(rows.features.columns)
        levels = {name: tuple(sorted(set(rows.features[name]))) for name in categorical}
        columns = [index for index, name in enumerate(features) if name in categorical]
        data = lightgbm.Dataset(_matrix(rows.features, levels), rows.won - offset, categorical_feature=columns)
        booster = lightgbm.train({**parameters, **_SAME_EVERYWHERE}, data, num_boost_round=trees)
        return cls(candidate, features, categorical, levels, offset, booster.model_to_string())

    def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Probability of a win in [0, 1] for each row of `frame`, in its order; shape (n,).

        Raises what `feature_frame` raises.
        """
        seen = feature_frame(frame, self.features, self.categorical)
        if seen.empty:
            return np.empty(0)
        return self.predict_matrix(_matrix(seen, self.levels))

    def predict_matrix(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same of (n, features) numbers: categories as their place among `levels`, NaN where empty."""
        output = self._booster.predict(matrix, num_threads=1)
        # The trees hold shares as they round; one of 0 or 1 may come out beyond it by a hair.
        return np.clip(self.offset + np.asarray(output, dtype=np.float64), 0.0, 1.0)

    def importance(self) -> dict[str, float]:
        """Feature -> what its splits gained in the loss, in percent of the total, largest first."""
        gains = self._booster.feature_importance("gain")
        return shares(dict(zip(self.features, map(float, gains), strict=True)))

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` reads; equal for equal fits."""
        return {
            "candidate": self.candidate,
            "features": list(self.features),
            "categorical": list(self.categorical),
            "levels": {name: list(values) for name, values in self.levels.items()},
            "offset": self.offset,
            "text": self.text,
        }

    @classmethod
    def from_dict(cls, fitted: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave. Raises CrmAssetsError when the text is no LightGBM model."""
        model = cls(
            candidate=fitted["candidate"],
            features=tuple(fitted["features"]),
            categorical=tuple(fitted["categorical"]),
            levels={name: tuple(values) for name, values in fitted["levels"].items()},
            offset=float(fitted["offset"]),
            text=fitted["text"],
        )
        _ = model._booster
        return model

    @cached_property
    def _booster(self) -> Booster:
        from lightgbm import Booster
        from lightgbm.basic import LightGBMError

        try:
            return Booster(model_str=self.text)
        except LightGBMError as error:
            raise CrmAssetsError(f"the text is no LightGBM model ({error}): train and save it anew") from error


def _matrix(seen: pd.DataFrame, levels: Mapping[str, tuple[str, ...]]) -> NDArray[np.float64]:
    """(n, features); categories as their place among `levels`, NaN for one that is not there."""
    columns = []
    for name in seen.columns:
        if name in levels:
            codes = {value: float(code) for code, value in enumerate(levels[name])}
            columns.append(np.array([codes.get(value, np.nan) for value in seen[name]], dtype=np.float64))
        else:
            columns.append(seen[name].to_numpy(dtype=np.float64))
    return np.column_stack(columns)
