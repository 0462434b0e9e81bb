"""Two kinds of model compete: a support vector machine behind nearest-neighbour imputation, and a forest."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.model_selection import ParameterSampler, StratifiedKFold, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from dags.recipes.common.log import say
from dags.recipes.common.training import Found, Tried
from dags.recipes.forest_cover.params import Settings
from scoring import features
from scoring.spec import Spec

SVC_GRID = {"C": [1.0, 10.0, 100.0], "gamma": ["scale", 0.03, 0.1], "class_weight": [None, "balanced"]}
LEAST_OF_CLASS = 15  # rows of each cover type in the sample of the support vector machine
SCORING = {"cv_accuracy": "accuracy", "cv_macro_f1": "f1_macro"}
CALIBRATION_FOLDS = 3
N_JOBS = 2


@dataclass(frozen=True)
class Candidate:
    """A pipeline that is not fitted. rows: of the table, by position, that it learns from."""

    name: str
    model: Pipeline
    params: Mapping[str, Any]
    rows: np.ndarray


def find(spec: Spec, train: pd.DataFrame, settings: Settings) -> Found:
    """The best by accuracy over the folds, fitted on all its rows. train: fields and `label`."""
    table, labels = features.table(spec, train), train["label"].to_numpy()
    folds = StratifiedKFold(settings.cv, shuffle=True, random_state=settings.seed)
    tried: list[tuple[Candidate, dict[str, float]]] = []
    for candidate in _candidates(spec, labels, settings):
        x, y = table.iloc[candidate.rows], labels[candidate.rows]
        told = cross_validate(candidate.model, x, y, cv=folds, scoring=SCORING, error_score="raise")
        scores = {name: float(told[f"test_{name}"].mean()) for name in SCORING}
        scores["cv_accuracy_std"] = float(told["test_cv_accuracy"].std())
        tried.append((candidate, scores))
        say(
            f"{candidate.name}: accuracy {scores['cv_accuracy']:.4f}, macro F1 {scores['cv_macro_f1']:.4f}"
            f" over {settings.cv} folds of {len(candidate.rows):,} rows."
        )
    best, scores = max(tried, key=lambda one: one[1]["cv_accuracy"])
    return Found(
        model=_quiet(best.model.fit(table.iloc[best.rows], labels[best.rows])),
        params={"candidate": best.name, "rows_learnt": len(best.rows), **best.params},
        scores=scores,
        tried=[Tried(one.name, {"rows": len(one.rows), **one.params}, found) for one, found in tried],
    )


def _candidates(spec: Spec, labels: np.ndarray, settings: Settings) -> list[Candidate]:
    forest = {"n_estimators": settings.n_estimators, "max_depth": settings.max_depth}
    sample = _sample(labels, settings.svc_rows, seed=settings.seed)
    n_grid = int(np.prod([len(values) for values in SVC_GRID.values()]))
    drawn = ParameterSampler(SVC_GRID, min(settings.n_iter, n_grid), random_state=settings.seed)
    if too_rare := _too_rare(labels[sample], settings.cv):
        say(f"No support vector machine is tried: of {too_rare} there are too few rows to calibrate it.")
        drawn = ()
    return [
        Candidate(
            "forest", forest_pipeline(spec, forest, seed=settings.seed), forest, np.arange(len(labels))
        ),
        *(
            Candidate(f"svc {number}", svc_pipeline(spec, params), params, sample)
            for number, params in enumerate(drawn, 1)
        ),
    ]


def forest_pipeline(spec: Spec, params: Mapping[str, Any], *, seed: int) -> Pipeline:
    """Trees need no scaler, and one before them would make compiled and original differ."""
    forest = RandomForestClassifier(**params, random_state=seed, n_jobs=N_JOBS)
    return Pipeline([("prepare", _prepared(spec, SimpleImputer(strategy="median"))), ("forest", forest)])


def svc_pipeline(spec: Spec, params: Mapping[str, Any]) -> Pipeline:
    """Neighbours are sought among scaled columns: else the one with the largest unit decides alone.

    Its probabilities are fitted to its margins over folds.
    """
    numbers = Pipeline([("scale", StandardScaler()), ("impute", KNNImputer(n_neighbors=5))])
    svc = CalibratedClassifierCV(SVC(**params), cv=CALIBRATION_FOLDS, ensemble=False)
    return Pipeline([("prepare", _prepared(spec, numbers)), ("svc", svc)])


def _prepared(spec: Spec, numbers: Any) -> ColumnTransformer:
    texts = OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32)
    return ColumnTransformer([("numbers", numbers, spec.number_columns), ("texts", texts, spec.text_columns)])


def _too_rare(labels: np.ndarray, cv: int) -> str:
    """The classes of which a fold leaves fewer rows than the calibration has folds."""
    values, counts = np.unique(labels, return_counts=True)
    left = counts - np.ceil(counts / cv)
    return ", ".join(str(value) for value in values[left < CALIBRATION_FOLDS])


def _sample(labels: np.ndarray, n_rows: int, *, seed: int) -> np.ndarray:
    """Positions of about n_rows rows: of each class its share, and not fewer than it needs."""
    if len(labels) <= n_rows:
        return np.arange(len(labels))
    dice, taken = np.random.default_rng(seed), []
    for value in np.unique(labels):
        places = np.flatnonzero(labels == value)
        wanted = max(LEAST_OF_CLASS, round(n_rows * len(places) / len(labels)))
        taken.append(dice.choice(places, min(wanted, len(places)), replace=False))
    return np.sort(np.concatenate(taken))


def _quiet(model: Pipeline) -> Pipeline:
    """Where it answers it shares the machine: one thread."""
    if "forest" in model.named_steps:
        model.set_params(forest__n_jobs=None)
    return model
