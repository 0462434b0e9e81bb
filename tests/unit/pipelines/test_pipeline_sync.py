"""Airflow into rows: what appears, changes and vanishes, and that nothing is told when nothing changed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from core.lib.errors import Conflict, NotFound
from core.lib.models import SetAside
from pipelines import sync
from pipelines.actions import remove_demo
from pipelines.answers import unread_page
from pipelines.dag_answers import ImportFault as FoundFault
from pipelines.models import Bookmark, ImportFault, Pipeline, Run, TaskInstance
from tests.pipeline_rows import PARAMS, make_run

pytestmark = pytest.mark.django_db
DAG = "etl"


@pytest.fixture
def dag(airflow):
    airflow.add_dag(DAG, PARAMS, tasks=("load", "clean"))
    return airflow


@pytest.fixture
def run(dag):
    run = dag.as_user("ana", "user").trigger_run(DAG, dag_run_id="manual__1", conf={"a": 1}, note="n")
    dag.move_on(DAG, "manual__1", "running", load="running")
    return run


def test_dags_come_with_parameters_in_the_authors_order_and_their_graph(dag):
    sync.sync_pipelines()
    pipeline = Pipeline.objects.get()
    assert list(pipeline.params) == ["n_iter", "scoring", "share", "is_quick", "source", "grid"]
    assert [(task["id"], task["downstream"]) for task in pipeline.tasks] == [
        ("load", ["clean"]),
        ("clean", []),
    ]


def test_a_logical_date_that_airflow_does_not_say_leaves_the_rows_own(dag):
    ahead = timezone.now() + timedelta(days=31)
    dag.as_user("ana", "user").trigger_run(DAG, dag_run_id="m", conf={}, logical_date=ahead)
    sync.sync_runs()
    dag._runs[DAG, "m"] = replace(dag._runs[DAG, "m"], logical_date=None, state="running")
    sync.sync_runs()
    row = Run.objects.get()
    assert (row.state, row.logical_date) == ("running", ahead)


def test_dags_that_airflow_lists_and_does_not_find_keep_no_other_from_being_read(airflow, monkeypatch):
    """Their rows are there, and what Airflow makes of their files is not: it could not be stored."""
    monkeypatch.setattr(sync, "DETAILS_AT_ONCE", 3)
    for dag_id in ("a", "b", "c"):
        airflow.add_dag(dag_id)
    airflow.add_dag(DAG, PARAMS)
    told = airflow.dag_details

    def details(dag_id):
        if dag_id != DAG:
            raise NotFound(f"Dag with dag_id: '{dag_id}' not found", service="airflow")
        return told(dag_id)

    monkeypatch.setattr(airflow, "dag_details", details)
    sync.sync_pipelines()
    assert [row.about for row in SetAside.objects.order_by("about")] == ["a", "b", "c"]
    assert "could not store it" in SetAside.objects.first().reason
    sync.sync_pipelines()
    assert Pipeline.objects.get(pk=DAG).params
    airflow.remove_dag("a")
    sync.sync_pipelines()
    assert [row.about for row in SetAside.objects.order_by("about")] == ["b", "c"]


def test_a_dag_that_vanishes_is_gone_and_comes_back(dag, run):
    sync.sync_pipelines()
    sync.sync_runs()
    dag.remove_dag(DAG)
    sync.sync_pipelines()
    assert Pipeline.objects.get().gone_at is not None
    assert Run.objects.count() == 1
    dag.add_dag(DAG)
    sync.sync_pipelines()
    assert Pipeline.objects.get().gone_at is None


def test_nothing_is_gone_because_of_a_page_that_could_not_be_read(dag, run, monkeypatch):
    sync.sync_pipelines()
    sync.sync_runs()
    sync.sync_tasks()
    dag.faults = [FoundFault(7, "broken.py", "ImportError: no", datetime(2026, 1, 1, tzinfo=UTC))]
    sync.sync_pipelines()
    dag.add_dag("new")
    unread, faults, dags = unread_page(0, "made up"), dag.faults, dag.dags
    with monkeypatch.context() as patch:
        patch.setattr(dag, "dags", lambda: [unread, *[one for one in dags() if one.dag_id == "new"]])
        patch.setattr(dag, "import_faults", lambda: [unread])
        patch.setattr(dag, "task_states", lambda _runs: [unread])
        sync.sync_pipelines()
        sync.sync_tasks()
    assert set(Pipeline.objects.filter(gone_at=None).values_list("dag_id", flat=True)) == {DAG, "new"}
    assert ImportFault.objects.count() == len(faults) == TaskInstance.objects.count() == 1
    rows = {row.loop: row for row in SetAside.objects.all()}
    assert set(rows) == {"pipelines.dags", "pipelines.files", "pipelines.pages"}
    assert rows["pipelines.dags"].reason == "The page at offset 0 could not be read: made up"
    assert rows["pipelines.pages"].key == "tasks, page at offset 0"
    dag.remove_dag(DAG)
    sync.sync_pipelines()
    assert list(Pipeline.objects.filter(gone_at=None).values_list("dag_id", flat=True)) == ["new"]
    assert set(SetAside.objects.values_list("loop", flat=True)) == {"pipelines.pages"}


def test_runs_are_mirrored_beside_one_that_could_not_be_read(dag, run, monkeypatch):
    found, looked_at = dag.runs_changed_since(None, limit=10)
    pages = ([unread_page(0, "made up"), *found], looked_at)
    monkeypatch.setattr(dag, "runs_changed_since", lambda _since, limit: pages)
    sync.sync_runs()
    assert Run.objects.get().dag_run_id == "manual__1"
    assert SetAside.objects.get().key == "runs, page at offset 0"


def test_unreadable_files_come_and_go(dag):
    dag.faults = [FoundFault(7, "broken.py", "ImportError: no", datetime(2026, 1, 1, tzinfo=UTC))]
    sync.sync_pipelines()
    assert ImportFault.objects.get().filename == "broken.py"
    dag.faults = []
    sync.sync_pipelines()
    assert not ImportFault.objects.exists()


def test_runs_and_tasks_are_mirrored_and_nothing_is_told_when_nothing_changed(
    run, told, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        sync.sync_runs()
        sync.sync_tasks()
    row = Run.objects.get()
    assert (row.state, row.triggered_by, row.conf, row.note) == ("running", "ana", {"a": 1}, "n")
    assert (row.wish, row.next_attempt_at) == ("", None)
    assert TaskInstance.objects.get().state == "running"
    assert set(told) == {"runs", f"run:{row.pk}"}
    told.clear()
    with django_capture_on_commit_callbacks(execute=True):
        sync.sync_runs()
        sync.sync_tasks()
    assert told == []


def test_an_idle_airflow_costs_one_request_and_writes_nothing(run, airflow, django_assert_num_queries):
    airflow.move_on(DAG, "manual__1", "success", load="success")
    sync.sync_runs()
    Run.objects.update(tasks_due_until=None)
    airflow._changed_at.clear()
    airflow._runs.clear()
    airflow.calls.clear()
    with django_assert_num_queries(6):
        sync.sync_runs()
        sync.sync_tasks()
    assert airflow.calls == ["runs_changed_since"]


def test_states_of_a_newer_airflow_are_kept_as_they_come(run, airflow):
    airflow.move_on(DAG, "manual__1", "hibernating")
    sync.sync_runs()
    assert Run.objects.get().state == "hibernating"


def test_two_pipelines_may_have_runs_of_the_same_id(airflow):
    for dag_id in ("a", "b"):
        airflow.add_dag(dag_id)
        airflow.as_user("x", "user").trigger_run(dag_id, dag_run_id="scheduled__2026-01-01", conf={})
    sync.sync_runs()
    assert Run.objects.count() == 2


def test_a_run_deleted_in_airflow_is_lost_only_while_under_way(run, airflow):
    ended = make_run(DAG)
    sync.sync_runs()
    airflow.delete_run(DAG, "manual__1")
    sync.sync_lost_runs()
    assert Run.objects.get(dag_run_id="manual__1").state == "lost"
    ended.refresh_from_db()
    assert ended.state == "success"


def test_the_bookmark_follows_airflows_clock(run, airflow):
    sync.sync_runs()
    assert Bookmark.objects.get().read_until == airflow.now


def test_a_removed_run_of_the_demonstration_does_not_come_back(run):
    sync.sync_runs()
    Run.objects.update(is_demo=True, state="success")
    assert remove_demo() == 1
    Bookmark.objects.all().delete()  # as for an Airflow that is seen for the first time
    sync.sync_runs()
    assert not Run.objects.exists()
    assert remove_demo() == 0


def test_a_run_of_the_demonstration_that_is_at_work_refuses(run):
    sync.sync_runs()
    Run.objects.update(is_demo=True)
    make_run(is_demo=True)
    with pytest.raises(Conflict, match="is at work"):
        remove_demo()
    assert Run.objects.count() == 2
