"""The worker's half: what somebody asked for, delivered to Airflow once; what Airflow said, into the row."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog
from celery import shared_task
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from core.audit import actions as audit
from core.lib import json_bodies, live, outbox, traces
from core.lib.errors import Conflict, ConsoleError, InvalidRequest, NotFound, Unauthorized, Unavailable
from core.lib.models import SyncState
from pipelines import asset_events, log_copy, marking, mirror, removal
from pipelines.airflow_auth import SERVICE, USER, WATCHER
from pipelines.models import (
    WISH_ID,
    InputRequest,
    Pipeline,
    Run,
    RunNote,
    TaskLog,
    Wish,
)
from pipelines.scope import place_of
from pipelines.states import ENDED, TASK_ENDED, RunState
from pipelines.task_answers import TaskState
from pipelines.task_models import EndedThere

if TYPE_CHECKING:
    from pipelines.gateway import AirflowGateway
    from pipelines.run_answers import DagRun

log = structlog.get_logger(__name__)

READ_WITHIN = timedelta(hours=1)  # who answered a question in Airflow


def airflow_for(username: str) -> "AirflowGateway":
    """Airflow as this person. Imported late: web processes need none of the client's 50 MB."""
    from pipelines import gateway

    return gateway.connect(username, USER)


@shared_task
def clear_old() -> None:
    """Rows that are kept for some time only go."""
    asset_events.clear_old()
    removal.clear_sources()
    removal.clear_runs()


@shared_task
def deliver_run(run_id: str) -> None:
    """Do what is wished for the run: start, cancel or clear it."""
    run = outbox.claim(Run, run_id)
    if run is None:
        return
    if run.wish == Wish.NOTHING:  # done meanwhile by a worker whose message came twice
        Run.objects.filter(pk=run.pk, wish=Wish.NOTHING).update(next_attempt_at=None)
        return
    deliver = DELIVERIES[Wish(run.wish)]
    try:
        with traces.span(f"{run.wish} run", parent=run.traceparent, kind="CLIENT", **_about(run)):
            deliver(run)
    except Unauthorized as error:
        log.error("airflow.refused_credentials", run=run.pk, error=error.message)
        _try_again(run, error.message)
    except Unavailable as error:
        _try_again(run, error.message)


def _about(run: Run) -> dict[str, str]:
    return {"atalaya.dag_id": run.dag_id, "atalaya.dag_run_id": run.dag_run_id}


def _try_again(run: Run, message: str) -> None:
    with transaction.atomic():
        if _still_wished(run).select_for_update().exists():
            run.mark_retry(message)
        else:
            _send_new_wish(run)
        mirror.publish_runs([run])


def _still_wished(run: Run) -> QuerySet[Run]:
    """Its row, unless somebody changed their mind since it was claimed."""
    wished = Run.objects.filter(pk=run.pk, wish=run.wish)
    own = run.wish_details.get(WISH_ID)  # a wish of an earlier release has none
    return wished.filter(**{f"wish_details__{WISH_ID}": own}) if own else wished


def _send_new_wish(run: Run) -> None:
    """Somebody changed their mind while it was delivered: what is wanted now, if anything, is due at once."""
    Run.objects.filter(pk=run.pk, wish=Wish.NOTHING).update(next_attempt_at=None)
    Run.objects.filter(pk=run.pk).exclude(wish=Wish.NOTHING).update(next_attempt_at=timezone.now())
    deliver_run.delay_on_commit(str(run.pk))


def start_run(run: Run) -> None:
    """Hand the run to Airflow. A 409 counts as delivered when the run there is this very one."""
    airflow = airflow_for(run.triggered_by)
    start, end = run.data_interval_start, run.data_interval_end
    try:
        found = airflow.trigger_run(
            run.dag_id,
            dag_run_id=run.dag_run_id,
            logical_date=run.logical_date,
            run_after=run.run_after,
            data_interval=(start, end) if start and end else None,
            partition_key=run.partition_key,
            conf=run.conf,
            note=run.note,
        )
    except Conflict as error:
        there = _run_there(airflow, run)
        if there is None or not is_ours(run, there):
            _settle(run, "run.refused", state=RunState.REFUSED, delivery_error=error.message)
            return
        found = there
    except (InvalidRequest, NotFound) as error:
        _settle(run, "run.refused", state=RunState.REFUSED, delivery_error=error.message)
        return
    state = mirror.seen_state(run, found)
    _settle(run, "run.started", state=state, run_type=found.run_type, tasks_due_until=timezone.now())


def _run_there(airflow: "AirflowGateway", run: Run) -> "DagRun | None":
    """The run with our id; None where it has none, as when another one's logical date is in the way."""
    try:
        return airflow.run(run.dag_id, run.dag_run_id)
    except NotFound:
        return None


def _gone(airflow: "AirflowGateway", run: Run, error: ConsoleError) -> dict[str, Any]:
    """What is to be written where what Airflow does not have is the run itself; empty where it has it."""
    is_gone = isinstance(error, NotFound) and _run_there(airflow, run) is None
    return mirror.gone(run) if is_gone else {}


def is_ours(run: Run, found: "DagRun") -> bool:
    """Whether the run in Airflow carries what this row asked for, from the person who asked."""
    same = found.conf == run.conf and found.note == run.note
    return same and (settings.CONSOLE_AIRFLOW_AUTH == "service" or found.triggered_by == run.triggered_by)


def cancel_run(run: Run) -> None:
    """End the run in Airflow; one that never arrived there is cancelled, one that ended keeps its state."""
    airflow = airflow_for(_wisher(run))
    outcome: dict[str, Any] = {"state": RunState.CANCELLED, "cancelled_at": timezone.now()}
    try:
        found = airflow.run(run.dag_id, run.dag_run_id)
        if found.state in ENDED and not run.awaits_teardowns:
            outcome = {"state": _final(run, found)}
        else:
            found = _end(airflow, run, found, RunState.FAILED)
            if found.state not in ENDED:
                _await_teardowns(run, found)
                return
        outcome |= {"ended_at": found.ended_at, "tasks_due_until": timezone.now()}
    except NotFound:
        log.info("run.never_arrived", run=run.pk)
        outcome["gone_at"] = timezone.now()
    except (Conflict, InvalidRequest) as error:
        outcome = {"delivery_error": error.message}
    _settle(run, "run.cancelled" if "cancelled_at" in outcome else "run.not_cancelled", **outcome)


def _end(airflow: "AirflowGateway", run: Run, there: "DagRun", state: str) -> "DagRun":
    """The run, ended in this state; or as it goes on until its teardown tasks are over.

    Airflow then ends it by its tasks, those that were skipped counting as successes: it gets the state anew.
    Raises Conflict where somebody cleared it meanwhile, and where Airflow leaves it in another state.
    """
    if run.awaits_teardowns:
        if run.is_queued_anew(there.queued_at):
            message = _("Somebody ran its tasks again in Airflow meanwhile; the run was left alone then.")
            raise Conflict(message, service=SERVICE)
        if there.state not in ENDED or there.state == state:
            return there
    found = airflow.set_run_state(run.dag_id, run.dag_run_id, state)
    if found.state in ENDED and found.state != state:
        message = _("Airflow left the run as it was, “%(state)s”.") % {"state": found.state}
        raise Conflict(message, service=SERVICE)
    return found


def _await_teardowns(run: Run, found: "DagRun") -> None:
    """Keep the wish, which Airflow has taken: the mirror makes it due when the run has ended there."""
    queued_at = found.queued_at.isoformat() if found.queued_at else None
    details = {**run.wish_details, "is_taken": True, "queued_at": queued_at, "has_ended": False}
    taken = {"wish_details": details}
    now = timezone.now()
    with transaction.atomic():
        _still_wished(run).update(**taken, state=found.state, cancelled_at=None, tasks_due_until=now)
    _try_again(run, "")


def _final(run: Run, found: "DagRun") -> str:
    return RunState.CANCELLED if run.cancelled_at and found.state == RunState.FAILED else found.state


def clear_run(run: Run) -> None:
    """Run its tasks again, unless an earlier try of ours has cleared them already."""
    airflow = airflow_for(_wisher(run))
    try:
        there = airflow.run(run.dag_id, run.dag_run_id)
        is_touched = _clear(airflow, run, there)
    except (NotFound, Conflict, InvalidRequest) as error:
        _settle(run, "run.not_cleared", delivery_error=error.message, **_gone(airflow, run, error))
        return
    outcome: dict[str, Any] = {"tasks_due_until": timezone.now()}
    if is_touched:
        outcome |= {"state": there.state, "cancelled_at": None, "ended_at": None}
    if is_touched and there.state in ENDED:  # as Airflow has it from now on: queued anew, and not begun
        outcome |= {"state": RunState.QUEUED, "queued_at": timezone.now(), "started_at": None}
    _settle(run, "run.cleared", **outcome)


def _clear(airflow: "AirflowGateway", run: Run, there: "DagRun") -> bool:
    """Whether tasks of the run itself are cleared, and not of others beside it alone.

    Raises Conflict where Airflow found nothing to clear: it leaves the run as it was and says no more.
    """
    scope = run.wished_scope
    if _was_cleared(airflow, run, there):
        return True
    if scope.is_whole_run:
        found = airflow.clear_run(run.dag_id, run.dag_run_id, scope)
        # One under way keeps its state, and is queued anew where a task of it is cleared.
        is_done = found.state not in ENDED if there.state in ENDED else found.queued_at != there.queued_at
        is_touched = is_done
    else:
        cleared = airflow.clear_tasks(run.dag_id, run.dag_run_id, scope, dry_run=False)
        is_done, is_touched = bool(cleared), any(_is_of(run, one) for one in cleared)
    if not is_done:
        raise Conflict(_("Airflow found no task to run again; the run is as it was."), service=SERVICE)
    return is_touched


def _is_of(run: Run, task: object) -> bool:
    return isinstance(task, TaskState) and (task.dag_id, task.dag_run_id) == (run.dag_id, run.dag_run_id)


def _was_cleared(airflow: "AirflowGateway", run: Run, there: "DagRun") -> bool:
    """Whether the answer to an earlier try of ours was lost.

    Of a run that had ended, or of tasks that had, one that moved on tells. What is under way moves by itself:
    there Airflow queues the run anew with each clear. At the first try whatever moved did so without us.
    """
    if run.delivery_attempts <= 1:
        return False
    noted, is_whole = run.wish_details, run.wished_scope.is_whole_run
    if noted.get("was_under_way") if is_whole else noted.get("tries") == {}:
        queued_at = noted.get("queued_at")
        if there.queued_at is None or queued_at is None:
            return False
        return there.queued_at > datetime.fromisoformat(queued_at)
    return there.state not in ENDED if is_whole else not _is_as_it_was(airflow, run)


def _is_as_it_was(airflow: "AirflowGateway", run: Run) -> bool:
    """Whether the tasks that are to be cleared stand as they did when somebody asked.

    A clear touches them together, and one that is skipped again ends at the same try: so one that moved on
    tells that it was done.
    """
    scope, tries = run.wished_scope, run.wish_details.get("tries")
    before = run.wish_details.get("try_number", 0)  # of a wish of an earlier release
    return all(
        task.state in TASK_ENDED and task.try_number <= (before if tries is None else tries[place_of(task)])
        for task in airflow.task_states([(run.dag_id, run.dag_run_id)])
        if isinstance(task, TaskState)
        and (scope.holds(task.task_id, task.map_index) if tries is None else place_of(task) in tries)
    )


def mark_run(run: Run) -> None:
    """Give it the state that somebody wants; doing so twice does no harm."""
    airflow = airflow_for(_wisher(run))
    state = RunState.SUCCESS if run.wish == Wish.SUCCEED else RunState.FAILED
    try:
        found = _end(airflow, run, airflow.run(run.dag_id, run.dag_run_id), state)
    except (NotFound, Conflict, InvalidRequest) as error:
        _settle(run, "run.not_marked", delivery_error=error.message, **_gone(airflow, run, error))
        return
    if found.state not in ENDED:
        _await_teardowns(run, found)
        return
    outcome = {"cancelled_at": None, "ended_at": found.ended_at, "tasks_due_until": timezone.now()}
    _settle(run, "run.marked", state=state, **outcome)


def mark_task(run: Run) -> None:
    """Give tasks the state that somebody wants.

    What is marked when Airflow stops answering is kept in the row, and the rest is tried again.
    """
    airflow, scope = airflow_for(_wisher(run)), run.wished_scope
    outcomes: dict[str, str] = dict(run.wish_details.get("outcomes", {}))
    try:
        is_wanted = _still_wished(run).exists
        marking.mark_rest(airflow, run, scope, run.wish_details["state"], outcomes, is_wanted=is_wanted)
        found = _run_there(airflow, run)
    except (Unavailable, Unauthorized) as error:
        kept = {**run.wish_details, "outcomes": outcomes}
        done = {"wish_details": kept, "tasks_due_until": timezone.now()}
        _still_wished(run).update(**done)
        if not outcomes:
            raise
        words = _("Done so far: %(n)d of %(of)d tasks. %(error)s")
        values = {"n": len(outcomes), "of": len(scope.each), "error": error.message}
        raise type(error)(words % values, service=error.service) from error
    outcome: dict[str, Any] = {"delivery_error": marking.refusals(outcomes)}
    is_marked = not all(outcomes.values())
    if found is None:
        outcome |= mirror.gone(run)
    elif is_marked:
        outcome |= {"state": mirror.seen_state(run, found), "ended_at": found.ended_at}
        outcome["tasks_due_until"] = (
            timezone.now()
        )  # a mark in a run that ended leaves its row in Airflow alone
    _settle(run, "run.task_marked" if is_marked else "run.task_not_marked", **outcome)


DELIVERIES: dict[Wish, Callable[[Run], None]] = {
    Wish.START: start_run,
    Wish.CANCEL: cancel_run,
    Wish.CLEAR: clear_run,
    Wish.SUCCEED: mark_run,
    Wish.FAIL: mark_run,
    Wish.MARK: mark_task,
}


def _wisher(run: Run) -> str:
    return run.wished_by.get_username() if run.wished_by else WATCHER


@transaction.atomic
def _settle(run: Run, action: str, **values: Any) -> None:
    """Write the outcome, unless somebody changed their mind meanwhile: then the new wish is due at once."""
    done = {"wish": Wish.NOTHING, "next_attempt_at": None, "delivery_error": "", **values}
    settled = _still_wished(run).update(**done)
    if not settled:
        _send_new_wish(run)
    by = run.wished_by if run.wish != Wish.START else run.requested_by
    after = {"state": values.get("state", run.state), "words": values.get("delivery_error", "")}
    audit.record(action, run, by=by, before={"state": run.state}, after=after, upstream_id=run.dag_run_id)
    mirror.publish_runs([run])


@shared_task
def deliver_note(note_id: str) -> None:
    """Write the note of a run in Airflow."""
    row = outbox.claim(RunNote, note_id)
    if row is None:
        return
    run, by = row.run, row.written_by
    try:
        error, is_gone = _write_note(run, row.text, by.get_username() if by else WATCHER)
    except (Unavailable, Unauthorized) as found:
        log.warning("run.note_not_written", run=run.pk, error=found.message)
        row.mark_retry(found.message)
        return
    with transaction.atomic():
        # Written anew meanwhile: then that is due, and this one is history.
        if not RunNote.objects.filter(pk=row.pk, text=row.text).delete()[0]:
            RunNote.objects.filter(pk=row.pk).update(next_attempt_at=timezone.now())
            deliver_note.delay_on_commit(note_id)
        action = "run.note_refused" if error else "run.noted"
        audit.record(action, run, by=by, after={"note": row.text, "words": error}, upstream_id=run.dag_run_id)
        if is_gone:
            mirror.run_is_gone(run)
        mirror.publish_runs([run])


def _write_note(run: Run, text: str, username: str) -> tuple[str, bool]:
    """Why Airflow refuses it, empty where it does not, and whether it does as it has no such run."""
    airflow = airflow_for(username)
    try:
        airflow.set_note(run.dag_id, run.dag_run_id, text)
    except (NotFound, InvalidRequest, Conflict) as error:
        return error.message, bool(_gone(airflow, run, error))
    return "", False


@shared_task
def deliver_answer(input_id: str) -> None:
    """Take the answer to a task's question to Airflow; one that has an answer there is closed here.

    Of one that was closed without an answer from here, note the one that it has there.
    """
    row = outbox.claim(InputRequest, input_id)
    if row is None:
        return
    if row.chosen is None:
        _note_answer(row)
        return
    by, run = row.answered_by, row.run
    if row.is_asked_again:  # Airflow would take the answer for that of the later try
        words = _("The task has asked again since, at a later try. Answer that question.")
        _settle_answer(row, "input.not_answered", error=words, closed_at=timezone.now())
        return
    try:
        _answer(airflow_for(by.get_username() if by else WATCHER), row)
    except (Unavailable, Unauthorized) as error:
        log.warning("input.answer_not_taken", run=run.pk, task=row.task_id, error=error.message)
        row.mark_retry(error.message)
        mirror.publish_inputs([run.pk])
        return
    except (NotFound, Conflict) as error:
        _settle_answer(row, "input.not_answered", error=error.message, closed_at=timezone.now())
        return
    except InvalidRequest as error:  # the task still waits, for another answer or person
        _settle_answer(row, "input.not_answered", error=error.message, **row.unanswered)
        return
    _settle_answer(row, "input.answered", closed_at=timezone.now())


def _answer(airflow: "AirflowGateway", row: InputRequest) -> None:
    """Raises Conflict where another answer was first.

    A worker that died once Airflow had taken it meets its own, which is none.
    """
    place = (row.run.dag_id, row.run.dag_run_id, row.task_id)
    given = {"chosen": row.chosen or [], "params_input": row.params_input}
    try:
        airflow.answer_input(*place, map_index=row.map_index, **given)
    except Conflict:
        found = airflow.given_answer(*place, map_index=row.map_index, try_number=row.try_number)
        there = found and {"chosen": found.chosen, "params_input": found.params_input}
        is_service = settings.CONSOLE_AIRFLOW_AUTH == "service"
        if found is None or there != given or not (is_service or row.answerer in {found.by, found.name}):
            raise


def _note_answer(row: InputRequest) -> None:
    """Who answered it in Airflow itself, and what, if anybody did.

    Where Airflow does not let it be read, that is tried for some time.
    """
    from pipelines import gateway

    run = row.run
    if row.closed_at is None:  # it waits again
        unanswered = InputRequest.objects.filter(pk=row.pk, chosen__isnull=True, closed_at=None)
        unanswered.update(next_attempt_at=None)
        return
    try:
        place = {"map_index": row.map_index, "try_number": row.try_number}
        found = gateway.connect().given_answer(run.dag_id, run.dag_run_id, row.task_id, **place)
    except (Unavailable, Unauthorized) as error:
        log.warning("input.answer_not_read", run=run.pk, task=row.task_id, error=error.message)
        is_late = timezone.now() - row.closed_at > READ_WITHIN and not SyncState.stale_since(SERVICE)
        if is_late:
            InputRequest.objects.filter(pk=row.pk, chosen__isnull=True).update(next_attempt_at=None)
        else:
            row.mark_retry("")  # nothing that readers of the question need to know
        return
    except (NotFound, Conflict, InvalidRequest):
        found = None
    done: dict[str, Any] = {"next_attempt_at": None, "delivery_error": ""}
    if found is None:
        done["ended_there"] = EndedThere.UNANSWERED
    elif not json_bodies.fault([found.chosen, found.params_input, found.by, found.name]):
        done |= {"chosen": found.chosen, "params_input": found.params_input, "answered_at": found.at}
        done["answered_there_by"] = found.name or found.by
        done["ended_there"] = EndedThere.ANSWERED if found.by else EndedThere.DEFAULTS
    with transaction.atomic():
        InputRequest.objects.filter(pk=row.pk, chosen__isnull=True).exclude(closed_at=None).update(**done)
        mirror.publish_inputs([row.run_id])


@transaction.atomic
def _settle_answer(row: InputRequest, action: str, error: str = "", **values: Any) -> None:
    after = {"chosen": row.chosen, "words": error}
    done = {"next_attempt_at": None, "delivery_error": error, **values}
    InputRequest.objects.filter(pk=row.pk).update(**done)
    audit.record(action, row, by=row.answered_by, after=after, upstream_id=row.run.dag_run_id)
    mirror.publish_inputs([row.run_id])


@shared_task
def deliver_pause(dag_id: str) -> None:
    """Move the switch in Airflow to where somebody wants it."""
    pipeline = outbox.claim(Pipeline, dag_id)
    if pipeline is None:
        return
    if pipeline.wanted_is_paused is None:  # moved meanwhile by a worker whose message came twice
        Pipeline.objects.filter(pk=dag_id, wanted_is_paused=None).update(next_attempt_at=None)
        return
    outcome = {"is_paused": pipeline.wanted_is_paused, "delivery_error": ""}
    try:
        username = pipeline.wanted_by.get_username() if pipeline.wanted_by else WATCHER
        airflow_for(username).set_paused(dag_id, is_paused=pipeline.wanted_is_paused)
    except (Unavailable, Unauthorized) as error:
        log.warning("pipeline.switch_not_moved", dag_id=dag_id, error=error.message)
        pipeline.mark_retry(error.message)
        live.publish("pipelines", [dag_id])
        return
    except (NotFound, InvalidRequest, Conflict) as error:
        outcome = {"is_paused": pipeline.is_paused, "delivery_error": error.message}
    _settle_pause(pipeline, **outcome)


@transaction.atomic
def _settle_pause(pipeline: Pipeline, **values: Any) -> None:
    same = Pipeline.objects.filter(pk=pipeline.pk, wanted_is_paused=pipeline.wanted_is_paused)
    if pipeline.is_paused and not values["is_paused"]:
        values["awake_at"] = timezone.now()
    if not same.update(wanted_is_paused=None, next_attempt_at=None, **values):
        Pipeline.objects.filter(pk=pipeline.pk).update(next_attempt_at=timezone.now())
        deliver_pause.delay_on_commit(pipeline.pk)
    moved = "pipeline.paused" if values["is_paused"] else "pipeline.resumed"
    audit.record(
        "pipeline.switch_refused" if values["delivery_error"] else moved,
        pipeline,
        by=pipeline.wanted_by,
        before={"is_paused": pipeline.is_paused},
        after={name: value for name, value in values.items() if name != "awake_at"},
        upstream_id=pipeline.dag_id,
    )
    live.publish("pipelines", [pipeline.dag_id])


@shared_task
def copy_log(log_id: str) -> None:
    """Copy the rest of an ended try's log, telling watchers how far it is."""
    from pipelines import gateway

    row = outbox.claim(TaskLog, log_id)
    if row is None:
        return
    looked_at, n_before = timezone.now(), row.n_lines
    try:
        with gateway.connect().whole_log(
            row.run.dag_id,
            row.run.dag_run_id,
            row.task_id,
            try_number=row.try_number,
            map_index=row.map_index,
        ) as lines:
            n_lines = log_copy.copy(row, lines)
            trouble = lines.trouble
    except (Unavailable, Unauthorized) as error:
        row.mark_retry(error.message)
        log_copy.tell(row)
        return
    except (NotFound, InvalidRequest, Conflict) as error:
        log_copy.finish(row, error.message)
        return
    if n_lines is None:
        return
    if trouble and not n_lines:
        log_copy.note_missing(row, trouble)
    else:
        log_copy.note_end(row, looked_at=looked_at, has_more=n_lines > n_before)
