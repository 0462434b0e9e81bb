"""Taking away the demonstration's runs, for good: Airflow keeps them, and the mirror passes them over."""

from django.db import transaction
from django.utils.translation import gettext as _

from core.lib import live
from core.lib.errors import Conflict
from pipelines import log_copy
from pipelines.models import ENDED, ForgottenRun, Run, TaskLog


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
