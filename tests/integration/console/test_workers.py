"""A real worker and beat on a real Redis: request ids, signs of life, a quick end that loses nothing."""

import signal
import time

import pytest

from core.lib import context, heartbeat, redis
from tests import worker_tasks

pytestmark = pytest.mark.integration

CELERY = ("-m", "celery", "-A", "console")
QUIET = ("--without-gossip", "--without-mingle", "--loglevel", "WARNING")
WORKER = (
    *CELERY,
    "worker",
    "-Q",
    "control,heavy",
    "--concurrency",
    "1",
    "--include",
    "tests.worker_tasks",
    *QUIET,
)


def test_task_knows_the_request_it_comes_from(part, eventually):
    part(*WORKER)
    try:
        context.request_id.set("request-4711")
        context.remote_addr.set("192.0.2.7")
        worker_tasks.tell_context.delay("told")
    finally:
        context.request_id.set("")
        context.remote_addr.set("")
    assert eventually(lambda: redis.client().lrange("told", 0, -1)) == ["request-4711 192.0.2.7"]


def test_task_without_a_request_has_its_own_id(part, eventually):
    part(*WORKER)
    sent = worker_tasks.tell_context.delay("told")
    assert eventually(lambda: redis.client().lrange("told", 0, -1)) == [f"{sent.id} "]


def test_worker_and_beat_give_signs_of_life(part, eventually):
    part(*WORKER)
    part(*CELERY, "beat", "--loglevel", "WARNING")
    started = time.time()
    for name in ("worker", "beat"):
        first = eventually(lambda name=name: heartbeat.last(name))
        assert first >= started - 1
        eventually(lambda name=name, first=first: heartbeat.last(name) > first, within_s=15)


def test_worker_that_is_stopped_ends_soon_and_its_task_is_not_lost(part, eventually):
    worker = part(*WORKER)
    worker_tasks.work_long.apply_async(("told",), queue="heavy")
    eventually(lambda: redis.client().llen("told"))
    worker.send_signal(signal.SIGQUIT)
    worker.wait(20)
    assert redis.client().llen("heavy") == 1, "the message is back in the queue"
    part(*WORKER)
    eventually(lambda: redis.client().llen("told") == 2)
    assert redis.client().lrange("told", 0, -1) == ["started", "started"]


def test_idle_worker_ends_at_once(part, eventually):
    worker = part(*WORKER)
    eventually(lambda: heartbeat.last("worker"))
    worker.terminate()
    worker.wait(10)
