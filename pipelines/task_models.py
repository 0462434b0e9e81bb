"""The rows of what happens within a run: its tasks, the questions that they ask people, copies of their logs.

`models` has these among the other rows of the app.
"""

import re
from typing import Any, ClassVar
from urllib.parse import quote

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from core.lib.outbox import Deliverable
from pipelines import params
from pipelines.scope import instance_name
from pipelines.states import NEVER_RAN, TASK_ENDED


class TaskInstance(models.Model):
    """A task within a run, at its latest try. `map_index` is -1 unless the task is mapped.

    map_name: what the author's `map_index_template` calls an instance; empty without one.
    """

    run = models.ForeignKey("pipelines.Run", on_delete=models.CASCADE, related_name="task_instances")
    task_id = models.CharField(max_length=250)
    map_index = models.IntegerField(default=-1)
    map_name = models.TextField(blank=True, db_default="")
    try_number = models.PositiveIntegerField(default=0)
    max_tries = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=50, blank=True)
    operator = models.TextField(blank=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    duration_s = models.FloatField(null=True)
    # [{"try_number", "state", "started_at", "ended_at"}], times in ISO: the tries that the mirror saw end
    earlier_tries = models.JSONField(default=list, db_default=[])

    class Meta:
        ordering: ClassVar = ["pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "task_id", "map_index"], name="task_once_per_run"),
            models.CheckConstraint(condition=Q(map_index__gte=-1), name="map_index_from_minus_one"),
        ]

    def __str__(self) -> str:
        return instance_name(self.task_id, self.map_index, self.map_name)

    @property
    def key(self) -> str:
        """What it is called among all tasks of all runs; asks for its run."""
        return f"{self.run.key} {self.task_id} {self.map_index}"

    @property
    def url_query(self) -> str:
        """What chooses it on the page of its run."""
        return f"task={quote(self.task_id)}&map_index={self.map_index}"

    @property
    def seconds(self) -> float | None:
        """How long the latest try took, or takes so far; None for a task without a try."""
        if self.duration_s is None and self.started_at is not None and not self.has_ended:
            return max((timezone.now() - self.started_at).total_seconds(), 0.0)
        return self.duration_s if self.try_number else None

    @property
    def has_run(self) -> bool:
        """Whether the latest try was at work, or is."""
        return self.started_at is not None and bool(self.state) and self.state not in NEVER_RAN

    @property
    def has_ended(self) -> bool:
        """Whether the latest try writes no more."""
        return self.state in TASK_ENDED


class EndedThere(models.TextChoices):
    """How a question that was closed without an answer from here ended in Airflow."""

    ANSWERED = "elsewhere", "answered"
    DEFAULTS = "defaults", "by its defaults"
    UNANSWERED = "unawaited", "unanswered"


class InputRequest(Deliverable):
    """A question that a task asks people and waits for; `chosen` is what somebody answered.

    It is Deliverable once it is answered here: a worker takes the answer to Airflow. And once it is closed
    without: a worker reads there who answered what.
    """

    run = models.ForeignKey("pipelines.Run", on_delete=models.CASCADE, related_name="input_requests")
    task_id = models.CharField(max_length=250)
    map_index = models.IntegerField(default=-1)
    map_name = models.TextField(blank=True, db_default="")
    subject = models.TextField()
    body = models.TextField(blank=True)
    options = models.JSONField(default=list)
    defaults = models.JSONField(default=list)
    is_multiple = models.BooleanField(default=False)
    param_list = models.JSONField(default=list)  # as of `Pipeline`
    assigned = models.JSONField(default=list)  # who alone may answer, by Airflow's user ids; empty for all
    asked_at = models.DateTimeField()
    try_number = models.PositiveIntegerField(default=0, db_default=0)  # 0 where an earlier release noted it
    closed_at = models.DateTimeField(null=True)  # answered, here or elsewhere, or no longer awaited
    chosen = models.JSONField(null=True)
    params_input = models.JSONField(default=dict)
    answered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    answered_at = models.DateTimeField(null=True)
    # How it ended in Airflow itself, and by whom it was answered there; empty where that was not read.
    ended_there = models.CharField(max_length=16, choices=EndedThere, blank=True, db_default="")
    answered_there_by = models.TextField(blank=True, db_default="")

    # Two calls of Airflow.
    lease_s: ClassVar[int] = 60
    # What it holds until somebody answers.
    unanswered: ClassVar[dict[str, Any]] = {
        "chosen": None,
        "params_input": {},
        "answered_by": None,
        "answered_at": None,
        "ended_there": "",
        "answered_there_by": "",
    }

    class Meta:
        ordering: ClassVar = ["asked_at", "pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["run", "task_id", "map_index", "asked_at", "try_number"], name="input_asked_once"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["asked_at"], condition=Q(closed_at=None), name="inputs_open"),
        ]

    def __str__(self) -> str:
        return self.subject[:250]

    @property
    def key(self) -> str:
        """What it is called among all; asks for its run."""
        task = f"{self.run.key} {self.task_id} {self.map_index}"
        return f"{task} {self.asked_at.isoformat()} {self.try_number}"

    @property
    def task(self) -> str:
        """The task as pages write it."""
        return instance_name(self.task_id, self.map_index, self.map_name)

    @property
    def state(self) -> str:
        """waiting, then delivering once it is answered here, then closed."""
        if self.closed_at is not None:
            return "closed"
        return "waiting" if self.chosen is None else "delivering"

    @property
    def outcome(self) -> str:
        """answered, refused, elsewhere (in Airflow itself), defaults (which the task took), unawaited.

        Empty while it is to come. One that is refused may wait for another answer.
        """
        if self.state == "delivering":
            return ""
        if self.ended_there:  # later than any refusal
            return self.ended_there
        if self.closed_at is not None and self.chosen is None:
            return "unawaited"
        if self.delivery_error:
            return "refused"
        return "answered" if self.closed_at is not None else ""

    @property
    def trouble(self) -> str:
        """Why an answer did not arrive, or not yet; empty once it no longer matters."""
        return self.delivery_error if self.outcome in {"", "refused"} else ""

    @property
    def answerer(self) -> str:
        """The name of who answered, here or in Airflow; empty where nobody did."""
        return self.answered_by.get_username() if self.answered_by else self.answered_there_by

    @property
    def answers(self) -> list[tuple[str, str]]:
        """What was given for its params, as pairs of name and text, for reading."""
        return [(name, params.in_words(value)) for name, value in self.params_input.items()]

    @property
    def is_asked_again(self) -> bool:
        """Whether a later try of the task asks, or asked, the same."""
        place = {"run": self.run_id, "task_id": self.task_id, "map_index": self.map_index}
        return InputRequest.objects.filter(**place, try_number__gt=self.try_number).exists()

    def asks(self, name: str) -> bool:
        """Whether the one of this user name may answer, as far as the task says."""
        return not self.assigned or name in self.assigned

    @property
    def params(self) -> dict[str, dict[str, Any]]:
        """name -> {"value", "schema", "description"}, in the author's order."""
        return params.by_name(self.param_list)


class TaskLog(Deliverable):
    """The copy of one try's log: lines in a file (`spool`), and here how far it goes.

    It is Deliverable for a try that has ended: a worker then copies the rest of the log. has_end: one came to
    its end; only once no more is expected (`log_copy.note_end`) is the copy complete.
    """

    run = models.ForeignKey("pipelines.Run", on_delete=models.CASCADE, related_name="logs")
    task_id = models.CharField(max_length=250)
    map_index = models.IntegerField(default=-1)
    try_number = models.PositiveIntegerField()
    token = models.TextField(blank=True)
    n_lines = models.PositiveBigIntegerField(default=0)
    size_bytes = models.PositiveBigIntegerField(default=0)
    has_end = models.BooleanField(default=False, db_default=False)
    is_complete = models.BooleanField(default=False)
    is_cut = models.BooleanField(default=False)
    read_at = models.DateTimeField(default=timezone.now)

    lease_s: ClassVar[int] = 300  # a log of hundreds of megabytes takes minutes

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["run", "task_id", "map_index", "try_number"], name="log_once_per_try"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["read_at"], name="logs_by_last_read")]

    def __str__(self) -> str:
        return self.topics[-1]

    @property
    def topics(self) -> list[str]:
        """Where its news are published: for this try, and for whoever looks at the run."""
        task = re.sub(r"[^A-Za-z0-9._-]", "~", self.task_id)[:150]
        run = f"log:{self.run_id}"
        return [run, f"{run}.{task}.{self.map_index}.{self.try_number}"]
