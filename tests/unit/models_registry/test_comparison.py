"""What is best, in which order metrics stand, and how counts are written."""

import pytest

from models_registry import gateway
from models_registry.comparison import best_of, better, columns, compare, headers, ordered
from models_registry.mlflow_types import RunInfo
from models_registry.models import MlflowRun, ModelVersion
from models_registry.templatetags.registry import logged


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("accuracy", "higher"),
        ("holdout_accuracy", "higher"),
        ("cv_accuracy", "higher"),
        ("cv_accuracy_mean", "higher"),
        ("cv_mean_accuracy", "higher"),
        ("val_f1", "higher"),
        ("holdout_macro_f1", "higher"),
        ("roc_auc", "higher"),
        ("test_r2", "higher"),
        ("holdout_rmse", "lower"),
        ("mean_absolute_error", "lower"),
        ("val_loss", "lower"),
        ("log_loss", "lower"),
        ("contrastive_loss", "lower"),
        ("cv_accuracy_std", "lower"),
        ("cv_accuracy_mean_std", "lower"),
        ("holdout_rows", None),
        ("fit_seconds", None),
        ("baseline_accuracy", None),
        ("baseline_rmse", None),
        ("lossless_share", None),
        ("accuracy_gap", None),
        ("temperature", None),
        ("1", None),
    ],
)
def test_better_is_said_only_by_the_rule(name, direction):
    assert better(name) == direction


def test_the_larger_spread_is_not_best():
    assert best_of("cv_accuracy_std", [0.01, 0.03]) == 0.01
    assert best_of("temperature", [0.01, 0.03]) is None


def test_nothing_is_best_among_equals_and_words():
    assert best_of("accuracy", [0.9, 0.9]) is None
    assert best_of("accuracy", ["NaN", 0.9, None]) is None


def test_an_infinity_is_no_number_though_mlflow_s_store_makes_it_one():
    largest = 1.7976931348623157e308
    values = {"a": largest, "b": -largest, "c": 0.5, "d": "NaN"}
    info = {"run_id": "r", "experiment_id": "1"}
    metrics = [{"key": key, "value": value} for key, value in values.items()]
    run = RunInfo.from_answer({"info": info, "data": {"metrics": metrics}})
    assert run.metrics == {"a": "Infinity", "b": "-Infinity", "c": 0.5, "d": "NaN"}
    assert [gateway._is_finite({"value": value}) for value in values.values()] == [False, False, True, False]
    assert best_of("accuracy", [0.9, 0.8, largest]) == 0.9, "rows of ended runs are not read again"


def test_the_primary_metric_comes_first_and_the_baseline_last():
    names = [
        "baseline_accuracy",
        "cv_accuracy_std",
        "a",
        "holdout_rows",
        "holdout_log_loss",
        "holdout_accuracy",
    ]
    assert ordered(names, {"accuracy"}) == [
        "holdout_accuracy", "holdout_log_loss", "holdout_rows", "a", "cv_accuracy_std", "baseline_accuracy"
    ]  # fmt: skip


def test_the_table_opens_without_the_baseline():
    metrics = dict.fromkeys([f"baseline_{n}" for n in "abcd"] + ["holdout_accuracy", "z"], 0.5)
    runs = [MlflowRun(metrics=metrics, params={})]
    assert columns(runs)["metrics"] == ["holdout_accuracy", "z"]
    assert columns(runs)["n_hidden"] == 4
    assert columns(runs, everything=True)["metrics"][-1] == "baseline_d"


def test_a_metric_that_most_runs_have_goes_before_a_rare_one():
    runs = [MlflowRun(metrics={"common": 1.0}), MlflowRun(metrics={"common": 1.0, "a_rare": 1.0})]
    assert columns(runs)["metrics"] == ["common", "a_rare"]
    assert compare(runs)[0]["rows"][0]["name"] == "a_rare"


@pytest.mark.parametrize(
    ("value", "name", "shown"),
    [
        (164.0, "holdout_rows", "164"),
        (1.0, "n_estimators", "1"),
        (0.0, "skipped_count", "0"),
        (40_000_000.0, "train_rows", "40\u202f000\u202f000"),
        (1.0, "holdout_accuracy", "1.000"),
        (0.5, "holdout_rows", "0.5000"),
        (12.0, "best_iteration", "12"),
        (1e300, "loss", "1.000\u00a0×\u00a010³⁰⁰"),
        ("NaN", "loss", "NaN"),
        (None, "loss", "–"),
    ],
)
def test_counts_have_no_decimals(value, name, shown):
    assert logged(value, name) == shown


def test_columns_are_headed_by_versions():
    runs = [MlflowRun(run_id="a"), MlflowRun(run_id="b")]
    versions = {"a": [ModelVersion(model_id=1, version=3)]}
    assert [head["versions"] for head in headers(runs, versions)] == ["v3", ""]
