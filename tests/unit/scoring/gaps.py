"""Models that learn from missing text: whether it is missing decides the class."""

import math

import msgspec
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from scoring import features
from scoring.spec import Spec
from scoring.spec_reading import read_spec

VALUES = {"": "", "none": None, "nan": math.nan, "na": pd.NA}


def spec_of(*names: str, **changes) -> Spec:
    """Text fields that may be missing, and a number."""
    texts = [{"name": name, "type": "text", "nullable": True, "required": False, **changes} for name in names]
    plain = {
        "task": "classification",
        "fields": [*texts, {"name": "size", "type": "number"}],
        "output": {"labels": [{"value": 0}, {"value": 1}]},
        "primary_metric": "accuracy",
    }
    return read_spec(msgspec.json.encode(plain))


def rows_of(spec: Spec, n_rows: int = 600, *, gaps: float = 0.3) -> pd.DataFrame:
    """Whether text is missing decides the label, so that a wrong kind of missing is a wrong class."""
    dice = np.random.default_rng(5)
    table = pd.DataFrame({"size": dice.uniform(0, 1, n_rows)})
    is_missing = np.zeros(n_rows, dtype=bool)
    for name in spec.text_columns:
        gone = dice.random(n_rows) < gaps
        table[name] = pd.Series(np.where(gone, None, dice.choice(["a", "b", "c"], n_rows)), dtype=object)
        is_missing |= gone
    label = is_missing if gaps else table[spec.text_columns[0]] == "a"
    return table.assign(label=label.astype(int))


def as_training_had_it(spec: Spec, rows: pd.DataFrame, kinds: dict[str, str]) -> pd.DataFrame:
    table = features.table(spec, rows)
    for name, kind in kinds.items():
        own = table[name].to_numpy(dtype=object)
        own[own == ""] = VALUES[kind]
        table[name] = pd.Series(own, dtype=object)
    return table


def encoder(kind: str):
    if kind == "na":  # the encoders of scikit-learn do not sort NA; its imputer takes it
        return Pipeline(
            [
                ("fill", SimpleImputer(missing_values=pd.NA, strategy="constant", fill_value="gone")),
                ("code", OneHotEncoder(handle_unknown="ignore")),
            ]
        )
    return OneHotEncoder(handle_unknown="ignore")


def fit(spec: Spec, rows: pd.DataFrame, kinds: dict[str, str], **encoders) -> Pipeline:
    parts = [(name, encoders.get(name) or encoder(kind), [name]) for name, kind in kinds.items()]
    model = Pipeline(
        [
            ("prepare", ColumnTransformer([*parts, ("rest", "passthrough", ["size"])])),
            ("model", LogisticRegression(C=1000, max_iter=1000)),
        ]
    )
    return model.fit(as_training_had_it(spec, rows, kinds), rows["label"])


def reference_of(model: Pipeline, spec: Spec, rows: pd.DataFrame, kinds: dict[str, str]) -> pd.DataFrame:
    return rows.assign(score=model.predict_proba(as_training_had_it(spec, rows, kinds))[:, 1])
