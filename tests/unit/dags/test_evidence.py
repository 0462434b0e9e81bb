"""What a version carries besides the model."""

import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.ensemble import RandomForestClassifier

from dags.recipes.common import evidence
from scoring import features
from scoring.drift import held_out
from scoring.drift import reference as references
from scoring.drift.judge import judge
from scoring.drift.reference import ReferenceUnusable
from scoring.drift.shapes import Limits
from scoring.originals import Original
from scoring.score import score_of
from scoring.spec_reading import read_spec
from tests.unit.scoring.fitted import pipeline

SPEC = read_spec(json.dumps({
    "task": "classification", "fields": [{"name": name, "type": "number"} for name in "xyz"],
    "output": {"labels": [{"value": 0}, {"value": 1}]}, "primary_metric": "roc_auc",
}))  # fmt: skip


def rows(n_rows: int, seed: int) -> pd.DataFrame:
    """Always the same world: the label follows x, and chance more than that."""
    dice = np.random.default_rng(seed)
    table = pd.DataFrame(dice.normal(size=(n_rows, 3)), columns=list("xyz"))
    return table.assign(label=(table["x"] + dice.normal(0, 2, n_rows) > 0).astype(int))


@pytest.fixture(scope="module")
def overfit() -> tuple[Original, bytes]:
    """A forest that knows its rows by heart, and its reference."""
    train, held = rows(800, 1), rows(400, 2)
    forest = RandomForestClassifier(50, min_samples_leaf=1, random_state=1)
    model = Original(pipeline(SPEC, train, forest), SPEC)
    return model, evidence.reference(SPEC, train, held, model, seed=1)


def window(model: Original, table: pd.DataFrame) -> dict[str, list[float]]:
    scores = score_of(model.predict(features.frame(SPEC, table)))
    return {name: table[name].tolist() for name in "xyz"} | {SPEC.score_column: scores.tolist()}


def test_scores_of_a_model_that_knows_its_rows_by_heart_do_not_drift_while_nothing_changes(overfit):
    model, reference = overfit
    of = references.read(reference, SPEC)
    scores = [judge(of, window(model, rows(200, seed)), Limits()).columns[-1] for seed in range(10, 15)]
    assert [(score.is_score, score.verdict) for score in scores] == [(True, "stable")] * 5
    assert (of.n, of.columns[-1].n_present) == (800, 400)


def test_scores_drift_where_the_world_moved(overfit):
    model, reference = overfit
    moved = rows(200, 20).assign(x=3.0)
    (score,) = [
        column
        for column in judge(references.read(reference, SPEC), window(model, moved), Limits()).columns
        if column.is_score
    ]
    assert score.verdict == "drifted"


def test_the_score_beside_a_reference_row_is_that_of_the_row(overfit):
    model, reference = overfit
    table = pd.read_parquet(io.BytesIO(reference))
    again = score_of(model.predict(features.frame(SPEC, table)))
    assert np.allclose(table[SPEC.score_column], again, rtol=0, atol=1e-12)


def test_a_reference_without_scores_of_rows_held_out_is_compared_by_its_own():
    table = rows(300, 3).assign(**{SPEC.score_column: 0.25})
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pandas(table), buffer)
    score = references.read(buffer.getvalue().to_pybytes(), SPEC).columns[-1]
    assert (score.values, score.counts) == ([0.25], [300])


MANY = b"[" + b"1," * 20_000 + b"1]"
LONG = b"[1" + b" " * 2**20 + b"]"


@pytest.mark.parametrize("told", [b"[]", b"[1, null]", b'["a"]', b"{", b"[1e999]", MANY, LONG])
def test_scores_of_rows_held_out_that_are_no_numbers_are_said(told):
    table = pa.Table.from_pandas(rows(50, 3).assign(**{SPEC.score_column: 0.25}))
    buffer = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({held_out.KEY: told}), buffer)
    with pytest.raises(ReferenceUnusable, match="scores of rows held out"):
        references.read(buffer.getvalue().to_pybytes(), SPEC)


def frozen() -> pa.Table:
    return pa.Table.from_pandas(rows(50, 3).assign(**{SPEC.score_column: 0.25}))


def test_scores_of_rows_held_out_that_are_not_finite_are_left_out():
    """JSON would have null for them, and the version no drift for ever."""
    buffer = pa.BufferOutputStream()
    pq.write_table(held_out.noted(frozen(), np.asarray([0.5, np.nan, 0.75, np.inf])), buffer)
    score = references.read(buffer.getvalue().to_pybytes(), SPEC).columns[-1]
    assert (score.values, score.counts) == ([0.5, 0.75], [1, 1])


def test_as_many_scores_of_rows_held_out_as_may_be_are_read():
    """With all their digits."""
    buffer = pa.BufferOutputStream()
    scores = -np.random.default_rng(1).uniform(1e-300, 9e-300, 20_000)
    pq.write_table(held_out.noted(frozen(), scores), buffer)
    assert held_out.scores(pq.ParquetFile(buffer.getvalue())) == scores.tolist()


@pytest.mark.parametrize("scores", [np.full(3, np.nan), np.zeros(20_001)])
def test_scores_of_rows_held_out_that_cannot_be_kept_are_refused_at_training(scores):
    with pytest.raises(ValueError, match="scores of rows held out"):
        held_out.noted(frozen(), scores)
