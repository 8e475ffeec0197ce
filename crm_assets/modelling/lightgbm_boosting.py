"""The candidate `lightgbm`: gradient boosting with trees that grow leaf by leaf."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from crm_assets.modelling.candidate import Known
from crm_assets.modelling.lightgbm_trees import FittedTrees
from crm_assets.modelling.recipe import FeatureRecipe
from crm_assets.modelling.search_space import Real, Space, Whole
from crm_assets.modelling.training_rows import TrainingRows

LIGHTGBM = "lightgbm"


@dataclass(frozen=True, kw_only=True)
class LightGBM(FeatureRecipe):
    """LightGBM on the book's features, for log loss; nothing is calibrated on top.

    Attributes:
        iterations: number of trees.
        leaves: most leaves of a tree.
        learning_rate: shrinkage of each tree.
        rows_per_leaf: fewest training rows of a leaf.
        l2: L2 penalty of the leaf values.
        seed: seed of LightGBM's random draws.
    """

    name: ClassVar[str] = LIGHTGBM
    space: ClassVar[Space] = {
        "iterations": Whole(25, 400, log=True),
        "leaves": Whole(3, 63, log=True),
        "learning_rate": Real(0.01, 0.2, log=True),
        "rows_per_leaf": Whole(5, 200, log=True),
        "l2": Real(0.1, 100.0, log=True),
    }

    iterations: int = 300
    leaves: int = 5
    learning_rate: float = 0.05
    rows_per_leaf: int = 20
    l2: float = 10.0
    seed: int = 7

    def fit(self, known: Known) -> FittedTrees:
        """Boost trees on the matured rows; raises what `TrainingRows.of` raises."""
        return FittedTrees.grow(
            LIGHTGBM,
            TrainingRows.of(known.rows, self.features, self.categorical),
            self.categorical,
            trees=self.iterations,
            offset=0.0,
            parameters={
                "objective": "binary",
                "num_leaves": self.leaves,
                "learning_rate": self.learning_rate,
                "min_data_in_leaf": self.rows_per_leaf,
                "lambda_l2": self.l2,
                "seed": self.seed,
            },
        )
