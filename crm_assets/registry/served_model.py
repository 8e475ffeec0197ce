"""The code MLflow stores beside every registered win model and runs to serve it.

It needs CatBoost and pandas and not this package, so a model can be served where the platform is not installed.
MLflow's own CatBoost flavour would return class labels instead of probabilities. `WinModel` prepares a frame the same
way. Only MLflow runs this module.
"""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
from catboost import CatBoostClassifier
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


class ServedModel(PythonModel):
    """Probability of a win by the end of the month after the snapshot."""

    def load_context(self, context: Any) -> None:
        """Read the CatBoost file and the features that `WinModel.save` noted in it."""
        self.booster = CatBoostClassifier()
        self.booster.load_model(context.artifacts["win_model"], format="cbm")
        facts = json.loads(self.booster.get_metadata()["crm_assets"])
        self.features: list[str] = facts["features"]
        self.categorical: list[str] = facts["categorical"]

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """A frame with the one column `probability` in [0, 1], a row for each row of `model_input`."""
        frame = model_input[self.features].copy()
        for name in self.categorical:
            texts = frame[name].astype(object)
            frame[name] = texts.where(texts.notna(), "missing").astype(str)
        probability = self.booster.predict_proba(frame)[:, 1] if len(frame) else []
        return pd.DataFrame({"probability": probability}, index=frame.index, dtype="float64")


set_model(ServedModel())
