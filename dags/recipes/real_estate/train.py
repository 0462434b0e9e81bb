"""Boosted trees over places and sizes, with the preprocessing inside the pipeline."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from dags.recipes.common import holdout
from dags.recipes.common.log import say
from dags.recipes.common.training import Found, Tried
from scoring import features
from scoring.spec import Spec

GRID = {"n_estimators": [150, 200], "max_depth": [4, 5, 6], "learning_rate": [0.08, 0.12]}
VALIDATION_SHARE = 0.2
COMMON_ROWS = 20  # a place with fewer rows gets no column of its own
USUAL = 0.75  # three answers in four are not further off than the usual error


def pipeline(spec: Spec, table: pd.DataFrame, *, seed: int, **params: Any) -> Pipeline:
    """Huber's loss: a villa of twenty million must not outweigh a thousand houses."""
    categories = [_common(table[name]) for name in spec.text_columns]
    places = OneHotEncoder(
        categories=categories, handle_unknown="ignore", dtype=np.float32, sparse_output=False
    )
    prepare = ColumnTransformer(
        [
            ("numbers", SimpleImputer(strategy="median", keep_empty_features=True), spec.number_columns),
            ("places", places, spec.text_columns),
        ]
    )
    trees = GradientBoostingRegressor(
        loss="huber", alpha=0.95, subsample=0.7, max_features=0.4, random_state=seed, **params
    )
    return Pipeline([("prepare", prepare), ("trees", trees)])


def search(spec: Spec, train: pd.DataFrame, *, n_iter: int, seed: int) -> tuple[Found, float]:
    """The best by the mean absolute error on houses that it was not fitted on, fitted again on all rows.

    train: fields, `label` and `house`. With it the usual error of its answers, in USD.
    """
    table, prices = features.table(spec, train), train["label"].to_numpy()
    # another hash than that of the hold-out, which has taken all keys below its share
    is_apart = holdout.is_holdout(("validation " + train["house"]).tolist(), VALIDATION_SHARE)
    candidates = list(ParameterSampler(GRID, min(n_iter, len(ParameterGrid(GRID))), random_state=seed))
    errors: list[np.ndarray] = []
    for number, params in enumerate(candidates, 1):
        model = pipeline(spec, table[~is_apart], seed=seed, **params).fit(table[~is_apart], prices[~is_apart])
        errors.append(np.abs(model.predict(table[is_apart]) - prices[is_apart]))
        told = ", ".join(f"{name} {value}" for name, value in sorted(params.items()))
        say(f"{number} of {len(candidates)}: mean absolute error {errors[-1].mean():,.0f} USD with {told}.")
    best = int(np.argmin([error.mean() for error in errors]))
    found = Found(
        model=pipeline(spec, table, seed=seed, **candidates[best]).fit(table, prices),
        params=candidates[best],
        scores={"validation_mae": float(errors[best].mean())},
        tried=[
            Tried(f"trees {number}", params, {"validation_mae": float(error.mean())})
            for number, (params, error) in enumerate(zip(candidates, errors, strict=True), 1)
        ],
    )
    return found, float(np.quantile(errors[best], USUAL))


def _common(values: pd.Series) -> list[str]:
    """In order; at least the commonest one, since an encoder needs one."""
    counts = values[values != ""].value_counts()
    common = counts[counts >= COMMON_ROWS].index.tolist() or counts.index[:1].tolist()
    return sorted(common) or ["none"]
