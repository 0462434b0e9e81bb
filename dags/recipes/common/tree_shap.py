"""SHAP values of trees, or of a linear model, behind a preparation, over the columns they see after it."""

import numpy as np
import pandas as pd
import shap
from sklearn.pipeline import Pipeline

from dags.recipes.common import evidence
from scoring import features
from scoring.spec import Spec

MAX_ROWS = 200


def summary(spec: Spec, model: Pipeline, rows: pd.DataFrame, *, seed: int) -> tuple[bytes, dict[str, float]]:
    """A PNG, and the mean absolute SHAP value of each prepared column.

    model: a pipeline of two steps, preparation and trees or a linear model. In the unit of a regression; else
    in probability (log odds, where the model is linear), of two classes the second's, of more the mean over
    all of them.
    """
    sample = rows if len(rows) <= MAX_ROWS else rows.sample(MAX_ROWS, random_state=seed)
    (_, prepare), (_, behind) = model.steps
    prepared = np.asarray(prepare.transform(features.table(spec, sample)))
    names = [name.partition("__")[2] or name for name in prepare.get_feature_names_out()]
    is_linear = hasattr(behind, "coef_")
    explainer = shap.LinearExplainer(behind, prepared) if is_linear else shap.TreeExplainer(behind)
    values = np.asarray(explainer.shap_values(prepared))
    shown = values
    if values.ndim == 3:  # rows, columns, classes
        shown = values[:, :, 1] if values.shape[2] == 2 else np.abs(values).mean(axis=2)
    importance = dict(zip(names, np.abs(shown).mean(axis=0).tolist(), strict=True))
    return evidence.shap_picture(shown, prepared, names), importance
