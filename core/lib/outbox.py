"""Wishes survive: a row holds everything a worker needs, and a sweep sends unfinished rows again.

class Run(Deliverable): …
outbox.register(Run, tasks.start_run)           # in AppConfig.ready

@shared_task
def start_run(run_id: int) -> None:
    run = outbox.claim(Run, run_id)
    if run is None:                             # delivered already, or another worker has it
        return
    …
    run.mark_delivered()                        # or run.mark_retry("Airflow is not answering")
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ClassVar, Self, TypeVar

import structlog
from celery import Task, shared_task, signals
from django.db import InterfaceError, OperationalError, connection, models
from django.db.models import F
from django.utils import timezone

from core.lib import aside, loops, metrics, redis, storable

log = structlog.get_logger(__name__)

_Row = TypeVar("_Row", bound="Deliverable")
_registered: list[tuple[type["Deliverable"], Task]] = []

FIRST_RETRY_S = 2
LONGEST_RETRY_S = 60
SWEEP_BATCH = 200
SWEEP_EVERY_S = 5
SENT_AGAIN_AFTER_S = 15


class Deliverable(models.Model):
    """A row that a worker still has to act on while `next_attempt_at` is set."""

    delivery_attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, default=timezone.now, db_index=True)
    delivery_error = models.TextField(blank=True)

    # Time a worker gets before the sweep hands the row to another.
    lease_s: ClassVar[int] = 30

    class Meta:
        abstract = True

    def mark_delivered(self) -> None:
        """Nothing is left to do; the caller saves its own fields in the same transaction."""
        self.next_attempt_at = None
        self.delivery_error = ""
        self.save(update_fields=["next_attempt_at", "delivery_error"])

    def mark_retry(self, error: str) -> None:
        """Try again later, after twice as long each time, a minute at most."""
        wait_s = min(FIRST_RETRY_S * 2 ** min(self.delivery_attempts, 10), LONGEST_RETRY_S)
        self.next_attempt_at = timezone.now() + timedelta(seconds=wait_s)
        self.delivery_error = storable.text(error)  # words of a service, or of a file
        self.save(update_fields=["next_attempt_at", "delivery_error"])

    def renew(self) -> bool:
        """Keep a claimed row for another lease; False when somebody else has it by now, who goes on."""
        claimed = type(self)._default_manager.filter(
            pk=self.pk, delivery_attempts=self.delivery_attempts, next_attempt_at__isnull=False
        )
        return bool(claimed.update(next_attempt_at=timezone.now() + timedelta(seconds=self.lease_s)))

    @classmethod
    def due(cls) -> models.QuerySet[Self]:
        """Rows whose time has come, oldest wish first."""
        return cls._default_manager.filter(next_attempt_at__lte=timezone.now()).order_by("next_attempt_at")


def register(model: type[Deliverable], task: Task) -> None:
    """Let the sweep send unfinished rows of `model` to `task`, which takes the row's id."""
    _registered.append((model, task))


def kinds() -> list[type[Deliverable]]:
    """Models whose rows are wishes."""
    return [model for model, _task in _registered]


def claim(model: type[_Row], pk: Any) -> _Row | None:
    """Take the row for this worker until its lease ends; None when it is done or somebody else has it.

    One UPDATE decides, so two workers with the same id cannot both win.
    """
    now = timezone.now()
    taken = model._default_manager.filter(pk=pk, next_attempt_at__lte=now).update(
        next_attempt_at=now + timedelta(seconds=model.lease_s), delivery_attempts=F("delivery_attempts") + 1
    )
    return model._default_manager.get(pk=pk) if taken else None


@contextmanager
def kept(row: Deliverable) -> Iterator[None]:
    """Keep a claimed row for this worker while it works; it falls to another soon after this process dies."""
    stop = threading.Event()
    renewal = threading.Thread(target=_renew, args=(row, stop), daemon=True)
    renewal.start()
    try:
        yield
    finally:
        stop.set()
        renewal.join()


def _renew(row: Deliverable, stop: threading.Event) -> None:
    while not stop.wait(row.lease_s / 3):
        try:
            row.renew()
        except (OperationalError, InterfaceError) as error:
            log.warning("outbox.lease_not_renewed", row=f"{row._meta.label} {row.pk}", error=str(error))
        finally:
            connection.close()


@shared_task(expires=10)
def sweep() -> int:
    """Send every due row to its task again; returns how many were sent."""
    sent = loops.KINDS.each(_registered, lambda kind: _send_again(*kind), key=lambda kind: kind[1].name)
    n_sent = sum(sent)
    if n_sent:
        metrics.OUTBOX_SWEPT.inc(n_sent)
        log.info("outbox.swept", sent=n_sent)
    return n_sent


@signals.task_failure.connect
def _note_failure(sender: Task, args: Sequence[Any], exception: Exception, **_kwargs: Any) -> None:
    """A task met an error that it does not know: its row says so, and is tried again ever more rarely."""
    model = _model_of(sender)
    if model is None or aside.is_ours(exception) or not args:
        return
    loops.WISHES.set_aside(_wish(sender, args[0]), exception)
    row = model._default_manager.filter(pk=args[0], next_attempt_at__isnull=False).first()
    if row is not None:
        row.mark_retry(aside.in_words(exception))


@signals.task_success.connect
def _note_success(sender: Task, **_kwargs: Any) -> None:
    if _model_of(sender) is not None and sender.request.args:
        loops.WISHES.fits(_wish(sender, sender.request.args[0]))


def _model_of(task: Task) -> type[Deliverable] | None:
    return next((model for model, registered in _registered if registered.name == task.name), None)


def _wish(task: Task, pk: Any) -> str:
    return f"{task.name} {pk}"


def _send_again(model: type[Deliverable], task: Task) -> int:
    """A batch or a little more of those that no young message is under way for, oldest wish first."""
    due = [str(pk) for pk in model.due().values_list("pk", flat=True)]
    n_sent = 0
    for start in range(0, len(due), SWEEP_BATCH):
        fresh = _not_sent_lately(task, due[start : start + SWEEP_BATCH], young_s=_young_s(len(due)))
        for pk in fresh:
            task.delay(pk)
        n_sent += len(fresh)
        if n_sent >= SWEEP_BATCH:
            break
    return n_sent


def _young_s(n_due: int) -> int:
    """How long a message counts as young: until every due row had its turn, or the last ones never would."""
    n_meanwhile = SWEEP_BATCH * SENT_AGAIN_AFTER_S // SWEEP_EVERY_S
    return SENT_AGAIN_AFTER_S * (1 + n_due // n_meanwhile)


def _not_sent_lately(task: Task, pks: list[str], *, young_s: int) -> list[str]:
    """Those without a young message, which they are taken to have from now on.

    Behind a long queue each sweep would add a message otherwise.
    """
    pipeline = redis.client().pipeline(transaction=False)
    for pk in pks:
        pipeline.set(f"outbox:sent:{task.name}:{pk}", "1", nx=True, ex=young_s)
    return [pk for pk, is_ours in zip(pks, pipeline.execute(), strict=True) if is_ours]
