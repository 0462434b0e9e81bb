"""A compiled model answers like the original, one row or many, and what is no model is refused."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnxruntime.capi import onnxruntime_pybind11_state as onnx_errors

from scoring import convert, features
from scoring.check import NoNumber
from scoring.originals import Original
from scoring.score import ModelFailure, Outcome, Presenter, Scorer, ScorerError, ScoringUnavailable
from tests.unit.scoring import fitted, specs


def test_scores_of_a_classifier_are_the_original_s():
    spec, rows = specs.titanic(), fitted.passengers()
    model = fitted.pipeline(spec, rows)
    scorer = Scorer.from_onnx(convert.to_onnx(Original(model, spec)), spec)
    expected = model.predict_proba(features.table(spec, rows))
    scores = scorer.score(features.frame(spec, rows))
    assert scores.values == expected.argmax(axis=1).tolist()
    assert set(scores.labels) == {"Did not survive", "Survived"}
    found = np.array([[shares["0"], shares["1"]] for shares in scores.probabilities])
    np.testing.assert_allclose(found, expected, atol=2e-6)  # rounded to 6 places


def test_rows_score_alike_alone_and_together():
    spec, rows = specs.titanic(), fitted.passengers(60)
    scorer = fitted.scorer(spec, rows)
    dicts = rows.astype(object).where(rows.notna(), None).to_dict("records")
    together = scorer.score_rows(dicts)
    alone = [scorer.score_rows([row]) for row in dicts]
    assert together.values == [scores.values[0] for scores in alone]
    assert together.probabilities == [scores.probabilities[0] for scores in alone]


def test_regression_has_values_alone():
    spec, rows = specs.house(), fitted.houses()
    model = fitted.pipeline(spec, rows)
    scorer = Scorer.from_onnx(convert.to_onnx(Original(model, spec)), spec)
    scores = scorer.score(features.frame(spec, rows))
    np.testing.assert_allclose(scores.values, model.predict(features.table(spec, rows)), rtol=1e-6)
    assert set(scores.labels) == set(scores.probabilities) == {None}


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_rows_that_have_no_number_are_named(number):
    with pytest.raises(NoNumber, match="answers 2 rows with no number") as told:
        Presenter(specs.house()).scores(Outcome(np.array([number, 1.0, number]), None))
    assert [error["row"] for error in told.value.errors] == [0, 2]
    shares = np.array([[0.5, 0.5], [number, 0.5]])
    with pytest.raises(NoNumber) as told:
        Presenter(specs.titanic()).scores(Outcome(np.array([0, 1]), shares))
    assert [error["row"] for error in told.value.errors] == [1]


def test_value_that_training_never_saw_is_scored():
    spec, rows = specs.house(), fitted.houses()
    scores = fitted.scorer(spec, rows).score_rows([{"rooms": 3, "area": 100.0, "town": "Soria"}])
    assert np.isfinite(scores.values[0])


def test_text_classes_keep_their_values():
    labels = [{"value": "no"}, {"value": "yes", "label": "Survived"}]
    spec = specs.titanic(output={"labels": labels})
    rows = fitted.passengers().assign(label=lambda t: np.where(t["label"] == 1, "yes", "no"))
    scores = fitted.scorer(spec, rows).score(features.frame(spec, rows))
    assert set(zip(scores.values, scores.labels, strict=True)) == {("no", "no"), ("yes", "Survived")}


def expanding() -> Scorer:
    """Answers with as many numbers as its only row says."""
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Reshape", ["area", "minus"], ["flat"]),
        helper.make_node("Cast", ["flat"], ["shape"], to=TensorProto.INT64),
        helper.make_node("Expand", ["one", "shape"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "expanding",
        [value("area", TensorProto.FLOAT, [None, 1])],
        [value("y", TensorProto.FLOAT, [None])],
        [
            helper.make_tensor("minus", TensorProto.INT64, [1], [-1]),
            helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return Scorer.from_onnx(model.SerializeToString(), specs.house())


def test_memory_that_the_machine_lacks_is_no_fault_of_the_rows():
    scorer = expanding()
    assert scorer.predict({"area": np.array([3], np.float32)}).values.tolist() == [1, 1, 1]
    with pytest.raises(ScoringUnavailable, match=r"memory|bad_alloc"):
        scorer.predict({"area": np.array([2.0**45], np.float32)})  # 128 TiB
    with pytest.raises(ModelFailure, match=r"Size\(\) must be >= 0"):
        scorer.predict({"area": np.array([-5], np.float32)})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), ScoringUnavailable),
        (onnx_errors.EngineError("no engine"), ScoringUnavailable),
        (OSError("Too many open files"), ScoringUnavailable),
        (onnx_errors.InvalidArgument("indices element out of data bounds"), ModelFailure),
    ],
)
def test_faults_of_the_machine_are_told_from_those_of_the_rows(error, kind):
    class Broken:
        def run(self, *_args):
            raise error

    scorer = expanding()
    scorer._session = Broken()
    with pytest.raises(kind, match=type(error).__name__):
        scorer.predict({"area": np.array([1], np.float32)})


def test_bytes_that_are_no_model_are_refused():
    with pytest.raises(ScorerError, match="does not load"):
        Scorer.from_onnx(b"not a model", specs.titanic())


def test_model_and_spec_that_do_not_fit_are_refused():
    data = convert.to_onnx(Original(fitted.pipeline(specs.house(), fitted.houses()), specs.house()))
    with pytest.raises(ScorerError, match="columns that the spec does not have: area"):
        Scorer.from_onnx(data, specs.titanic())
