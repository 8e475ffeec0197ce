"""The code MLflow stores beside every registered win model and runs to serve it.

The package's own code that trained the model is stored beside it as a zip archive and read from there, so a model can
be served where the platform is not installed, and is served by the code it was trained with, unless the process has
loaded the package before. Only MLflow runs this module.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


class ServedModel(PythonModel):
    """Probability of a win by the end of the month after the snapshot."""

    def load_context(self, context: Any) -> None:
        """Read the model, by the code beside it."""
        if context.artifacts["code"] not in sys.path:
            sys.path.insert(0, context.artifacts["code"])
        from crm_assets.modelling.win_model import WinModel

        self.model = WinModel.load(Path(context.artifacts["win_model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """A frame with the one column `probability` in [0, 1], a row for each row of `model_input`."""
        return pd.DataFrame({"probability": self.model.predict(model_input)}, index=model_input.index, dtype="float64")


set_model(ServedModel())
