"""Runs that Airflow does not have: deleted there, or never arrived. They are marked, and in nobody's way."""

from datetime import timedelta

import pytest
from django.utils import timezone

from core.alerts.models import Alert
from core.lib.errors import Conflict, InvalidRequest, NotFound, Unavailable
from core.lib.models import SetAside, SyncState
from pipelines import actions, alerting, listing, loops, queries, run_changes, sync, tasks, watched_pipelines
from pipelines.models import AlertRule, Run
from pipelines.scope import Scope
from tests.pipeline_rows import STARTED, make_pipeline, make_run, make_task

pytestmark = pytest.mark.django_db
DAG = "etl"


@pytest.fixture
def deleted(airflow, scientist):
    """A failed run that somebody deletes in Airflow, of a date that is wanted again."""
    airflow.add_dag(DAG, is_paused=False)
    airflow.as_user("ana", "user").trigger_run(
        DAG, dag_run_id="manual__1", conf={"a": 1}, logical_date=STARTED
    )
    airflow.move_on(DAG, "manual__1", "failed", load="failed")
    sync.sync_pipelines()
    sync.sync_runs()
    sync.sync_tasks()
    airflow.delete_run(DAG, "manual__1")
    return Run.objects.get()


def again(run):
    run.refresh_from_db()
    return run


def test_a_run_that_ended_and_was_deleted_is_found_in_turn(airflow, deleted):
    airflow.add_dag("kept")
    kept = airflow.as_user("ana", "user").trigger_run("kept", dag_run_id="r", conf={})
    airflow.move_on("kept", kept.dag_run_id, "success", load="success")
    sync.sync_runs()
    sync.sync_deleted_runs()
    assert again(deleted).gone_at is not None
    assert (deleted.state, deleted.can_change, deleted.task_instances.count()) == ("failed", False, 1)
    assert Run.objects.get(dag_id="kept").gone_at is None
    airflow.calls.clear()
    sync.sync_deleted_runs()
    assert airflow.calls == ["runs_there"]  # of the one that is there


def test_one_that_cannot_be_asked_for_is_set_aside_and_tried_again_in_time(airflow, deleted, monkeypatch):
    ask = airflow.run

    def fail(*_args):
        raise Unavailable("no", service="airflow")

    monkeypatch.setattr(airflow, "run", fail)
    sync.sync_deleted_runs()
    row = SetAside.objects.get()
    assert (row.loop, row.key) == ("pipelines.deleted-runs", f"{DAG} manual__1")
    monkeypatch.setattr(airflow, "run", ask)
    monkeypatch.setattr(sync, "_in_turn", lambda _runs, most: [])  # the turn of others
    SetAside.objects.update(next_try_at=timezone.now())
    sync.sync_deleted_runs()
    assert again(deleted).gone_at is not None
    assert not SetAside.objects.exists()


def test_one_that_is_there_after_all_is_no_longer_set_aside(airflow):
    airflow.add_dag(DAG, is_paused=False)
    run = airflow.as_user("ana", "user").trigger_run(DAG, dag_run_id="r", conf={})
    airflow.move_on(DAG, run.dag_run_id, "success", load="success")
    sync.sync_runs()
    for key in (f"{DAG} r", f"{DAG} never"):
        loops.DELETED_RUNS.set_aside(key, "no")
    SetAside.objects.update(next_try_at=timezone.now())
    sync.sync_deleted_runs()
    assert not SetAside.objects.exists()


def test_short_ids_cost_a_few_questions_a_round_however_many_there_are(airflow, monkeypatch):
    """They cannot be listed (`manual` would read every manual run), so each is asked for by itself."""
    airflow.add_dag(DAG)
    for n in range(20):
        run = airflow.as_user("ana", "user").trigger_run(DAG, dag_run_id=f"r{n}", conf={})
        airflow.move_on(DAG, run.dag_run_id, "success", load="success")
    sync.sync_runs()
    monkeypatch.setattr(airflow, "runs_there", lambda _runs: set())
    airflow.calls.clear()
    sync.sync_deleted_runs()
    assert airflow.calls == ["run"] * sync.SHORT_AT_ONCE
    assert not Run.objects.exclude(gone_at=None).exists()


def test_every_run_has_its_turn(airflow, monkeypatch):
    monkeypatch.setattr(sync, "LOOKED_FOR_AT_ONCE", 2)
    for n in range(5):
        make_run(DAG, dag_run_id=f"r{n}")
    now = timezone.now()
    for minute in range(3):
        monkeypatch.setattr(timezone, "now", lambda m=minute: now + timedelta(minutes=m))
        sync.sync_deleted_runs()
    assert Run.objects.filter(gone_at=None).count() <= 2  # the pages move as runs go
    for minute in range(3, 9):
        monkeypatch.setattr(timezone, "now", lambda m=minute: now + timedelta(minutes=m))
        sync.sync_deleted_runs()
    assert Run.objects.filter(gone_at=None).count() == 0


ASKED = {
    "clear": lambda run, by: run_changes.clear_run(run.pk, by=by),
    "clear a task": lambda run, by: run_changes.clear_run(
        run.pk, by=by, scope=Scope(tasks=(("load", None),))
    ),
    "mark": lambda run, by: run_changes.mark_run(run.pk, "success", by=by),
    "mark a task": lambda run, by: run_changes.mark_task(
        run.pk, Scope(tasks=(("load", None),)), "success", by=by
    ),
}


@pytest.mark.parametrize("what", ASKED)
def test_a_change_that_finds_no_run_marks_it_gone(airflow, deleted, scientist, what):
    ASKED[what](deleted, scientist)
    tasks.deliver_run(str(deleted.pk))
    assert again(deleted).gone_at is not None
    assert (deleted.state, deleted.wish, deleted.can_change) == ("failed", "", False)
    assert deleted.delivery_error
    with pytest.raises(Conflict, match="does not have this run"):
        ASKED[what](deleted, scientist)


def test_a_change_of_a_run_under_way_that_finds_none_loses_it(airflow, deleted, scientist):
    Run.objects.update(state="running")
    run_changes.mark_run(deleted.pk, "success", by=scientist)
    tasks.deliver_run(str(deleted.pk))
    assert again(deleted).state == "lost"


def test_a_task_that_airflow_has_not_is_no_run_that_it_has_not(airflow, scientist):
    airflow.add_dag(DAG)
    airflow.as_user("ana", "user").trigger_run(DAG, dag_run_id="r", conf={})
    airflow.move_on(DAG, "r", "failed", load="failed")
    sync.sync_runs()
    run = Run.objects.get()
    make_task(run, "elsewhere", "failed")
    for act in (run_changes.clear_run, lambda pk, **rest: run_changes.mark_task(pk, state="success", **rest)):
        act(run.pk, by=scientist, scope=Scope(tasks=(("elsewhere", None),)))
        tasks.deliver_run(str(run.pk))
        assert again(run).delivery_error == "Task 'elsewhere' not found in Dag 'etl'"
        assert run.gone_at is None


def test_a_note_that_finds_no_run_marks_it_gone(airflow, deleted, scientist):
    run_changes.write_note(deleted.pk, "why", by=scientist)
    tasks.deliver_note(str(again(deleted).wanted_note.pk))
    assert again(deleted).gone_at is not None
    with pytest.raises(Conflict):
        run_changes.write_note(deleted.pk, "more", by=scientist)


def test_its_date_and_its_id_are_free_again(airflow, deleted, scientist):
    wanted = {"conf": {}, "by": scientist, "logical_date": STARTED}
    with pytest.raises(InvalidRequest):
        actions.trigger_run(DAG, **wanted)
    sync.sync_deleted_runs()
    run = actions.trigger_run(DAG, dag_run_id="manual__1", **wanted)
    tasks.deliver_run(str(run.pk))
    assert (again(run).state, run.dag_run_id) == ("queued", "manual__1")
    assert again(deleted).dag_run_id == f"manual__1~{deleted.pk}"
    sync.sync_runs()
    assert again(deleted).state == "failed"
    assert deleted.gone_at is not None


def test_a_request_that_never_left_blocks_nothing(airflow, scientist):
    make_pipeline(DAG, param_list=[])
    wanted = {"conf": {}, "by": scientist, "logical_date": STARTED, "dag_run_id": "mine"}
    first = actions.trigger_run(DAG, **wanted)
    with pytest.raises(InvalidRequest):
        actions.trigger_run(DAG, **wanted)
    first = run_changes.cancel_run(first.pk, by=scientist)
    assert (first.state, first.can_change) == ("cancelled", False)
    assert actions.trigger_run(DAG, **wanted).pk != first.pk


def test_a_request_that_never_arrived_cannot_be_changed(airflow, scientist):
    airflow.add_dag(DAG)
    sync.sync_pipelines()
    run = actions.trigger_run(DAG, conf={}, by=scientist)
    airflow.is_away = True
    tasks.deliver_run(str(run.pk))
    run = run_changes.cancel_run(run.pk, by=scientist)
    assert run.gone_at is None  # it may have arrived
    airflow.is_away = False
    Run.objects.update(next_attempt_at=timezone.now())
    tasks.deliver_run(str(run.pk))
    assert (again(run).state, run.can_change) == ("cancelled", False)


def test_one_that_comes_back_is_as_airflow_has_it(airflow, deleted):
    sync.sync_deleted_runs()
    airflow.as_user("vic", "user").trigger_run(DAG, dag_run_id="manual__1", conf={"b": 2})
    sync.sync_runs()
    assert again(deleted).gone_at is None
    assert (deleted.state, deleted.conf, deleted.can_change) == ("queued", {"b": 2}, True)


def test_it_fails_nothing_any_more(airflow, deleted, scientist):
    rule = AlertRule.objects.create(
        kind="failed", pattern=DAG, severity="warning", judged_from=STARTED, is_active=True
    )
    now = timezone.now()
    for name in watched_pipelines.POLLS:
        SyncState.objects.update_or_create(name=name, defaults={"last_success_at": now, "last_error": ""})
    Run.objects.update(ended_at=now)
    alerting.look()
    assert Alert.objects.get(rule=rule.alert_name).state == "open"
    assert (listing.n_failed_last(), queries.n_own_failures(scientist)) == (1, 1)
    sync.sync_deleted_runs()
    alerting.look()
    assert (listing.n_failed_last(), queries.n_own_failures(scientist)) == (0, 0)
    assert Alert.objects.get(rule=rule.alert_name).state == "resolved"


def test_the_page_and_rest_say_that_airflow_does_not_have_it(page, airflow, deleted):
    sync.sync_deleted_runs()
    text = page.get(f"/runs/{deleted.pk}").text
    assert "Airflow does not have this run" in text
    assert "Run tasks again" not in text
    assert "not in Airflow" in page.get("/runs").text
    assert page.get(f"/api/v1/runs/{deleted.pk}").json()["gone_at"]
    answer = page.post(f"/api/v1/runs/{deleted.pk}/clear", {}, content_type="application/json")
    assert answer.status_code == 409
    with pytest.raises(NotFound):
        airflow.run(DAG, "manual__1")
