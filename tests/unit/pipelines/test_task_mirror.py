"""Which runs' tasks are read, and when: nothing is missed, and what stands still is left alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from core.lib.aside import Unread
from core.lib.errors import Unavailable
from core.lib.models import SetAside
from pipelines import loops, mirror, run_changes, sync, tasks
from pipelines.airflow_pages import Failed
from pipelines.models import Bookmark, Run, TaskInstance
from pipelines.scope import Scope

pytestmark = pytest.mark.django_db
DAG = "etl"
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def dag(airflow):
    airflow.add_dag(DAG, tasks=("load", "clean"))
    airflow.tells_tasks_at_once = True
    return airflow


def trigger(airflow, dag_run_id="m", state=None, **task_states):
    airflow.as_user("ana", "user").trigger_run(DAG, dag_run_id=dag_run_id, conf={"a": 1})
    if state:
        airflow.move_on(DAG, dag_run_id, state, **task_states)


def read_all():
    sync.sync_runs()
    sync.sync_tasks()


def end_long_ago(airflow, dag_run_id="m", **task_states):
    """A run that ended, is here with its tasks, and that nobody has reason to read again."""
    trigger(airflow, dag_run_id, "success", **task_states)
    airflow.end(DAG, dag_run_id, LONG_AGO)
    read_all()
    assert not Run.objects.exclude(tasks_due_until=None).exists()
    airflow.calls.clear()


def states(dag_run_id="m"):
    rows = TaskInstance.objects.filter(run__dag_run_id=dag_run_id).order_by("task_id")
    return {row.task_id: row.state for row in rows}


def n_reads(airflow):
    n = airflow.calls.count("task_states")
    airflow.calls.clear()
    return n


def test_the_tasks_of_a_run_that_the_look_for_lost_ones_found_ended_are_read(dag):
    trigger(dag, state="running", load="running", clean="")
    read_all()
    dag.move_on(DAG, "m", "success", load="success", clean="success")
    dag.end(DAG, "m", LONG_AGO)
    sync.sync_lost_runs()
    assert Run.objects.get().state == "success"
    read_all()
    assert states() == {"load": "success", "clean": "success"}
    n_reads(dag)
    read_all()
    assert n_reads(dag) == 0


def test_what_a_round_did_not_come_to_is_read_by_the_next(dag, monkeypatch):
    for name in ("a", "b", "c"):
        trigger(dag, name, "success", load="success", clean="success")
        dag.end(DAG, name, LONG_AGO)
    monkeypatch.setattr(sync, "PAGE", 1)
    sync.sync_runs()
    read, n_left = dag.task_states, [1]

    def fails_at_the_second(runs):
        n_left[0] -= 1
        if n_left[0] < 0:
            raise Unavailable("Airflow is not answering.", service="airflow")
        return read(runs)

    with monkeypatch.context() as patch:
        patch.setattr(dag, "task_states", fails_at_the_second)
        with pytest.raises(Unavailable):
            sync.sync_tasks()
    assert TaskInstance.objects.count() == 2
    sync.sync_tasks()
    assert TaskInstance.objects.count() == 6
    n_reads(dag)
    sync.sync_tasks()
    assert n_reads(dag) == 0


def test_queued_runs_are_read_once_and_running_ones_each_time(dag):
    trigger(dag)
    read_all()
    assert states() == {"load": "", "clean": ""}
    n_reads(dag)
    read_all()
    assert n_reads(dag) == 0
    dag.move_on(DAG, "m", "running", load="running")
    for state in ("running", "success"):
        dag.move_on(DAG, "m", "running", load=state)
        sync.sync_runs()
        Run.objects.update(tasks_due_until=None)
        sync.sync_tasks()
        assert states()["load"] == state


def test_a_run_that_has_just_ended_is_read_until_its_last_task_is_written(dag):
    trigger(dag, state="success", load="success", clean="running")
    dag.end(DAG, "m", timezone.now())
    read_all()
    dag.move_task(DAG, "m", "clean", "success")
    sync.sync_tasks()
    assert states() == {"load": "success", "clean": "success"}
    until = Run.objects.get().tasks_due_until
    assert timedelta(seconds=10) < until - timezone.now() <= mirror.OVERLAP
    Run.objects.update(tasks_due_until=timezone.now())
    sync.sync_tasks()
    assert Run.objects.get().tasks_due_until is None


def test_a_change_while_tasks_are_read_keeps_the_run_due(dag, monkeypatch):
    trigger(dag)
    sync.sync_runs()
    read = dag.task_states

    def changes_meanwhile(runs):
        found = read(runs)
        dag.move_on(DAG, "m", "success", load="success", clean="success")
        dag.end(DAG, "m", LONG_AGO)
        sync.sync_runs()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(dag, "task_states", changes_meanwhile)
        sync.sync_tasks()
    assert states() == {"load": "", "clean": ""}
    sync.sync_tasks()
    assert states() == {"load": "success", "clean": "success"}


def test_a_task_marked_by_us_in_an_ended_run_shows(dag, scientist):
    end_long_ago(dag, load="failed", clean="success")
    run_changes.mark_task(Run.objects.get().pk, Scope("load"), "success", by=scientist)
    tasks.deliver_run(str(Run.objects.get().pk))
    read_all()
    assert states() == {"load": "success", "clean": "success"}


def test_a_mark_that_stopped_halfway_shows_what_was_done(dag, scientist, monkeypatch):
    end_long_ago(dag, load="failed", clean="failed")
    scope = Scope(tasks=(("load", None), ("clean", None)))
    run_changes.mark_task(Run.objects.get().pk, scope, "success", by=scientist)
    mark = dag.mark_tasks

    def goes_away(dag_id, dag_run_id, one, state, *, dry_run):
        if one.task_id == "clean":
            raise Unavailable("Airflow is not answering.", service="airflow")
        return mark(dag_id, dag_run_id, one, state, dry_run=dry_run)

    monkeypatch.setattr(dag, "mark_tasks", goes_away)
    tasks.deliver_run(str(Run.objects.get().pk))
    sync.sync_tasks()
    assert states() == {"load": "success", "clean": "failed"}


def test_a_run_that_airflow_no_longer_has_keeps_its_tasks_when_a_wish_for_it_is_refused(dag, scientist):
    end_long_ago(dag, load="failed", clean="success")
    dag.delete_run(DAG, "m")
    run_changes.mark_task(Run.objects.get().pk, Scope("load"), "success", by=scientist)
    tasks.deliver_run(str(Run.objects.get().pk))
    read_all()
    assert Run.objects.get().delivery_error != ""
    assert states() == {"load": "failed", "clean": "success"}


def test_a_run_that_airflow_no_longer_has_keeps_its_tasks(dag):
    trigger(dag, state="running", load="success", clean="running")
    trigger(dag, "other", "running", load="success", clean="running")
    read_all()
    dag.delete_run(DAG, "m")
    del dag._tasks[DAG, "other", "clean", -1]  # the pipeline was changed
    sync.sync_tasks()
    sync.sync_lost_runs()
    assert Run.objects.get(dag_run_id="m").state == "lost"
    assert states() == {"load": "success", "clean": "running"}
    assert states("other") == {"load": "success"}


def test_a_task_marked_in_airflows_own_pages_shows(dag):
    sync.sync_marked_tasks()
    end_long_ago(dag, load="failed", clean="success")
    end_long_ago(dag, "other", load="success", clean="success")
    trigger(dag, "waits")
    read_all()
    sync.sync_tasks()
    for n_found in (2, 0):
        dag.now += timedelta(minutes=1)
        sync.sync_marked_tasks()
        assert Run.objects.exclude(tasks_due_until=None).count() == n_found
        sync.sync_tasks()
    dag.move_task(DAG, "m", "load", "success")
    sync.sync_marked_tasks()
    assert [run.dag_run_id for run in Run.objects.exclude(tasks_due_until=None)] == ["m"]
    sync.sync_tasks()
    assert states() == {"load": "success", "clean": "success"}
    assert Bookmark.objects.get(name="tasks").read_until == dag.now


def test_what_an_earlier_release_left_at_work_is_read_once(dag):
    end_long_ago(dag, load="success", clean="success")
    end_long_ago(dag, "well", load="success", clean="upstream_failed")
    TaskInstance.objects.filter(run__dag_run_id="m", task_id="load").update(state="running")
    TaskInstance.objects.filter(run__dag_run_id="well", task_id="load").update(state="")
    dag._tasks_changed_at.clear()
    sync.sync_marked_tasks()
    sync.sync_tasks()
    assert states() == {"load": "success", "clean": "success"}
    assert n_reads(dag) == 1
    assert states("well")["load"] == ""
    TaskInstance.objects.filter(task_id="load").update(state="running")
    sync.sync_marked_tasks()
    sync.sync_tasks()
    assert n_reads(dag) == 0


def test_marks_are_looked_for_from_now_on_and_again_where_they_could_not_be_noted(dag, monkeypatch):
    since = []

    def changed(at):
        since.append(at)
        return set(), dag.now, True

    monkeypatch.setattr(dag, "runs_of_changed_tasks", changed)
    sync.sync_marked_tasks()
    assert abs(timezone.now() - mirror.OVERLAP - since[0]) < timedelta(seconds=5)
    with monkeypatch.context() as patch:
        patch.setattr(mirror, "tasks_changed", lambda _runs: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            sync.sync_marked_tasks()
    sync.sync_marked_tasks()
    assert since[1] == since[2] == dag.now - mirror.OVERLAP


def test_first_contact_does_not_keep_running_ones_waiting(dag, monkeypatch):
    for name in ("a", "b", "c"):
        trigger(dag, name, "success", load="success", clean="success")
        dag.end(DAG, name, LONG_AGO)
    trigger(dag, "runs", "running", load="running", clean="")
    monkeypatch.setattr(sync, "PAGE", 1)
    monkeypatch.setattr(sync, "DUE_AT_ONCE", 2)
    sync.sync_runs()
    asked = []
    read = dag.task_states

    def noted(runs):
        asked.append(runs[0][1])
        return read(runs)

    monkeypatch.setattr(dag, "task_states", noted)
    sync.sync_tasks()
    assert asked == ["runs", "a", "b"]
    sync.sync_tasks()
    assert asked[3:] == ["runs", "c"]


def test_no_conf_is_loaded_for_the_tasks(dag, django_assert_max_num_queries):
    trigger(dag, state="running", load="running", clean="")
    read_all()
    with django_assert_max_num_queries(11) as queries:
        sync.sync_tasks()
    assert not any('"conf"' in one["sql"] for one in queries.captured_queries)


@pytest.mark.parametrize("is_known", [False, True])
def test_of_a_task_that_comes_twice_the_later_counts(dag, monkeypatch, is_known):
    """It was tried again while pages turned."""
    trigger(dag, state="running", load="running", clean="")
    sync.sync_runs()
    if is_known:
        sync.sync_tasks()
    first, clean = dag.task_states([(DAG, "m")])
    again = replace(first, try_number=2, state="queued")
    monkeypatch.setattr(dag, "task_states", lambda _runs: [first, clean, again])
    sync.sync_tasks()
    assert TaskInstance.objects.count() == 2
    row = TaskInstance.objects.get(task_id="load")
    assert (row.try_number, row.state) == (2, "queued")


@pytest.mark.parametrize("dag_run_id", ["m", "manual 2026/03/01 ñandú", " a  b "])
def test_a_task_that_was_set_aside_is_tried_again_whatever_its_run_is_called(dag, monkeypatch, dag_run_id):
    trigger(dag, dag_run_id, "success", load="success", clean="success")
    dag.end(DAG, dag_run_id, LONG_AGO)
    sync.sync_runs()
    [load, clean] = dag.task_states([(DAG, dag_run_id)])
    unread = Unread(load.key, "It makes no sense.", fingerprint="1")
    with monkeypatch.context() as patch:
        patch.setattr(dag, "task_states", lambda _runs: [unread, clean])
        sync.sync_tasks()
    assert (states(dag_run_id), SetAside.objects.get().key) == ({"clean": "success"}, load.key)
    n_reads(dag)
    sync.sync_tasks()
    assert n_reads(dag) == 0
    SetAside.objects.update(next_try_at=timezone.now())
    sync.sync_tasks()
    assert states(dag_run_id) == {"load": "success", "clean": "success"}
    assert not SetAside.objects.exists()


@pytest.mark.parametrize("is_run_here", [True, False])
def test_a_task_that_was_set_aside_and_is_no_longer_there_is_forgotten(dag, is_run_here):
    if is_run_here:
        end_long_ago(dag, "a b", load="success", clean="success")
    key = f"{DAG} a b vanished -1"
    loops.TASKS.set_aside(key, "It makes no sense.")
    SetAside.objects.update(next_try_at=timezone.now())
    sync.sync_tasks()
    assert not SetAside.objects.exists()
    n_reads(dag)
    sync.sync_tasks()
    assert n_reads(dag) == 0


def failing_for(dag, *bad):
    """Airflow answers 500 whenever tasks of one of these runs are asked for."""
    read = dag.task_states

    def task_states(runs):
        if any(dag_run_id in bad for _dag_id, dag_run_id in runs):
            raise Failed("Airflow failed at that.", service="airflow")
        return read(runs)

    return task_states


def test_a_run_whose_tasks_airflow_fails_to_list_keeps_no_other_from_being_read(dag, monkeypatch):
    for name in ("a", "bad", "c"):
        trigger(dag, name, "success", load="success", clean="success")
        dag.end(DAG, name, LONG_AGO)
    sync.sync_runs()
    with monkeypatch.context() as patch:
        patch.setattr(dag, "task_states", failing_for(dag, "bad"))
        sync.sync_tasks()
        [row] = SetAside.objects.all()
        assert (row.loop, row.about) == (loops.TASK_LISTS.name, f"{DAG} bad")
        assert TaskInstance.objects.count() == 4
        dag.calls.clear()
        sync.sync_tasks()
        assert n_reads(dag) == 0, "its next try is to come"
    SetAside.objects.update(next_try_at=timezone.now())
    sync.sync_tasks()
    assert states("bad") == {"load": "success", "clean": "success"}
    assert not SetAside.objects.exists()


def test_an_airflow_that_fails_at_all_runs_is_away(dag, monkeypatch):
    for name in ("a", "b", "c", "d"):
        trigger(dag, name, "success", load="success", clean="success")
    sync.sync_runs()
    monkeypatch.setattr(dag, "task_states", failing_for(dag, "a", "b", "c", "d"))
    with pytest.raises(Failed):
        sync.sync_tasks()
    assert SetAside.objects.count() == 2


def test_marks_in_a_gap_are_looked_for_again_and_none_of_long_ago(dag, monkeypatch):
    since = []

    def changed(at):
        since.append(at)
        return set(), dag.now, False

    monkeypatch.setattr(dag, "runs_of_changed_tasks", changed)
    Bookmark.objects.create(name="tasks", read_until=LONG_AGO)
    sync.sync_marked_tasks()
    assert Bookmark.objects.get().read_until == LONG_AGO
    assert abs(timezone.now() - sync.LONGEST_LOOK_BACK - mirror.OVERLAP - since[0]) < timedelta(seconds=5)


def test_a_change_does_not_shorten_how_long_tasks_are_due(dag):
    trigger(dag, "m", "success", load="success", clean="success")
    sync.sync_runs()
    until = Run.objects.get().tasks_due_until
    assert until > timezone.now() + timedelta(seconds=5)
    mirror.tasks_changed({(DAG, "m")})
    assert Run.objects.get().tasks_due_until == until
