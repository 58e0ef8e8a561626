"""What MLflow runs to load a registered model of images: this script travels with its files and needs none of this project.

Input: a list of paths or of the bytes of image files, or a DataFrame whose first column holds them. Output: a DataFrame, one
row an image: `label`, the likeliest, and `probability_<label>` of each. An image that cannot be read is a ValueError.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


class ServedImages(PythonModel):
    def load_context(self, context: Any) -> None:
        serving = import_module("serving")  # MLflow puts the `code` folder of the model on the path
        self.model = serving.load(context.artifacts["model"])

    def predict(self, context, model_input: list[str | bytes], params=None) -> pd.DataFrame:  # type: ignore[no-untyped-def]  # noqa: ARG002
        probabilities = self.model.probabilities(model_input)  # MLflow makes a list of a DataFrame's column
        frame = pd.DataFrame(probabilities, columns=[f"probability_{label}" for label in self.model.labels])
        frame.insert(0, "label", [self.model.labels[i] for i in probabilities.argmax(1)])
        return frame


set_model(ServedImages())
