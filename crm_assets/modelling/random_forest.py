"""The candidate `random_forest`: the mean share won in the leaves of trees that are grown on random rows and features.

Breiman, "Random forests", Machine Learning 45 (2001). A forest of regression trees on 0 and 1 estimates probabilities
consistently: Malley et al., "Probability machines", Methods of Information in Medicine 51 (2012). LightGBM grows it and
not scikit-learn, because its model text can be kept without pickle and its trees take empty values as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from crm_assets.modelling.candidate import Known
from crm_assets.modelling.lightgbm_trees import FittedTrees
from crm_assets.modelling.recipe import FeatureRecipe
from crm_assets.modelling.search_space import Real, Space, Whole
from crm_assets.modelling.training_rows import TrainingRows

RANDOM_FOREST = "random_forest"

_ROWS_OF_A_TREE = 0.632
"""Share of the rows that a tree sees, drawn without replacement: as many different ones as a bootstrap sample holds."""


@dataclass(frozen=True, kw_only=True)
class RandomForest(FeatureRecipe):
    """A forest of probability trees on the book's features.

    Attributes:
        trees: number of trees.
        leaves: most leaves of a tree.
        rows_per_leaf: fewest training rows of a leaf; the more, the less a probability follows single rows.
        features_per_split: share of the features that each split chooses from.
        seed: seed of the random rows and features.
    """

    name: ClassVar[str] = RANDOM_FOREST
    space: ClassVar[Space] = {
        "trees": Whole(100, 500, log=True),
        "leaves": Whole(8, 512, log=True),
        "rows_per_leaf": Whole(5, 200, log=True),
        "features_per_split": Real(0.2, 1.0),
    }

    trees: int = 200
    leaves: int = 256
    rows_per_leaf: int = 20
    features_per_split: float = 0.34
    seed: int = 7

    def fit(self, known: Known) -> FittedTrees:
        """Grow trees on the matured rows; raises what `TrainingRows.of` raises."""
        rows = TrainingRows.of(known.rows, self.features, self.categorical)
        return FittedTrees.grow(
            RANDOM_FOREST,
            rows,
            self.categorical,
            trees=self.trees,
            # Of a tree that finds no split, LightGBM forgets the mean: grown around it, such a tree says the mean.
            offset=float(rows.won.mean()),
            parameters={
                "boosting": "rf",
                "objective": "regression",
                "boost_from_average": False,
                "bagging_freq": 1,
                "bagging_fraction": _ROWS_OF_A_TREE,
                "feature_fraction_bynode": self.features_per_split,
                "num_leaves": self.leaves,
                "min_data_in_leaf": self.rows_per_leaf,
                "seed": self.seed,
            },
        )
