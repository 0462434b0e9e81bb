"""Finds out which kind of missing text an original learnt from: with that one it scores as in training."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd

from scoring import features, missing
from scoring.alike import is_alike
from scoring.features import with_column
from scoring.missing import Kind, Kinds
from scoring.originals import Original
from scoring.sampling import evenly
from scoring.score import score_of

MOST_ROWS = 2_000
TRIED_ROWS = 20


def kinds_of_missing(original: Original, reference: pd.DataFrame) -> Kinds:
    """For each text field that may be missing.

    reference: raw fields with the score that training gave them. Where the column is never missing there,
    the kind of the others counts, else what the fitted parts say of themselves.
    """
    spec = original.spec
    names = [field.name for field in spec.fields if field.is_text and field.nullable]
    if not names:
        return {}
    order = missing.hinted(original.estimator)
    gaps = reference[_is_missing(reference, names).any(axis=1)]
    gaps = gaps.iloc[evenly(len(gaps), MOST_ROWS)]
    told = [name for name in names if len(gaps) and _is_missing(gaps, [name]).any(axis=None)]
    kinds: Kinds = dict.fromkeys(names, order[0])
    if told and spec.score_column in reference:
        among = reference[spec.score_column].to_numpy(np.float64)
        kinds = _by_scores(partial(_n_off, original, gaps, among), told, order)
        order = list(dict.fromkeys([*kinds.values(), *order]))
    untold = [name for name in names if name not in told]
    kinds |= {name: _that_answers(original, reference.head(TRIED_ROWS), name, order) for name in untold}
    return {name: kind for name, kind in kinds.items() if kind}


def _by_scores(n_off_with: Callable[[Kinds], float], names: Sequence[str], order: Sequence[Kind]) -> Kinds:
    """One kind for all columns if that explains every score, else the best for one column after the other."""
    n_off = {kind: n_off_with(dict.fromkeys(names, kind)) for kind in order}
    best = min(order, key=lambda kind: n_off[kind])
    kinds: Kinds = dict.fromkeys(names, best)
    if n_off[best] == 0 or len(names) == 1:
        return kinds
    for name in names:
        tried = {kind: n_off_with(kinds | {name: kind}) for kind in order}
        kinds[name] = min(order, key=lambda kind, tried=tried: tried[kind])  # type: ignore[misc]
    return kinds


def _n_off(original: Original, rows: pd.DataFrame, among: np.ndarray, kinds: Kinds) -> float:
    """How many rows score otherwise than in training; infinite where the original refuses them.

    among: the scores of the whole reference.
    """
    try:
        found = score_of(original.with_missing(kinds).predict(features.frame(original.spec, rows)))
    except Exception:  # noqa: BLE001  (models raise what they like; here it means: not this kind)
        return np.inf
    stored = rows[original.spec.score_column].to_numpy(np.float64)
    return float(np.sum(~is_alike(original.spec, found, stored, among)))


def _that_answers(original: Original, rows: pd.DataFrame, name: str, order: Sequence[Kind]) -> Kind:
    """The first kind with which rows get an answer where this column is gone."""
    columns = features.frame(original.spec, with_column(rows.astype(object), name, None))
    return next((kind for kind in order if _answers(original.with_missing({name: kind}), columns)), order[0])


def _answers(original: Original, columns: features.Columns) -> bool:
    try:
        original.predict(columns)
    except Exception:  # noqa: BLE001  (as above)
        return False
    return True


def _is_missing(rows: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    part = rows[list(names)]
    return part.isna() | (part == "")
