"""What counts as the same answer of a regression, whatever its unit; with real models of many sizes."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from scoring import convert, features, self_test
from scoring.alike import Scale, is_alike
from scoring.compile import compile_version
from scoring.score import Outcome
from scoring.spec_reading import read_spec
from tests.unit.scoring import fitted, specs

NUMBERS = [{"name": name, "type": "number"} for name in "abc"]
SPEC = read_spec(
    json.dumps({"task": "regression", "fields": NUMBERS, "primary_metric": "mae", "output": {"unit": "m"}})
)
N_ROWS = 400
DRAWN = np.random.default_rng(5).normal(size=(N_ROWS, 4)).round(4)
SIGNAL = DRAWN @ [0.7, -0.4, 0.2, 0.5]

TARGETS = {
    "millionths": SIGNAL * 1e-6,
    "ones": SIGNAL,
    "millions": SIGNAL * 1e6,
    "a constant": np.full(N_ROWS, 5.0),
    "zero": np.zeros(N_ROWS),
    "a price": 1e6 + 1e5 * SIGNAL,
    "a year": 2000 + 10 * SIGNAL,
    "a million and a bit": 1e6 + SIGNAL,
}


def trained(target, model, scaler="passthrough"):
    rows = pd.DataFrame(DRAWN[:, :3], columns=list("abc")).assign(label=target)
    prepare = ColumnTransformer([("numbers", scaler, list("abc"))])
    return rows, Pipeline([("prepare", prepare), ("model", model)]).fit(
        features.table(SPEC, rows), rows["label"]
    )


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "model",
    [LinearRegression(), RandomForestRegressor(60, max_depth=8, random_state=1)],
    ids=["line", "forest"],
)
def test_an_honest_model_passes_whatever_its_unit(tmp_path, target, model):
    rows, fit = trained(TARGETS[target], model)
    result = compile_version(fitted.job(tmp_path, SPEC, rows, fit))
    assert result.self_test == ""
    # float32 has sixteenths at a million: too coarse for sums of values that differ by ones
    is_too_fine = target == "a million and a bit" and isinstance(model, RandomForestRegressor)
    assert result.serve_as == ("runner" if is_too_fine else "onnx"), result.reason


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_trees_behind_a_scaler_are_noticed_in_any_unit(tmp_path, unit):
    """ONNX scales in float32: of thresholds between close neighbours some are passed on the other side."""
    rows, _fit = trained(SIGNAL * unit, LinearRegression())
    rows = rows.assign(**{name: (rows[name] + 1000).astype(np.float32) for name in "abc"})
    prepare = ColumnTransformer([("numbers", StandardScaler(), list("abc"))])
    forest = RandomForestRegressor(60, random_state=1)
    fit = Pipeline([("prepare", prepare), ("model", forest)]).fit(features.table(SPEC, rows), rows["label"])
    result = compile_version(fitted.job(tmp_path, SPEC, rows, fit))
    assert result.serve_as == "runner"
    assert result.parity.max_difference > 1e-4


class Answers:
    """A model that answers so, whatever it is asked."""

    spec = SPEC

    def __init__(self, *values):
        self._values = np.array(values)

    def predict(self, _columns):
        return Outcome(self._values, None)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_other_answers_are_other_answers_in_any_unit(unit):
    right, wrong = np.array([1.0, 2.0, 3.0]) * unit, np.array([9.0, 8.0, 1.0]) * unit
    parity = convert.compare(Answers(*right), Answers(*wrong), [("", {})], Scale.of(right))
    assert not parity.holds
    assert parity.max_difference == pytest.approx(8)  # 1 for 9: by 8 of its own size, which is over a spread
    assert not is_alike(SPEC, wrong, right, among=right).any()
    row = dict.fromkeys("abc", 0.0)
    with pytest.raises(self_test.SelfTestError, match="scores its own reference rows differently"):
        self_test.check(Answers(*wrong).predict, SPEC, self_test.Sample([row] * 3, right.tolist()))


def test_a_value_is_measured_by_its_size_within_one_and_a_hundred_spreads():
    scale = Scale.of([-1.0, 1.0, np.nan, np.inf])
    assert scale == (1.0, 1.0)
    assert scale.at(np.array([0.0, -0.5, 30.0, 1e6])).tolist() == [1.0, 1.0, 30.0, 100.0]


@pytest.mark.parametrize(("scores", "size"), [([5.0, 5.0], 5.0), ([5.0, 5.0 + 1e-12], 5.0), ([-2.0], 2.0)])
def test_scores_that_are_all_the_same_are_measured_by_their_size(scores, size):
    assert Scale.of(scores).at(np.array([0.0])).tolist() == pytest.approx([size])


def test_a_score_stored_as_float32_is_the_same_score():
    scores = 1e6 + SIGNAL
    assert is_alike(SPEC, scores, scores.astype(np.float32).astype(np.float64), among=scores).all()
    assert not is_alike(SPEC, scores + 1, scores, among=scores).any()


def test_probabilities_are_compared_as_they_are():
    found, stored = np.array([0.0002, 0.5, 0.5]), np.array([0.0, 0.5009, 0.52])
    assert is_alike(specs.titanic(), found, stored, among=stored).tolist() == [True, True, False]
