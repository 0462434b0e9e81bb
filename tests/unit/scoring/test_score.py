"""A compiled model answers like the original, one row or many, and what is no model is refused."""

import numpy as np
import pytest

from scoring import convert, features
from scoring.check import NoNumber
from scoring.originals import Original
from scoring.score import Outcome, Presenter, Scorer, ScorerError
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


def test_bytes_that_are_no_model_are_refused():
    with pytest.raises(ScorerError, match="does not load"):
        Scorer.from_onnx(b"not a model", specs.titanic())


def test_model_and_spec_that_do_not_fit_are_refused():
    data = convert.to_onnx(Original(fitted.pipeline(specs.house(), fitted.houses()), specs.house()))
    with pytest.raises(ScorerError, match="columns that the spec does not have: area"):
        Scorer.from_onnx(data, specs.titanic())
