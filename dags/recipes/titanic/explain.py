"""SHAP values of the forest, over the columns it sees after preparation."""

import numpy as np
import pandas as pd
import shap
from sklearn.pipeline import Pipeline

from dags.recipes.common import evidence
from scoring import features
from scoring.spec import Spec

MAX_ROWS = 200


def summary(spec: Spec, model: Pipeline, rows: pd.DataFrame, *, seed: int) -> tuple[bytes, dict[str, float]]:
    """A PNG, and the mean absolute SHAP value of each prepared column, in probability of survival."""
    sample = rows if len(rows) <= MAX_ROWS else rows.sample(MAX_ROWS, random_state=seed)
    prepare, forest = model.named_steps["prepare"], model.named_steps["forest"]
    prepared = np.asarray(prepare.transform(features.table(spec, sample)))
    names = [name.partition("__")[2] for name in prepare.get_feature_names_out()]
    values = np.asarray(shap.TreeExplainer(forest).shap_values(prepared))[:, :, 1]
    importance = dict(zip(names, np.abs(values).mean(axis=0).tolist(), strict=True))
    return evidence.shap_picture(values, prepared, names), importance
