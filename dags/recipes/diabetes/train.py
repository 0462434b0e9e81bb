"""Three kinds of model over the same fields; the best on the validation part is kept. All compile to ONNX."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from dags.recipes.common.log import say
from dags.recipes.common.training import Found, Tried
from scoring import features
from scoring.spec import Spec

ITERATIONS = 300
# enough rows in a leaf to smooth over what is hardly predictable, and trees small enough to be served
LEAF, DEPTH, SPLITS = 15, 14, 12


def kinds(*, n_trees: int, seed: int) -> dict[str, tuple[ClassifierMixin, dict[str, Any]]]:
    """Each kind of model by its name, and the parameters that are logged of it."""
    trees = {"n_estimators": n_trees, "min_samples_leaf": LEAF, "max_depth": DEPTH, "max_features": SPLITS}
    return {
        "logistic_regression": (
            LogisticRegression(max_iter=ITERATIONS, random_state=seed), {"max_iter": ITERATIONS},
        ),
        "random_forest": (RandomForestClassifier(random_state=seed, **trees), trees),
        "extra_trees": (ExtraTreesClassifier(random_state=seed, **trees), trees),
    }  # fmt: skip


def pipeline(spec: Spec, model: ClassifierMixin) -> Pipeline:
    """Numbers are scaled for the regression only: before trees compiled and original would differ."""
    numbers: list[tuple[str, Any]] = [("fill", SimpleImputer(strategy="median"))]
    if isinstance(model, LogisticRegression):
        numbers.append(("scale", StandardScaler()))
    texts = OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32)
    prepare = ColumnTransformer(
        [("numbers", Pipeline(numbers), spec.number_columns), ("texts", texts, spec.text_columns)]
    )
    return Pipeline([("prepare", prepare), ("model", model)])


def search(spec: Spec, train: pd.DataFrame, validation: pd.DataFrame, *, n_trees: int, seed: int) -> Found:
    """train, validation: fields and `label`. The best by accuracy on the validation part."""
    table, labels = features.table(spec, train), train["label"].to_numpy()
    shown, truth = features.table(spec, validation), validation["label"].to_numpy()
    tried: list[Tried] = []
    best: tuple[float, str, Pipeline] | None = None
    for name, (model, params) in kinds(n_trees=n_trees, seed=seed).items():
        started_at = time.monotonic()
        fitted = pipeline(spec, model).fit(table, labels)
        metrics = _metrics(fitted, shown, truth) | {"fit_s": round(time.monotonic() - started_at, 1)}
        tried.append(Tried(name, {"kind": name, **params}, metrics))
        say(
            f"{name}: accuracy {metrics['validation_accuracy']:.4f} on the validation part,"
            f" fitted in {metrics['fit_s']} s."
        )
        if best is None or metrics["validation_accuracy"] > best[0]:
            best = (metrics["validation_accuracy"], name, fitted)
    assert best is not None  # there are kinds
    chosen = next(one for one in tried if one.name == best[1])
    return Found(model=best[2], params=chosen.params, scores=dict(chosen.metrics), tried=tried)


def _metrics(model: Pipeline, table: pd.DataFrame, truth: np.ndarray) -> Mapping[str, float]:
    shares = model.predict_proba(table)
    guessed = model.classes_[shares.argmax(axis=1)]
    return {
        "validation_accuracy": float(accuracy_score(truth, guessed)),
        "validation_macro_f1": float(f1_score(truth, guessed, average="macro")),
        "validation_log_loss": float(log_loss(truth, shares, labels=model.classes_)),
    }
