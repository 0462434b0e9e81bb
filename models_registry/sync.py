"""MLflow's news into rows: what is new or running every few seconds, everything every ten minutes.

MLflow has no "changed since": tags written late and deletions show after the full walk. Nor has it a clock of
its own: a run says itself when it started. So runs of this hour are looked for by our clock, and those of
clocks that differ from it half a minute later, each newest first until a whole page is known.
"""

import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from operator import attrgetter
from typing import TypeVar

from django.utils import timezone

from core.lib import aside, live
from core.lib.aside import Unread
from core.lib.errors import NotFound
from core.lib.pieces import pieces
from core.lib.poll import poll
from core.lib.times import AHEAD
from models_registry import absence, aliases, gateway, loops, lost, mirror
from models_registry.models import GOING_ON, Experiment, MlflowRun, ModelVersion

NEWEST = 50
# A run may be stored a little after another that started later, and clocks differ by a little.
OVERLAP = timedelta(minutes=1)
BEFORE_1973_MS = 10**11  # too early for milliseconds: seconds, or no time at all
EVERY_S = 3
PAGE = gateway.PAGE  # versions of a walk that are held at once

T = TypeVar("T")


@poll(every_s=EVERY_S, service=gateway.SERVICE)
def sync_runs() -> None:
    """New experiments, new runs, and every run that was still going."""
    mlflow = gateway.connect()
    mirror.save_experiments(mlflow.experiments())
    going = set(MlflowRun.objects.filter(status__in=GOING_ON, gone_at=None).values_list("run_id", flat=True))
    new = list(mlflow.runs(_experiment_ids(), _of_late()))
    earlier = [*_some_of(going - {run.key for run in new}), *loops.RUNS.due()]
    refreshed = loops.GOING_RUNS.each(earlier, partial(_run_or_gone, mlflow), key=str)
    _publish(mirror.save_runs([*new, *filter(None, refreshed)]))


@poll(every_s=30, service=gateway.SERVICE)
def sync_runs_of_other_clocks() -> None:
    """New runs whose clock is late, ahead by days or years, or tells seconds, microseconds or nothing."""
    mlflow = gateway.connect()
    ahead = _milliseconds(timezone.now() + AHEAD)
    for condition in (
        f"attributes.start_time <= {ahead}",
        f"attributes.start_time > {ahead}",
        f"attributes.start_time < {BEFORE_1973_MS}",
    ):
        _publish(mirror.save_runs(_until_known(mlflow.runs(_experiment_ids(), condition))))


@poll(every_s=EVERY_S, service=gateway.SERVICE)
def sync_versions() -> None:
    """Registered models with their alias, and versions not seen before."""
    mlflow = gateway.connect()
    changed = set(mirror.save_models(mlflow.models()))
    aliases.check(mlflow, changed)
    newest = _ready(mlflow.versions(NEWEST))
    changed |= mirror.mark_replaced(aside.readable(newest))
    names = {found.model for found in aside.readable(newest)}
    here = ModelVersion.objects.filter(gone_at=None, model__name__in=names)
    known = set(here.values_list("model__name", "version"))
    odd = set(loops.VERSIONS.rows().values_list("key", flat=True))  # rows perhaps, but not whole
    unknown = [
        found
        for found in newest
        if isinstance(found, Unread) or (found.model, found.version) not in known or found.key in odd
    ]
    try:
        _save_versions(mlflow, unknown, tried=changed)
    finally:  # what was saved before the service failed, too
        publish_models(changed)


@poll(every_s=600, service=gateway.SERVICE)
def walk_everything() -> None:
    """All runs and versions: late tags, and what MLflow has no more."""
    mlflow = gateway.connect()
    mirror.forget_unaddressable()
    before = mirror.Here.now()
    mirror.save_experiments(mlflow.experiments(), are_all=True)
    listed: set[str] = set()
    changed = mirror.save_runs(_noting(mlflow.runs(_experiment_ids()), listed))
    loops.RUNS.fits(*_keys_beside(loops.RUNS, listed))
    there, losing = _walk_versions(mlflow)
    models = mlflow.models()
    mirror.save_models(models)
    names = {model.key for model in models}
    gone_versions = {one for one in before.versions if f"{one[0]} v{one[1]}" not in there}
    missed = mirror.Here(before.runs - listed, before.models - names, gone_versions)
    losing |= mirror.mark_gone(absence.confirmed(mlflow, missed))
    _publish(changed)
    publish_models(losing)
    aliases.check(mlflow, {model.name for model in aside.readable(models)})
    lost.look()
    # Last: a store of artefacts that is away ends it. Listed once more, so that no more than a page is held.
    _save_versions(mlflow, _ready_by_page(mlflow.versions()), tried=set())
    loops.VERSIONS.fits(*_keys_beside(loops.VERSIONS, there))


def _keys_beside(loop: aside.Loop, there: set[str]) -> list[str]:
    """Of what it has set aside, all that is not there; not the row that counts those beyond the bound."""
    return [key for key in loop.rows().exclude(key="").values_list("key", flat=True) if key not in there]


def _ready_by_page(
    versions: Iterable[gateway.VersionInfo | Unread],
) -> Iterator[gateway.VersionInfo | Unread]:
    for page in pieces(versions, PAGE):
        yield from _ready(page)


def _walk_versions(mlflow: gateway.MlflowGateway) -> tuple[set[str], set[str]]:
    """Keys of all versions that MLflow has, and names of the models of which it has another now."""
    there: set[str] = set()
    losing: set[str] = set()
    for page in pieces(mlflow.versions(), PAGE):
        there.update(version.key for version in page)
        losing |= mirror.mark_replaced(aside.readable(_ready(page)))
    return there, losing


def publish_models(names: set[str]) -> None:
    """Say that these models changed."""
    if names:
        live.publish("models", sorted(names))
    for name in sorted(names):
        live.publish(f"model:{name}")


def _ready(
    found: Iterable[gateway.VersionInfo | Unread],
) -> list[gateway.VersionInfo | Unread]:
    return [version for version in found if isinstance(version, Unread) or version.is_ready]


def _noting(runs: Iterable[gateway.RunInfo | Unread], listed: set[str]) -> Iterator[gateway.RunInfo | Unread]:
    """The runs as they pass by; their ids stay in `listed`."""
    for run in runs:
        listed.add(run.key)
        yield run


def _save_versions(
    mlflow: gateway.MlflowGateway,
    found: Iterable[gateway.VersionInfo | Unread],
    *,
    tried: set[str],
) -> None:
    """Names of the models whose versions it tries go into `tried`."""

    def save(info: gateway.VersionInfo) -> None:
        tried.add(info.model)
        mirror.save_version(mlflow, info)

    loops.VERSIONS.each(found, save, key=attrgetter("key"), about=attrgetter("model"))


def _experiment_ids() -> list[str]:
    return list(Experiment.objects.filter(gone_at=None).values_list("experiment_id", flat=True))


def _of_late() -> str:
    """Runs since the last look that worked, by our clock; the walk finds what is older."""
    now = timezone.now()
    seen = MlflowRun.objects.filter(started_at__lte=now).order_by("-started_at")
    newest = seen.values_list("started_at", flat=True).first()
    since = min(newest or now, now) - OVERLAP
    return (
        f"attributes.start_time > {_milliseconds(since)} and "
        f"attributes.start_time <= {_milliseconds(now + AHEAD)}"
    )


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _some_of(run_ids: set[str]) -> list[str]:
    """A few of them in turn, so that a crowd of runs that never end keeps no other from being seen to end."""
    ids = sorted(run_ids)
    if len(ids) <= NEWEST:
        return ids
    start = int(time.time() / EVERY_S) * NEWEST % len(ids)
    return [*ids, *ids][start : start + NEWEST]


def _until_known(runs: Iterable[gateway.RunInfo | Unread]) -> Iterable[gateway.RunInfo | Unread]:
    """Runs page by page, to the first page of which each run is known."""
    for page in pieces(runs, NEWEST):
        keys = {run.key for run in page}
        known = set(MlflowRun.objects.filter(pk__in=keys).values_list("pk", flat=True))
        known.update(loops.RUNS.rows().values_list("key", flat=True))
        yield from page
        if keys <= known:
            return


def _run_or_gone(mlflow: gateway.MlflowGateway, run_id: str) -> gateway.RunInfo | None:
    try:
        return mlflow.run(run_id)
    except NotFound:
        MlflowRun.objects.filter(run_id=run_id).update(gone_at=timezone.now())
        loops.RUNS.fits(run_id)
        return None


def _publish(run_ids: list[str]) -> None:
    if run_ids:
        live.publish("models", ["runs", *run_ids])
