"""When mirrors caught up, what of their services did not fit, days given to topics, when daily tasks ran."""

from datetime import datetime, timedelta
from typing import ClassVar, Final

from django.db import models
from django.db.models.functions import MD5
from django.utils import timezone

# After this long without any success nobody is polling: `manage.py watch` itself is away.
STALE_AFTER: Final = timedelta(seconds=30)


class SyncState(models.Model):
    """One poll of one service: its last success, and its last error while it has not succeeded since."""

    name = models.CharField(max_length=100, primary_key=True)
    service = models.CharField(max_length=30, db_index=True)
    last_success_at = models.DateTimeField(null=True)
    last_error_at = models.DateTimeField(null=True)
    last_error = models.TextField(blank=True)

    def __str__(self) -> str:
        return self.name

    @property
    def is_current(self) -> bool:
        """Whether the last poll succeeded."""
        return self.last_success_at is not None and not self.last_error

    @classmethod
    def succeeded(cls, name: str, service: str) -> None:
        """Note a poll that worked."""
        values = {"service": service, "last_success_at": timezone.now(), "last_error": ""}
        cls.objects.update_or_create(name=name, defaults=values)

    @classmethod
    def failed(cls, name: str, service: str, error: str) -> None:
        """Note a poll that did not."""
        values = {"service": service, "last_error_at": timezone.now(), "last_error": error}
        cls.objects.update_or_create(name=name, defaults=values)

    @classmethod
    def stale_since(cls, service: str) -> datetime | None:
        """As of when rows of `service` hold, when it fails or nobody asks it. None while all is well."""
        states = list(cls.objects.filter(service=service))
        failing = [state.last_success_at or state.last_error_at for state in states if state.last_error]
        if failing:
            return min(at for at in failing if at)
        newest = max((state.last_success_at for state in states if state.last_success_at), default=None)
        return newest if newest and timezone.now() - newest > STALE_AFTER else None


class SetAside(models.Model):
    """An item that did not fit, of a loop over what others produce (`core.lib.aside`). It goes when it fits.

    about: whose page shows it. key: what its loop calls it; empty for the one row that stands for all that
    are beyond the bound. count: tries that failed. fingerprint: what it was at the last try.
    """

    loop = models.CharField(max_length=60)
    key = models.CharField(max_length=1000)
    about = models.CharField(max_length=300, blank=True)
    reason = models.TextField(blank=True)
    fingerprint = models.CharField(max_length=64, blank=True)
    count = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField(default=timezone.now)
    last_at = models.DateTimeField(default=timezone.now)
    next_try_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["loop", "-last_at", "pk"]
        constraints: ClassVar = [
            # By hash: a key may be larger than what an index takes.
            models.UniqueConstraint("loop", MD5("key"), name="set_aside_once"),
        ]
        indexes: ClassVar = [models.Index(fields=["about"], name="set_aside_by_thing")]

    def __str__(self) -> str:
        return f"{self.loop}: {self.key}"


class TopicDays(models.Model):
    """For how many days a topic was last told to keep its messages (`core.lib.topic_days`); 0: for ever."""

    topic = models.CharField(max_length=249, primary_key=True)
    days = models.PositiveIntegerField()

    def __str__(self) -> str:
        return self.topic


class DailyTask(models.Model):
    """When a task that runs once a day was last started (`core.lib.daily`)."""

    name = models.CharField(max_length=100, primary_key=True)
    started_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
