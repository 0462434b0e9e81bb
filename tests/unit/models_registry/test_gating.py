"""The gate on real, small models: fetched, compiled in the sandbox, judged, ready to be served."""

import hashlib
import shutil
from functools import cache
from pathlib import Path

import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from core.lib.errors import Conflict, NotFound
from models_registry import actions, gating, queries, tasks
from models_registry.digest import folder_sha256
from models_registry.models import GateRun, ModelVersion
from models_registry.states import GateState, ServeAs, VersionState
from scoring.sandbox import run as run_in_sandbox
from scoring.score import Scorer
from tests.registry import make_request
from tests.trained import parquet, publish
from tests.unit.scoring import fitted, gaps, specs

pytestmark = pytest.mark.django_db

ROWS = fitted.passengers(1200)


@pytest.fixture(autouse=True)
def _files_are_intact():
    """The real check: these versions have files."""


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """What the sandbox left in a folder, by what the folder held: a process that scores takes seconds."""
    kept, outcomes = tmp_path_factory.mktemp("scored"), {}

    def run(arguments, *, cwd: Path, **options):
        key, before = folder_sha256(cwd), set(cwd.rglob("*"))
        if key not in outcomes:
            outcomes[key] = run_in_sandbox(arguments, cwd=cwd, **options)
            for path in set(cwd.glob("*.*")) - before:
                if path.is_file():
                    (kept / key).mkdir(exist_ok=True)
                    shutil.copy(path, kept / key)
        elif (kept / key).is_dir():
            shutil.copytree(kept / key, cwd, dirs_exist_ok=True)
        return outcomes[key]

    return run


@pytest.fixture
def judge(mlflow, tmp_path, scientist, settings, monkeypatch, scored):
    """Registers a model and takes it through the gate, however busy this machine is."""
    settings.CONSOLE_VAR_DIR = tmp_path
    monkeypatch.setattr(gating.sandbox, "run", scored)
    monkeypatch.setattr("scoring.gate.LATENCY_LIMIT_MS", 60_000.0)

    def do(model, rows=ROWS, **tags):
        number = publish(mlflow, tmp_path / "trained", specs.titanic(), rows, model, **tags)
        gate = actions.ask_gate("titanic", number, by=scientist)
        tasks.run_gate(str(gate.pk))
        return GateRun.objects.select_related("version__model").get(pk=gate.pk)

    return do


def _promote(gate, scientist, approver):
    actions.approve(make_request(gate.version, scientist).pk, by=approver)


def _verdicts(gate):
    return {check["name"]: check["verdict"] for check in gate.checks}


def _fitted_on(rows):
    return fitted.pipeline(specs.titanic(), rows, RandomForestClassifier(20, max_depth=5, random_state=1))


@cache
def _forest():
    return _fitted_on(ROWS)


def test_a_good_model_passes_and_can_be_served_from_what_was_stored(judge, scientist, approver, tmp_path):
    gate = judge(_forest())
    assert (gate.state, gate.is_conclusive) == (GateState.PASSED, True), gate.reason
    assert _verdicts(gate)["baseline"] == "passed"
    assert _verdicts(gate)["hash"] == "passed"
    assert gate.holdout_rows == 300
    assert gate.isolation
    version = gate.version
    assert (version.state, version.serve_as) == (VersionState.PASSED, ServeAs.ONNX)
    assert version.metrics["accuracy"] > gate.metrics["baseline"]["accuracy"]
    _promote(gate, scientist, approver)
    champion = queries.champion("titanic")
    onnx = queries.champion_onnx(champion)
    assert hashlib.sha256(onnx).hexdigest() == champion.sha256
    assert len(onnx) == champion.size_bytes
    assert Scorer.from_onnx(onnx, specs.titanic())
    reference = queries.champion_reference(champion)
    assert hashlib.sha256(reference).hexdigest() == champion.reference_sha256
    assert list((tmp_path / "gates").iterdir()) == []


def test_a_model_no_better_than_the_baseline_fails_with_numbers(judge, scientist):
    gate = judge(fitted.pipeline(specs.titanic(), ROWS, DummyClassifier(strategy="uniform", random_state=1)))
    assert gate.state == GateState.FAILED
    assert _verdicts(gate)["baseline"] == "failed"
    assert "is not better than" in gate.reason
    assert gate.version.state == VersionState.FAILED


def test_a_model_wholly_below_the_champion_fails(judge, scientist, approver):
    _promote(judge(_forest()), scientist, approver)
    gate = judge(_fitted_on(ROWS.assign(label=ROWS["label"].sample(frac=1, random_state=3).to_numpy())))
    check = next(check for check in gate.checks if check["name"] == "champion")
    assert (gate.state, check["verdict"], gate.champion_version) == (GateState.FAILED, "failed", 1)
    assert check["interval"][1] < check["threshold"]


def test_a_champion_whose_description_this_release_refuses_can_be_replaced(judge, scientist, approver):
    gate = judge(_forest())
    _promote(gate, scientist, approver)
    ModelVersion.objects.filter(pk=gate.version.pk).update(spec_json='{"mood": "of an older release"}')
    again = judge(_fitted_on(ROWS[:800]))
    sentences = {check["name"]: check["sentence"] for check in again.checks if check["verdict"] == "look"}
    assert again.state == GateState.PASSED, again.reason
    assert {"champion", "schema"} <= sentences.keys()
    assert "spec.json cannot be used" in sentences["champion"]


def test_a_champion_whose_file_is_gone_can_be_replaced(judge, scientist, approver, monkeypatch):
    """Its page says: promote another version. The gate must be able to."""
    _promote(judge(_forest()), scientist, approver)

    def gone(*_args):
        raise NotFound("There is no file console/model.onnx.")

    monkeypatch.setattr(gating.artefacts, "compiled", gone)
    again = judge(_fitted_on(ROWS[:800]))
    sentence = next(check["sentence"] for check in again.checks if check["name"] == "champion")
    assert (again.state, _verdicts(again)["champion"]) == (GateState.PASSED, "look")
    assert "titanic v1, cannot be had: There is no file" in sentence


def test_a_model_that_these_rows_cannot_tell_apart_passes_inconclusively(judge, scientist, approver):
    _promote(judge(_forest()), scientist, approver)
    fewer_rows = fitted.pipeline(
        specs.titanic(), ROWS[:400], RandomForestClassifier(20, max_depth=3, random_state=2)
    )
    gate = judge(fewer_rows)
    check = next(check for check in gate.checks if check["name"] == "champion")
    assert check["interval"][0] < check["threshold"] < check["interval"][1]
    assert (check["verdict"], gate.state, gate.is_conclusive) == ("look", GateState.PASSED, False), (
        gate.reason
    )


def test_a_model_that_onnx_cannot_express_is_served_by_the_runner(judge, scientist, approver, tmp_path):
    gate = judge(
        fitted.pipeline(specs.titanic(), ROWS, HistGradientBoostingClassifier(random_state=1, max_iter=20))
    )
    assert gate.version.serve_as == ServeAs.RUNNER, gate.reason
    assert gate.version.state == VersionState.PASSED, gate.reason
    _promote(gate, scientist, approver)
    champion = queries.champion("titanic")
    queries.champion_folder(champion, tmp_path / "served")
    assert (tmp_path / "served" / "MLmodel").is_file()
    again = judge(_forest())
    assert again.champion_version == 1
    assert again.metrics["champion"]["accuracy"] > 0.5


def test_missing_artefacts_fail_and_say_what_to_add_where(judge, mlflow, scientist):
    run_id = mlflow.create_run(mlflow.create_experiment("titanic"), "training")
    mlflow.register("titanic", run_id)
    gate = actions.ask_gate("titanic", 1, by=scientist)
    tasks.run_gate(str(gate.pk))
    gate.refresh_from_db()
    missing = ["model/", "serving/spec.json", "serving/reference.parquet", "evaluation/holdout.parquet"]
    assert ModelVersion.objects.get().missing_artefacts == missing
    assert gate.reason == (
        f"titanic v1 lacks {', '.join(missing)}. Log them to its MLflow run {run_id}, as "
        'mlflow.log_artifact(file, "serving") does, and ask for the gate again.'
    )


def test_a_reference_without_scores_fails_and_names_the_column(judge, mlflow, scientist):
    first = judge(_forest())
    path = next(path for path in mlflow.files if path.endswith("reference.parquet"))
    mlflow.files[path] = parquet(ROWS)
    again = actions.ask_gate("titanic", first.version.version, by=scientist)
    tasks.run_gate(str(again.pk))
    again = GateRun.objects.select_related("version").get(pk=again.pk)
    assert again.state == GateState.FAILED
    assert again.version.missing_artefacts == ["serving/reference.parquet (score)"]


def test_a_holdout_that_changed_since_it_was_recorded_fails(judge):
    gate = judge(_forest(), holdout_sha256="0" * 64)
    assert (gate.state, _verdicts(gate)["hash"]) == (GateState.FAILED, "failed")
    assert "Changed since it was recorded: holdout.parquet" in gate.reason


def test_a_broken_model_is_an_error_with_a_sentence(judge, mlflow, scientist):
    number = publish_broken(mlflow, judge)
    gate = actions.ask_gate("titanic", number, by=scientist)
    tasks.run_gate(str(gate.pk))
    gate.refresh_from_db()
    assert gate.state == GateState.ERROR
    assert gate.reason.startswith("Nothing could be scored: The model does not load")


def publish_broken(mlflow, judge):
    """A version whose pickle is cut short."""
    judge(_forest())
    run_id = mlflow.create_run("1", "broken")
    for path, content in list(mlflow.files.items()):
        first = ModelVersion.objects.get(version=1).run_id
        if first in path:
            cut = content[: len(content) // 2] if path.endswith("model.pkl") else content
            mlflow.files[path.replace(first, run_id)] = cut
    return mlflow.register("titanic", run_id)


def test_a_stored_model_that_was_changed_is_not_served(judge, mlflow, scientist, approver):
    _promote(judge(_forest()), scientist, approver)
    champion = queries.champion("titanic")
    path = next(path for path in mlflow.files if path.endswith(".onnx"))
    mlflow.files[path] += b"x"
    with pytest.raises(Conflict, match="is not what the gate judged"):
        queries.champion_onnx(champion)


def test_judged_again_the_same_files_are_the_same_and_others_withdraw_the_request(
    judge, mlflow, scientist, approver, tmp_path, monkeypatch
):
    monkeypatch.setattr(gating.sandbox, "run", run_in_sandbox)  # each time anew
    first = judge(_forest())
    request = actions.request_promotion("titanic", 1, reason="Better.", by=scientist)
    same = actions.ask_gate("titanic", 1, by=scientist)
    tasks.run_gate(str(same.pk))
    same.refresh_from_db()
    assert same.hashes == first.hashes
    request.refresh_from_db()
    assert request.is_open
    other = fitted.pipeline(specs.titanic(), ROWS, RandomForestClassifier(10, max_depth=4, random_state=7))
    publish(mlflow, tmp_path / "other", specs.titanic(), ROWS, other)
    there, here = (_folder(mlflow, number) for number in (1, 2))
    for path in [path for path in mlflow.files if path.startswith(here)]:
        mlflow.files[path.replace(here, there)] = mlflow.files[path]
    again = actions.ask_gate("titanic", 1, by=scientist)
    tasks.run_gate(str(again.pk))
    again.refresh_from_db()
    assert again.state == GateState.PASSED, again.reason
    assert again.served_sha256 != first.served_sha256
    assert again.reference_sha256 != first.reference_sha256
    with pytest.raises(Conflict, match="found other files than this request is for"):
        actions.approve(request.pk, by=approver)
    _promote(again, scientist, approver)
    assert queries.champion("titanic").sha256 == again.served_sha256


def _folder(mlflow, number):
    """Where the files of a version's run begin."""
    return mlflow.run_root(mlflow.version("titanic", number).run_id).removeprefix("mlflow-artifacts:/")


def test_a_reference_that_serving_would_refuse_fails_the_gate(judge, mlflow, scientist):
    judge(_forest())
    path = next(path for path in mlflow.files if path.endswith("reference.parquet"))
    mlflow.files[path] = parquet(ROWS[:900].assign(score=0.5))
    gate = actions.ask_gate("titanic", 1, by=scientist)
    tasks.run_gate(str(gate.pk))
    gate = GateRun.objects.select_related("version__model").get(pk=gate.pk)
    assert (gate.state, _verdicts(gate)["serves"]) == (GateState.FAILED, "failed")
    assert "Serving would refuse it: it scores its own reference rows differently" in gate.reason
    assert gate.version.state == VersionState.FAILED


def test_a_model_that_learnt_from_missing_text_is_served_with_it(mlflow, tmp_path, scientist, settings):
    settings.CONSOLE_VAR_DIR = tmp_path
    spec = gaps.spec_of("colour")
    rows = gaps.rows_of(spec, 800)
    model = gaps.fit(spec, rows, {"colour": "none"})
    publish(mlflow, tmp_path / "trained", spec, rows, model)
    path = next(path for path in mlflow.files if path.endswith("reference.parquet"))
    mlflow.files[path] = parquet(gaps.reference_of(model, spec, rows[:600], {"colour": "none"}))
    gate = actions.ask_gate("titanic", 1, by=scientist)
    tasks.run_gate(str(gate.pk))
    version = ModelVersion.objects.get()
    gate.refresh_from_db()
    assert _verdicts(gate)["serves"] == "passed", gate.reason
    assert (version.serve_as, version.missing_as) == (ServeAs.RUNNER, {"colour": "none"})
    assert version.metrics["accuracy"] == 1.0


def test_a_reference_of_too_many_rows_gives_no_verdict(judge, monkeypatch):
    monkeypatch.setattr(gating, "MAX_REFERENCE_ROWS", 100)
    gate = judge(_forest())
    assert gate.state == GateState.ERROR
    assert "may have 100: log a sample" in gate.reason
