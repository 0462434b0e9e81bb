"""Fitted models for tests: small, seeded, made from rows that the specs of `specs.py` describe."""

import json
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from scoring import convert, features
from scoring.originals import Original
from scoring.result import ChampionFiles, Job
from scoring.score import Scorer, score_of
from scoring.spec import Spec


def passengers(n_rows: int = 400, *, seed: int = 7) -> pd.DataFrame:
    """Fields of the Titanic spec with gaps, and `label`."""
    dice = np.random.default_rng(seed)
    is_female = dice.random(n_rows) < 0.4
    age = np.where(dice.random(n_rows) < 0.2, np.nan, dice.uniform(1, 80, n_rows).round(1))
    pclass = dice.integers(1, 4, n_rows)
    survived = dice.random(n_rows) < 0.15 + 0.6 * is_female - 0.05 * (pclass - 1)
    return pd.DataFrame(
        {
            "Pclass": pclass,
            "Sex": np.where(is_female, "female", "male"),
            "Age": age,
            "SibSp": dice.integers(0, 4, n_rows),
            "Parch": dice.integers(0, 3, n_rows),
            "Fare": dice.lognormal(3, 1, n_rows),
            "Embarked": [
                None if dice.random() < 0.05 else str(dice.choice(list("CQS"))) for _ in range(n_rows)
            ],
            "HasCabin": dice.random(n_rows) < 0.3,
            "Title": np.where(is_female, "Miss", "Mr"),
            "label": survived.astype(int),
        }
    )


def houses(n_rows: int = 300, *, seed: int = 7) -> pd.DataFrame:
    dice = np.random.default_rng(seed)
    rooms, area = dice.integers(1, 10, n_rows), dice.uniform(30, 300, n_rows)
    town = dice.choice(["Ávila", "Lugo"], n_rows)
    price = 1000 * area + 5000 * rooms + 20_000 * (town == "Lugo") + dice.normal(0, 3000, n_rows)
    return pd.DataFrame({"rooms": rooms, "area": area, "town": town, "label": price})


def pipeline(spec: Spec, rows: pd.DataFrame, model: Any = None, *, scaler: Any = None) -> Pipeline:
    """Preprocessing and model, fitted; a forest of 20 trees unless told otherwise."""
    numbers = [("fill", SimpleImputer(strategy="median"))] + (
        [("scale", scaler)] if scaler is not None else []
    )
    prepare = ColumnTransformer(
        [
            ("numbers", Pipeline(numbers), spec.number_columns),
            ("texts", OneHotEncoder(handle_unknown="ignore", dtype=np.float32), spec.text_columns),
        ]
    )
    forest = RandomForestClassifier if spec.task == "classification" else RandomForestRegressor
    chosen = forest(20, max_depth=8, random_state=1) if model is None else model
    return Pipeline([("prepare", prepare), ("model", chosen)]).fit(
        features.table(spec, rows), rows[spec.label_column]
    )


def scorer(spec: Spec, rows: pd.DataFrame) -> Scorer:
    return Scorer.from_onnx(convert.to_onnx(Original(pipeline(spec, rows), spec)), spec)


def job(
    folder: Path, spec: Spec, rows: pd.DataFrame, model: Any, champion: ChampionFiles | None = None
) -> Path:
    """A job's folder as the registry makes it; the first three quarters of the rows are the reference."""
    save(folder / "model", model)
    cut = len(rows) * 3 // 4
    (folder / "spec.json").write_bytes(spec.to_json())
    scores = score_of(Original(model, spec).predict(features.frame(spec, rows[:cut])))
    features.with_column(rows[:cut], spec.score_column, scores).to_parquet(folder / "reference.parquet")
    rows[cut:].to_parquet(folder / "holdout.parquet")
    (folder / "job.json").write_bytes(msgspec.json.encode(Job(champion=champion)))
    return folder


def save(folder: Path, model: Any) -> None:
    """As MLflow lays a model out; JSON is YAML too."""
    folder.mkdir(parents=True)
    flavour = {"pickled_model": "model.pkl", "serialization_format": "cloudpickle"}
    (folder / "MLmodel").write_text(json.dumps({"flavors": {"sklearn": flavour}}))
    (folder / "model.pkl").write_bytes(cloudpickle.dumps(model))
