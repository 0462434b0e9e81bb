"""`diabetes_training`: its cursor over the rows, its fields, its three kinds of model, what it registers."""

from pathlib import Path

import mlflow
import msgspec
import pandas as pd
import psycopg2
import pytest
from django.db import connections

from dags.recipes.common import ledger
from dags.recipes.common.checks import DataInvalid
from dags.recipes.common.run_folder import DagRun, RunFolder
from dags.recipes.diabetes import archive, collect, data, features, train
from dags.recipes.diabetes.params import DATA_DAG_ID, TRAINING_DAG_ID
from dags.recipes.diabetes.training import TRAINING
from scoring import convert, sandbox
from scoring import features as columns
from scoring.alike import Scale
from scoring.check import RowDecoder
from scoring.originals import Original
from scoring.result import Job, read_result
from scoring.score import Scorer, score_of
from usecases.models import Decision

# MLflow's parts warn of their own old ways when they are loaded; the other tests hold our steps to none
in_mlflow = pytest.mark.filterwarnings("ignore")
stored = pytest.mark.django_db(transaction=True, databases=["default", "usecases"])

QUICK = {"batch_size": 300, "n_trees": 5, "seed": 42, "restart": False}
STEPS = ("load", "validate", "split", "features", "search", "evaluate", "explain", "register")


def clean_rows(n_rows: int = 400, seed: int = 1) -> pd.DataFrame:
    return data.clean(archive.read(data.generate(seed, n_rows), data.COLUMNS)).table


@pytest.fixture(autouse=True)
def folders(monkeypatch, tmp_path):
    monkeypatch.setenv("ATALAYA_WORK_DIR", str(tmp_path / "runs"))


@pytest.fixture
def rows_stored(monkeypatch):
    """A thousand generated stays, of which 700 are to train on."""
    values = connections["usecases"].settings_dict
    url = psycopg2.extensions.make_dsn(
        host=values["HOST"], port=values["PORT"] or None, user=values["USER"], dbname=values["NAME"]
    )
    monkeypatch.setenv("ATALAYA_USECASES_URL", url)
    run = DagRun(DATA_DAG_ID, "manual__data", {"source": "synthetic", "n_generated": 1_000})
    for step in (collect.fetch, collect.clean, collect.split, collect.store):
        step(run)


def the_run(run_id: str = "console__1", **params) -> DagRun:
    return DagRun(TRAINING_DAG_ID, run_id, QUICK | params, "ana")


@stored
def test_the_cursor_moves_on_until_all_was_taken_and_restart_begins_again(rows_stored):
    infos = [TRAINING.next_batch(the_run(f"r{n}")) for n in range(4)]
    assert [info["batch_info"] and info["batch_info"]["last"] for info in infos] == [300, 600, 700, None]
    assert [info["goes_on"] for info in infos] == [True, True, True, False]
    told = Decision.objects.get(dag_run_id="r3")
    assert (told.is_yes, told.kind) == (False, "train")
    assert "All rows were taken by earlier runs" in told.reason
    again = TRAINING.next_batch(the_run("r4", restart=True))
    assert again["batch_info"] == {"number": 1, "first": 0, "last": 300}
    assert TRAINING.next_batch(the_run("r4", restart=True)) == again  # tried again
    assert TRAINING.next_batch(the_run("r5"))["batch_info"]["first"] == 300


@stored
def test_a_run_learns_from_all_rows_taken_so_far_and_is_judged_on_the_same_rows(rows_stored):
    held, sizes = [], []
    for run in (the_run("r0"), the_run("r1")):
        TRAINING.next_batch(run)
        TRAINING.load(run)
        counts = TRAINING.split(run)
        sizes.append(counts["train_rows"])
        held.append(set(run.folder.read_table("holdout_rows.parquet")["encounter_id"]))
        taken = set(run.folder.read_table("train_rows.parquet")["encounter_id"])
        assert not taken & held[-1]
    assert sizes == [300, 600]
    assert held[0] == held[1]
    assert len(held[0]) == 150


@stored
def test_without_rows_it_says_what_to_run_first(rows_stored):
    ledger.clear("diabetes")
    with pytest.raises(DataInvalid, match="run diabetes_data first"):
        TRAINING.next_batch(the_run())


@pytest.mark.parametrize(
    ("code", "chapter"),
    [
        ("428", "Circulatory"), ("250.83", "Diabetes"), ("250", "Diabetes"), ("251", "Endocrine, other"),
        ("8", "Infections"), ("V57", "Supplementary"), ("E909", "External causes"),
        ("999", "Injury and poisoning"),
        ("786.5", "Symptoms"), ("abc", "Other"), ("0", "Other"), ("1000", "Other"), (None, None),
    ],
)  # fmt: skip
def test_a_diagnosis_is_known_by_its_chapter(code, chapter):
    assert features.chapter(code) == chapter


def test_fields_fit_the_spec_and_name_nobody():
    rows = features.fields(clean_rows())
    spec = features.spec(rows)
    assert [field.name for field in spec.fields] == features.FIELDS
    assert len(spec.fields) == 20
    assert not {"encounter_id", "patient_nbr"} & set(spec.columns)
    assert [field.name for field in spec.fields if field.personal] == ["age", "gender", "race"]
    plain = rows[features.FIELDS].astype(object).where(rows.notna(), None).to_dict("records")
    checked = RowDecoder(spec).decode_rows(plain)
    assert not any(checked.warnings)
    empty = RowDecoder(spec).decode_rows([{}])  # every field has a default or may be missing
    assert empty.inputs[0]["discharge"] == "Home"


def test_a_missing_diagnosis_is_learnt_and_answered():
    rows = features.fields(clean_rows())
    assert rows["diag_1"].isna().any()
    found = train.search(features.spec(rows), rows, rows, n_trees=5, seed=1)
    assert [one.name for one in found.tried] == ["logistic_regression", "random_forest", "extra_trees"]
    best = max(found.tried, key=lambda one: one.metrics["validation_accuracy"])
    assert found.scores["validation_accuracy"] == best.metrics["validation_accuracy"]
    assert found.params["kind"] == best.name


@pytest.mark.parametrize("kind", ["logistic_regression", "random_forest", "extra_trees"])
def test_each_kind_compiles_and_answers_alike(kind):
    rows = features.fields(clean_rows())
    spec = features.spec(rows)
    model, _params = train.kinds(n_trees=5, seed=1)[kind]
    fitted = train.pipeline(spec, model).fit(columns.table(spec, rows), rows["label"])
    original = Original(fitted, spec)
    compiled = Scorer.from_onnx(convert.to_onnx(original), spec)
    frame = columns.frame(spec, rows)
    scale = Scale.of(score_of(original.predict(frame)))
    parity = convert.compare(original, compiled, [("rows", frame)], scale)
    assert parity.holds, parity


@stored
@in_mlflow
def test_a_run_registers_one_version_with_three_runs_inside(rows_stored, tracked, tmp_path):
    run = the_run()
    TRAINING.next_batch(run)
    for name in STEPS:
        getattr(TRAINING, name)(run)
    assert TRAINING.register(run)["version"] == "1"
    (version,) = tracked.search_model_versions("name='diabetes'")
    logged = tracked.get_run(version.run_id)
    assert logged.data.params["batch"] == "1"
    assert logged.data.params["rows_taken"] == "300"
    assert logged.data.tags["data_source"] == "synthetic"
    assert logged.data.metrics["holdout_rows"] == 150
    inside = tracked.search_runs([logged.info.experiment_id], f"tags.mlflow.parentRunId = '{version.run_id}'")
    assert {one.info.run_name for one in inside} == {"logistic_regression", "random_forest", "extra_trees"}
    assert all("validation_accuracy" in one.data.metrics for one in inside)
    assert "patient_nbr" not in run.folder.read_table("holdout.parquet").columns
    compiled_agrees(version, run.folder, tmp_path / "job")


def compiled_agrees(version, folder: RunFolder, job: Path) -> None:
    """The registered model compiles in the sandbox and answers as the original does."""
    job.mkdir()
    mlflow.artifacts.download_artifacts(f"models:/diabetes/{version.version}", dst_path=str(job / "model"))
    for name in ("spec.json", "reference.parquet", "holdout.parquet"):
        (job / name).write_bytes(folder.read_bytes(name))
    (job / "job.json").write_bytes(msgspec.json.encode(Job()))
    finished = sandbox.run(["scoring.compile", str(job)], cwd=job, timeout_s=120)
    assert finished.returncode == 0, finished.stderr
    result = read_result(job)
    assert result.serve_as == "onnx", result.parity
    assert result.parity.labels_different == 0
