"""The original of a model, as training saved it. Loading one runs its own code: only inside the sandbox."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from scoring.features import Columns
from scoring.score import Outcome
from scoring.spec import Spec


class OriginalError(Exception):
    """The folder holds no model that can be used."""


class Original:
    """A fitted scikit-learn pipeline behind the same `predict` as the compiled model."""

    def __init__(self, estimator: Any, spec: Spec) -> None:
        """Raises OriginalError when the estimator cannot answer what the spec promises."""
        self.estimator = estimator
        self.spec = spec
        if spec.task == "regression":
            return
        if not hasattr(estimator, "predict_proba"):
            raise OriginalError("The model gives no probabilities (it has no predict_proba).")
        classes = np.asarray(estimator.classes_).tolist()
        if classes != spec.class_values:
            raise OriginalError(f"The model's classes are {classes}, the spec lists {spec.class_values}.")

    @classmethod
    def load(cls, folder: Path, spec: Spec) -> "Original":
        """folder: an MLflow model with the scikit-learn flavour. Raises OriginalError."""
        try:
            flavour = yaml.safe_load((folder / "MLmodel").read_text())["flavors"]["sklearn"]
            path = folder / flavour["pickled_model"]
            kind = flavour.get("serialization_format", "pickle")
        except (OSError, KeyError, TypeError, yaml.YAMLError) as error:
            raise OriginalError(
                f"{folder.name} is no MLflow model with a scikit-learn flavour: {error!r}"
            ) from error
        return cls(_read(path, kind), spec)

    def predict(self, columns: Columns) -> Outcome:
        """columns: from `features.frame`."""
        table = pd.DataFrame({name: columns[name] for name in self.spec.columns})
        if self.spec.task == "regression":
            return Outcome(np.asarray(self.estimator.predict(table), np.float64).reshape(-1), None)
        return Outcome(
            np.asarray(self.estimator.predict(table)), np.asarray(self.estimator.predict_proba(table))
        )


def _read(path: Path, kind: str) -> Any:
    if kind == "skops":
        import skops.io

        return skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
    import cloudpickle

    with path.open("rb") as file:
        return cloudpickle.load(file)
