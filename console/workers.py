"""What every task and worker has in common: the caller's request id, signs of life, logs, metrics.

Loaded with the task class that `console.celery` names, in every process that sends or runs tasks.
"""

import contextlib
import logging.config
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import structlog
from celery import bootsteps, signals
from celery.beat import Scheduler
from celery.contrib.django.task import DjangoTask
from celery.worker.consumer import Consumer
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError

from console.celery import app
from core.lib import context, heartbeat, metrics, metrics_port, traces

log = structlog.get_logger(__name__)

LONGEST_STOP_S = 20.0  # the stack allows 25

# What is due every minute or more often says itself what it found: the log and a collector would be full of
# nothing else.
QUIET_TASKS = {
    entry["task"]
    for entry in settings.CELERY_BEAT_SCHEDULE.values()
    if isinstance(entry["schedule"], float) and entry["schedule"] <= 60
}


class ConsoleTask(DjangoTask):
    """A task whose row is safe before it is sent: when the broker is away, the sweep sends it later."""

    abstract = True

    def apply_async(self, *args: Any, **kwargs: Any) -> Any:
        """Carries the request id and address of whoever asks, and the trace."""
        headers = {"request_id": context.request_id.get(), "remote_addr": context.remote_addr.get()}
        if traces.is_on:
            headers[traces.HEADER] = traces.traceparent()
        kwargs["headers"] = {**headers, **(kwargs.get("headers") or {})}
        return super().apply_async(*args, **kwargs)

    def delay_on_commit(self, *args: Any, **kwargs: Any) -> None:
        """Send once the transaction is committed; never raises, because by then the wish is a row."""
        self.apply_async_on_commit(args, kwargs)

    def apply_async_on_commit(self, *args: Any, **kwargs: Any) -> None:
        """The same with options."""
        transaction.on_commit(lambda: self._try_to_send(*args, **kwargs))

    def _try_to_send(self, *args: Any, **kwargs: Any) -> None:
        try:
            self.apply_async(*args, **kwargs)
        except OperationalError as error:
            metrics.TASKS_NOT_SENT.inc()
            log.warning("task.not_sent", task=self.name, error=str(error))


@contextlib.contextmanager
def _alive_meanwhile(part: str) -> Iterator[None]:
    """Beat from a thread: every try to connect has a time limit, and it is not this process that is ill."""
    stop = heartbeat.keep(part)
    try:
        yield
    finally:
        stop()


class PatientConsumer(Consumer):  # type: ignore[misc]
    """Goes on beating while it waits for its broker, without a loop: nobody needs to restart it then."""

    def ensure_connected(self, conn: Any) -> Any:
        """The connection, however long that takes."""
        with _alive_meanwhile("worker"):
            return super().ensure_connected(conn)


class Alive(bootsteps.StartStopStep):  # type: ignore[misc]
    """Beats from the worker's own event loop, so that a loop that hangs falls silent."""

    requires = {"celery.worker.consumer.tasks:Tasks"}

    def start(self, consumer: Any) -> None:
        heartbeat.try_beat("worker")
        self.timer = consumer.timer.call_repeatedly(heartbeat.EVERY_S, heartbeat.try_beat, ("worker",))

    def stop(self, _consumer: Any) -> None:
        self.timer.cancel()


app.steps["consumer"].add(Alive)


class EndsInTime(bootsteps.StartStopStep):  # type: ignore[misc]
    """Ends a worker whose stop hangs, so that its supervisor starts another.

    A worker that loses its broker at a bad moment stops for an error of kombu and waits for its tasks; one of
    them that hangs would keep a process that takes no message. Every wish is a row: nothing is lost.
    """

    requires = {"celery.worker.components:Pool"}  # stops before the pool, which is what hangs

    def stop(self, _worker: Any) -> None:
        timer = threading.Timer(LONGEST_STOP_S, os._exit, (1,))
        timer.daemon = True
        timer.start()

    terminate = stop


app.steps["worker"].add(EndsInTime)


class LivingScheduler(Scheduler):  # type: ignore[misc]
    """Beat's schedule in memory: it holds short intervals only, and kill -9 can break a file."""

    beaten_at = float("-inf")

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """One turn of beat's loop, with a sign of life at most every few seconds."""
        if time.monotonic() - self.beaten_at >= heartbeat.EVERY_S:
            heartbeat.try_beat("beat")
            self.beaten_at = time.monotonic()
        return min(super().tick(*args, **kwargs), float(heartbeat.EVERY_S))

    def _ensure_connected(self) -> Any:
        with _alive_meanwhile("beat"):
            return super()._ensure_connected()


@signals.worker_ready.connect
@signals.beat_init.connect
def _serve_metrics(**_kwargs: Any) -> None:
    """From the parent, once its pool is there; what the pool counts is in the folder that they share."""
    metrics_port.serve()


@signals.setup_logging.connect
def _use_our_logs(**_kwargs: Any) -> None:
    logging.config.dictConfig(settings.LOGGING)


@signals.task_prerun.connect
def _remember_caller(task: Any, **_kwargs: Any) -> None:
    context.request_id.set(getattr(task.request, "request_id", None) or task.request.id or "")
    context.remote_addr.set(getattr(task.request, "remote_addr", None) or "")
    task.request.started_at = time.monotonic()
    if traces.is_on and task.name not in QUIET_TASKS:
        parent = getattr(task.request, traces.HEADER, None)
        task.request.scope = traces.span(task.name, parent=parent, kind="CONSUMER")
        task.request.span = task.request.scope.__enter__()


@signals.task_postrun.connect
def _count(task: Any, state: str | None = None, **_kwargs: Any) -> None:
    started_at = getattr(task.request, "started_at", None)
    if started_at is not None:
        outcome = {"SUCCESS": "ok", "RETRY": "retry"}.get(state or "", "failed")
        seconds = time.monotonic() - started_at
        metrics.TASK_SECONDS.labels(task.name, outcome).observe(seconds)
        if task.name not in QUIET_TASKS:
            log.info(
                "task.done", task=task.name, id=task.request.id, outcome=outcome, ms=round(seconds * 1000)
            )
    _end_span(task, has_failed=state == "FAILURE")
    context.request_id.set("")
    context.remote_addr.set("")


def _end_span(task: Any, *, has_failed: bool) -> None:
    scope = getattr(task.request, "scope", None)
    if scope is not None:
        if has_failed:
            traces.has_failed(task.request.span)
        scope.__exit__(None, None, None)
