"""A random search over random forests, with the preprocessing inside the pipeline."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import ParameterGrid, RandomizedSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from scoring import features
from scoring.spec import Spec

GRID = {
    "forest__n_estimators": [100, 200, 300],
    "forest__max_depth": [10, 20, 30],
    "forest__min_samples_split": [2, 5],
    "forest__min_samples_leaf": [1, 2],
}


@dataclass(frozen=True)
class Found:
    """The best pipeline, fitted on all training rows. accuracy: mean over the folds."""

    model: Pipeline
    params: dict[str, Any]
    accuracy: float
    accuracy_std: float
    n_tried: int


def pipeline(spec: Spec, *, seed: int) -> Pipeline:
    """Trees need no scaler, and one before them would make compiled and original differ."""
    prepare = ColumnTransformer(
        [
            ("numbers", SimpleImputer(strategy="median"), spec.number_columns),
            ("texts", OneHotEncoder(handle_unknown="ignore", dtype=np.float32), spec.text_columns),
        ]
    )
    return Pipeline([("prepare", prepare), ("forest", RandomForestClassifier(random_state=seed))])


def search(spec: Spec, train: pd.DataFrame, *, n_iter: int, cv: int, seed: int) -> Found:
    """train: fields and `label`."""
    n_tried = min(n_iter, len(ParameterGrid(GRID)))
    folds = StratifiedKFold(cv, shuffle=True, random_state=seed)
    trials = RandomizedSearchCV(
        pipeline(spec, seed=seed), GRID, n_iter=n_tried, cv=folds, scoring="accuracy", random_state=seed
    )
    trials.fit(features.table(spec, train), train["label"].to_numpy())
    best = trials.best_index_
    return Found(
        model=trials.best_estimator_,
        params={name.removeprefix("forest__"): value for name, value in trials.best_params_.items()},
        accuracy=float(trials.cv_results_["mean_test_score"][best]),
        accuracy_std=float(trials.cv_results_["std_test_score"][best]),
        n_tried=n_tried,
    )
