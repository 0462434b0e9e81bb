"""A reference of generated passengers, and windows of them."""

import io
from typing import Any

import numpy as np
import pandas as pd

from dags.recipes.titanic import data, features
from scoring.drift import reference as references
from scoring.drift.judge import judge
from scoring.drift.shapes import ColumnJudgement, Judgement, Limits

PASSENGERS = features.fields(data.read(data.generate(42))).drop(columns="PassengerId")
SPEC = features.spec(PASSENGERS)
NAMES = [field.name for field in SPEC.fields]
LIMITS = Limits()
SCORE = SPEC.score_column


def scored(table: pd.DataFrame) -> pd.DataFrame:
    """With a score of two digits and more that follows sex, class and age."""
    age = table["Age"].astype("float64").fillna(30.0)
    logit = 1.5 * (table["Sex"] == "female") - 0.8 * table["Pclass"] - 0.02 * age + 1.2
    return table.assign(**{SCORE: 1 / (1 + np.exp(-logit.astype("float64")))})


def parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer)
    return buffer.getvalue()


REFERENCE_FILE = parquet(scored(PASSENGERS))
REFERENCE = references.read(REFERENCE_FILE, SPEC)


def drawn(n_rows: int, *, seed: int) -> pd.DataFrame:
    """Rows of the reference, with replacement."""
    return PASSENGERS.sample(n_rows, replace=True, random_state=seed).reset_index(drop=True)


def window(table: pd.DataFrame) -> dict[str, list[Any]]:
    """Columns as recorded predictions give them: None for missing."""
    whole = scored(table)
    return {
        name: whole[name].astype(object).where(whole[name].notna(), None).tolist() for name in (*NAMES, SCORE)
    }


def judged(table: pd.DataFrame, limits: Limits = LIMITS) -> Judgement:
    return judge(REFERENCE, window(table), limits)


def column(judgement: Judgement, name: str) -> ColumnJudgement:
    return next(one for one in judgement.columns if one.name == name)


def drifted(judgement: Judgement) -> set[str]:
    return {one.name for one in judgement.columns if one.verdict == "drifted"}
