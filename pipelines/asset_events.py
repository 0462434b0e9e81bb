"""When assets changed: Airflow's events into rows, and what made them and what they began, for reading."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from django.db import transaction
from django.db.models import Max, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from core.lib import live, retention
from core.lib.aside import Unread, readable
from core.lib.errors import NotFound
from pipelines import asset_waits, loops
from pipelines.asset_answers import AssetEvent as Found
from pipelines.asset_models import Asset, AssetEvent
from pipelines.mirror import changed_fields
from pipelines.models import Run

AT_ONCE = 1000  # that are new; of an Airflow seen for the first time the newest
# Airflow stamps an event when it makes it and commits later.
OVERLAP = timedelta(seconds=15)
RUNS_AT_ONCE = 10  # whose events are asked for: one question each, and once only


@dataclass(frozen=True)
class Event:
    """maker: the run whose task made it, if that is here. began: runs that took it."""

    row: AssetEvent
    maker: Run | None
    began: list["Begun"]


@dataclass(frozen=True)
class Begun:
    """A run that took the event; triggering: it began with it, and not with a later one."""

    dag_id: str
    dag_run_id: str
    triggering: bool
    run: Run | None


@dataclass(frozen=True)
class Taken:
    """An event that a run took. asset: None where nothing uses it any more; triggering: as of `Begun`."""

    event: Event
    asset: Asset | None
    triggering: bool


def to_read() -> tuple[datetime | None, int]:
    """From when on Airflow is to be asked, None for the newest, and for how many.

    Those that are here already come beside the bound: so each round has new ones, as long as there are any.
    """
    latest = _latest()
    if latest is None:
        return None, AT_ONCE
    since = latest - OVERLAP
    return since, AssetEvent.objects.filter(at__gte=since).count() + AT_ONCE


def untaken() -> list[Run]:
    """Runs that assets began, the newest first, of which nobody knows yet which events they took.

    Not those from before the events that are kept.
    """
    rows = Run.objects.filter(run_type="asset_triggered", events_read_at=None, gone_at=None)
    before = retention.before("CONSOLE_ASSET_EVENTS_KEEP_DAYS")
    if before is not None:
        rows = rows.filter(created_at__gte=before)
    rows = rows.exclude(pk__in=loops.TAKEN_EVENTS.waiting()).defer("conf", "note")
    return list(rows.order_by("-created_at")[:RUNS_AT_ONCE])


def save_taken(run: Run, found: Sequence[Found | Unread]) -> None:
    """The events that a run took, however long ago they came.

    Of a run with later ones than the list of all has come to, nothing is written yet: the list is asked for
    from the latest event on, and what lies between would never come. It has come to those that it set aside.
    """
    latest = _latest()
    later = {one.key for one in readable(found) if latest is None or one.at > latest}
    if later.difference(loops.ASSET_EVENTS.rows().filter(key__in=later).values_list("key", flat=True)):
        return
    save(found)
    with transaction.atomic():
        Run.objects.filter(pk=run.pk).update(events_read_at=timezone.now())
        live.publish(f"run:{run.pk}", [run.pk])


def _latest() -> datetime | None:
    return AssetEvent.objects.aggregate(at=Max("at"))["at"]


def clear_old() -> None:
    """Those that are kept no longer go. The newest stays: from it on Airflow is asked."""
    before = retention.before("CONSOLE_ASSET_EVENTS_KEEP_DAYS")
    latest = _latest()
    if before is not None and latest is not None:
        retention.clear(AssetEvent.objects.filter(at__lt=min(before, latest)))


def save(found: Sequence[Found | Unread]) -> None:
    """Add and change events."""
    touched = loops.ASSET_EVENTS.save(found, _save, key=attrgetter("key"))
    with transaction.atomic():
        if touched:
            live.publish("pipelines")


def _save(found: Sequence[Found]) -> list[Found]:
    """Those that are new or changed."""
    by_id = {one.airflow_id: one for one in found}
    known = AssetEvent.objects.in_bulk(list(by_id), field_name="airflow_id")
    touched = []
    for one in by_id.values():
        row = known.get(one.airflow_id)
        if row is None or changed_fields(row, asdict(one)):
            AssetEvent.objects.update_or_create(airflow_id=one.airflow_id, defaults=asdict(one))
            touched.append(one)
    if touched:
        asset_waits.may_differ({one.asset_airflow_id for one in touched})
    return touched


def asset(asset_id: int) -> Asset:
    """Raises NotFound."""
    found = Asset.objects.filter(pk=asset_id).first()
    if found is None:
        raise NotFound(_("There is no asset %(id)s.") % {"id": asset_id})
    return found


def events(found: Asset) -> QuerySet[AssetEvent]:
    """Newest first."""
    return AssetEvent.objects.filter(asset_airflow_id=found.airflow_id)


MOST_OF_A_RUN = 100


def of_run(run: Run) -> list["Taken"]:
    """The events that a run took, the newest first: what began an asset-triggered one."""
    if run.run_type != "asset_triggered":
        return []
    took = AssetEvent.objects.filter(began__contains=[{"dag_id": run.dag_id, "dag_run_id": run.dag_run_id}])
    events = with_runs(took[:MOST_OF_A_RUN])
    assets = Asset.objects.in_bulk([event.row.asset_airflow_id for event in events], field_name="airflow_id")
    return [
        Taken(event, assets.get(event.row.asset_airflow_id), _is_triggering(event.row, run))
        for event in events
    ]


def _is_triggering(row: AssetEvent, run: Run) -> bool:
    key = (run.dag_id, run.dag_run_id)
    return any(bool(one.get("triggering")) for one in row.began if (one["dag_id"], one["dag_run_id"]) == key)


def with_runs(rows: Iterable[AssetEvent]) -> list[Event]:
    """Each with the runs at both its ends, as far as they are here; in one query."""
    listed = list(rows)
    ids = {row.dag_run_id for row in listed} | {one["dag_run_id"] for row in listed for one in row.began}
    runs: dict[tuple[str, str], Run] = {
        (run.dag_id, run.dag_run_id): run
        for run in Run.objects.filter(dag_run_id__in=ids - {""}).defer("conf", "note")
    }
    return [
        Event(row, runs.get((row.dag_id, row.dag_run_id)), [_begun(one, runs) for one in row.began])
        for row in listed
    ]


def _begun(one: dict[str, Any], runs: dict[tuple[str, str], Run]) -> Begun:
    run = runs.get((one["dag_id"], one["dag_run_id"]))
    return Begun(one["dag_id"], one["dag_run_id"], bool(one.get("triggering")), run)
