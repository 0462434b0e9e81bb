"""A forest of few, shallow trees over what the meter knows, and how far its answers usually are off."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import Pipeline

from dags.recipes.common.log import say
from dags.recipes.common.training import Found, Tried
from scoring import features
from scoring.spec import Spec

FOLDS = 3


def fit(spec: Spec, train: pd.DataFrame, settings: dict[str, Any]) -> tuple[Found, float]:
    """The forest, and the standard deviation of its errors in dollars on folds not trained on."""
    model = _pipeline(spec, settings)
    table, labels = features.table(spec, train), train["label"].to_numpy()
    folds = KFold(FOLDS, shuffle=True, random_state=settings["seed"])
    errors = cross_val_predict(model, table, labels, cv=folds) - labels
    scores = {"cv_mae": float(np.abs(errors).mean()), "cv_rmse": float(np.sqrt((errors**2).mean()))}
    params = {name: settings[name] for name in ("n_estimators", "max_depth")}
    say(f"Mean error {scores['cv_mae']:.3f} $ over {FOLDS} folds, sigma {errors.std():.3f} $.")
    found = Found(model.fit(table, labels), params, scores, [Tried("forest", params, scores)])
    return found, float(errors.std())


def _pipeline(spec: Spec, settings: dict[str, Any]) -> Pipeline:
    prepare = ColumnTransformer([("numbers", SimpleImputer(strategy="median"), spec.number_columns)])
    forest = RandomForestRegressor(
        settings["n_estimators"],
        max_depth=settings["max_depth"],
        min_samples_leaf=10,
        random_state=settings["seed"],
        n_jobs=2,
    )
    return Pipeline([("prepare", prepare), ("forest", forest)])
