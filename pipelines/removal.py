"""What goes: the demonstration's runs, which the mirror then passes over; old runs, old versions of code."""

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _

from core.lib import live, retention
from core.lib.errors import Conflict
from pipelines import log_copy, queries
from pipelines.backfill_models import OPEN
from pipelines.models import ForgottenRun, PipelineSource, Run, TaskLog, Wish
from pipelines.states import ENDED, RunState

AT_ONCE = 500  # runs, each with some or with hundreds of tasks


@transaction.atomic
def remove_demo() -> int:
    """Delete the runs with their tasks and log copies; returns how many.

    Raises Conflict, with nothing deleted, while one is at work.
    """
    runs = Run.objects.select_for_update().filter(is_demo=True)
    for run in runs:
        if run.state not in ENDED or run.wish:
            message = _("Run %(id)s of %(dag_id)s is at work. Cancel it on its page, or wait.")
            raise Conflict(message % {"id": run.pk, "dag_id": run.dag_id})
    for log in TaskLog.objects.filter(run__in=runs):
        log_copy.remove(log)
    forgotten = [ForgottenRun(dag_id=run.dag_id, dag_run_id=run.dag_run_id) for run in runs]
    ForgottenRun.objects.bulk_create(forgotten, ignore_conflicts=True)
    Run.objects.filter(pk__in=[run.pk for run in runs]).delete()
    live.publish("runs")
    return len(forgotten)


def clear_sources() -> None:
    """Versions of code beyond the newest of each pipeline, but for those that its last runs ran."""
    n_kept = settings.CONSOLE_SOURCES_KEEP
    if n_kept < 1:
        return
    counted = PipelineSource.objects.order_by().values("dag_id").annotate(n=Count("pk"))
    for dag_id in list(counted.filter(n__gt=n_kept).values_list("dag_id", flat=True)):
        of_pipeline = PipelineSource.objects.filter(dag_id=dag_id)
        newest = of_pipeline.order_by("-version").values_list("version", flat=True)[:n_kept]
        kept = {*newest, *queries.versions_of_last_runs(dag_id)}
        retention.clear(of_pipeline.exclude(version__in=kept))


def clear_runs() -> None:
    """Runs that ended long ago, with all that hangs on them.

    The newest of each pipeline stay, as its pages and alert rules go by them, and what other rows come from.
    """
    before = retention.before("CONSOLE_RUNS_KEEP_DAYS")
    if before is None:
        return
    old = Run.objects.filter(Q(ended_at__lt=before) | Q(ended_at=None, created_at__lt=before))
    old = old.filter(state__in=ENDED, wish=Wish.NOTHING, wanted_note=None).exclude(backfill__state__in=OPEN)
    for dag_id in list(old.order_by().values_list("dag_id", flat=True).distinct()):
        stay = _newest_of(dag_id)
        last = 0
        while runs := list(
            old.filter(dag_id=dag_id, pk__gt=last).exclude(pk__in=stay).order_by("pk")[:AT_ONCE]
        ):
            last = runs[-1].pk
            linked = retention.linked("pipelines.run", [run.dag_run_id for run in runs])
            _clear(old.filter(pk__in=[run.pk for run in runs if run.dag_run_id not in linked]))


def _newest_of(dag_id: str) -> list[int]:
    """What its pages show, and its last success."""
    newest = Run.objects.filter(dag_id=dag_id).order_by("-created_at", "-pk").values_list("pk", flat=True)
    return [*newest[: queries.GRID], *newest.filter(state=RunState.SUCCESS)[:1]]


@transaction.atomic
def _clear(runs: QuerySet[Run]) -> None:
    """Copied logs first: their files are found by their rows. Cleared anew meanwhile, a run stays."""
    pks = list(runs.select_for_update(of=("self",)).values_list("pk", flat=True))
    for log in TaskLog.objects.filter(run__in=pks):
        log_copy.remove(log)
    Run.objects.filter(pk__in=pks).delete()
