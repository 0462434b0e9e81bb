"""Clearing, marking and noting: what is asked for, shown before, delivered once, and kept in the trail."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from core.audit.models import AuditEntry
from core.lib.errors import Conflict, InvalidRequest, NotFound, Unavailable
from pipelines import run_changes, selected, sync, tasks
from pipelines.models import Run, RunNote, RunState, TaskInstance, Wish
from pipelines.scope import Scope
from tests.pipeline_rows import make_pipeline, make_run, make_task

DAG = "titanic_training"
FAILED = {"load": "success", "search": "failed", "report": "upstream_failed"}


@pytest.fixture
def run(db, airflow):
    """A run that failed at its second task of three, here and in Airflow."""
    make_pipeline(
        tasks=[
            {"id": one, "label": one, "operator": "", "downstream": after, "is_mapped": False}
            for one, after in (("load", ["search"]), ("search", ["report"]), ("report", []))
        ]
    )
    airflow.add_dag(DAG, tasks=("load", "search", "report"))
    airflow.as_user("ana", "user").trigger_run(DAG, dag_run_id="manual__1", conf={}, note="old")
    airflow.move_on(DAG, "manual__1", "failed", **FAILED)
    sync.sync_runs()
    sync.sync_tasks()
    airflow.calls.clear()
    return Run.objects.get()


def states(airflow):
    found = airflow.task_states([(DAG, "manual__1")])
    return {task.task_id: task.state for task in found}


def trail(run):
    found = AuditEntry.objects.filter(object_id=str(run.pk)).order_by("pk")
    return list(found.values_list("action", "actor_name"))


def test_one_task_and_those_after_it_run_again(run, airflow, scientist, sent):
    scope = Scope("search", downstream=True)
    asked = run_changes.clear_run(run.pk, by=scientist, scope=scope)
    assert (asked.wish, asked.wished_scope) == ("clear", scope)
    tasks.deliver_run(str(run.pk))
    assert states(airflow) == {"load": "success", "search": "", "report": ""}
    run.refresh_from_db()
    assert (run.state, run.wish, run.next_attempt_at) == ("queued", "", None)
    assert trail(run) == [("run.clear", "ana"), ("run.cleared", "ana")]
    asked = AuditEntry.objects.get(action="run.clear")
    assert asked.after == {"only_failed": False, "task_id": "search", "downstream": True}


def test_a_clear_that_was_done_is_not_done_again(run, airflow, scientist):
    """The worker died after Airflow had it: the task has begun a newer try meanwhile, and failed again."""
    run_changes.clear_run(run.pk, by=scientist, scope=Scope("search"))
    tasks.deliver_run(str(run.pk))
    airflow.move_on(DAG, "manual__1", "failed", **FAILED, tries={"search": 2})
    Run.objects.filter(pk=run.pk).update(wish=Wish.CLEAR, next_attempt_at=timezone.now())
    tasks.deliver_run(str(run.pk))
    assert airflow.calls.count("clear_tasks") == 1
    assert states(airflow)["search"] == "failed"


def test_a_failed_task_runs_again_while_its_run_goes_on(run, airflow, scientist):
    airflow.move_on(DAG, "manual__1", "running", search="failed", report="running")
    sync.sync_runs()
    sync.sync_tasks()
    run_changes.clear_run(run.pk, by=scientist, scope=Scope("search"))
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.state, states(airflow)["search"]) == ("running", "")


@pytest.fixture
def cancelled(run, airflow):
    """Cancelled while it was queued: no task of it ran, so none failed."""
    airflow.move_on(DAG, "manual__1", "failed", load="skipped", search="skipped", report="skipped")
    sync.sync_runs()
    sync.sync_tasks()
    now = timezone.now()
    Run.objects.filter(pk=run.pk).update(state=RunState.CANCELLED, cancelled_at=now, tasks_due_until=None)
    return run


@pytest.mark.parametrize("scope", [Scope(), Scope("search"), Scope(tasks=(("load", None), ("search", None)))])
def test_only_failed_tasks_of_which_there_are_none_are_refused(cancelled, scientist, scope):
    with pytest.raises(Conflict, match="None of its tasks failed"):
        run_changes.clear_run(cancelled.pk, by=scientist, scope=replace(scope, only_failed=True))
    cancelled.refresh_from_db()
    assert (cancelled.state, cancelled.wish) == ("cancelled", "")


@pytest.mark.parametrize("scope", [Scope(), Scope("search", downstream=True)])
def test_a_clear_of_nothing_leaves_the_run_as_it_was(run, airflow, scientist, scope):
    """What failed is marked in Airflow itself meanwhile, or stands beside the tasks that are named."""
    run_changes.clear_run(run.pk, by=scientist, scope=replace(scope, only_failed=True))
    airflow.move_on(DAG, "manual__1", "failed", search="skipped", report="skipped")
    Run.objects.filter(pk=run.pk).update(state=RunState.CANCELLED, cancelled_at=timezone.now())
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.state, run.wish, airflow.run(DAG, "manual__1").state) == ("cancelled", "", "failed")
    assert run.cancelled_at is not None
    assert "no task to run again" in run.delivery_error
    assert trail(run)[-1] == ("run.not_cleared", "ana")


def test_a_task_that_was_not_reached_is_not_cleared(run, scientist):
    run.task_instances.filter(task_id="search").update(state="")
    with pytest.raises(Conflict, match="not reached"):
        run_changes.clear_run(run.pk, by=scientist, scope=Scope("search"))


# --- what is stuck


def go_on(run, airflow, **states):
    """The run is at work, here and in Airflow."""
    airflow.move_on(DAG, run.dag_run_id, "running", **{"load": "success", "report": "", **states})
    sync.sync_runs()
    sync.sync_tasks()
    run.refresh_from_db()


@pytest.mark.parametrize(
    ("state", "then"),
    [("running", "restarting"), ("deferred", ""), ("queued", ""), ("up_for_reschedule", "")],
)
def test_a_task_that_is_stuck_runs_again(run, airflow, scientist, page, state, then):
    go_on(run, airflow, search=state)
    query = f"/runs/{run.pk}/clear/preview?task=search"
    assert "1 of them is under way: it is stopped" in page.get(query).content.decode()
    assert "/clear?task=search" in page.get(f"/runs/{run.pk}?task=search").content.decode()
    run_changes.clear_run(run.pk, by=scientist, scope=Scope("search"))
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.state, run.wish, run.delivery_error) == ("running", "", "")
    assert states(airflow) == {"load": "success", "search": then, "report": ""}


def test_a_run_that_goes_on_runs_again_whole(run, airflow, scientist, page):
    go_on(run, airflow, search="running")
    assert f'href="/runs/{run.pk}/clear"' in page.get(f"/runs/{run.pk}").content.decode()
    run_changes.clear_run(run.pk, by=scientist)
    tasks.deliver_run(str(run.pk))
    assert states(airflow) == {"load": "", "search": "restarting", "report": ""}
    assert trail(run)[-1] == ("run.cleared", "ana")


@pytest.mark.parametrize("scope", [Scope(), Scope("search")])
def test_what_is_under_way_is_cleared_once_though_the_answer_was_lost(run, airflow, scientist, scope):
    go_on(run, airflow, search="running")
    run_changes.clear_run(run.pk, by=scientist, scope=scope)
    tasks.deliver_run(str(run.pk))
    airflow.move_on(DAG, "manual__1", "running", search="running", tries={"search": 2})
    asked = Run.objects.get().wish_details
    Run.objects.update(
        wish=Wish.CLEAR, next_attempt_at=timezone.now(), wish_details=asked, delivery_attempts=1
    )
    tasks.deliver_run(str(run.pk))
    assert states(airflow)["search"] == "running"
    assert airflow.calls.count("clear_tasks") + airflow.calls.count("clear_run") == 1


def test_what_moved_by_itself_before_the_first_try_is_cleared_all_the_same(run, airflow, scientist):
    go_on(run, airflow, search="queued")
    run_changes.clear_run(run.pk, by=scientist, scope=Scope("search"))
    airflow.move_on(DAG, "manual__1", "running", search="running")
    tasks.deliver_run(str(run.pk))
    assert states(airflow)["search"] == "restarting"


def test_a_task_that_airflow_tries_again_before_the_worker_comes_is_cleared_with_what_follows(
    run, airflow, scientist
):
    go_on(run, airflow, search="up_for_retry")
    run_changes.clear_run(run.pk, by=scientist, scope=Scope("search", downstream=True, note="bad input"))
    airflow.move_on(DAG, "manual__1", "running", search="running", tries={"search": 2})
    tasks.deliver_run(str(run.pk))
    assert states(airflow) == {"load": "success", "search": "restarting", "report": ""}
    assert airflow.note_of(DAG, "manual__1", "search") == "bad input"


def test_a_run_of_which_somebody_cleared_a_task_in_airflow_meanwhile_is_cleared_whole(
    run, airflow, scientist
):
    run_changes.clear_run(run.pk, by=scientist)
    airflow.as_user("eve", "user").clear_tasks(DAG, "manual__1", Scope("report"), dry_run=False)
    tasks.deliver_run(str(run.pk))
    assert states(airflow) == {"load": "", "search": "", "report": ""}


def test_a_running_task_is_left_where_somebody_wants_that(run, airflow, scientist):
    go_on(run, airflow, search="running")
    run_changes.clear_run(run.pk, by=scientist, scope=Scope("search", prevent_running=True))
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert "prevent_running_task" in run.delivery_error
    assert states(airflow)["search"] == "running"


# --- other dates, new tasks, notes


@pytest.fixture
def dated(run, airflow):
    """Three runs of three days, the one of the middle being ours; all failed."""
    for day in (1, 2, 3):
        at = datetime(2026, 3, day, tzinfo=UTC)
        airflow.as_user("ana", "user").trigger_run(DAG, dag_run_id=f"day{day}", conf={}, logical_date=at)
        airflow.move_on(DAG, f"day{day}", "failed", **FAILED)
    sync.sync_runs()
    sync.sync_tasks()
    return Run.objects.get(dag_run_id="day2")


def cleared(airflow):
    found = airflow.task_states([(DAG, f"day{day}") for day in (1, 2, 3)])
    return [(task.dag_run_id, task.task_id) for task in found if not task.state]


@pytest.mark.parametrize(
    ("beside", "days"), [({"past": True}, [1, 2]), ({"future": True}, [2, 3]), ({}, [2])]
)
def test_a_task_runs_again_for_other_dates_too(dated, airflow, scientist, page, beside, days):
    query = "&".join(f"{name}=on" for name in ("task=search", *beside))
    text = page.get(f"/runs/{dated.pk}/clear/preview?{query.replace('task=search=on', 'task=search')}")
    assert [task.dag_run_id for task in text.context["preview"].tasks] == [f"day{day}" for day in days]
    assert ("cell-sub mono" in text.content.decode()) == (len(days) > 1)
    run_changes.clear_run(dated.pk, by=scientist, scope=Scope("search", **beside, note="bad input"))
    tasks.deliver_run(str(dated.pk))
    assert cleared(airflow) == [(f"day{day}", "search") for day in days]
    assert airflow.note_of(DAG, "day2", "search") == "bad input"
    assert AuditEntry.objects.get(action="run.clear").after["note"] == "bad input"


def test_a_task_is_marked_for_later_dates_too(dated, airflow, page):
    body = {"task_id": "search", "state": "skipped", "future": True, "note": "no data"}
    told = json.loads(post(page, f"{dated.pk}/mark", {**body, "dry_run": True}).content)["results"]
    assert [one["dag_run_id"] for one in told] == ["day2", "day3"]
    assert post(page, f"{dated.pk}/mark", body).status_code == 202
    tasks.deliver_run(str(dated.pk))
    marked = [task.dag_run_id for task in airflow._tasks.values() if task.state == "skipped"]
    assert marked == ["day2", "day3"]
    assert airflow.note_of(DAG, "day2", "search") == "no data"


def test_only_new_tasks_of_a_run_are_queued(run, airflow, scientist, page):
    airflow.add_dag(DAG, tasks=("load", "search", "report", "mail"))
    shown = page.get(f"/runs/{run.pk}/clear/preview?only_new=on").context["preview"]
    assert [task.task_id for task in shown.tasks] == ["mail"]
    run_changes.clear_run(run.pk, by=scientist, scope=Scope(only_new=True, note="mail it"))
    tasks.deliver_run(str(run.pk))
    assert (airflow.run(DAG, "manual__1").state, airflow.run(DAG, "manual__1").note) == ("queued", "mail it")
    assert states(airflow)["search"] == "failed"


@pytest.mark.parametrize("scope", [Scope(only_new=True), Scope(only_failed=True)])
def test_a_run_that_goes_on_and_has_no_such_task_is_not_cleared(run, airflow, scientist, scope):
    airflow.add_dag(DAG, tasks=("load", "search", "report", "mail"))
    go_on(run, airflow, search="failed")
    run_changes.clear_run(run.pk, by=scientist, scope=scope)
    airflow.add_dag(DAG, tasks=("load", "search", "report"))
    airflow.move_on(DAG, "manual__1", "running", search="running", tries={"search": 2})
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.state, run.wish, trail(run)[-1]) == ("running", "", ("run.not_cleared", "ana"))
    assert "no task to run again" in run.delivery_error


def test_new_tasks_of_a_run_that_goes_on_are_queued(run, airflow, scientist):
    airflow.add_dag(DAG, tasks=("load", "search", "report", "mail"))
    go_on(run, airflow, search="running")
    run_changes.clear_run(run.pk, by=scientist, scope=Scope(only_new=True))
    tasks.deliver_run(str(run.pk))
    assert trail(run)[-1] == ("run.cleared", "ana")


def test_a_run_of_which_no_task_is_cleared_but_of_earlier_ones_stays_as_it_was(dated, airflow, scientist):
    """Those that failed before a date whose own task is fine, of a run that somebody cancelled."""
    airflow.move_on(DAG, "day2", "failed", search="success")
    sync.sync_runs()
    sync.sync_tasks()
    Run.objects.filter(pk=dated.pk).update(state="cancelled", cancelled_at=timezone.now())
    run_changes.clear_run(dated.pk, by=scientist, scope=Scope("search", past=True, only_failed=True))
    tasks.deliver_run(str(dated.pk))
    assert cleared(airflow) == [("day1", "search")]
    there = Run.objects.get(pk=dated.pk)
    assert (there.state, there.ended_at) == ("cancelled", dated.ended_at)
    assert there.cancelled_at is not None
    assert trail(there)[-1] == ("run.cleared", "ana")


@pytest.mark.parametrize(
    ("scope", "field"),
    [
        (Scope(future=True), "future"),
        (Scope("search", past=True), "past"),  # this one has no logical date
        (Scope("search", only_new=True), "only_new"),
        (Scope(only_new=True, only_failed=True), "only_new"),
        (Scope(prevent_running=True), "prevent_running"),
        (Scope("search", note="x" * 1001), "note"),
    ],
)
def test_what_airflow_takes_of_no_such_run_is_told_at_its_field(run, scientist, scope, field):
    Run.objects.update(logical_date=None)
    with pytest.raises(InvalidRequest) as refused:
        run_changes.clear_run(run.pk, by=scientist, scope=scope)
    assert [fault["field"] for fault in refused.value.errors] == [field]


def test_an_unknown_task_is_not_found(run, scientist):
    with pytest.raises(NotFound, match="no_such"):
        run_changes.clear_run(run.pk, by=scientist, scope=Scope("no_such"))
    with pytest.raises(NotFound, match="no_such"):
        run_changes.mark_task(run.pk, Scope("no_such"), "success", by=scientist)


def test_what_airflow_refuses_to_clear_is_said(run, airflow, scientist):
    run_changes.clear_run(run.pk, by=scientist, scope=Scope("search"))
    airflow.add_dag(DAG, tasks=("load", "other"))
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.state, run.wish) == ("failed", "")
    assert "Task 'search' not found" in run.delivery_error
    assert trail(run)[-1] == ("run.not_cleared", "ana")


@pytest.mark.parametrize("state", ["success", "skipped"])
def test_a_task_is_marked_by_hand_once(run, airflow, scientist, state):
    run_changes.mark_task(run.pk, Scope("search", -1), state, by=scientist)
    tasks.deliver_run(str(run.pk))
    assert states(airflow)["search"] == state
    Run.objects.filter(pk=run.pk).update(wish=Wish.MARK, next_attempt_at=timezone.now())
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.wish, run.delivery_error) == ("", "")
    assert trail(run)[:2] == [("run.mark_task", "ana"), ("run.task_marked", "ana")]


def test_a_task_that_has_the_state_is_left(run, scientist):
    with pytest.raises(Conflict, match="already"):
        run_changes.mark_task(run.pk, Scope("search", -1), "failed", by=scientist)


def test_no_other_state_can_be_marked(run, scientist):
    with pytest.raises(InvalidRequest) as refused:
        run_changes.mark_task(run.pk, Scope("search"), "running", by=scientist)
    assert refused.value.errors == [
        {"field": "state", "message": "Give one of these: success, failed, skipped."}
    ]
    with pytest.raises(InvalidRequest):
        run_changes.mark_run(run.pk, "skipped", by=scientist)


def test_a_run_is_marked_by_hand(run, airflow, scientist):
    asked = run_changes.mark_run(run.pk, "success", by=scientist)
    assert (asked.state, asked.wish) == ("failed", "succeed")
    tasks.deliver_run(str(run.pk))
    sync.sync_runs()
    sync.sync_tasks()
    run.refresh_from_db()
    assert (run.state, run.wish, airflow.run(DAG, "manual__1").state) == ("success", "", "success")
    assert trail(run) == [("run.mark", "ana"), ("run.marked", "ana")]
    with pytest.raises(Conflict, match="success"):
        run_changes.mark_run(run.pk, "success", by=scientist)


def test_while_airflow_is_away_a_mark_waits(run, airflow, scientist):
    run_changes.mark_run(run.pk, "success", by=scientist)
    airflow.is_away = True
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.wish, run.delivery_error) == ("succeed", "Airflow is not answering.")


# --- what Airflow has not confirmed

WAITING = {
    "clear": lambda run, by: run_changes.clear_run(run.pk, by=by),
    "succeed": lambda run, by: run_changes.mark_run(run.pk, "success", by=by),
    "mark": lambda run, by: run_changes.mark_task(run.pk, Scope("search"), "success", by=by),
}


@pytest.mark.parametrize("wish", WAITING)
def test_what_airflow_keeps_refusing_can_be_withdrawn(run, airflow, scientist, wish):
    assert WAITING[wish](run, scientist).wish == wish
    airflow.knows_no_token = True
    tasks.deliver_run(str(run.pk))
    withdrawn = run_changes.withdraw_wish(run.pk, by=scientist)
    assert (withdrawn.wish, withdrawn.delivery_error) == ("", "")
    assert withdrawn.can_change
    entry = AuditEntry.objects.get(action="run.withdraw")
    assert (entry.actor_name, entry.before) == ("ana", {"state": "failed", "wish": wish})
    airflow.knows_no_token = False
    airflow.calls.clear()
    tasks.deliver_run(str(run.pk))
    assert airflow.calls == []


def test_what_does_not_wait_cannot_be_withdrawn(run, scientist, viewer):
    with pytest.raises(Conflict):
        run_changes.withdraw_wish(run.pk, by=scientist)
    wanted = make_run(state="requested", wish=Wish.START, next_attempt_at=timezone.now())
    with pytest.raises(Conflict):
        run_changes.withdraw_wish(wanted.pk, by=scientist)
    with pytest.raises(PermissionDenied):
        run_changes.withdraw_wish(run.pk, by=viewer)


def test_what_is_withdrawn_while_a_worker_is_at_it_leaves_no_trouble(run, airflow, scientist, monkeypatch):
    run_changes.mark_run(run.pk, "success", by=scientist)

    def withdraw(*_args):
        run_changes.withdraw_wish(run.pk, by=scientist)
        raise Unavailable("Airflow is not answering.", service="airflow")

    monkeypatch.setattr(airflow, "set_run_state", withdraw)
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.wish, run.delivery_error, run.next_attempt_at) == ("", "", None)


@pytest.mark.parametrize("fails", [False, True])
def test_what_is_asked_after_a_withdrawal_is_delivered_and_nothing_else(
    run, airflow, scientist, monkeypatch, fails
):
    """Also where it is of the same kind, and asked while the worker is at the one before."""
    run_changes.mark_task(run.pk, Scope("search"), "success", by=scientist)
    mark_tasks = airflow.mark_tasks

    def and_meanwhile(*given, **more):
        run_changes.withdraw_wish(run.pk, by=scientist)
        asked = run_changes.mark_task(run.pk, Scope("report"), "skipped", by=scientist)
        assert asked.next_attempt_at > timezone.now()  # no second worker acts beside the first
        if fails:
            raise Unavailable("Airflow is not answering.", service="airflow")
        return mark_tasks(*given, **more)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(airflow, "mark_tasks", and_meanwhile)
        tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.wish, run.wished_scope.task, run.next_attempt_at <= timezone.now()) == (
        "mark",
        "report",
        True,
    )
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.wish, run.next_attempt_at) == ("", None)
    states = {task.task_id: task.state for task in airflow.task_states([(DAG, "manual__1")])}
    assert (states["search"], states["report"]) == ("failed" if fails else "success", "skipped")


def test_no_more_tasks_are_marked_once_that_is_withdrawn(run, airflow, scientist, monkeypatch):
    scope = Scope(tasks=(("search", -1), ("report", -1)))
    run_changes.mark_task(run.pk, scope, "success", by=scientist)
    mark_tasks, marked = airflow.mark_tasks, []

    def and_withdraw(dag_id, run_id, one, *given, **more):
        marked.append(one.task)
        run_changes.withdraw_wish(run.pk, by=scientist)
        return mark_tasks(dag_id, run_id, one, *given, **more)

    monkeypatch.setattr(airflow, "mark_tasks", and_withdraw)
    tasks.deliver_run(str(run.pk))
    assert len(marked) == 1


@pytest.mark.parametrize("wish", WAITING)
def test_a_run_that_goes_on_is_cancelled_instead_of_what_waits(run, airflow, scientist, wish):
    airflow.move_on(DAG, "manual__1", "running", search="running")
    sync.sync_runs()
    WAITING[wish](run, scientist)
    airflow.is_away = True
    tasks.deliver_run(str(run.pk))
    told = selected.preview("cancel", [run.pk], by=scientist).items[0]
    assert not told.refused
    asked = run_changes.cancel_run(run.pk, by=scientist)
    assert (asked.wish, set(asked.wish_details), asked.delivery_attempts) == ("cancel", {"wish_id"}, 0)
    assert AuditEntry.objects.get(action="run.cancel").before == {"state": "running", "wish": wish}
    airflow.is_away = False
    Run.objects.update(next_attempt_at=timezone.now())
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.state, run.wish) == ("cancelled", "")
    assert airflow.run(DAG, "manual__1").state == "failed"


def test_the_page_and_rest_withdraw(page, run, scientist, viewer, client, real_redis):
    button = f'action="/runs/{run.pk}/withdraw"'
    assert button not in page.get(f"/runs/{run.pk}").content.decode()
    for send in (
        lambda: page.post(f"/runs/{run.pk}/withdraw").status_code == 302,
        lambda: post(page, f"{run.pk}/withdraw", {}).json()["wish"] == "",
    ):
        run_changes.clear_run(run.pk, by=scientist)
        for address in ("", "/clear"):
            assert button in page.get(f"/runs/{run.pk}{address}").content.decode()
        assert send()
        assert Run.objects.get().wish == ""
    assert post(page, f"{run.pk}/withdraw", {}).status_code == 409
    run_changes.clear_run(run.pk, by=scientist)
    client.force_login(viewer)
    assert button not in client.get(f"/runs/{run.pk}").content.decode()


@pytest.mark.parametrize("state", [RunState.REQUESTED, RunState.REFUSED, RunState.LOST])
def test_a_run_that_airflow_does_not_have_is_not_changed(db, scientist, state):
    wish = Wish.START if state == RunState.REQUESTED else Wish.NOTHING
    run = make_run(state=state, wish=wish, next_attempt_at=timezone.now())
    make_task(run)
    for change in (
        lambda: run_changes.mark_run(run.pk, "success", by=scientist),
        lambda: run_changes.mark_task(run.pk, Scope("search"), "failed", by=scientist),
        lambda: run_changes.clear_run(run.pk, by=scientist, scope=Scope("search")),
        lambda: run_changes.write_note(run.pk, "why", by=scientist),
    ):
        with pytest.raises(Conflict):
            change()


def test_a_viewer_changes_nothing(run, viewer):
    for change in (
        lambda: run_changes.mark_run(run.pk, "success", by=viewer),
        lambda: run_changes.mark_task(run.pk, Scope("search"), "success", by=viewer),
        lambda: run_changes.clear_run(run.pk, by=viewer, scope=Scope("search")),
        lambda: run_changes.write_note(run.pk, "why", by=viewer),
    ):
        with pytest.raises(PermissionDenied, match=r"pipelines\.run"):
            change()


# --- notes


def test_a_note_stands_here_at_once_and_in_airflow_later(run, airflow, scientist, sent):
    airflow.is_away = True
    run_changes.write_note(run.pk, "line one\nline two", by=scientist)
    row = RunNote.objects.get()
    tasks.deliver_note(str(row.pk))
    airflow.is_away = False
    sync.sync_runs()  # Airflow still has the old one
    run.refresh_from_db()
    assert run.note == "line one\nline two"
    RunNote.objects.update(next_attempt_at=timezone.now())
    tasks.deliver_note(str(row.pk))
    assert airflow.run(DAG, "manual__1").note == "line one\nline two"
    assert not RunNote.objects.exists()
    assert trail(run) == [("run.note", "ana"), ("run.noted", "ana")]


def test_a_note_written_while_another_is_delivered_goes_out_after_it(run, airflow, scientist, monkeypatch):
    run_changes.write_note(run.pk, "first", by=scientist)
    row, write = RunNote.objects.get(), airflow.set_note

    def write_slowly(*args):
        monkeypatch.setattr(airflow, "set_note", write)
        write(*args)
        run_changes.write_note(run.pk, "second", by=scientist)

    monkeypatch.setattr(airflow, "set_note", write_slowly)
    tasks.deliver_note(str(row.pk))
    tasks.deliver_note(str(row.pk))
    assert airflow.run(DAG, "manual__1").note == "second"
    assert not RunNote.objects.exists()


def test_a_note_written_in_airflow_shows_here(run, airflow):
    airflow.as_user("bob", "user").set_note(DAG, "manual__1", "seen by bob")
    sync.sync_runs()
    sync.sync_tasks()
    run.refresh_from_db()
    assert run.note == "seen by bob"


@pytest.mark.parametrize("note", ["x" * 1001, "a\x00b"])
def test_a_note_that_cannot_be_kept_is_refused(run, scientist, note):
    with pytest.raises(InvalidRequest) as refused:
        run_changes.write_note(run.pk, note, by=scientist)
    assert [fault["field"] for fault in refused.value.errors] == ["note"]


# --- pages


def test_the_page_shows_what_would_run_again_and_changes_nothing(page, run, airflow):
    text = page.get(f"/runs/{run.pk}/clear?task=search&map_index=-1&downstream=on").content.decode()
    assert f'hx-get="/runs/{run.pk}/clear/preview"' in text
    query = "task=search&map_index=-1&downstream=on"
    assert f'<noscript> <a href="/runs/{run.pk}/clear/preview?{query}">' in re.sub(
        r"\s+", " ", unescape(text)
    )
    preview = page.get(f"/runs/{run.pk}/clear/preview?{query}").content.decode()
    assert "2 tasks would run again" in preview
    assert '<th scope="row"> search </th>' in " ".join(preview.split())
    assert ">load</th>" not in preview
    assert "clear_tasks (dry)" in airflow.calls
    assert "clear_tasks" not in airflow.calls
    assert Run.objects.get().wish == ""


def test_a_failed_run_proposes_what_failed(page, run):
    text = page.get(f"/runs/{run.pk}/clear").content.decode()
    assert 'name="only_failed" id="id_only_failed"' in text.replace("\n", " ").replace("  ", " ") or (
        'name="only_failed"' in text
    )
    assert "checked" in text
    assert f'<a href="/runs/{run.pk}/clear/preview?only_failed=true">' in text


def test_one_confirmation_clears(page, run, sent, django_capture_on_commit_callbacks):
    given = {"task": "search", "map_index": "-1", "downstream": "on"}
    with django_capture_on_commit_callbacks(execute=True):
        answer = page.post(f"/runs/{run.pk}/clear", given)
    assert (answer.status_code, answer["Location"]) == (302, f"/runs/{run.pk}?task=search&map_index=-1")
    assert sent == [("deliver_run", str(run.pk))]
    assert Run.objects.get().wished_scope == Scope("search", -1, downstream=True)


def test_what_cannot_be_cleared_so_is_told_in_the_form_and_what_was_typed_stays(page, run):
    """As who ticks "only new" on the page of a failed run, which comes with "only failed" ticked."""
    sent = {"only_failed": "on", "only_new": "on", "note": "typed", "csrfmiddlewaretoken": "secret"}
    answer = page.post(f"/runs/{run.pk}/clear", sent)
    text = unescape(answer.content.decode())
    assert answer.status_code == 422
    assert "Take the new tasks or those that failed, not both." in text
    assert "typed</textarea>" in text
    assert "csrfmiddlewaretoken=secret" not in text
    assert Run.objects.get().wish == ""


@pytest.mark.parametrize(
    ("state", "wish", "is_offered"),
    [("running", "", True), ("queued", "", True), ("success", "", True), ("running", "clear", False)],
)
def test_the_page_of_a_run_offers_to_mark_it(page, run, real_redis, state, wish, is_offered):
    Run.objects.update(state=state, wish=wish, next_attempt_at=timezone.now())
    shown = page.get(f"/runs/{run.pk}").content.decode()
    assert (f'href="/runs/{run.pk}/mark?state=' in shown) == is_offered


def test_what_cannot_be_marked_so_is_told_in_the_form(page, run):
    answer = page.post(f"/runs/{run.pk}/mark", {"state": "skipped"})
    assert answer.status_code == 422
    assert "Give one of these: success, failed." in answer.content.decode()
    assert 'id="change-form"' in answer.content.decode()


def test_the_page_of_marking_tells_what_changes(page, run, airflow):
    query = "task=search&map_index=-1&state=success"
    assert "Mark this task" in page.get(f"/runs/{run.pk}/mark?{query}").content.decode()
    preview = page.get(f"/runs/{run.pk}/mark/preview?{query}").content.decode()
    assert "1 task would change" in preview
    whole = page.get(f"/runs/{run.pk}/mark/preview?state=success").content.decode()
    assert "No task would change" in whole
    page.post(f"/runs/{run.pk}/mark", {"state": "success"})
    assert Run.objects.get().wish == "succeed"


def test_a_preview_says_that_airflow_is_away_and_the_button_stays(page, run, airflow):
    airflow.is_away = True
    preview = page.get(f"/runs/{run.pk}/clear/preview")
    assert preview.status_code == 200
    assert "Airflow is not answering." in preview.content.decode()


def test_a_note_is_written_on_the_page(page, run):
    page.post(f"/runs/{run.pk}/note", {"note": " done by hand \r\n twice "})
    assert Run.objects.get().note == "done by hand \n twice"


# --- REST


def post(page, url, body):
    return page.post(f"/api/v1/runs/{url}", body, content_type="application/json")


def test_rest_tells_and_clears(page, run):
    body = {"task_id": "search", "downstream": True}
    told = post(page, f"{run.pk}/clear", {**body, "dry_run": True})
    assert told.status_code == 200
    same = {"dag_run_id": "manual__1", "map_index": -1, "map_name": "", "try_number": 1}
    assert told.json()["results"] == [
        {**same, "task_id": "search", "state": "failed"},
        {**same, "task_id": "report", "state": "upstream_failed"},
    ]
    assert Run.objects.get().wish == ""
    answer = post(page, f"{run.pk}/clear", body)
    assert (answer.status_code, answer.json()["wish"]) == (202, "clear")


def test_rest_says_that_a_task_is_not_there(page, run):
    for path, more in (("clear", {}), ("mark", {"state": "success"})):
        answer = post(page, f"{run.pk}/{path}", {"task_id": "none", "dry_run": True, **more})
        assert answer.status_code == 404


def test_rest_marks(page, run):
    assert post(page, f"{run.pk}/mark", {}).json()["errors"][0]["field"] == "state"
    told = post(page, f"{run.pk}/mark", {"state": "success", "task_id": "search", "dry_run": True})
    assert [task["task_id"] for task in told.json()["results"]] == ["search"]
    assert post(page, f"{run.pk}/mark", {"state": "success"}).json()["wish"] == "succeed"
    assert post(page, f"{run.pk}/mark", {"state": "success"}).status_code == 409


@pytest.mark.parametrize("is_dry", [True, False])
@pytest.mark.parametrize(("field", "value"), [("past", True), ("future", True), ("note", "known")])
def test_rest_marks_no_whole_run_with_what_is_done_to_tasks_alone(page, run, field, value, is_dry):
    answer = post(page, f"{run.pk}/mark", {"state": "success", field: value, "dry_run": is_dry})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    assert Run.objects.get().wish == ""


def test_rest_writes_a_note(page, run):
    answer = page.patch(f"/api/v1/runs/{run.pk}", {"note": "why"}, content_type="application/json")
    assert (answer.status_code, answer.json()["note"]) == (202, "why")


# --- which version of the code


@pytest.mark.parametrize("scope", [Scope(), Scope("search")])
@pytest.mark.parametrize("run_on_latest_version", [None, True, False])
def test_what_is_cleared_runs_the_code_that_was_chosen(run, airflow, scientist, scope, run_on_latest_version):
    run_changes.clear_run(
        run.pk, by=scientist, scope=replace(scope, run_on_latest_version=run_on_latest_version)
    )
    tasks.deliver_run(str(run.pk))
    assert airflow.run_on_latest_version == {"manual__1": run_on_latest_version}
    asked = AuditEntry.objects.get(action="run.clear").after
    assert asked.get("run_on_latest_version") == run_on_latest_version


def test_the_run_on_latest_version_is_chosen_on_the_page_and_told_before(page, run, airflow):
    Run.objects.update(versions=[1])
    sync.Pipeline.objects.update(version=3)
    form = page.get(f"/runs/{run.pk}/clear").content.decode()
    assert 'name="run_on_latest_version"' in form
    query = f"/runs/{run.pk}/clear/preview?only_failed=on"
    assert "newest code" not in page.get(query).content.decode()
    preview = page.get(f"{query}&run_on_latest_version=true").content.decode()
    assert "They run the newest code, version 3." in preview
    assert "The run has run version 1 so far." in preview
    page.post(f"/runs/{run.pk}/clear", {"run_on_latest_version": "true"})
    assert Run.objects.get().wished_scope == Scope(run_on_latest_version=True)


def test_rest_chooses_the_run_on_latest_version(page, run, airflow):
    assert post(page, f"{run.pk}/clear", {"run_on_latest_version": True}).status_code == 202
    tasks.deliver_run(str(run.pk))
    assert airflow.run_on_latest_version == {"manual__1": True}


def test_news_of_a_run_that_is_not_read_yet_is_airflows_to_judge(run, airflow, scientist):
    """The run is failed here, and which of its tasks failed comes a moment later."""
    TaskInstance.objects.update(state="running")
    Run.objects.filter(pk=run.pk).update(tasks_due_until=timezone.now())
    run_changes.clear_run(run.pk, by=scientist, scope=Scope(only_failed=True))
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.state, run.delivery_error) == ("queued", "")
    assert airflow.calls.count("clear_run") == 1


def test_the_version_that_ran_can_be_chosen_on_the_page(page, run, airflow):
    page.post(f"/runs/{run.pk}/clear", {"run_on_latest_version": "false"})
    assert Run.objects.get().wished_scope == Scope(run_on_latest_version=False)
    page.post(f"/runs/{run.pk}/clear", {"run_on_latest_version": ""})
    assert Run.objects.get().wished_scope == Scope(run_on_latest_version=False)  # it waits for the first
