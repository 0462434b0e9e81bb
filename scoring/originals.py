"""The original of a model, as training saved it. Loading one runs its own code: only inside the sandbox."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import yaml

from scoring import missing
from scoring.features import Columns
from scoring.missing import Kinds
from scoring.score import Outcome
from scoring.spec import Spec


class OriginalError(Exception):
    """The folder holds no model that can be used."""


class Original:
    """A fitted scikit-learn pipeline behind the same `predict` as the compiled model."""

    def __init__(self, estimator: Any, spec: Spec, missing_as: Kinds | None = None) -> None:
        """Raises OriginalError when the estimator cannot answer what the spec promises.

        missing_as: what it learnt from where text was missing.
        """
        self.estimator = estimator
        self.spec = spec
        self.missing_as = missing_as or {}
        if spec.task == "regression":
            return
        if not hasattr(estimator, "predict_proba"):
            raise OriginalError("The model gives no probabilities (it has no predict_proba).")
        classes = np.asarray(estimator.classes_).tolist()
        if classes != spec.class_values:
            raise OriginalError(f"The model's classes are {classes}, the spec lists {spec.class_values}.")

    @classmethod
    def load(cls, folder: Path, spec: Spec) -> "Original":
        """folder: an MLflow model with the scikit-learn flavour, perhaps with `missing.FILE` beside it.

        Raises OriginalError.
        """
        try:
            missing_as = missing.read(folder.parent)
            flavour = yaml.safe_load((folder / "MLmodel").read_text())["flavors"]["sklearn"]
            path = folder / flavour["pickled_model"]
            kind = flavour.get("serialization_format", "pickle")
        except (OSError, KeyError, TypeError, yaml.YAMLError, msgspec.MsgspecError) as error:
            raise OriginalError(
                f"{folder.name} is no MLflow model with a scikit-learn flavour: {error!r}"
            ) from error
        return cls(_read(path, kind), spec, missing_as)

    def with_missing(self, missing_as: Kinds) -> "Original":
        """The same estimator, fed another kind of missing text."""
        return Original(self.estimator, self.spec, missing_as)

    def predict(self, columns: Columns) -> Outcome:
        """columns: from `features.frame`."""
        own = {name: missing.column(columns[name], kind) for name, kind in self.missing_as.items()}
        table = pd.DataFrame({name: own.get(name, columns[name]) for name in self.spec.columns})
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
