"""Ending runs with teardown tasks, which Airflow lets run first: only then has the run the wished state."""

from datetime import timedelta

import pytest
from django.utils import timezone

from core.audit.models import AuditEntry
from pipelines import previews, run_changes, selected, sync, tasks
from pipelines.models import Pipeline, Run
from pipelines.scope import Scope
from tests.pipeline_rows import make_pipeline

DAG, RUN = "titanic_training", "manual__1"


NODES = [
    {"id": "load", "label": "load", "operator": "", "downstream": ["search"], "is_mapped": False},
    {"id": "search", "label": "search", "operator": "", "downstream": ["clean"], "is_mapped": False},
    {
        "id": "clean",
        "label": "clean",
        "operator": "",
        "downstream": [],
        "is_mapped": False,
        "role": "teardown",
    },
]


@pytest.fixture
def run(db, airflow):
    """A run at work at its second task of three, with a teardown still to come."""
    make_pipeline(tasks=NODES)
    airflow.add_dag(DAG, tasks=("load", "search", "clean"))
    airflow.teardowns = {"clean"}
    airflow.as_user("ana", "user").trigger_run(DAG, dag_run_id=RUN, conf={}, note="")
    airflow.move_on(DAG, RUN, "running", load="success", search="running", clean="")
    sync.sync_runs()
    sync.sync_tasks()
    airflow.calls.clear()
    return Run.objects.get()


def deliver(run):
    """The time of the next try has come."""
    Run.objects.filter(pk=run.pk).exclude(wish="").update(next_attempt_at=timezone.now())
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    return run.state, run.wish


def seen(run):
    """After Airflow was looked at."""
    sync.sync_runs()
    run.refresh_from_db()
    return run.state, run.wish


def actions(run):
    found = AuditEntry.objects.filter(object_id=str(run.pk)).order_by("pk")
    return list(found.values_list("action", flat=True))


WISHES = {
    "cancelled": lambda run, by: run_changes.cancel_run(run.pk, by=by),
    "failed": lambda run, by: run_changes.mark_run(run.pk, "failed", by=by),
    "success": lambda run, by: run_changes.mark_run(run.pk, "success", by=by),
}


@pytest.mark.parametrize("airflows", ["success", "failed"])
@pytest.mark.parametrize("wished", WISHES)
def test_a_run_gets_the_wished_state_once_its_teardowns_are_over(run, airflow, scientist, wished, airflows):
    wish = WISHES[wished](run, scientist).wish
    assert deliver(run) == ("running", wish)
    assert [task.state for task in airflow.task_states([(DAG, RUN)])] == [
        "success",
        "success" if wished == "success" else "failed",
        "",
    ]
    assert seen(run) == deliver(run) == ("running", wish)
    assert run.delivery_error == ""
    airflow.move_on(DAG, RUN, airflows, clean="success")
    assert seen(run) == ("running", wish)  # how it ends is still to be told
    assert run.next_attempt_at <= timezone.now()
    assert deliver(run) == (wished, "")
    assert run.ended_at is not None
    assert airflow.run(DAG, RUN).state == ("success" if wished == "success" else "failed")
    Run.objects.exclude(cancelled_at=None).update(cancelled_at=timezone.now() - timedelta(minutes=5))
    assert seen(run) == (wished, "")
    told = ["run.cancel", "run.cancelled"] if wished == "cancelled" else ["run.mark", "run.marked"]
    assert actions(run) == told


def test_airflow_is_asked_once_while_the_teardowns_run(run, airflow, scientist):
    run_changes.cancel_run(run.pk, by=scientist)
    for _ in range(3):
        deliver(run)
    assert airflow.calls.count("set_run_state") == 1


def test_a_request_that_arrived_goes_on_being_cancelled(run, airflow, scientist):
    """Its row said cancelled at once, while nobody knew that it had arrived."""
    long_ago = timezone.now() - timedelta(minutes=5)
    run_changes.cancel_run(run.pk, by=scientist)
    Run.objects.update(state="cancelled", cancelled_at=long_ago)
    assert deliver(run) == ("running", "cancel")


def test_a_run_that_somebody_runs_again_meanwhile_is_left(run, airflow, scientist):
    run_changes.cancel_run(run.pk, by=scientist)
    deliver(run)
    airflow.clear_run(DAG, RUN, Scope())
    assert seen(run) == ("running", "cancel")
    airflow.move_on(DAG, RUN, "success", load="success", search="success", clean="success")
    assert seen(run) == ("success", "cancel")
    assert deliver(run) == ("success", "")
    assert airflow.run(DAG, RUN).state == "success"
    assert "again in Airflow" in run.delivery_error
    assert actions(run) == ["run.cancel", "run.not_cancelled"]


def test_a_state_that_airflow_does_not_give_is_not_told(run, airflow, scientist):
    """One that ended with a teardown that never ran keeps its state there."""
    airflow.move_on(DAG, RUN, "failed", search="failed")
    seen(run)
    run_changes.mark_run(run.pk, "success", by=scientist)
    assert deliver(run) == ("failed", "")
    assert run.delivery_error
    assert actions(run) == ["run.mark", "run.not_marked"]


def test_the_page_says_what_is_waited_for(page, run, scientist, real_redis):
    run_changes.cancel_run(run.pk, by=scientist)
    deliver(run)
    shown = page.get(f"/runs/{run.pk}").content.decode()
    assert "Cancelling: its teardown tasks still run" in shown


def test_a_mark_that_waits_for_teardowns_may_become_a_cancellation(run, airflow, scientist):
    run_changes.mark_run(run.pk, "success", by=scientist)
    deliver(run)
    assert run_changes.cancel_run(run.pk, by=scientist).awaits_teardowns
    airflow.move_on(DAG, RUN, "success", clean="success")
    assert deliver(run) == ("cancelled", "")


def test_one_that_waits_for_teardowns_may_be_left_to_airflow(run, airflow, scientist):
    run_changes.cancel_run(run.pk, by=scientist)
    deliver(run)
    run_changes.withdraw_wish(run.pk, by=scientist)
    airflow.move_on(DAG, RUN, "success", clean="success")
    assert seen(run) == ("success", "")


# --- what is told before


def test_what_would_be_stopped_is_told_without_teardowns(page, run, scientist, real_redis):
    found = previews.of_marking(run, Scope(), "failed", by=scientist)
    assert [task.task_id for task in found] == ["search"]
    assert selected.preview("cancel", [run.pk], by=scientist).items[0].words.startswith("1 task ")
    words = "Teardown tasks are left to run"
    assert words in page.get(f"/runs/{run.pk}/mark/preview?state=failed").content.decode()
    assert words in page.get(f"/runs/{run.pk}").content.decode()
    assert words not in page.get(f"/runs/{run.pk}/mark/preview?task=search&state=failed").content.decode()


def test_a_run_without_teardowns_says_nothing_of_them(page, run, airflow, real_redis):
    Pipeline.objects.update(tasks=NODES[:2])
    words = "Teardown tasks are left to run"
    assert words not in page.get(f"/runs/{run.pk}/mark/preview?state=failed").content.decode()
    assert words not in page.get(f"/runs/{run.pk}").content.decode()


def test_a_task_that_waits_for_its_next_try_would_be_skipped(run, airflow, scientist):
    airflow.move_on(DAG, RUN, "running", search="up_for_retry")
    sync.sync_tasks()
    found = previews.of_marking(run, Scope(), "failed", by=scientist)
    assert [(task.task_id, task.state) for task in found] == [("search", "up_for_retry")]
    for what in ("cancel", "mark-failed"):
        assert "1 task " in selected.preview(what, [run.pk], by=scientist).items[0].words
    run_changes.mark_run(run.pk, "failed", by=scientist)
    deliver(run)
    assert [task.state for task in airflow.task_states([(DAG, RUN)])] == ["success", "skipped", ""]
