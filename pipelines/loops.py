"""The loops over what Airflow sends; each sets aside what does not fit."""

from datetime import timedelta

from django.utils.translation import gettext_lazy as _

from core.lib.aside import Loop

DAGS = Loop("pipelines.dags", _("Pipelines"), thing="pipeline")
DETAILS = Loop(
    "pipelines.details",
    _("Parameters and tasks of pipelines"),
    thing="pipeline",
    longest_retry=timedelta(minutes=10),
)
FILES = Loop("pipelines.files", _("DAG files that cannot be read"))
RUNS = Loop("pipelines.runs", _("Pipeline runs"), thing="pipeline", item="run")
TASKS = Loop("pipelines.tasks", _("Tasks of pipeline runs"), thing="run")
TASK_LISTS = Loop(
    "pipelines.task-lists",
    _("Runs whose tasks Airflow fails to list"),
    thing="run",
    longest_retry=timedelta(minutes=10),
)
INPUTS = Loop("pipelines.inputs", _("Questions of tasks"), thing="run")
LOST_RUNS = Loop(
    "pipelines.lost-runs",
    _("Runs that seem to be under way"),
    thing="run",
    longest_retry=timedelta(minutes=1),
)
DELETED_RUNS = Loop("pipelines.deleted-runs", _("Runs that Airflow seems to have no more"), thing="run")
LOGS = Loop("pipelines.logs", _("Task logs that somebody watches"), longest_retry=timedelta(seconds=10))
PAGES = Loop("pipelines.pages", _("Pages of lists at which Airflow fails"))
OLD_LOGS = Loop("pipelines.old-logs", _("Copies of task logs to remove"))
ASSETS = Loop("pipelines.assets", _("Assets"))
ASSET_EVENTS = Loop("pipelines.asset-events", _("Events of assets"))
TAKEN_EVENTS = Loop(
    "pipelines.taken-events",
    _("Runs whose asset events are asked for"),
    thing="run",
    longest_retry=timedelta(minutes=10),
)
ASSET_QUEUES = Loop(
    "pipelines.asset-queues",
    _("Pipelines whose changed assets are asked for"),
    thing="pipeline",
    longest_retry=timedelta(minutes=10),
)
PARTITIONS = Loop("pipelines.partitions", _("Partitions that wait for assets"))
BACKFILLS = Loop("pipelines.backfills", _("Backfills"), thing="pipeline")
BACKFILL_LISTS = Loop(
    "pipelines.backfill-lists",
    _("Pipelines whose backfills are asked for"),
    thing="pipeline",
    longest_retry=timedelta(minutes=1),
)
ALERT_RULES = Loop(
    "pipelines.alert-rules",
    _("Alert rules at pipelines"),
    thing="pipeline",
    longest_retry=timedelta(minutes=5),
)
