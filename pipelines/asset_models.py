"""The rows of assets: what tasks make, and each time that they made it.

`models` has these among the other rows of the app.
"""

from typing import ClassVar

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.utils.translation import gettext_lazy as _

from pipelines import params


class Asset(models.Model):
    """What some tasks make, and what starts or feeds pipelines.

    producers, consumers: [{"dag_id", "task_id"}]; the task is empty for a pipeline that it schedules.
    """

    airflow_id = models.PositiveBigIntegerField(unique=True)
    name = models.TextField()
    uri = models.TextField(blank=True)
    group = models.TextField(blank=True)
    producers = models.JSONField(default=list)
    consumers = models.JSONField(default=list)
    changed_at = models.DateTimeField(null=True)
    aliases = models.JSONField(default=list, db_default=[])  # names, under which tasks made it

    class Meta:
        ordering: ClassVar = ["name", "airflow_id"]

    def __str__(self) -> str:
        return self.name

    @property
    def key(self) -> str:
        """What it is called among all."""
        return f"{self.airflow_id} {self.name}"


class Maker(models.TextChoices):
    """What says that an asset changed."""

    TASK = "task", _("a task")
    WATCHER = "watcher", _("an asset watcher")
    REST = "rest", _("somebody over REST")
    OTHER = "other", _("something other than a task")


class AssetEvent(models.Model):
    """An asset changed: what made that, and the runs that took it.

    began: [{"dag_id", "dag_run_id", "triggering"}], the last true where the run began with this event.
    """

    airflow_id = models.PositiveBigIntegerField(unique=True)
    asset_airflow_id = models.PositiveBigIntegerField()
    at = models.DateTimeField()
    dag_id = models.TextField(blank=True)
    dag_run_id = models.TextField(blank=True)
    task_id = models.TextField(blank=True)
    map_index = models.IntegerField(default=-1)
    extra = models.JSONField(default=dict)
    began = models.JSONField(default=list)
    partition_key = models.TextField(blank=True, default="", db_default="")

    class Meta:
        ordering: ClassVar = ["-at", "-airflow_id"]
        indexes: ClassVar = [
            models.Index(fields=["asset_airflow_id", "-at"], name="events_of_asset"),
            models.Index(fields=["-at"], name="events_recent"),
            GinIndex(fields=["began"], name="events_by_run", opclasses=["jsonb_path_ops"]),
        ]

    def __str__(self) -> str:
        return f"{self.asset_airflow_id} {self.at:%Y-%m-%d %H:%M:%S}"

    @property
    def maker(self) -> Maker:
        """What made it: where no task did, Airflow marks that in `extra` alone."""
        if self.dag_id:
            return Maker.TASK
        if self.extra.get("from_trigger") is True:
            return Maker.WATCHER
        return Maker.REST if self.extra.get("from_rest_api") is True else Maker.OTHER

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What the task wrote with it, as pairs of name and JSON."""
        return [(name, params.in_words(value)) for name, value in self.extra.items()]
