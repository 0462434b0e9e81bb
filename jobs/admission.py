"""Which queued jobs may start: a bounded number at once, in the order of submission, a port for each."""

import socket
from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from core.lib import live
from jobs import gateway
from jobs.models import ACTIVE, Job, JobState

FIRST_PORT = 20  # offset into the stack's block
N_PORTS = 20
LOOKS_AGAIN = timedelta(seconds=15)  # should the word that a place is free be lost
ADVISORY_LOCK = 0x6A6F6273


@transaction.atomic
def admit(job: Job) -> bool:
    """Give a queued job a place and a port; False when it waits on, or has ended meanwhile."""
    with connection.cursor() as cursor:  # one admission at a time: two would count the same free place
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
    job.refresh_from_db(from_queryset=Job.objects.select_for_update())
    if job.state != JobState.QUEUED:
        return job.is_active
    active = Job.objects.filter(state__in=ACTIVE)
    taken = set(active.values_list("ui_port", flat=True))
    n_free = _most(job) - active.filter(is_streaming=job.is_streaming, target=job.target).count()
    now = timezone.now()
    port = _free_port(taken) if n_before(job) < n_free and not job.waits_for_retry else None
    if port is None:
        job.next_attempt_at = max(now + LOOKS_AGAIN, job.not_before or now)
        job.save(update_fields=["next_attempt_at"])
        return False
    job.state, job.ui_port, job.delivery_attempts = JobState.STARTING, port, 0
    job.save(update_fields=["state", "ui_port", "delivery_attempts"])
    live.publish("jobs", [job.pk])
    live.publish(f"job:{job.pk}")
    return True


def n_before(job: Job) -> int:
    """How many queued jobs start before this one: of its target, and of its kind.

    Streaming jobs have places of their own; who waits for another try holds up nobody.
    """
    earlier = Q(requested_at__lt=job.requested_at) | Q(requested_at=job.requested_at, pk__lt=job.pk)
    ready = Q(not_before=None) | Q(not_before__lte=timezone.now())
    alike = Job.objects.filter(is_streaming=job.is_streaming, target=job.target, state=JobState.QUEUED)
    return alike.filter(earlier & ready).count()


def _most(job: Job) -> int:
    """Places for jobs of its kind on its target. One that is no more gives one: its job fails in words."""
    if job.is_streaming:
        return int(settings.CONSOLE_STREAMS_AT_ONCE)
    found = gateway.targets().get(job.target)
    return found.at_once if found is not None else 1


def _free_port(taken: set[int | None]) -> int | None:
    first = settings.CONSOLE_PORT_BASE + FIRST_PORT
    return next(
        (port for port in range(first, first + N_PORTS) if port not in taken and _is_free(port)), None
    )


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Spark's own server does
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
