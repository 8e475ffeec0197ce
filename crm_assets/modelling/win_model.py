"""The win model: CatBoost on the book's features, giving the probability of a win by the end of the next month."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from crm_assets.errors import CrmAssetsError, QualityError
from crm_assets.history.outcomes import OUTCOMES_ALLOWED

if TYPE_CHECKING:
    import pandas as pd
    from catboost import CatBoostClassifier

MISSING = "missing"
"""The category of an empty value."""

KEY = ["snapshot_month", "opportunity_id"]
"""Columns that identify a row of the book."""

WON, LOST, OPEN = OUTCOMES = OUTCOMES_ALLOWED
"""What the next snapshot can tell about a row of the book."""

FACTS = "crm_assets"
"""Key of the CatBoost file's metadata under which `WinModel.save` keeps what the model knows of itself, as JSON."""


_OF_THE_MOMENT = ("model_guid", "train_finish_time")
"""Metadata that CatBoost makes anew in every fit; blank, so that equal models are equal files."""


class FeatureMismatchError(CrmAssetsError, ValueError):
    """A frame does not hold the features that a model was trained on."""


@dataclass(frozen=True)
class TrainingParameters:
    """What shapes a fit. Equal parameters on equal rows give equal models.

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

    iterations: int = 250
    depth: int = 4
    learning_rate: float = 0.05
    l2: float = 10.0
    one_hot_up_to: int = 64
    seed: int = 7
    threads: int = 1

    def as_dict(self) -> dict[str, int | float]:
        """Name -> value, in the order of the fields."""
        return asdict(self)


class WinModel:
    """A fitted model of P(won by the end of the month after the snapshot).

    Prokhorenkova et al., "CatBoost: unbiased boosting with categorical features", NeurIPS 2018. Log loss is a proper
    score, so the boosted margins through the logistic function are probabilities; nothing is calibrated on top.

    Attributes:
        features: names of the feature columns, in the order the trees know them.
        categorical: those of them that are categories.
        parameters: what the fit was shaped by.
        training: rows, wins, first and last snapshot month of the fit.
    """

    def __init__(
        self,
        booster: CatBoostClassifier,
        *,
        features: Sequence[str],
        categorical: Sequence[str],
        parameters: TrainingParameters,
        training: dict[str, int | str],
        content: bytes | None = None,
    ) -> None:
        self._booster = booster
        self.features = tuple(features)
        self.categorical = tuple(categorical)
        self.parameters = parameters
        self.training = training
        self._content = content

    @classmethod
    def fit(
        cls,
        rows: pd.DataFrame,
        features: Sequence[str],
        categorical: Sequence[str],
        parameters: TrainingParameters | None = None,
    ) -> Self:
        """Train on matured rows; neither their order nor their ids matter.

        Args:
            rows: (n, columns) frame with `opportunity_id`, `snapshot_month`, `outcome` and the features; one row per
                opportunity and snapshot month. Empty numbers stay empty, empty categories become `missing`.
            features: feature columns.
            categorical: which of them are categories; the others must be numbers or booleans.
            parameters: defaults when None.

        Raises:
            FeatureMismatchError: a feature column is missing or is not a number.
            QualityError: censored rows, an unknown outcome, a repeated row, infinite numbers, or wins only or none.
        """
        from catboost import CatBoostClassifier, Pool

        parameters = parameters or TrainingParameters()
        check_rows(rows)
        censored = int(rows["outcome"].isna().sum())
        if censored:
            raise QualityError(f"{censored} training rows have no outcome yet: leave censored rows out of the training")
        # By what they say and not by their ids: CatBoost's random draws go by the order of rows.
        ordered = rows.sort_values(["snapshot_month", *features, "outcome"], kind="stable")
        won = label(ordered)
        if len(set(won)) < 2:
            raise QualityError(
                f"{len(won)} training rows hold {int(won.sum())} wins: a model needs wins and non-wins; train later"
            )
        booster = CatBoostClassifier(
            iterations=parameters.iterations,
            depth=parameters.depth,
            learning_rate=parameters.learning_rate,
            l2_leaf_reg=parameters.l2,
            one_hot_max_size=parameters.one_hot_up_to,
            random_seed=parameters.seed,
            thread_count=parameters.threads,
            loss_function="Logloss",
            allow_writing_files=False,
            logging_level="Silent",
        )
        booster.fit(Pool(_prepared(ordered, features, categorical), won, cat_features=list(categorical)))
        training: dict[str, int | str] = {
            "rows": len(ordered),
            "wins": int(won.sum()),
            "first_month": str(ordered["snapshot_month"].iloc[0]),
            "last_month": str(ordered["snapshot_month"].iloc[-1]),
        }
        return cls(booster, features=features, categorical=categorical, parameters=parameters, training=training)

    def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Probability of a win in [0, 1] for each row of `frame`, in its order; shape (n,).

        Columns that are no features are ignored. Raises FeatureMismatchError naming feature columns that are missing or
        are not numbers, and QualityError on infinite numbers.
        """
        prepared = self.prepare(frame)
        if prepared.empty:
            return np.empty(0)
        return np.asarray(self._booster.predict_proba(prepared)[:, 1], dtype=np.float64)

    def prepare(self, frame: pd.DataFrame) -> pd.DataFrame:
        """What the trees see of `frame`: the features in order, categories as strings, everything else as float64.

        Raises what `predict` raises.
        """
        return _prepared(frame, self.features, self.categorical)

    def importance(self) -> dict[str, float]:
        """Feature -> CatBoost's PredictionValuesChange, in percent of the total, largest first."""
        values = self._booster.get_feature_importance()
        pairs = sorted(zip(self.features, map(float, values), strict=True), key=lambda pair: (-pair[1], pair[0]))
        return dict(pairs)

    @property
    def sha256(self) -> str:
        """SHA-256 of `content`, in hexadecimal: equal fits have equal ones."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def content(self) -> bytes:
        """The model and what it knows of itself in CatBoost's own format: equal for equal fits."""
        if self._content is None:
            facts = {
                "features": self.features,
                "categorical": self.categorical,
                "parameters": self.parameters.as_dict(),
                "training": self.training,
            }
            metadata = self._booster.get_metadata()
            metadata[FACTS] = json.dumps(facts)
            for name in _OF_THE_MOMENT:
                metadata[name] = ""
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder, "win_model.cbm")
                self._booster.save_model(str(file), format="cbm")
                self._content = file.read_bytes()
        return self._content

    def save(self, path: Path) -> None:
        """Write `content` to a file, `*.cbm`."""
        path.write_bytes(self.content)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote. Raises CrmAssetsError naming the file when it is missing or is no such model."""
        from catboost import CatBoostClassifier, CatBoostError

        if not path.is_file():
            raise CrmAssetsError(f"no model at {path}: train and save one there")
        booster = CatBoostClassifier()
        try:
            booster.load_model(str(path), format="cbm")
        except CatBoostError as error:
            raise CrmAssetsError(f"{path} is no CatBoost model ({error}): train and save it anew") from error
        metadata: Any = booster.get_metadata()
        if FACTS not in metadata:
            raise CrmAssetsError(f"{path} is a CatBoost model that WinModel.save did not write: train and save it anew")
        facts: dict[str, Any] = json.loads(metadata[FACTS])
        return cls(
            booster,
            features=facts["features"],
            categorical=facts["categorical"],
            parameters=TrainingParameters(**facts["parameters"]),
            training=facts["training"],
            # CatBoost would not write again what it has read: it leaves out some of the metadata.
            content=path.read_bytes(),
        )


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


def _prepared(frame: pd.DataFrame, features: Sequence[str], categorical: Sequence[str]) -> pd.DataFrame:
    """The features in order: categories as strings with `missing`, everything else as float64 with NaN."""
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
