"""What is cleared daily of pipelines, and what stays."""

from datetime import timedelta

import pytest
from django.utils import timezone

from pipelines import queries, removal, spool, tasks
from pipelines.models import PipelineSource, Run, TaskInstance, TaskLog
from tests.pipeline_rows import make_backfill, make_pipeline, make_question, make_run, make_task
from tests.registry import make_version
from usecases.models import Batch, Decision, TrainingBatch

pytestmark = pytest.mark.django_db(databases=["default", "usecases"])


def versions(dag_id="etl"):
    return sorted(PipelineSource.objects.filter(dag_id=dag_id).values_list("version", flat=True))


@pytest.fixture
def sources(settings):
    """Ten versions of one pipeline, two of another."""
    settings.CONSOLE_SOURCES_KEEP = 3
    for version in range(1, 11):
        PipelineSource.objects.create(dag_id="etl", version=version, text=f"# {version}", tasks=[])
    for version in (1, 2):
        PipelineSource.objects.create(dag_id="other", version=version)


def test_the_newest_versions_of_each_pipeline_stay(sources):
    tasks.clear_old()
    assert versions() == [8, 9, 10]
    assert versions("other") == [1, 2]


def test_what_the_last_runs_ran_stays_and_is_not_read_again(sources, monkeypatch):
    monkeypatch.setattr(queries, "GRID", 2)
    for ran in ([2], [5, 6], [9]):
        make_run("etl", versions=ran)
    tasks.clear_old()
    assert versions() == [5, 6, 8, 9, 10]
    assert queries.versions_without_source("etl", 10) == []


def test_none_for_ever_keeps_all(sources, settings):
    settings.CONSOLE_SOURCES_KEEP = 0
    tasks.clear_old()
    assert len(versions()) == 10


def test_a_version_that_went_is_said_to_be_unknown(sources, page):
    make_pipeline("etl", version=10)
    tasks.clear_old()
    answer = page.get("/pipelines/etl/code?version=4")
    assert (answer.context["missing"], answer.context["source"].version) == (4, 10)


# --- runs


@pytest.fixture
def old_runs(settings, tmp_path, monkeypatch):
    """Makes a run of a year ago, where thirty days are kept and one run of a pipeline is shown."""
    settings.CONSOLE_RUNS_KEEP_DAYS = 30
    settings.CONSOLE_VAR_DIR = tmp_path
    monkeypatch.setattr(queries, "GRID", 1)
    make_run("etl", dag_run_id="shown", created_at=timezone.now(), ended_at=timezone.now())

    def old(dag_run_id, **values):
        at = timezone.now() - timedelta(days=365)
        return make_run("etl", dag_run_id=dag_run_id, **{"created_at": at, "ended_at": at, **values})

    return old


def left():
    return set(Run.objects.values_list("dag_run_id", flat=True))


def test_a_run_goes_with_all_that_hangs_on_it(old_runs):
    run = old_runs("gone", state="failed")
    make_task(run)
    make_question(run, closed_at=timezone.now())
    log = TaskLog.objects.create(run=run, task_id="search", try_number=1, next_attempt_at=None)
    with spool.writing(log.pk) as copy:
        spool.append(copy, [])
    tasks.clear_old()
    assert left() == {"shown"}
    assert not TaskInstance.objects.exists()
    assert not TaskLog.objects.exists()
    assert not spool.path_of(log.pk).exists()


def test_what_is_young_open_or_shown_stays(old_runs):
    now = timezone.now()
    old_runs("young", ended_at=now - timedelta(days=29))
    old_runs("running", state="running", ended_at=None)
    old_runs("waiting", wish="clear", next_attempt_at=now)
    old_runs("filling", backfill=make_backfill("etl"))
    old_runs("filled", backfill=make_backfill("etl", state="completed"), state="failed")
    old_runs("refused", state="refused", ended_at=None)
    tasks.clear_old()
    assert left() == {"shown", "young", "running", "waiting", "filling"}


def test_the_last_success_of_a_pipeline_stays(old_runs):
    Run.objects.update(state="failed")
    old_runs("first", created_at=timezone.now() - timedelta(days=500))
    old_runs("last")
    tasks.clear_old()
    assert left() == {"shown", "last"}


def test_runs_that_models_and_ledgers_came_from_stay(old_runs, monkeypatch):
    monkeypatch.setattr(removal, "AT_ONCE", 2)
    for name in ("model", "a", "batch", "b", "decision", "training", "c"):
        old_runs(name, state="failed")
    make_version(dag_run_id="model")
    at = {"usecase": "taxi", "at": timezone.now()}
    rows = dict.fromkeys(("rows_in", "rows_new", "rows_duplicate", "rows_rejected"), 0)
    Batch.objects.create(**at, **rows, key="k", dag_run_id="batch")
    TrainingBatch.objects.create(**at, number=1, first=0, last=1, dag_run_id="training")
    Decision.objects.create(**at, kind="train", is_yes=True, reason="x", dag_run_id="decision")
    tasks.clear_old()
    assert left() == {"shown", "model", "batch", "training", "decision"}


def test_runs_are_kept_for_ever_unless_told(old_runs, settings):
    settings.CONSOLE_RUNS_KEEP_DAYS = 0
    old_runs("old", state="failed")
    tasks.clear_old()
    assert left() == {"shown", "old"}
