"""Missing text: an original gets the kind that it learnt from, and what is served answers as it does."""

import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder

from scoring import features, learning, missing, self_test
from scoring.compile import compile_version
from scoring.originals import Original
from tests.unit.scoring import fitted
from tests.unit.scoring.gaps import fit, reference_of, rows_of, spec_of


def job(folder, spec, rows, model, kinds):
    fitted.job(folder, spec, rows, model)
    reference_of(model, spec, rows[:450], kinds).to_parquet(folder / "reference.parquet")
    return folder


@pytest.mark.parametrize("kind", missing.KINDS)
def test_the_kind_is_the_one_that_gives_the_scores_of_training(kind):
    spec = spec_of("colour")
    rows = rows_of(spec)
    model = fit(spec, rows, {"colour": kind})
    found = learning.kinds_of_missing(
        Original(model, spec), reference_of(model, spec, rows, {"colour": kind})
    )
    assert found == ({"colour": kind} if kind else {})


def test_each_column_has_a_kind_of_its_own():
    spec = spec_of("colour", "shape", "make")
    kinds = {"colour": "none", "shape": "nan", "make": ""}
    rows = rows_of(spec)
    model = fit(spec, rows, kinds)
    found = learning.kinds_of_missing(Original(model, spec), reference_of(model, spec, rows, kinds))
    assert found == {"colour": "none", "shape": "nan"}


@pytest.mark.parametrize("kind", ["none", "nan"])
def test_a_column_that_is_never_missing_in_the_reference_follows_what_the_model_says(kind):
    spec = spec_of("colour")
    rows = rows_of(spec)
    model = fit(spec, rows, {"colour": kind})
    full = reference_of(model, spec, rows, {"colour": kind}).dropna()
    assert len(full) > 100
    assert learning.kinds_of_missing(Original(model, spec), full) == {"colour": kind}


def test_a_column_that_is_never_missing_in_the_reference_follows_the_others():
    spec = spec_of("colour", "shape")
    rows = rows_of(spec)
    strict = FunctionTransformer(lambda table: table.isna().astype(float))  # says nothing of what it learnt
    kinds = {"colour": "nan", "shape": "nan"}
    model = fit(spec, rows, kinds, colour=strict, shape=strict)
    reference = reference_of(model, spec, rows, kinds)
    reference = reference[reference["shape"].notna()]
    found = learning.kinds_of_missing(Original(model, spec), reference)
    assert set(found) == {"colour", "shape"}


def test_without_any_hint_missing_text_is_empty():
    spec = spec_of("colour")
    rows = rows_of(spec, gaps=0)
    model = fit(spec, rows, {"colour": ""})
    reference = reference_of(model, spec, rows, {"colour": ""})
    assert learning.kinds_of_missing(Original(model, spec), reference) == {}


def test_a_kind_that_the_model_refuses_is_not_chosen():
    spec = spec_of("colour")
    rows = rows_of(spec)
    strict = Pipeline(
        [("fill", SimpleImputer(missing_values=None, strategy="most_frequent")), ("code", OrdinalEncoder())]
    )
    kinds = {"colour": "none"}
    model = fit(spec, rows, kinds, colour=strict)
    reference = reference_of(model, spec, rows, kinds)
    assert learning.kinds_of_missing(Original(model, spec), reference) == kinds
    assert learning.kinds_of_missing(Original(model, spec), reference.dropna()) == kinds


@pytest.mark.parametrize("kind", ["none", "nan"])
def test_a_pipeline_that_learnt_from_missing_text_is_served_by_the_runner_with_its_own_kind(tmp_path, kind):
    spec = spec_of("colour")
    rows = rows_of(spec)
    model = fit(spec, rows, {"colour": kind})
    result = compile_version(job(tmp_path, spec, rows, model, {"colour": kind}))
    assert result.serve_as == "runner", result.reason
    assert result.missing_as == {"colour": kind}
    assert result.self_test == ""
    assert "where colour is missing" in result.reason or "does not convert" in result.reason
    assert result.candidate.metrics["accuracy"] == 1.0
    missing.write(tmp_path, result.missing_as)
    served = Original.load(tmp_path / "model", spec)
    answer = served.predict(
        features.frame(spec, [{"colour": None, "size": 0.5}, {"colour": "a", "size": 0.5}])
    )
    assert answer.values.tolist() == [1, 0]
    assert answer.probabilities[0, 1] > 0.99


def test_a_pipeline_that_learnt_from_empty_text_is_compiled(tmp_path):
    spec = spec_of("colour")
    rows = rows_of(spec)
    model = fit(spec, rows, {"colour": ""})
    result = compile_version(job(tmp_path, spec, rows, model, {"colour": ""}))
    assert (result.serve_as, result.missing_as, result.self_test) == ("onnx", {}, "")
    assert result.candidate.metrics["accuracy"] == 1.0


def test_a_column_that_the_reference_lacks_gaps_in_is_compared_with_gaps(tmp_path):
    """The gate compared two equal mistakes: both were served with empty text."""
    spec = spec_of("colour")
    rows = rows_of(spec)
    model = fit(spec, rows, {"colour": "none"})
    full = reference_of(model, spec, rows, {"colour": "none"}).dropna()
    fitted.job(tmp_path, spec, rows, model)
    full.to_parquet(tmp_path / "reference.parquet")
    result = compile_version(tmp_path)
    assert (result.serve_as, result.missing_as) == ("runner", {"colour": "none"})


def test_values_that_no_row_has_are_compared(tmp_path):
    spec = spec_of("colour", nullable=False, required=True)
    rows = rows_of(spec, gaps=0)
    result = compile_version(job(tmp_path, spec, rows, fit(spec, rows, {"colour": ""}), {"colour": ""}))
    assert result.serve_as == "onnx"
    assert result.parity.rows == 450 + 200


def test_an_original_that_refuses_new_values_which_its_spec_allows_is_for_a_person(tmp_path):
    spec = spec_of("colour", nullable=False, required=True)
    rows = rows_of(spec, gaps=0)
    model = fit(spec, rows, {"colour": ""}, colour=OneHotEncoder())
    result = compile_version(job(tmp_path, spec, rows, model, {"colour": ""}))
    assert result.serve_as == "runner"
    assert "The original refuses rows where colour is not as in the reference (ValueError" in result.reason


def test_a_reference_that_is_scored_otherwise_is_told_by_the_gate(tmp_path):
    spec = spec_of("colour")
    rows = rows_of(spec)
    model = fit(spec, rows, {"colour": ""})
    job(tmp_path, spec, rows, model, {"colour": ""})
    reference = pd.read_parquet(tmp_path / "reference.parquet")
    reference.assign(score=reference["label"].astype(float) * 0.5).to_parquet(tmp_path / "reference.parquet")
    result = compile_version(tmp_path)
    assert result.self_test.startswith("it scores its own reference rows differently, by up to 0.49")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.head(0), "its reference has no rows"),
        (lambda rows: rows.drop(columns="score"), "its reference cannot be read"),
        (lambda rows: rows.assign(score=None), "a score that is no number"),
        (lambda rows: rows.assign(score="high"), "a score that is no number"),
        (lambda rows: rows.assign(size="much"), "its spec refuses a row of its own reference: size must be"),
    ],
)
def test_a_reference_that_serving_cannot_use_is_told(tmp_path, change, words):
    spec = spec_of("colour")
    rows = rows_of(spec)
    model = fit(spec, rows, {"colour": ""})
    path = tmp_path / "reference.parquet"
    change(reference_of(model, spec, rows, {"colour": ""})).to_parquet(path)
    with pytest.raises(self_test.SelfTestError, match=words):
        self_test.sample(path.read_bytes(), spec)
