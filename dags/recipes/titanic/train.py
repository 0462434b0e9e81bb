"""A random search over random forests, with the preprocessing inside the pipeline."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import ParameterGrid, ParameterSampler, StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from dags.recipes.common.log import say
from dags.recipes.common.training import Found, Tried
from scoring import features
from scoring.spec import Spec

GRID = {
    "forest__n_estimators": [100, 200, 300],
    "forest__max_depth": [10, 20, 30],
    "forest__min_samples_split": [2, 5],
    "forest__min_samples_leaf": [1, 2],
}


def pipeline(spec: Spec, *, seed: int) -> Pipeline:
    """Trees need no scaler, and one before them would make compiled and original differ.

    A column without any value is kept, as zeros: every column of the spec is there.
    """
    prepare = ColumnTransformer(
        [
            ("numbers", SimpleImputer(strategy="median", keep_empty_features=True), spec.number_columns),
            ("texts", OneHotEncoder(handle_unknown="ignore", dtype=np.float32), spec.text_columns),
        ]
    )
    return Pipeline([("prepare", prepare), ("forest", RandomForestClassifier(random_state=seed))])


def search(spec: Spec, train: pd.DataFrame, *, n_iter: int, cv: int, seed: int) -> Found:
    """train: fields and `label`. Scores: mean and spread of the accuracy over the folds."""
    table, labels = features.table(spec, train), train["label"].to_numpy()
    folds = StratifiedKFold(cv, shuffle=True, random_state=seed)
    candidates = list(ParameterSampler(GRID, min(n_iter, len(ParameterGrid(GRID))), random_state=seed))
    tried: list[np.ndarray] = []
    for number, params in enumerate(candidates, 1):
        model = pipeline(spec, seed=seed).set_params(**params)
        tried.append(cross_val_score(model, table, labels, cv=folds, scoring="accuracy"))
        say(f"{number} of {len(candidates)}: accuracy {tried[-1].mean():.4f} with {_shown(params)}.")
    best = int(np.argmax([scores.mean() for scores in tried]))
    return Found(
        model=pipeline(spec, seed=seed).set_params(**candidates[best]).fit(table, labels),
        params={name.removeprefix("forest__"): value for name, value in candidates[best].items()},
        scores={"cv_accuracy": float(tried[best].mean()), "cv_accuracy_std": float(tried[best].std())},
        tried=[
            Tried(f"forest {number}", params, {"cv_accuracy": float(scores.mean())})
            for number, (params, scores) in enumerate(zip(candidates, tried, strict=True), 1)
        ],
    )


def _shown(params: dict[str, Any]) -> str:
    return ", ".join(f"{name.removeprefix('forest__')} {value}" for name, value in sorted(params.items()))
