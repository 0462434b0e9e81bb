"""The click's half: record what somebody wants of a pipeline; a worker takes it to Airflow."""

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.audit import actions as audit
from core.lib import edge, json_bodies, json_out, live, traces
from core.lib.errors import Conflict, ConsoleError, InvalidRequest, NotFound
from core.lib.ids import uuid7
from pipelines import mirror, params, queries, tasks
from pipelines.models import (
    LONGEST_NOTE,
    InputRequest,
    Pipeline,
    Preset,
    Run,
    RunNote,
    Wish,
)
from pipelines.removal import remove_demo as remove_demo
from pipelines.scope import Scope, place_of
from pipelines.states import MARKS, NEVER_THERE, TASK_ENDED, TASK_FAILED, RunState

LONGEST_CONF_BYTES = 64 * 1024
LONGEST_NAME = 100
_RUN_ID = re.compile(r"[A-Za-z0-9_.~:+-]{1,250}")
# Every kind of run that Airflow has but `manual`.
_NOT_MANUAL = tuple(
    f"{kind}__"
    for kind in ("scheduled", "backfill", "operator_triggered", "asset_triggered", "asset_materialization")
)


def as_asked(conf: dict, note: str, *, partition_key: str = "", **times: datetime | None) -> dict[str, Any]:
    """What somebody wants of a run, as the audit trail keeps it; times: those that were given."""
    given = {name: at.isoformat() for name, at in times.items() if at}
    return {"conf": conf, "note": note} | given | ({"partition_key": partition_key} if partition_key else {})


@transaction.atomic
def trigger_run(
    dag_id: str,
    *,
    conf: dict,
    by: User,
    note: str = "",
    logical_date: datetime | None = None,
    dag_run_id: str = "",
    run_after: datetime | None = None,
    data_interval_start: datetime | None = None,
    data_interval_end: datetime | None = None,
    partition_key: str = "",
) -> Run:
    """Record that somebody wants this run. A paused pipeline takes it too: Airflow keeps it queued.

    logical_date: what templates call `ds`; now unless given, as Airflow's own button has it.
    dag_run_id: Airflow's name for it; one is made unless given. run_after: it stays queued until then.
    data_interval_start, data_interval_end: both or none; as the schedule has them unless given.
    partition_key: which partition of its assets it is for.

    Raises NotFound for an unknown pipeline, Conflict for one that Airflow no longer has or runs in other ways
    only, InvalidRequest with the faults by field for a conf that the pipeline's parameters do not allow.
    """
    policy.check(by, "pipelines.run", dag_id)
    pipeline = queries.pipeline(dag_id)
    refuse_unusable(pipeline)
    _refuse_invalid(pipeline, conf, note)
    _refuse_interval(data_interval_start, data_interval_end)
    if logical_date is not None:
        _refuse_taken(dag_id, logical_date)
    if dag_run_id:
        _refuse_run_id(dag_id, dag_run_id)
    run = Run.objects.create(
        dag_id=dag_id,
        dag_run_id=dag_run_id or f"console__{uuid7()}",
        conf=conf,
        note=note,
        logical_date=logical_date or timezone.now(),
        run_after=run_after,
        data_interval_start=data_interval_start,
        data_interval_end=data_interval_end,
        partition_key=partition_key,
        requested_by=by,
        triggered_by=by.get_username(),
        run_type="manual",
        is_demo=by.is_demo,
    )
    after = as_asked(
        conf,
        note,
        partition_key=partition_key,
        logical_date=logical_date,
        run_after=run_after,
        data_interval_start=data_interval_start,
        data_interval_end=data_interval_end,
    )
    audit.record("run.trigger", run, by=by, after=after, upstream_id=run.dag_run_id)
    tasks.deliver_run.delay_on_commit(str(run.pk))
    mirror.publish_runs([run])
    return run


def refuse_unusable(pipeline: Pipeline, run_type: str = "manual") -> None:
    """Raises Conflict for a pipeline that Airflow no longer has, cannot read, or runs in other ways only."""
    if pipeline.gone_at is not None:
        message = _("Airflow no longer has the pipeline “%(dag_id)s”: its file was removed or renamed.")
        raise Conflict(message % {"dag_id": pipeline.dag_id})
    if pipeline.has_import_errors:
        message = _("Airflow cannot read the file of “%(dag_id)s” now. The list of pipelines shows why.")
        raise Conflict(message % {"dag_id": pipeline.dag_id})
    if not pipeline.allows(run_type):
        message = _("The author of “%(dag_id)s” allows no such runs (%(type)s): only %(allowed)s.")
        allowed = ", ".join(pipeline.allowed_run_types or [])
        raise Conflict(message % {"dag_id": pipeline.dag_id, "type": run_type, "allowed": allowed})


def _refuse_invalid(pipeline: Pipeline, conf: dict, note: str) -> None:
    fault = unstorable(conf)
    faults = [{"field": "conf", "message": fault}] if fault else params.faults(pipeline.params, conf)
    if len(note) > LONGEST_NOTE:
        faults.append({"field": "note", "message": _("A note may have 1000 characters at most.")})
    if faults:
        message = _("These settings do not fit the pipeline “%(dag_id)s”.") % {"dag_id": pipeline.dag_id}
        raise InvalidRequest(message, errors=faults)


def _refuse_interval(start: datetime | None, end: datetime | None) -> None:
    message = ""
    if (start is None) != (end is None):
        message = _("Give both ends of the data interval, or none.")
    elif start and end and end < start:
        message = _("The data interval ends before it starts.")
    if message:
        field = "data_interval_start" if start is None else "data_interval_end"
        fault = {"field": field, "message": message}
        raise InvalidRequest(_("These settings cannot be used."), errors=[fault])


def _refuse_taken(dag_id: str, logical_date: datetime) -> None:
    """Airflow has one run for each logical date of a pipeline."""
    other = (
        Run.objects.filter(dag_id=dag_id, logical_date=logical_date).exclude(state__in=NEVER_THERE).first()
    )
    if other is not None:
        message = _("Run %(id)s has this logical date already. Give another, or clear that run.")
        fault = {"field": "logical_date", "message": message % {"id": other.pk}}
        raise InvalidRequest(_("These settings cannot be used."), errors=[fault])


def _refuse_run_id(dag_id: str, dag_run_id: str) -> None:
    """Airflow takes no other characters, and tells by the start of an id how a run came about."""
    message = ""
    if not _RUN_ID.fullmatch(dag_run_id):
        message = _("Use letters, digits and . _ ~ : + - only, 250 at most.")
    elif ".." in dag_run_id:
        message = _("Two dots in a row are not allowed in an id.")
    elif dag_run_id.startswith(_NOT_MANUAL):
        message = _("Ids that begin with %(start)s are Airflow's own.") % {"start": ", ".join(_NOT_MANUAL)}
    elif Run.objects.filter(dag_id=dag_id, dag_run_id=dag_run_id).exists():
        message = _("A run of this pipeline has this id already. Give another.")
    if message:
        fault = {"field": "dag_run_id", "message": message}
        raise InvalidRequest(_("These settings cannot be used."), errors=[fault])


@transaction.atomic
def save_preset(dag_id: str, *, name: str, conf: dict, by: User) -> Preset:
    """Keep settings under a name; those kept under it before are replaced.

    Raises NotFound for an unknown pipeline, InvalidRequest for settings that do not fit it and for no name.
    """
    policy.check(by, "pipelines.run", dag_id)
    pipeline = queries.pipeline(dag_id)
    name = name.strip()
    if not 0 < len(name) <= LONGEST_NAME or "\x00" in name:
        raise edge.refused("preset_name", _("Give a name, of 100 characters at most."))
    _refuse_invalid(pipeline, conf, "")
    earlier = Preset.objects.filter(dag_id=dag_id, name=name).first()
    values = {"conf": conf, "created_by": by, "created_at": timezone.now()}
    preset, _is_new = Preset.objects.update_or_create(dag_id=dag_id, name=name, defaults=values)
    before = {"conf": earlier.conf} if earlier else None
    audit.record("preset.save", preset, by=by, before=before, after={"conf": conf})
    return preset


@transaction.atomic
def remove_preset(preset_id: int, *, by: User) -> str:
    """Returns the pipeline that it was of. Raises NotFound."""
    policy.check(by, "pipelines.run", preset_id)
    preset = Preset.objects.select_for_update().filter(pk=preset_id).first()
    if preset is None:
        raise NotFound(_("There is no preset %(id)s.") % {"id": preset_id})
    audit.record("preset.remove", preset, by=by, before={"conf": preset.conf})
    preset.delete()
    return preset.dag_id


def unstorable(conf: dict) -> str:
    """Why the settings cannot be kept or sent on; empty when they can."""
    if fault := json_bodies.fault(conf):
        return fault
    is_too_long = len(json_out.encode(conf)) > LONGEST_CONF_BYTES
    return _("Settings may take 64 KiB at most.") if is_too_long else ""


@transaction.atomic
def set_paused(dag_id: str, *, is_paused: bool, by: User) -> Pipeline:
    """Record where somebody wants the pipeline's switch; the latest wish wins."""
    policy.check(by, "pipelines.run", dag_id)
    pipeline = queries.pipeline(dag_id)
    if pipeline.gone_at is not None:
        refuse_unusable(pipeline)
    before = {"is_paused": pipeline.shows_paused}
    if is_paused == pipeline.shows_paused:
        return pipeline
    pipeline.wanted_is_paused, pipeline.wanted_by = is_paused, by
    # A worker that is moving the switch now finishes first; it then sees that the wish is another.
    pipeline.next_attempt_at = pipeline.next_attempt_at or timezone.now()
    pipeline.delivery_error = ""
    pipeline.save(update_fields=["wanted_is_paused", "wanted_by", "next_attempt_at", "delivery_error"])
    action = "pipeline.pause" if is_paused else "pipeline.resume"
    audit.record(action, pipeline, by=by, before=before, after={"is_paused": is_paused})
    tasks.deliver_pause.delay_on_commit(dag_id)
    live.publish("pipelines", [dag_id])
    return pipeline


class Switched(NamedTuple):
    """What became of one switch among several; error: why it was not moved, empty when it was."""

    dag_id: str
    error: str


def set_many_paused(dag_ids: Iterable[str], *, is_paused: bool, by: User) -> list[Switched]:
    """Each on its own, with its own line in the audit trail: one that cannot be moved stops no other."""
    policy.check(by, "pipelines.run", "")
    outcomes = []
    for dag_id in dag_ids:
        try:
            set_paused(dag_id, is_paused=is_paused, by=by)
        except ConsoleError as error:
            outcomes.append(Switched(dag_id, error.message))
        else:
            outcomes.append(Switched(dag_id, ""))
    return outcomes


@transaction.atomic
def cancel_run(run_id: int, *, by: User, batch: str = "") -> Run:
    """End a run. One that was never sent to Airflow is cancelled at once; of others Airflow is asked.

    Raises NotFound for an unknown run, Conflict for one that has ended.
    """
    run = _locked(run_id, by)
    if run.has_ended or run.wish not in {Wish.START, Wish.CANCEL, Wish.NOTHING}:
        raise Conflict(already(run))
    if run.wish == Wish.CANCEL:
        return run
    before = {"state": run.state}
    if run.state == RunState.REQUESTED:
        _cancel_request(run)
    else:
        # A start that is still to be confirmed keeps its lease: nobody may post it after this.
        run.next_attempt_at = run.next_attempt_at or timezone.now()
        run.wish = Wish.CANCEL
    run.wished_by, run.delivery_error, run.traceparent = by, "", traces.traceparent()
    run.save()
    audit.record("run.cancel", run, by=by, before=before, after={"state": run.state, **_named(batch)})
    _send(run)
    return run


def _cancel_request(run: Run) -> None:
    """It may have reached Airflow if a worker tried: then that is asked too, once that worker is done."""
    was_tried = run.delivery_attempts > 0
    run.state, run.cancelled_at = RunState.CANCELLED, timezone.now()
    run.wish = Wish.CANCEL if was_tried else Wish.NOTHING
    run.next_attempt_at = run.next_attempt_at if was_tried else None


@transaction.atomic
def clear_run(
    run_id: int, *, by: User, only_failed: bool = False, scope: Scope | None = None, batch: str = ""
) -> Run:
    """Run the tasks of an ended run again in place: all, the failed ones, or those of `scope`.

    Tasks that are named may be cleared as soon as one of them has ended, though their run goes on.
    batch: names what was asked in one go, in the audit trail.

    Raises NotFound for an unknown run or task, Conflict for one that has not ended or that Airflow never had,
    and where none failed of which the failed ones are meant.
    """
    run = _locked(run_id, by)
    scope = scope or Scope(only_failed=only_failed)
    if not run.can_change:
        raise Conflict(already(run))
    scope = queries.in_full(run, scope)
    tasks_meant = queries.tasks_meant(run, scope)
    if scope.is_whole_run and not run.has_ended:
        raise Conflict(already(run))
    if not scope.is_whole_run and not any(task.state in TASK_ENDED for task in tasks_meant):
        words = {"task": scope.task, "state": tasks_meant[0].state or _("not reached")}
        raise Conflict(_("The task “%(task)s” is “%(state)s”; that cannot be done now.") % words)
    is_alone = not (scope.upstream or scope.downstream)  # who is beside them Airflow alone knows
    in_question = run.task_instances.all() if scope.is_whole_run else tasks_meant
    is_known = is_alone and run.tasks_due_until is None  # else Airflow itself says where none failed
    if scope.only_failed and is_known and not any(task.state in TASK_FAILED for task in in_question):
        raise Conflict(_("None of its tasks failed."))
    details = scope.as_json()
    wanted = TASK_FAILED if scope.only_failed else TASK_ENDED
    cleared = [task for task in tasks_meant if task.state in wanted]
    details["tries"] = {place_of(task): task.try_number for task in cleared}
    run.is_clear_of_failed_only = scope.only_failed
    after = {"only_failed": scope.only_failed, **_for_audit(scope), **_named(batch)}
    return _wish(run, Wish.CLEAR, details, by=by, action="run.clear", after=after)


@transaction.atomic
def mark_run(run_id: int, state: str, *, by: User, batch: str = "") -> Run:
    """Give a run the state `success` or `failed` by hand; what of it is under way is stopped.

    Raises NotFound for an unknown run, Conflict for one that has the state or that Airflow never had,
    InvalidRequest for another state.
    """
    run = _locked(run_id, by)
    wishes = {RunState.SUCCESS: Wish.SUCCEED, RunState.FAILED: Wish.FAIL}
    if state not in wishes:
        raise _not_a_mark(MARKS[:2])
    if not run.can_change or run.state == state:
        raise Conflict(already(run))
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
    scope = queries.in_full(run, scope)
    tasks_meant = queries.tasks_meant(run, scope)
    is_alone = not (scope.upstream or scope.downstream)
    if is_alone and all(task.state == state for task in tasks_meant):
        words = {"task": scope.task, "state": state}
        raise Conflict(_("The task “%(task)s” is “%(state)s” already.") % words)
    details = {**scope.as_json(), "state": state}
    after = {"state": state, **_for_audit(scope)}
    return _wish(run, Wish.MARK, details, by=by, action="run.mark_task", after=after)


def _not_a_mark(states: tuple[str, ...]) -> InvalidRequest:
    message = _("Give one of these: %(states)s.") % {"states": ", ".join(states)}
    fault = {"field": "state", "message": message}
    return InvalidRequest(_("These settings cannot be used."), errors=[fault])


def _wish(run: Run, wish: Wish, details: dict, *, by: User, action: str, after: dict) -> Run:
    before = {"state": run.state}
    run.wish, run.wish_details, run.wished_by = wish, details, by
    run.traceparent = traces.traceparent()
    run.next_attempt_at, run.delivery_attempts, run.delivery_error = timezone.now(), 0, ""
    run.save()
    audit.record(action, run, by=by, before=before, after=after, upstream_id=run.dag_run_id)
    _send(run)
    return run


def _for_audit(scope: Scope) -> dict:
    code = (
        {} if scope.run_on_latest_version is None else {"run_on_latest_version": scope.run_on_latest_version}
    )
    named = {} if scope.is_whole_run else replace(scope, tasks=() if scope.group else scope.tasks).as_json()
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
    if run.state in NEVER_THERE or run.wish == Wish.START:
        raise Conflict(already(run))
    fault = json_bodies.fault(note) or (
        _("A note may have 1000 characters at most.") if len(note) > LONGEST_NOTE else ""
    )
    if fault:
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
    return _("This run is “%(state)s”; that cannot be done now.") % {"state": run.state}


def _send(run: Run) -> None:
    if run.wish != Wish.NOTHING:
        tasks.deliver_run.delay_on_commit(str(run.pk))
    mirror.publish_runs([run])


@transaction.atomic
def answer_input(input_id: int, *, chosen: list[str], params_input: dict, by: User) -> InputRequest:
    """Answer a task's question; a worker takes the answer to Airflow, as the person who gave it.

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
    if fault := unstorable(params_input):
        return [{"field": "conf", "message": fault}]
    return params.faults(row.params, params_input)
