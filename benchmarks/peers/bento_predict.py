"""BentoML with adaptive batching: the same ONNX model as the others, no token and no record.

BENCH_DIR holds model.onnx.
"""

import os
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
import onnxruntime as ort

NUMBERS = ("Pclass", "Age", "SibSp", "Parch", "Fare")
TEXTS = ("Sex", "Embarked")


# As installed, with its metrics, which the console has too; but neither logs each call.
@bentoml.service(workers=1, traffic={"timeout": 30}, logging={"access": {"enabled": False}})
class Titanic:
    """Rows of different calls are scored in one run, as many as its dispatcher finds right."""

    def __init__(self) -> None:
        model = (Path(os.environ["BENCH_DIR"]) / "model.onnx").read_bytes()
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    @bentoml.api(batchable=True, max_batch_size=128, max_latency_ms=1_000)
    def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One answer a row."""
        numbers = {name: [row[name] for row in rows] for name in NUMBERS}
        numbers["FamilySize"] = [row["SibSp"] + row["Parch"] + 1 for row in rows]
        feed = {name: np.array(column, np.float32).reshape(-1, 1) for name, column in numbers.items()}
        feed |= {name: np.array([[row[name]] for row in rows], dtype=object) for name in TEXTS}
        values, shares = self._session.run(None, feed)
        return [
            {"value": value, "probabilities": probabilities}
            for value, probabilities in zip(values.tolist(), shares.tolist(), strict=True)
        ]
