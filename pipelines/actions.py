"""The click's half: record what somebody wants of a pipeline; a worker takes it to Airflow.

What is done to runs that are there already stands in `run_changes`.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.audit import actions as audit
from core.lib import edge, json_bodies, json_out, live
from core.lib.errors import Conflict, ConsoleError, InvalidRequest, NotFound
from core.lib.ids import uuid7
from pipelines import mirror, params, queries, tasks
from pipelines.models import LONGEST_NOTE, NOT_THERE, Pipeline, Preset, Run
from pipelines.removal import remove_demo as remove_demo
from pipelines.states import TYPES

LONGEST_CONF_BYTES = 64 * 1024
LONGEST_NAME = 100
LONGEST_ID = 250
_RUN_ID = re.compile(rf"[A-Za-z0-9_.~:+-]{{1,{LONGEST_ID}}}")
# Every kind of run that Airflow has but `manual`.
_NOT_MANUAL = tuple(
    f"{kind}__"
    for kind in ("scheduled", "backfill", "operator_triggered", "asset_triggered", "asset_materialization")
)


def as_asked(
    conf: dict, note: str, *, partition_key: str = "", unpause: bool = False, **times: datetime | None
) -> dict[str, Any]:
    """What somebody wants of a run, as the audit trail keeps it; times: those that were given."""
    given = {name: at.isoformat() for name, at in times.items() if at}
    given |= {"partition_key": partition_key} if partition_key else {}
    return {"conf": conf, "note": note} | given | ({"unpause": True} if unpause else {})


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
    unpause: bool = False,
) -> Run:
    """Record that somebody wants this run. A paused pipeline takes it too: Airflow keeps it queued.

    unpause: the pipeline is resumed as well, where it is paused.

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
    if unpause:
        set_paused(dag_id, is_paused=False, by=by)
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
        unpause=unpause,
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
        words = {"type": TYPES.get(run_type, run_type), "allowed": pipeline.allowed_kinds}
        raise Conflict(message % {"dag_id": pipeline.dag_id, **words})


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
    other = Run.objects.filter(dag_id=dag_id, logical_date=logical_date).exclude(NOT_THERE).first()
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
    elif not _free_run_id(dag_id, dag_run_id):
        message = _("A run of this pipeline has this id already. Give another.")
    if message:
        fault = {"field": "dag_run_id", "message": message}
        raise InvalidRequest(_("These settings cannot be used."), errors=[fault])


def _free_run_id(dag_id: str, dag_run_id: str) -> bool:
    """Whether it may be given; a run of this id that Airflow does not have has its number behind it then."""
    run = Run.objects.select_for_update().filter(dag_id=dag_id, dag_run_id=dag_run_id).first()
    if run is None:
        return True
    if run.wish or run.is_there:
        return False
    behind = f"~{run.pk}"
    run.dag_run_id = f"{dag_run_id[: LONGEST_ID - len(behind)]}{behind}"
    run.save(update_fields=["dag_run_id"])
    return True


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
