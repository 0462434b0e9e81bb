"""What an operator meets on a bad day: what is gone, too large, oddly named. Each in clear words."""

from urllib.parse import quote

import pytest
from django.utils import timezone

from core.lib.errors import NotFound
from core.lib.models import SyncState
from pipelines import log_reading, sync, tasks
from pipelines.models import Pipeline, Run, TaskInstance, TaskLog
from tests.pipeline_rows import STARTED, make_pipeline, make_question, make_run, make_task

pytestmark = pytest.mark.django_db
DAG = "etl"
ODD_IDS = ["manual 2026/03/01 ñandú", "a/../b", "100% & <b>", "?x=1#y"]


def words(answer) -> str:
    return " ".join(answer.content.decode().split())


# --- what is gone


def test_a_pipeline_that_vanished_between_list_and_click_says_so(page):
    make_pipeline(DAG)
    url = f"/pipelines/{DAG}/trigger"
    page.get(url)
    Pipeline.objects.update(gone_at=timezone.now())
    assert page.get(f"/pipelines/{DAG}").status_code == 200  # its history stays
    refused = page.post(
        url, {"conf-n_iter": "3", "conf-share": "0.2", "conf-scoring": '"f1"', "conf-grid": "{}"}
    )
    assert refused.status_code == 409
    assert "Airflow no longer has the pipeline" in words(refused)
    answer = page.post(f"/api/v1/pipelines/{DAG}/runs", {}, content_type="application/json")
    assert (answer.status_code, "no longer has" in answer.json()["detail"]) == (409, True)
    assert not Run.objects.exists()


@pytest.mark.parametrize("path", ["", "/graph", "/runs", "/durations", "/code", "/details", "/trigger"])
def test_a_pipeline_that_nobody_knows_is_named(page, path):
    answer = page.get(f"/pipelines/nowhere{path}")
    assert (answer.status_code, "There is no pipeline “nowhere”." in words(answer)) == (404, True)


@pytest.mark.parametrize("path", ["log", "log.txt", "box?show=xcom"])
def test_a_task_that_nobody_knows_is_named(page, path):
    run = make_run(make_pipeline(DAG).dag_id)
    answer = page.get(f"/runs/{run.pk}/tasks/nowhere/{path}")
    assert answer.status_code == 404
    assert f"Run {run.pk} has no task “nowhere”" in words(answer)


def test_a_log_that_was_deleted_says_what_airflow_says(page, airflow, real_redis):
    airflow.add_dag(DAG)
    airflow.as_user("ana", "user").trigger_run(DAG, dag_run_id="manual__1", conf={})
    airflow.move_on(DAG, "manual__1", "success", load="success")
    sync.sync_runs()
    sync.sync_tasks()
    run = Run.objects.get()
    log_reading.open_log(run, "load")
    row = TaskLog.objects.get()

    def gone(*_names, **_options):
        raise NotFound("The log of this try is not there any more.", service="airflow")

    airflow.whole_log = gone
    tasks.copy_log(str(row.pk))
    answer = page.get(f"/runs/{run.pk}/tasks/load/log")
    assert answer.status_code == 200
    assert "The log of this try is not there any more." in words(answer)


# --- values too large


def test_settings_of_a_megabyte_are_refused_in_words(page):
    make_pipeline(DAG, param_list=[])
    url = f"/api/v1/pipelines/{DAG}/runs"
    for size, status in ((70_000, 422), (1_100_000, 413)):
        answer = page.post(url, {"conf": {"a": "x" * size}}, content_type="application/json")
        assert answer.status_code == status
        detail = answer.json()["detail"] + str(answer.json().get("errors"))
        assert "64 KiB" in detail if status == 422 else "more than the console takes" in detail
    form = page.post(f"/pipelines/{DAG}/trigger", {"other": '{"a": "%s"}' % ("x" * 70_000)})
    assert (form.status_code, "64 KiB" in words(form)) == (422, True)
    assert not Run.objects.exists()


# --- odd names


@pytest.mark.parametrize("dag_run_id", ODD_IDS)
def test_a_run_of_any_name_has_its_pages(page, dag_run_id, real_redis):
    make_pipeline(DAG)
    run = make_run(DAG, dag_run_id=dag_run_id, state="running")
    task = make_task(run, "load", "running")
    for path in ("", "/log", "/clear", "/mark", "/tasks/load/log", "/airflow"):
        assert page.get(f"/runs/{run.pk}{path}").status_code in {200, 302}, path
    found = page.get("/runs/by-dag-run", {"dag_run_id": dag_run_id})
    assert found["Location"] == f"/runs/{run.pk}"
    there = page.get(f"/runs/{run.pk}/airflow")["Location"]
    assert there.endswith(f"/dags/{DAG}/runs/{quote(dag_run_id, safe='')}")
    assert TaskInstance.objects.get().key == f"{DAG} {dag_run_id} {task.task_id} -1"


# --- Airflow away


@pytest.mark.parametrize(
    "path",
    [
        "/pipelines",
        "/import-errors",
        "/assets",
        "/runs",
        "/runs/questions",
        "/runs/questions/{question}",
        f"/pipelines/{DAG}",
        f"/pipelines/{DAG}/graph",
        f"/pipelines/{DAG}/runs",
        f"/pipelines/{DAG}/durations",
        f"/pipelines/{DAG}/code",
        f"/pipelines/{DAG}/details",
        f"/pipelines/{DAG}/trigger",
        "/runs/{run}",
        "/runs/{run}/clear",
        "/runs/{run}/mark",
        "/runs/{run}/tasks/load/log",
    ],
)
def test_every_page_says_of_when_it_is_while_airflow_is_away(page, airflow, real_redis, path):
    airflow.is_away = True
    make_pipeline(DAG)
    run = make_run(DAG)
    make_task(run, "load")
    names = {"run": run.pk, "question": make_question(run, "load", asked_at=STARTED).pk}
    SyncState.succeeded("pipelines.sync.sync_runs", "airflow")
    SyncState.failed("pipelines.sync.sync_runs", "airflow", "Airflow is not answering.")
    airflow.calls.clear()
    answer = page.get(path.format(**names))
    assert answer.status_code == 200
    assert "Airflow is not answering" in words(answer)
    assert airflow.calls == []  # a page waits for nobody
