"""Tasks that a worker of the tests is given beside its own: they tell in Redis what they saw."""

import time

from celery import shared_task

from core.lib import context, redis


@shared_task
def tell_context(key: str) -> None:
    """Write down whose request this is."""
    redis.client().rpush(key, f"{context.request_id.get()} {context.remote_addr.get()}")


@shared_task
def work_long(key: str) -> None:
    """Start, and be busy for a minute."""
    redis.client().rpush(key, "started")
    time.sleep(60)
    redis.client().rpush(key, "ended")
