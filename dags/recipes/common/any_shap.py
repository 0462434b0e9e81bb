"""SHAP values of any classifier over its raw fields, by permutation: on few rows, for it asks much."""

import numpy as np
import pandas as pd
import shap
from sklearn.pipeline import Pipeline

from dags.recipes.common import evidence
from scoring import features
from scoring.spec import Spec

N_ROWS = 15
N_BACKGROUND = 10


def summary(spec: Spec, model: Pipeline, rows: pd.DataFrame, *, seed: int) -> tuple[bytes, dict[str, float]]:
    """A PNG, and the mean absolute SHAP value of each column of the spec.

    In probability: of two classes the second's, of more the mean over all of them.
    """
    table = features.table(spec, rows)
    words = {name: sorted(set(table[name])) for name in spec.text_columns}
    codes = table.copy()
    for name, known in words.items():  # the explainer reckons with numbers
        codes[name] = table[name].map({word: code for code, word in enumerate(known)})
    dice = np.random.default_rng(seed)
    drawn = dice.permutation(len(codes))
    background = codes.iloc[drawn[:N_BACKGROUND]].to_numpy(np.float64)
    shown = codes.iloc[drawn[-N_ROWS:]].to_numpy(np.float64)

    def answer(values: np.ndarray) -> np.ndarray:
        asked = pd.DataFrame(values, columns=spec.columns)
        for name in spec.columns:
            known = words.get(name)
            asked[name] = (
                asked[name].astype(np.float32)
                if known is None
                else [known[int(code)] for code in asked[name]]
            )
        return np.asarray(model.predict_proba(asked))

    masker = shap.maskers.Independent(background, max_samples=N_BACKGROUND)
    explainer = shap.explainers.Permutation(answer, masker, seed=seed)
    values = explainer(shown, max_evals=2 * len(spec.columns) + 1, silent=True).values
    one = values[:, :, 1] if values.shape[2] == 2 else np.abs(values).mean(axis=2)
    importance = dict(zip(spec.columns, np.abs(one).mean(axis=0).tolist(), strict=True))
    return evidence.shap_picture(one, shown, spec.columns), importance
