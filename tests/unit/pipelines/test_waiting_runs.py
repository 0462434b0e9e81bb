"""When a run may begin, and why one that is queued waits."""

from datetime import timedelta

import pytest
from django.utils import timezone

from pipelines import sync
from pipelines.models import Run
from tests.pipeline_rows import make_backfill, make_pipeline, make_run

pytestmark = pytest.mark.django_db
DAG = "titanic_training"


def test_when_a_run_may_begin_is_mirrored_of_every_run(airflow):
    ahead = timezone.now() + timedelta(hours=3)
    airflow.add_dag(DAG)
    airflow.as_user("vic", "user").trigger_run(DAG, dag_run_id="r", conf={}, run_after=ahead)
    sync.sync_runs()
    assert Run.objects.get().run_after == ahead


def queued(**values):
    return make_run(DAG, "queued", **{"started_at": None, "run_type": "manual", **values})


def test_a_queued_run_says_until_when_it_waits(page):
    make_pipeline(DAG)
    ahead = timezone.now() + timedelta(hours=3)
    text = page.get(f"/runs/{queued(run_after=ahead).pk}").text
    assert "Airflow keeps this run queued until" in text
    Run.objects.update(run_after=timezone.now() - timedelta(seconds=1))
    assert "Airflow keeps" not in page.get(f"/runs/{Run.objects.get().pk}").text


def test_a_queued_run_says_that_others_are_in_its_way(page):
    make_pipeline(DAG, max_active_runs=2)
    run = queued()
    make_run(DAG, "running")
    make_run(DAG, "running", run_type="backfill")  # has a limit of its own
    assert "as many as may at once" not in page.get(f"/runs/{run.pk}").text
    make_run(DAG, "running")
    assert "2 runs of the pipeline are running, as many as may at once" in page.get(f"/runs/{run.pk}").text
    Run.objects.filter(pk=run.pk).update(run_type="backfill")
    assert "as many as may at once" not in page.get(f"/runs/{run.pk}").text


def test_a_queued_run_of_a_backfill_says_that_the_backfill_is_paused(page):
    make_pipeline(DAG)
    backfill = make_backfill(DAG, "paused")
    run = queued(run_type="backfill", backfill=backfill)
    text = page.get(f"/runs/{run.pk}").text
    assert "The backfill is paused" in text
    assert f'href="/backfills/{backfill.pk}"' in text
    assert "The backfill is paused" not in page.get(f"/runs/{queued().pk}").text
    backfill.state = "running"
    backfill.save()
    assert "The backfill is paused" not in page.get(f"/runs/{run.pk}").text


def test_a_queued_run_of_a_backfill_says_that_others_of_it_are_in_its_way(page):
    make_pipeline(DAG, max_active_runs=1)
    backfill = make_backfill(DAG, max_active_runs=2)
    run = queued(run_type="backfill", backfill=backfill)
    words = "2 runs of the backfill are running, as many as may at once"
    for other in ({}, {"run_type": "backfill", "backfill": make_backfill(DAG)}):
        make_run(DAG, "running", **other)
    make_run(DAG, "running", run_type="backfill", backfill=backfill)
    assert "as many as may at once" not in page.get(f"/runs/{run.pk}").text
    make_run(DAG, "running", run_type="backfill", backfill=backfill)
    assert words in page.get(f"/runs/{run.pk}").text
