"""SHAP values of trees, or of a linear model, behind a preparation, over the columns they see after it."""

import numpy as np
import pandas as pd
import shap
from sklearn.pipeline import Pipeline

from dags.recipes.common import evidence
from scoring import features
from scoring.spec import Spec

MAX_ROWS = 200


def summary(
    spec: Spec,
    model: Pipeline,
    rows: pd.DataFrame,
    *,
    seed: int,
    max_rows: int = MAX_ROWS,
    is_by_column: bool = False,
) -> tuple[bytes, dict[str, float]]:
    """A PNG, and the mean absolute SHAP value of each prepared column. max_rows: that are explained.

    is_by_column: of each column of the spec instead; what one-hot columns of one field say is added up.
    model: a pipeline of two steps, preparation and trees or a linear model. In the unit of a regression; else
    in probability (log odds, where the model is linear), of two classes the second's, of more the mean over
    all of them.
    """
    sample = rows if len(rows) <= max_rows else rows.sample(max_rows, random_state=seed)
    (_, prepare), (_, behind) = model.steps
    prepared = np.asarray(prepare.transform(features.table(spec, sample)))
    names = [name.partition("__")[2] or name for name in prepare.get_feature_names_out()]
    is_linear = hasattr(behind, "coef_")
    explainer = shap.LinearExplainer(behind, prepared) if is_linear else shap.TreeExplainer(behind)
    values = np.asarray(explainer.shap_values(prepared))
    shown = values
    if values.ndim == 3:  # rows, columns, classes
        shown = values[:, :, 1] if values.shape[2] == 2 else np.abs(values).mean(axis=2)
    if is_by_column:
        owners = [_owner(name, spec.columns) for name in names]
        of_column = {column: [owner == column for owner in owners] for column in spec.columns}
        added = {column: shown[:, mask].sum(axis=1) for column, mask in of_column.items() if any(mask)}
        importance = {column: float(np.abs(values).mean()) for column, values in added.items()}
        return evidence.shap_picture(shown, prepared, names), importance
    importance = dict(zip(names, np.abs(shown).mean(axis=0).tolist(), strict=True))
    return evidence.shap_picture(shown, prepared, names), importance


def _owner(name: str, columns: list[str]) -> str:
    """The column that a prepared one was made of: itself, or the longest name before a value of it."""
    return max((column for column in columns if name == column or name.startswith(f"{column}_")), key=len)
