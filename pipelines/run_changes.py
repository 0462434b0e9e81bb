"""The click's half of runs that are there: cancelling, clearing, marking; withdrawing; notes, answers."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.audit import actions as audit
from core.lib import json_bodies, traces
from core.lib.errors import Conflict, InvalidRequest, NotFound
from core.lib.ids import uuid7
from pipelines import actions, mirror, params, queries, tasks
from pipelines.models import LONGEST_NOTE, WISH_ID, InputRequest, Run, RunNote, Wish
from pipelines.scope import Scope, place_of
from pipelines.states import MARKS, TASK_ENDED, TASK_FAILED, RunState


@transaction.atomic
def cancel_run(run_id: int, *, by: User, batch: str = "") -> Run:
    """End a run. One that was never sent to Airflow is cancelled at once; of others Airflow is asked.

    What else was asked of Airflow and is not confirmed is dropped.

    Raises NotFound for an unknown run, Conflict for one that has ended.
    """
    run = _locked(run_id, by)
    if run.has_ended:
        raise Conflict(already(run))
    if not run.can_cancel:
        return run
    before = _before(run)
    if run.state == RunState.REQUESTED:
        _cancel_request(run)
    else:
        # What is still to be confirmed keeps its lease: nobody may ask for it after this.
        run.next_attempt_at = _free_at(run)
        if run.wish != Wish.START:
            run.delivery_attempts = 0
        if not run.awaits_teardowns:
            run.wish_details = {WISH_ID: uuid7().hex}
        run.wish = Wish.CANCEL
    run.wished_by = by
    run.delivery_error, run.traceparent = "", traces.traceparent()
    run.save()
    audit.record("run.cancel", run, by=by, before=before, after={"state": run.state, **_named(batch)})
    _send(run)
    return run


def _before(run: Run) -> dict:
    """As it stood, with what Airflow has not confirmed of what was done to it."""
    waits = run.wish not in {Wish.NOTHING, Wish.START}
    return {"state": run.state, **({"wish": run.wish} if waits else {})}


@transaction.atomic
def withdraw_wish(run_id: int, *, by: User) -> Run:
    """Take back what was asked of Airflow and is not confirmed; what it has done of it by now stays.

    Raises NotFound for an unknown run, Conflict where nothing of the kind waits.
    """
    run = _locked(run_id, by)
    if not run.can_withdraw:
        raise Conflict(_("Nothing that Airflow has yet to confirm can be withdrawn of this run."))
    before = _before(run)
    # A worker may be at it: the lease stays, so that what is asked next is not asked beside it.
    run.wish, run.wish_details, run.delivery_error = Wish.NOTHING, {}, ""
    run.save()
    after = {"state": run.state}
    audit.record("run.withdraw", run, by=by, before=before, after=after, upstream_id=run.dag_run_id)
    mirror.publish_runs([run])
    return run


def _cancel_request(run: Run) -> None:
    """It may have reached Airflow if a worker tried: then that is asked too, once that worker is done."""
    was_tried = run.delivery_attempts > 0
    run.state = RunState.CANCELLED
    run.cancelled_at = timezone.now()
    run.gone_at = None if was_tried else run.cancelled_at
    run.wish = Wish.CANCEL if was_tried else Wish.NOTHING
    run.next_attempt_at = run.next_attempt_at if was_tried else None


@transaction.atomic
def clear_run(
    run_id: int, *, by: User, only_failed: bool = False, scope: Scope | None = None, batch: str = ""
) -> Run:
    """Run the tasks of a run again in place: all, the failed ones, or those of `scope`.

    The run may go on; tasks that are under way are stopped. batch: names what was asked in one go, in the
    audit trail.

    Raises NotFound for an unknown run or task, Conflict for a task that was not reached, for a run that
    Airflow never had, and where none failed of which the failed ones are meant; InvalidRequest as
    `refuse_unfit` does.
    """
    run = _locked(run_id, by)
    scope = scope or Scope(only_failed=only_failed)
    if not run.can_change:
        raise Conflict(already(run))
    refuse_unfit(run, scope)
    scope = queries.in_full(run, scope)
    tasks_meant = queries.tasks_meant(run, scope)
    if not scope.is_whole_run and not scope.is_of_others and not any(task.state for task in tasks_meant):
        words = {"task": scope.task, "state": _("not reached")}
        raise Conflict(_("The task “%(task)s” is “%(state)s”; that cannot be done now.") % words)
    is_alone = not scope.is_of_others  # who is beside them Airflow alone knows
    in_question = run.task_instances.all() if scope.is_whole_run else tasks_meant
    is_known = is_alone and run.tasks_due_until is None  # else Airflow itself says where none failed
    if scope.only_failed and is_known and not any(task.state in TASK_FAILED for task in in_question):
        raise Conflict(_("None of its tasks failed."))
    details = scope.as_json()
    wanted = TASK_FAILED if scope.only_failed else TASK_ENDED
    cleared = [task for task in tasks_meant if task.state in wanted]
    details["tries"] = {place_of(task): task.try_number for task in cleared}
    # What is under way moves by itself: by this one tells that the run was cleared meanwhile.
    details["queued_at"] = run.queued_at.isoformat() if run.queued_at else None
    details["was_under_way"] = not run.has_ended
    run.is_clear_of_failed_only = scope.only_failed
    after = {"only_failed": scope.only_failed, **_for_audit(scope), **_named(batch)}
    return _wish(run, Wish.CLEAR, details, by=by, action="run.clear", after=after)


@transaction.atomic
def mark_run(run_id: int, state: str, *, by: User, scope: Scope | None = None, batch: str = "") -> Run:
    """Give a run the state `success` or `failed` by hand; what of it is under way is stopped.

    scope: what was asked for beside the state, where that came with it.

    Raises NotFound for an unknown run, Conflict for one that has the state or that Airflow never had,
    InvalidRequest for another state, and as `refuse_unfit_mark` does.
    """
    run = _locked(run_id, by)
    wishes = {RunState.SUCCESS: Wish.SUCCEED, RunState.FAILED: Wish.FAIL}
    if state not in wishes:
        raise _not_a_mark(MARKS[:2])
    if not run.can_change or run.state == state:
        raise Conflict(already(run))
    refuse_unfit_mark(run, scope or Scope())
    after = {"state": state, **_named(batch)}
    return _wish(run, wishes[RunState(state)], {}, by=by, action="run.mark", after=after)


@transaction.atomic
def mark_task(run_id: int, scope: Scope, state: str, *, by: User) -> Run:
    """Give the tasks of `scope`, with those before or after them, a state by hand: one of MARKS.

    Raises NotFound for an unknown run or task, Conflict where it has the state already, InvalidRequest for
    another state.
    """
    run = _locked(run_id, by)
    if state not in MARKS:
        raise _not_a_mark(MARKS)
    if not run.can_change:
        raise Conflict(already(run))
    refuse_unfit_mark(run, scope)
    scope = queries.in_full(run, scope)
    tasks_meant = queries.tasks_meant(run, scope)
    is_alone = not scope.is_of_others
    if is_alone and all(task.state == state for task in tasks_meant):
        words = {"task": scope.task, "state": state}
        raise Conflict(_("The task “%(task)s” is “%(state)s” already.") % words)
    details = {**scope.as_json(), "state": state}
    after = {"state": state, **_for_audit(scope)}
    return _wish(run, Wish.MARK, details, by=by, action="run.mark_task", after=after)


def refuse_unfit(run: Run, scope: Scope) -> None:
    """Raises InvalidRequest, by field, for what Airflow does not take of such a run or such tasks."""
    _refuse(_unfit(run, scope))


def refuse_unfit_mark(run: Run, scope: Scope) -> None:
    """The same of marks: with one of a whole run comes no note."""
    faults = _unfit(run, scope)
    if scope.is_whole_run and scope.note:
        faults.append(("note", _("Name a task, or change the note of the run by itself.")))
    _refuse(faults)


def _unfit(run: Run, scope: Scope) -> list[tuple[str, str]]:
    faults = []
    if scope.past or scope.future:
        name = "past" if scope.past else "future"
        if scope.is_whole_run:
            faults.append((name, _("Name a task: Airflow does this to tasks, not to whole runs.")))
        elif run.logical_date is None:
            faults.append((name, _("This run has no logical date: no other comes before or after it.")))
    if scope.prevent_running and scope.is_whole_run:
        words = _("Name a task: Airflow does this to tasks, not to whole runs.")
        faults.append(("prevent_running", words))
    if scope.only_new and not scope.is_whole_run:
        faults.append(("only_new", _("Name no task: this is of the whole run.")))
    elif scope.only_new and scope.only_failed:
        faults.append(("only_new", _("Take the new tasks or those that failed, not both.")))
    if words := _fault_of_note(scope.note):
        faults.append(("note", words))
    return faults


def _refuse(faults: list[tuple[str, str]]) -> None:
    if faults:
        errors = [{"field": name, "message": words} for name, words in faults]
        raise InvalidRequest(" ".join(words for _name, words in faults), errors=errors)


def _fault_of_note(note: str) -> str:
    too_long = _("A note may have 1000 characters at most.") if len(note) > LONGEST_NOTE else ""
    return json_bodies.fault(note) or too_long


def _not_a_mark(states: tuple[str, ...]) -> InvalidRequest:
    message = _("Give one of these: %(states)s.") % {"states": ", ".join(states)}
    fault = {"field": "state", "message": message}
    return InvalidRequest(_("These settings cannot be used."), errors=[fault])


def _wish(run: Run, wish: Wish, details: dict, *, by: User, action: str, after: dict) -> Run:
    before = {"state": run.state}
    run.wish, run.wish_details, run.wished_by = wish, {**details, WISH_ID: uuid7().hex}, by
    run.traceparent = traces.traceparent()
    run.next_attempt_at, run.delivery_attempts, run.delivery_error = _free_at(run), 0, ""
    run.save()
    audit.record(action, run, by=by, before=before, after=after, upstream_id=run.dag_run_id)
    _send(run)
    return run


def _free_at(run: Run) -> datetime:
    """Now, or when no worker can be at a wish any more that was withdrawn."""
    now = timezone.now()
    return min(max(run.next_attempt_at or now, now), now + timedelta(seconds=Run.lease_s))


def _for_audit(scope: Scope) -> dict:
    code = (
        {} if scope.run_on_latest_version is None else {"run_on_latest_version": scope.run_on_latest_version}
    )
    named = replace(scope, tasks=() if scope.group else scope.tasks).as_json()
    nothing: list[Any] = [None, "", ()]
    return {k: v for k, v in named.items() if v is not False and v not in nothing} | code


def _named(batch: str) -> dict:
    return {"batch": batch} if batch else {}


@transaction.atomic
def write_note(run_id: int, note: str, *, by: User) -> Run:
    """Change the note of a run; the row has it at once, Airflow as soon as it answers.

    Raises NotFound for an unknown run, Conflict for one that Airflow never had, InvalidRequest for one too
    long.
    """
    run = _locked(run_id, by)
    if not run.is_there or run.wish == Wish.START:
        raise Conflict(already(run))
    if fault := _fault_of_note(note):
        faults = [{"field": "note", "message": fault}]
        raise InvalidRequest(_("These settings cannot be used."), errors=faults)
    if note == run.note:
        return run
    audit.record("run.note", run, by=by, before={"note": run.note}, after={"note": note})
    run.note = note
    run.save(update_fields=["note"])
    wanted = {"text": note, "written_by": by, "next_attempt_at": timezone.now(), "delivery_attempts": 0}
    row, _is_new = RunNote.objects.update_or_create(run=run, defaults={**wanted, "delivery_error": ""})
    tasks.deliver_note.delay_on_commit(str(row.pk))
    mirror.publish_runs([run])
    return run


def _locked(run_id: int, by: User) -> Run:
    policy.check(by, "pipelines.run", run_id)
    run = Run.objects.select_for_update().filter(pk=run_id).first()
    if run is None:
        raise NotFound(_("There is no run %(id)s.") % {"id": run_id})
    return run


def already(run: Run) -> str:
    """Why nothing more can be asked of the run now."""
    if run.wish != Wish.NOTHING:
        return _("This run waits for Airflow to confirm “%(wish)s” first.") % {"wish": run.get_wish_display()}
    if run.gone_at is not None:
        return _(
            "Airflow does not have this run; that cannot be done. Run it again with its settings instead."
        )
    return _("This run is “%(state)s”; that cannot be done now.") % {"state": run.state}


def _send(run: Run) -> None:
    if run.wish != Wish.NOTHING:
        tasks.deliver_run.delay_on_commit(str(run.pk))
    mirror.publish_runs([run])


@transaction.atomic
def answer_input(input_id: int, *, chosen: list[str], params_input: dict, by: User) -> InputRequest:
    """Answer a task's question; a worker takes the answer to Airflow, as the person who gave it.

    Values that are left out get their defaults: a task fails on an answer without one that it asked for.

    Raises NotFound for an unknown question, Conflict for one that is answered, no longer awaited or asked of
    others, InvalidRequest with the faults by field for an answer that does not fit.
    """
    policy.check(by, "pipelines.run", input_id)
    row = InputRequest.objects.select_for_update(of=("self",)).filter(pk=input_id).first()
    if row is None:
        raise NotFound(_("There is no question %(id)s.") % {"id": input_id})
    if row.state != "waiting":
        raise Conflict(_("This question is answered, or its task waits no longer."))
    if not row.asks(by.get_username()):
        raise Conflict(_("Only these may answer: %(names)s.") % {"names": ", ".join(row.assigned)})
    if faults := _faults_of_answer(row, chosen, params_input):
        raise InvalidRequest(_("This answer does not fit the question."), errors=faults)
    params_input = {name: params_input.get(name, param["value"]) for name, param in row.params.items()}
    row.chosen, row.params_input = chosen, params_input
    row.answered_by, row.answered_at = by, timezone.now()
    row.next_attempt_at, row.delivery_attempts, row.delivery_error = timezone.now(), 0, ""
    row.save()
    after = {"task": row.task, "chosen": chosen, "params_input": params_input}
    audit.record("input.answer", row, by=by, after=after, upstream_id=row.run.dag_run_id)
    tasks.deliver_answer.delay_on_commit(str(row.pk))
    mirror.publish_inputs([row.run_id])
    return row


def _faults_of_answer(row: InputRequest, chosen: list[str], params_input: dict) -> list[dict[str, str]]:
    unknown = [option for option in chosen if option not in row.options]
    if not chosen:
        fault = _("Choose an option.")
    elif unknown:
        fault = _("Give one of these: %(choices)s.") % {"choices": ", ".join(row.options)}
    elif len(chosen) > 1 and not row.is_multiple:
        fault = _("Choose one option only.")
    else:
        fault = ""
    if fault:
        return [{"field": "chosen", "message": fault}]
    if fault := actions.unstorable(params_input):
        return [{"field": "conf", "message": fault}]
    unknown = [name for name in params_input if name not in row.params]
    if unknown:
        message = _("The question does not ask for this.")
        return [{"field": f"conf.{name}", "message": message} for name in unknown]
    return params.faults(row.params, params_input)
