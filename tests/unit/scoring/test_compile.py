"""Compiling: what is served compiled, what falls to the runner, and what is refused with a sentence."""

import hashlib
import json
import shutil

import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from scoring import compile as compiling
from scoring import features, gate, sandbox
from scoring.compile import CompileError, compile_version
from scoring.result import ChampionFiles, read_result
from scoring.score import Outcome, Scorer
from scoring.spec_reading import read_spec
from tests.unit.scoring import fitted, specs


def test_forest_is_compiled_in_the_sandbox(tmp_path):
    spec, rows = specs.titanic(), fitted.passengers()
    folder = fitted.job(tmp_path, spec, rows, fitted.pipeline(spec, rows))
    finished = sandbox.run(["scoring.compile", str(folder)], cwd=folder, timeout_s=120)
    assert finished.returncode == 0, finished.stderr
    result = read_result(folder)
    assert result.serve_as == "onnx"
    assert result.parity.max_difference <= 1e-6
    assert result.parity.labels_different == 0
    assert result.sha256 == hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    assert result.holdout_rows == len(result.truth) == 100
    assert result.candidate.metrics["accuracy"] > result.baseline.metrics["accuracy"]
    assert set(result.candidate.slices) == {"Sex", "Pclass"}
    assert 0 < result.latency_p50_ms <= result.latency_p99_ms
    assert Scorer.from_onnx((folder / "model.onnx").read_bytes(), spec)


@pytest.mark.parametrize(
    ("model", "scaler"),
    [
        (GradientBoostingClassifier(n_estimators=20, random_state=1), None),
        (LogisticRegression(), StandardScaler()),
    ],
)
def test_other_models_are_compiled_too(tmp_path, model, scaler):
    spec, rows = specs.titanic(), fitted.passengers()
    pipeline = fitted.pipeline(spec, rows, model, scaler=scaler)
    result = compile_version(fitted.job(tmp_path, spec, rows, pipeline))
    assert result.serve_as == "onnx"
    assert result.parity.max_difference <= 1e-6


def test_the_same_model_has_the_same_bytes(tmp_path):
    """Or a second gate would find other files than the first one judged."""
    spec, rows = specs.titanic(), fitted.passengers()
    folder = fitted.job(tmp_path, spec, rows, fitted.pipeline(spec, rows))
    compile_version(folder)
    opsets = onnx.load(folder / "model.onnx").opset_import
    assert [opset.domain for opset in opsets] == ["", "ai.onnx.ml"]  # not as a set of them happens to be


def test_regression_is_compiled(tmp_path):
    spec, rows = specs.house(), fitted.houses()
    result = compile_version(fitted.job(tmp_path, spec, rows, fitted.pipeline(spec, rows)))
    assert result.serve_as == "onnx"
    assert result.candidate.probabilities is None
    assert result.candidate.metrics["mae"] < result.baseline.metrics["mae"]


def spec_of_numbers(task):
    plain = specs.house_plain(slices=[], derived=[{"name": "both", "expression": "area * rooms"}])
    plain["fields"] = plain["fields"][:2]
    if task == "classification":
        labels = [{"value": 0}, {"value": 1}]
        plain |= {"task": task, "primary_metric": "accuracy", "output": {"labels": labels}}
    return read_spec(json.dumps(plain))


@pytest.mark.parametrize(
    ("task", "model"),
    [
        ("classification", RandomForestClassifier(20, max_depth=6, random_state=1)),
        ("classification", GradientBoostingClassifier(n_estimators=20, random_state=1)),
        ("classification", make_pipeline(PCA(3), LogisticRegression())),
        ("regression", RandomForestRegressor(20, max_depth=6, random_state=1)),
        ("regression", LinearRegression()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_estimator_without_a_step_that_takes_columns_is_compiled_too(tmp_path, task, model):
    spec, rows = spec_of_numbers(task), fitted.houses()
    if task == "classification":
        rows["label"] = (rows["label"] > rows["label"].median()).astype(int)
    fit = clone(model).fit(features.table(spec, rows), rows["label"])
    result = compile_version(fitted.job(tmp_path, spec, rows, fit))
    assert result.serve_as == "onnx", result.reason
    scorer = Scorer.from_onnx((tmp_path / "model.onnx").read_bytes(), spec)
    assert sorted(scorer._inputs) == sorted(spec.columns)
    assert result.self_test == ""


def test_scaler_before_trees_is_noticed_and_falls_to_the_runner(tmp_path):
    spec, rows = specs.titanic(), fitted.passengers(2000)
    forest = RandomForestClassifier(50, random_state=1)  # grown until thresholds lie between close neighbours
    model = fitted.pipeline(spec, rows, forest, scaler=StandardScaler())
    result = compile_version(fitted.job(tmp_path, spec, rows, model))
    assert result.parity.max_difference > 1e-5
    assert result.serve_as == "runner"
    assert "served by a runner" in result.reason
    assert result.sha256 == ""
    assert not (tmp_path / "model.onnx").exists()


def test_model_that_onnx_cannot_express_falls_to_the_runner(tmp_path):
    spec, rows = specs.titanic(), fitted.passengers()
    model = fitted.pipeline(spec, rows, HistGradientBoostingClassifier(max_iter=5, categorical_features=[0]))
    result = compile_version(fitted.job(tmp_path, spec, rows, model))
    assert (result.serve_as, result.parity) == ("runner", None)
    assert "does not convert to ONNX" in result.reason
    assert result.candidate.metrics["accuracy"] > 0.5


def test_champion_is_scored_on_the_candidate_s_holdout(tmp_path):
    spec, rows = specs.titanic(), fitted.passengers()
    old = fitted.job(
        tmp_path / "old", spec, fitted.passengers(seed=8), fitted.pipeline(spec, fitted.passengers(seed=8))
    )
    compile_version(old)
    champion = ChampionFiles(spec="champion/spec.json", onnx="champion/model.onnx")
    folder = fitted.job(tmp_path / "new", spec, rows, fitted.pipeline(spec, rows), champion)
    (folder / "champion").mkdir()
    for name in ("spec.json", "model.onnx"):
        shutil.copy(old / name, folder / "champion" / name)
    result = compile_version(folder)
    assert result.champion_error == ""
    assert len(result.champion.values) == result.holdout_rows
    assert result.champion.metrics["accuracy"] != result.candidate.metrics["accuracy"]


def test_champion_with_a_column_that_is_gone_is_said(tmp_path):
    plain, rows = specs.titanic_plain(), fitted.passengers()
    old = fitted.job(tmp_path / "old", specs.titanic(), rows, fitted.pipeline(specs.titanic(), rows))
    plain["fields"].pop(2)
    plain["derived"].pop()
    plain["example"].pop("Age")
    spec = specs.titanic(fields=plain["fields"], derived=plain["derived"], example=plain["example"])
    champion = ChampionFiles(spec="champion/spec.json", model="champion/model")
    folder = fitted.job(
        tmp_path / "new", spec, rows.drop(columns="Age"), fitted.pipeline(spec, rows), champion
    )
    shutil.copytree(old / "model", folder / "champion" / "model")
    shutil.copy(old / "spec.json", folder / "champion" / "spec.json")
    result = compile_version(folder)
    assert result.champion is None
    assert result.champion_error == "The champion cannot be scored on this hold-out: it has no column 'Age'."


def with_champion(tmp_path, rows, champion):
    """A candidate's job beside a champion that is served as it was trained."""
    spec = specs.titanic()
    files = ChampionFiles(spec="spec.json", model="champion")
    folder = fitted.job(tmp_path, spec, rows, fitted.pipeline(spec, rows), files)
    fitted.save(folder / "champion", champion)
    return folder


def strict_pipeline(spec, rows):
    """A champion that refuses the texts that it has not learnt."""
    pipeline = fitted.pipeline(spec, rows)
    pipeline.named_steps["prepare"].set_params(texts=OneHotEncoder(handle_unknown="error"))
    return pipeline.fit(features.table(spec, rows), rows["label"])


def test_a_champion_that_refuses_new_values_takes_no_verdict_from_the_candidate(tmp_path):
    rows = fitted.passengers()
    champion = strict_pipeline(specs.titanic(), rows)
    rows.loc[rows.index[-1], "Title"] = "Mrs"  # of the hold-out alone
    result = compile_version(with_champion(tmp_path, rows, champion))
    assert result.champion is None
    assert "cannot be scored on this hold-out: ValueError: Found unknown categories" in result.champion_error
    checks = {check.name: check for check in gate.judge(specs.titanic(), result)}
    assert (checks["champion"].verdict, checks["champion"].sentence) == ("look", result.champion_error)
    assert checks["baseline"].verdict == "passed"


def test_a_champion_whose_number_became_text_takes_no_verdict_either(tmp_path):
    plain = specs.titanic_plain()
    plain["fields"][0] = {"name": "Pclass", "type": "text"}
    plain["example"] = specs.titanic_row(Pclass="third")
    plain["derived"] = []
    spec = specs.titanic(**plain)
    rows = fitted.passengers()
    old = fitted.pipeline(specs.titanic(), rows)
    rows["Pclass"] = rows["Pclass"].map({1: "first", 2: "second", 3: "third"})
    files = ChampionFiles(spec="champion.json", model="champion")
    folder = fitted.job(tmp_path, spec, rows, fitted.pipeline(spec, rows), files)
    fitted.save(folder / "champion", old)
    (folder / "champion.json").write_bytes(specs.titanic().to_json())
    result = compile_version(folder)
    assert result.champion is None
    assert "a column is not what the champion takes" in result.champion_error
    assert result.candidate.metrics["accuracy"] > 0.5


def test_of_large_files_rows_from_all_over_them_are_scored(tmp_path, monkeypatch):
    """Rows in order of their truth: the first ones would be of one class."""
    monkeypatch.setattr(compiling, "MAX_REFERENCE_ROWS", 100)
    monkeypatch.setattr(compiling, "MAX_HOLDOUT_ROWS", 50)
    monkeypatch.setattr(compiling, "COMPARED_ROWS", 20)
    spec, rows = specs.titanic(), fitted.passengers()
    folder = fitted.job(tmp_path, spec, rows, fitted.pipeline(spec, rows))
    for name in ("reference.parquet", "holdout.parquet"):
        pd.read_parquet(folder / name).sort_values("label").to_parquet(folder / name)
    result = compile_version(folder)
    assert result.holdout_rows == 50
    assert np.mean(result.truth) == pytest.approx(rows["label"][300:].mean(), abs=0.02)


def break_spec(folder):
    (folder / "spec.json").write_text("{")


def remove_model(folder):
    shutil.rmtree(folder / "model")


def break_model(folder):
    (folder / "model" / "model.pkl").write_bytes(b"junk")


def empty_holdout(folder):
    fitted.passengers(4).head(0).to_parquet(folder / "holdout.parquet")


def unlabelled_holdout(folder):
    fitted.passengers(4).drop(columns="label").to_parquet(folder / "holdout.parquet")


def strange_label(folder):
    fitted.passengers(4).assign(label=7).to_parquet(folder / "holdout.parquet")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (break_spec, "spec.json cannot be used: the description is not JSON"),
        (remove_model, "model is no MLflow model"),
        (break_model, "The model does not load"),
        (empty_holdout, "holdout.parquet holds no rows"),
        (unlabelled_holdout, "holdout.parquet lacks the columns label"),
        (strange_label, "7 is not among the labels of the spec"),
    ],
)
def test_version_that_cannot_be_scored_ends_with_a_sentence(tmp_path, harm, message):
    spec, rows = specs.titanic(), fitted.passengers(80)
    folder = fitted.job(tmp_path, spec, rows, fitted.pipeline(spec, rows))
    harm(folder)
    with pytest.raises((CompileError, ValueError), match=message):
        compile_version(folder)


def test_sentence_is_the_last_line_of_the_sandboxed_process(tmp_path):
    (tmp_path / "job.json").write_text("{}")
    finished = sandbox.run(["scoring.compile", str(tmp_path)], cwd=tmp_path, timeout_s=60)
    assert finished.returncode == 1
    assert finished.stderr.strip().splitlines()[-1].startswith("The version has no spec.json")
    assert not (tmp_path / "result.json").exists()


def test_classifier_without_probabilities_is_refused(tmp_path):
    spec, rows = specs.titanic(), fitted.passengers(80)
    folder = fitted.job(tmp_path, spec, rows, fitted.pipeline(spec, rows))
    shutil.rmtree(folder / "model")
    fitted.save(folder / "model", fitted.pipeline(spec, rows, LinearSVC()))
    with pytest.raises(CompileError, match="gives no probabilities"):
        compile_version(folder)


def test_classes_in_another_order_are_refused(tmp_path):
    spec = specs.titanic(output={"labels": [{"value": 1}, {"value": 0}]})
    rows = fitted.passengers(80)
    folder = fitted.job(tmp_path, specs.titanic(), rows, fitted.pipeline(spec, rows))
    (folder / "spec.json").write_bytes(spec.to_json())
    with pytest.raises(CompileError, match=r"classes are \[0, 1\], the spec lists \[1, 0\]"):
        compile_version(folder)


def test_served_answers_are_what_was_measured(tmp_path):
    spec, rows = specs.titanic(), fitted.passengers()
    folder = fitted.job(tmp_path, spec, rows, fitted.pipeline(spec, rows))
    result = compile_version(folder)
    scorer = Scorer.from_onnx((folder / "model.onnx").read_bytes(), spec)
    held = rows[len(rows) * 3 // 4 :]
    scores = scorer.score_rows(held.astype(object).where(held.notna(), None).to_dict("records"))
    assert scores.values == result.candidate.values
    np.testing.assert_allclose(
        [shares["1"] for shares in scores.probabilities],
        np.array(result.candidate.probabilities)[:, 1],
        atol=1e-6,
    )


class AtOnce:
    """A model whose calls take no time but what the test's clock says."""

    def __init__(self, spec):
        self.spec = spec

    def predict(self, rows):
        return rows


@pytest.mark.parametrize(("stalled_rounds", "p99_ms"), [(0, 1.0), (9, 1.0), (10, 80.0)])
def test_what_else_the_machine_does_is_not_the_models_latency(monkeypatch, stalled_rounds, p99_ms):
    spec, rows = specs.titanic(), fitted.passengers()
    monkeypatch.setattr(compiling, "LATENCY_WARM_UP", 0)
    monkeypatch.setattr(compiling, "LATENCY_CALLS", 1000)
    # Ten calls a round, and all calls of a stalled one take 80 ms: no other number is between.
    took_s = [0.080 if number // 10 < stalled_rounds else 0.001 for number in range(100)]
    moments = [0.0]
    for seconds in took_s:
        moments += [moments[-1], moments[-1] + seconds]
    monkeypatch.setattr(compiling.time, "perf_counter", iter(moments[1:]).__next__)
    assert compiling._latency_ms(AtOnce(spec), rows)[1] == pytest.approx(p99_ms)


def test_a_model_that_has_no_number_for_its_own_row_is_told(monkeypatch):
    spec, rows = specs.house(), fitted.houses()
    scorer = fitted.scorer(spec, rows)
    monkeypatch.setattr(scorer, "_run", lambda _feed: Outcome(np.array([np.nan]), None))
    with pytest.raises(CompileError, match="its own reference with no number"):
        compiling._latency_ms(scorer, rows)
