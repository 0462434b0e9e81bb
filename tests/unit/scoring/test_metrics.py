"""Metrics against scikit-learn, which worked them out differently."""

import numpy as np
import pytest
from sklearn import metrics as sk

from scoring import features, metrics
from scoring.metrics import Measured
from scoring.score import Outcome
from tests.unit.scoring import fitted, specs

DICE = np.random.default_rng(3)


def classification(n_rows: int, n_classes: int) -> tuple[np.ndarray, Outcome]:
    shares = DICE.dirichlet(np.ones(n_classes), n_rows).round(2)  # ties on purpose
    shares /= shares.sum(axis=1, keepdims=True)
    return DICE.integers(0, n_classes, n_rows), Outcome(shares.argmax(axis=1), shares)


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_classification_metrics_are_scikit_learn_s(n_classes):
    spec = specs.titanic(output={"labels": [{"value": n} for n in range(n_classes)]})
    truth, outcome = classification(500, n_classes)
    found = metrics.evaluate(spec, truth, outcome)
    expected = {
        "accuracy": sk.accuracy_score(truth, outcome.values),
        "macro_f1": sk.f1_score(truth, outcome.values, average="macro"),
        "log_loss": sk.log_loss(
            truth, np.clip(outcome.probabilities, metrics.MIN_SHARE, 1), labels=range(n_classes)
        ),
    }
    if n_classes == 2:
        expected["roc_auc"] = sk.roc_auc_score(truth, outcome.probabilities[:, 1])
    assert found == pytest.approx(expected, rel=1e-9)


def test_regression_metrics_are_scikit_learn_s():
    truth, predicted = DICE.normal(size=200), DICE.normal(size=200)
    assert metrics.evaluate(specs.house(), truth, Outcome(predicted, None)) == pytest.approx(
        {
            "mae": sk.mean_absolute_error(truth, predicted),
            "rmse": sk.root_mean_squared_error(truth, predicted),
            "r2": sk.r2_score(truth, predicted),
        }
    )


def test_metric_that_these_rows_do_not_define_is_left_out():
    found = metrics.evaluate(
        specs.titanic(), [1, 1], Outcome(np.array([1, 0]), np.array([[0.2, 0.8], [0.6, 0.4]]))
    )
    assert set(found) == {"accuracy", "macro_f1", "log_loss"}
    assert set(metrics.evaluate(specs.house(), [3.0], Outcome(np.array([2.0]), None))) == {"mae", "rmse"}


def test_baselines_worked_by_hand():
    trivial = metrics.baseline(specs.titanic(), [0, 1, 0, 0], 2)
    assert trivial.values.tolist() == [0, 0]
    assert trivial.probabilities.tolist() == [[0.75, 0.25]] * 2
    assert metrics.baseline(specs.house(), [1.0, 2.0, 6.0], 2).values.tolist() == [3.0, 3.0]


def test_slices_hold_the_metrics_of_their_rows():
    spec, rows = specs.titanic(), fitted.passengers(100)
    rows.loc[0, "Sex"] = None
    columns = features.frame(spec, rows)
    keys = metrics.slice_keys(spec, columns)
    assert set(keys["Pclass"]) == {"1", "2", "3"}
    assert keys["Sex"][0] == metrics.MISSING
    outcome = Outcome(np.ones(100, dtype=int), np.tile([0.4, 0.6], (100, 1)))
    found = metrics.by_slice(spec, rows["label"].to_numpy(), outcome, keys)
    of_women = rows[rows["Sex"] == "female"]
    assert found["Sex"]["female"]["n"] == len(of_women)
    assert found["Sex"]["female"]["accuracy"] == pytest.approx(of_women["label"].mean())
    assert sum(part["n"] for part in found["Pclass"].values()) == 100


def test_label_outside_the_spec_is_named():
    with pytest.raises(ValueError, match="2 is not among the labels"):
        Measured.of(specs.titanic(), [0, 2], Outcome(np.array([0, 1]), None))
