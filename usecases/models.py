"""What pipelines of the use cases leave behind: batches, rows, decisions.

Written by `dags/recipes/common`, in plain SQL under the table names given here, since pipelines know no
Django; a test holds the two together. People are kept by name: their accounts lie in another database.
"""

from typing import Any, ClassVar, NamedTuple

from django.db import models
from django.urls import reverse
from django.utils.translation import gettext as _

from core.lib.outbox import Deliverable


def _usecase() -> Any:
    return models.CharField(max_length=64)


class Batch(models.Model):
    """What came in at once. `key` names it for ever: a batch that comes again adds nothing.

    rows_in = rows_new + rows_duplicate + rows_rejected. data_source: `file`, `url`, `synthetic` or `api`.
    """

    usecase = _usecase()
    key = models.CharField(max_length=200)
    data_source = models.CharField(max_length=16)
    origin = models.TextField(help_text="The file's name or the address")
    data_sha256 = models.CharField(max_length=64)
    dag_id = models.CharField(max_length=250)
    dag_run_id = models.TextField()
    at = models.DateTimeField()
    rows_in = models.PositiveIntegerField()
    rows_new = models.PositiveIntegerField()
    rows_duplicate = models.PositiveIntegerField()
    rows_rejected = models.PositiveIntegerField()
    facts = models.JSONField(default=dict, help_text="What else this use case tells of a batch")

    class Meta:
        db_table = "batch"
        constraints: ClassVar = [models.UniqueConstraint(fields=["usecase", "key"], name="batch_once")]
        indexes: ClassVar = [models.Index(fields=["usecase", "-id"], name="batch_newest")]

    def __str__(self) -> str:
        return f"{self.usecase} {self.key}"


class RawRow(models.Model):
    """A row as it came. `row_sha256` is of all its values: the same row is kept once."""

    id = models.BigAutoField(primary_key=True)
    usecase = _usecase()
    batch = models.ForeignKey(Batch, models.CASCADE, related_name="raw_rows")
    position = models.PositiveIntegerField(help_text="Its place in the batch, from 0")
    row_sha256 = models.BinaryField(max_length=32)
    data = models.JSONField()

    class Meta:
        db_table = "raw_row"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["usecase", "row_sha256"], name="raw_row_once"),
        ]

    def __str__(self) -> str:
        return f"row {self.position} of batch {self.batch_id}"


class RejectedRow(models.Model):
    """A row that could not be taken, with every reason, as text of at most 2,000 characters."""

    id = models.BigAutoField(primary_key=True)
    batch = models.ForeignKey(Batch, models.CASCADE, related_name="rejected_rows")
    position = models.PositiveIntegerField()
    reason = models.TextField()
    row = models.TextField()

    class Meta:
        db_table = "rejected_row"

    def __str__(self) -> str:
        return f"rejected row {self.position} of batch {self.batch_id}"


class CleanRow(models.Model):
    """A row that models learn from, by its own key. `part`: `train`, `validation`, `test`, or empty."""

    id = models.BigAutoField(primary_key=True)
    usecase = _usecase()
    key = models.CharField(max_length=200)
    part = models.CharField(max_length=16, blank=True)
    batch = models.ForeignKey(Batch, models.CASCADE, related_name="clean_rows")
    data = models.JSONField()

    class Meta:
        db_table = "clean_row"
        constraints: ClassVar = [models.UniqueConstraint(fields=["usecase", "key"], name="clean_row_once")]
        indexes: ClassVar = [models.Index(fields=["usecase", "part", "id"], name="clean_row_part")]

    def __str__(self) -> str:
        return f"{self.usecase} {self.key}"


class TrainingBatch(models.Model):
    """How far training has gone: a run takes rows `first` to `last`, in their fixed order."""

    usecase = _usecase()
    number = models.PositiveIntegerField(help_text="From 1")
    first = models.PositiveIntegerField(help_text="From 0")
    last = models.PositiveIntegerField(help_text="The row after the last one")
    dag_run_id = models.TextField()
    at = models.DateTimeField()

    class Meta:
        db_table = "training_batch"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["usecase", "number"], name="training_batch_once"),
            models.UniqueConstraint(fields=["usecase", "dag_run_id"], name="training_batch_of_run"),
        ]

    def __str__(self) -> str:
        return f"{self.usecase} batch {self.number}"


SHAP_SHOWN = 12


class DecisionKind(models.TextChoices):
    TRAIN = "train"
    PROMOTE = "promote"
    CLEAR = "clear"


class Decision(models.Model):
    """Whether a run trained, whether that goes live, or what it removed: why, in words and numbers.

    criteria: [{"name", "value", "threshold", "passed", "sentence"}]. metrics and shap: {"candidate": {name:
    number}, "champion": {…}, "baseline": {…}}, as far as there are such.
    """

    usecase = _usecase()
    kind = models.CharField(max_length=16, choices=DecisionKind.choices)
    is_yes = models.BooleanField()
    reason = models.TextField()
    criteria = models.JSONField(default=list)
    model = models.TextField(blank=True)
    version = models.PositiveIntegerField(null=True)
    champion_version = models.PositiveIntegerField(null=True)
    metrics = models.JSONField(default=dict)
    shap = models.JSONField(default=dict)
    dag_id = models.CharField(max_length=250)
    dag_run_id = models.TextField()
    at = models.DateTimeField()

    class Meta:
        db_table = "decision"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["usecase", "dag_run_id", "kind"], name="decision_once"),
        ]
        indexes: ClassVar = [models.Index(fields=["usecase", "-id"], name="decision_newest")]

    def __str__(self) -> str:
        return f"{self.usecase} {self.kind} of {self.dag_run_id}"

    @property
    def metric_rows(self) -> "SideBySide":
        """Its metrics, a column for each model."""
        return side_by_side(self.metrics)

    @property
    def shap_rows(self) -> "SideBySide":
        """What moves each model's answers most, the strongest first, and how that has changed."""
        table = side_by_side(self.shap, is_by_size=True)
        return table._replace(rows=table.rows[:SHAP_SHOWN])

    @property
    def n_shap_more(self) -> int:
        """How many `shap_rows` leaves out."""
        return max(0, len(side_by_side(self.shap).rows) - SHAP_SHOWN)

    @property
    def unmet(self) -> list[dict[str, Any]]:
        """The criteria that speak against it."""
        return [criterion for criterion in self.criteria if criterion["passed"] is False]


class LoadTestState(models.TextChoices):
    REQUESTED = "requested"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


ACTIVE = (LoadTestState.REQUESTED, LoadTestState.RUNNING)


class LoadTest(Deliverable):
    """Simulated users who ask a model as fast as it answers, more of them step by step; times in ms.

    steps: [{"users", "requests", "failures", "rps", "p50", "p95", "p99"}], the percentiles null where nothing
    was answered. series: [{"second", "users", "rps", "p95"}]. p50, p95, p99, rps: of the last step, with all
    users. token_id: of the token that it asks with, in the console's database.
    """

    lease_s: ClassVar[int] = 30  # prolonged while it runs: what is left behind is found soon

    usecase = _usecase()
    model = models.TextField()
    requested_by = models.TextField()
    requested_at = models.DateTimeField()
    state = models.CharField(max_length=16, choices=LoadTestState.choices, default=LoadTestState.REQUESTED)
    users = models.PositiveIntegerField()
    spawn_rate = models.PositiveIntegerField(help_text="Users who join in a second")
    seconds = models.PositiveIntegerField(help_text="All steps together")
    stated_p95_ms = models.PositiveIntegerField()
    version = models.TextField(blank=True, help_text="Which answered when it began")
    token_id = models.BigIntegerField(null=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    requests = models.PositiveIntegerField(null=True)
    failures = models.PositiveIntegerField(null=True)
    rps = models.FloatField(null=True)
    p50 = models.FloatField(null=True)
    p95 = models.FloatField(null=True)
    p99 = models.FloatField(null=True)
    max_users_within_p95 = models.PositiveIntegerField(null=True)
    steps = models.JSONField(default=list)
    series = models.JSONField(default=list)
    error = models.TextField(blank=True)

    class Meta:
        db_table = "load_test"
        constraints: ClassVar = [
            models.UniqueConstraint(
                models.Value(1), condition=models.Q(state__in=ACTIVE), name="load_test_one_at_a_time"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["usecase", "-id"], name="load_test_newest")]

    def __str__(self) -> str:
        return f"load test {self.pk} of {self.model}"

    def get_absolute_url(self) -> str:
        """Its place among the others."""
        return reverse("usecases:load-test-list", args=[self.usecase])


class SideBySide(NamedTuple):
    """A small table: heads of its columns, and a name and its values a row; None where there is none."""

    heads: list[str]
    rows: list[tuple[str, list[float | None]]]


def side_by_side(told: dict[str, dict[str, float]], *, is_by_size: bool = False) -> SideBySide:
    """told: {"candidate": {name: number}, …}. Rows as the first column has them.

    is_by_size: the greatest first, and with a candidate and a champion the change from this to that.
    """
    words = {"candidate": _("candidate"), "champion": _("champion"), "baseline": _("baseline")}
    heads = [head for head in words if told.get(head)]
    names = list(dict.fromkeys(name for head in heads for name in told[head]))
    rows = {name: [told[head].get(name) for head in heads] for name in names}
    if not is_by_size:
        return SideBySide([words[head] for head in heads], list(rows.items()))
    names.sort(key=lambda name: -max(abs(value or 0.0) for value in rows[name]))
    if not (told.get("candidate") and told.get("champion")):
        return SideBySide([words[head] for head in heads], [(name, rows[name]) for name in names])
    changes = {
        name: (told["candidate"].get(name) or 0.0) - (told["champion"].get(name) or 0.0) for name in names
    }
    shown = [(name, [*rows[name], changes[name]]) for name in names]
    return SideBySide([*(words[head] for head in heads), _("change")], shown)
