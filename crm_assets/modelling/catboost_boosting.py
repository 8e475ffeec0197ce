"""The candidate `catboost`: gradient boosting with symmetric trees.

Prokhorenkova et al., "CatBoost: unbiased boosting with categorical features", NeurIPS 2018. Log loss is a proper score,
so the boosted margins through the logistic function are probabilities; nothing is calibrated on top.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from crm_assets.errors import CrmAssetsError
from crm_assets.modelling.candidate import Known
from crm_assets.modelling.feature_frame import feature_frame
from crm_assets.modelling.recipe import FeatureRecipe, shares
from crm_assets.modelling.search_space import Real, Space, Whole
from crm_assets.modelling.training_rows import TrainingRows

if TYPE_CHECKING:
    import pandas as pd
    from catboost import CatBoostClassifier

CATBOOST = "catboost"

_OF_THE_MOMENT = ("model_guid", "train_finish_time")
"""Metadata that CatBoost makes anew in every fit; blank, so that equal models are equal bytes."""


@dataclass(frozen=True, kw_only=True)
class CatBoost(FeatureRecipe):
    """CatBoost on the book's features.

    Attributes:
        iterations: number of trees.
        depth: splits from root to leaf.
        learning_rate: shrinkage of each tree.
        l2: L2 penalty of the leaf values.
        one_hot_up_to: a category column with at most this many values is one-hot encoded, one with more gets ordered
            target statistics, which cost about four times the time.
        seed: seed of CatBoost's random draws.
        threads: training threads. CatBoost's random draws depend on it, so it is fixed and not the machine's own.
    """

    name: ClassVar[str] = CATBOOST
    space: ClassVar[Space] = {
        "iterations": Whole(50, 600, log=True),
        "depth": Whole(2, 7),
        "learning_rate": Real(0.01, 0.2, log=True),
        "l2": Real(1.0, 100.0, log=True),
    }

    iterations: int = 250
    depth: int = 4
    learning_rate: float = 0.05
    l2: float = 10.0
    one_hot_up_to: int = 64
    seed: int = 7
    threads: int = 1

    def fit(self, known: Known) -> FittedCatBoost:
        """Boost trees on the matured rows; raises what `TrainingRows.of` raises."""
        from catboost import CatBoostClassifier, Pool

        rows = TrainingRows.of(known.rows, self.features, self.categorical)
        booster = CatBoostClassifier(
            iterations=self.iterations,
            depth=self.depth,
            learning_rate=self.learning_rate,
            l2_leaf_reg=self.l2,
            one_hot_max_size=self.one_hot_up_to,
            random_seed=self.seed,
            thread_count=self.threads,
            loss_function="Logloss",
            allow_writing_files=False,
            logging_level="Silent",
        )
        booster.fit(Pool(rows.features, rows.won, cat_features=list(self.categorical)))
        return FittedCatBoost(self.features, self.categorical, _content(booster))


@dataclass(frozen=True)
class FittedCatBoost:
    """Fitted trees.

    Attributes:
        features: columns that it reads, in the order the trees know them.
        categorical: which of them are categories.
        content: the trees in CatBoost's own format; equal for equal fits.
    """

    candidate: ClassVar[str] = CATBOOST

    features: tuple[str, ...]
    categorical: tuple[str, ...]
    content: bytes

    def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Probability of a win in [0, 1] for each row of `frame`, in its order; shape (n,).

        Raises what `feature_frame` raises.
        """
        seen = feature_frame(frame, self.features, self.categorical)
        if seen.empty:
            return np.empty(0)
        return np.asarray(self._booster.predict_proba(seen, thread_count=1)[:, 1], dtype=np.float64)

    def importance(self) -> dict[str, float]:
        """Feature -> CatBoost's PredictionValuesChange, in percent of the total, largest first."""
        values = self._booster.get_feature_importance()
        return shares(dict(zip(self.features, map(float, values), strict=True)))

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` reads; equal for equal fits."""
        return {
            "candidate": self.candidate,
            "features": list(self.features),
            "categorical": list(self.categorical),
            "content": base64.b64encode(self.content).decode(),
        }

    @classmethod
    def from_dict(cls, fitted: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave. Raises CrmAssetsError when the content is no CatBoost model."""
        model = cls(tuple(fitted["features"]), tuple(fitted["categorical"]), base64.b64decode(fitted["content"]))
        _ = model._booster
        return model

    @cached_property
    def _booster(self) -> CatBoostClassifier:
        from catboost import CatBoostClassifier, CatBoostError

        booster = CatBoostClassifier()
        try:
            booster.load_model(blob=self.content, format="cbm")
        except CatBoostError as error:
            raise CrmAssetsError(f"the content is no CatBoost model ({error}): train and save it anew") from error
        return booster


def _content(booster: CatBoostClassifier) -> bytes:
    metadata = booster.get_metadata()
    for name in _OF_THE_MOMENT:
        metadata[name] = ""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.cbm")
        booster.save_model(str(file), format="cbm")
        return file.read_bytes()
