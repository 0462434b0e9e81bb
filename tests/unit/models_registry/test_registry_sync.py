"""What MLflow has becomes rows, cheaply, and what it has no more is marked."""

import json

import pytest

from core.lib.errors import Unavailable
from models_registry import sync
from models_registry.models import Experiment, MlflowRun, ModelVersion, RegisteredModel
from tests.people import make_user
from tests.registry import SPEC

pytestmark = pytest.mark.django_db


@pytest.fixture
def run_id(mlflow):
    id_ = mlflow.create_run(
        mlflow.create_experiment("titanic"),
        "training",
        {"dag_run_id": "console__1", "data_sha256": "9f3c", "requested_by": "ana"},
    )
    mlflow.log_metric(id_, "holdout_accuracy", 0.83)
    mlflow.log_metric(id_, "broken", float("nan"))
    mlflow.log_param(id_, "n_estimators", "200")
    mlflow.write_file(mlflow.run_root(id_), "serving/spec.json", json.dumps(SPEC).encode())
    return id_


def test_runs_become_rows_with_their_lineage(run_id):
    sync.sync_runs()
    row = MlflowRun.objects.get()
    assert (row.dag_run_id, row.status, row.experiment.name) == ("console__1", "RUNNING", "titanic")
    assert row.metrics == {"holdout_accuracy": 0.83, "broken": "NaN"}
    assert row.params == {"n_estimators": "200"}


def test_a_run_that_was_going_is_followed_to_its_end(run_id, mlflow):
    sync.sync_runs()
    for number in range(60):
        mlflow.create_run("1", f"later {number}")
    mlflow.end_run(run_id)
    sync.sync_runs()
    assert MlflowRun.objects.get(run_id=run_id).status == "FINISHED"


def test_a_burst_of_runs_is_seen_whole(run_id, mlflow):
    sync.sync_runs()
    for number in range(130):
        mlflow.create_run("1", f"trial {number}")
    sync.sync_runs()
    assert MlflowRun.objects.count() == 131


def test_idle_is_cheap(run_id, mlflow, django_assert_max_num_queries):
    mlflow.end_run(run_id)
    sync.sync_runs()
    sync.sync_versions()
    mlflow.calls.clear()
    with django_assert_max_num_queries(8):
        sync.sync_runs()
        sync.sync_versions()
    assert mlflow.calls == ["experiments", "runs", "models", "versions"]


def test_a_version_carries_its_lineage_and_spec(run_id, mlflow):
    mlflow.register("titanic", run_id)
    sync.sync_versions()
    row = ModelVersion.objects.get()
    assert (str(row), row.data_sha256, row.registered_by) == ("titanic v1", "9f3c", "ana")
    assert row.spec == SPEC
    assert row.primary_metric == "accuracy"


def test_a_version_without_files_is_a_row_too(mlflow):
    mlflow.register("bare", mlflow.create_run(mlflow.create_experiment("x"), "y"))
    sync.sync_versions()
    assert ModelVersion.objects.get().spec == {}


def test_an_alias_set_elsewhere_is_seen(run_id, mlflow):
    mlflow.register("titanic", run_id)
    sync.sync_versions()
    mlflow.set_champion("titanic", 1)
    sync.sync_versions()
    assert RegisteredModel.objects.get().alias_version == 1


def test_the_full_walk_marks_what_is_gone(run_id, mlflow):
    mlflow.register("titanic", run_id)
    sync.sync_runs()
    sync.sync_versions()
    mlflow.delete_run(run_id)
    mlflow._versions.clear()
    sync.walk_everything()
    assert MlflowRun.objects.get().gone_at is not None
    assert ModelVersion.objects.get().gone_at is not None
    assert Experiment.objects.get().gone_at is None


def test_late_tags_show_after_the_full_walk(run_id, mlflow):
    mlflow.end_run(run_id)
    sync.sync_runs()
    mlflow.log_metric(run_id, "late", 1.0)
    sync.walk_everything()
    assert MlflowRun.objects.get().metrics["late"] == 1.0


def test_mlflow_away_is_said_and_changes_nothing(run_id, mlflow):
    sync.sync_runs()
    mlflow.is_away = True
    for poll in (sync.sync_runs, sync.sync_versions, sync.walk_everything):
        with pytest.raises(Unavailable):
            poll()
    assert MlflowRun.objects.get().gone_at is None


def test_a_version_of_the_demonstration_stays_marked_when_its_user_is_gone(run_id, mlflow):
    ana = make_user("ana", "engineer", is_demo=True)
    mlflow.register("titanic", run_id)
    sync.sync_versions()
    assert ModelVersion.objects.get().is_demo
    ana.delete()
    sync.walk_everything()
    assert ModelVersion.objects.get().is_demo
