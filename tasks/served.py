"""What MLflow runs to load a registered model: this script travels with its files and needs none of this project.

Input: a list of texts, or a DataFrame with one column of text. Output: a DataFrame, one row a text: `label`, the likeliest,
and `probability_<label>` of each; of a model that writes, `answer`: what it says to the text, or how it goes on with it. A text
that is a JSON list of `{"role": ..., "content": ...}` is a chat of several turns.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


class Served(PythonModel):
    def load_context(self, context: Any) -> None:
        serving = import_module("serving")  # MLflow puts the `code` folder of the model on the path
        self.model, self.prompt = serving.load(context.artifacts["model"]), serving.prompt

    def predict(self, context, model_input: list[str], params=None) -> pd.DataFrame:  # type: ignore[no-untyped-def]  # noqa: ARG002
        if not hasattr(self.model, "probabilities"):
            return pd.DataFrame({"answer": self.model.answers([self.prompt(text) for text in model_input])})
        probabilities = self.model.probabilities(model_input)
        frame = pd.DataFrame(probabilities, columns=[f"probability_{label}" for label in self.model.labels])
        frame.insert(0, "label", [self.model.labels[i] for i in probabilities.argmax(1)])
        return frame


set_model(Served())
