"""What goes: the demonstration's runs, for good, as the mirror passes them over; and old versions of code."""

from django.conf import settings
from django.db import transaction
from django.db.models import Count
from django.utils.translation import gettext as _

from core.lib import live, retention
from core.lib.errors import Conflict
from pipelines import log_copy, queries
from pipelines.models import ENDED, ForgottenRun, PipelineSource, Run, TaskLog


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
    if not n_kept:
        return
    counted = PipelineSource.objects.order_by().values("dag_id").annotate(n=Count("pk"))
    for dag_id in list(counted.filter(n__gt=n_kept).values_list("dag_id", flat=True)):
        of_pipeline = PipelineSource.objects.filter(dag_id=dag_id)
        newest = of_pipeline.order_by("-version").values_list("version", flat=True)[:n_kept]
        kept = {*newest, *queries.versions_of_last_runs(dag_id)}
        retention.clear(of_pipeline.exclude(version__in=kept))
