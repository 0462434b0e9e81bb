"""The click's half: ask for a load test."""

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.audit import actions as audit
from core.lib import live
from core.lib.errors import Conflict, InvalidRequest
from usecases import loads, queries, routing, tasks
from usecases.catalogue import UseCase
from usecases.models import LoadTest

SCOPES = ("pipelines.run", "predict")  # it asks in the name of who asked for it


def request_load_test(
    usecase: UseCase, *, users: int, spawn_rate: int, seconds: int, stated_p95_ms: int, by: User
) -> LoadTest:
    """Note the wish; a worker runs it. Raises InvalidRequest, and Conflict while another waits or runs."""
    for scope in SCOPES:
        policy.check(by, scope, usecase.name)
    _check(users=users, spawn_rate=spawn_rate, seconds=seconds, stated_p95_ms=stated_p95_ms)
    if queries.champion(usecase) is None:
        raise Conflict(_("No version answers yet: promote one first."))
    values = {"users": users, "spawn_rate": spawn_rate, "seconds": seconds, "stated_p95_ms": stated_p95_ms}
    try:
        with transaction.atomic(using=routing.ALIAS):
            test = LoadTest.objects.create(
                usecase=usecase.name,
                model=usecase.model,
                requested_by=by.username,
                requested_at=timezone.now(),
                **values,
            )
    except IntegrityError as error:
        raise Conflict(
            _("Another load test waits or runs: one at a time, or each would slow the other.")
        ) from error
    audit.record("loadtest.request", test, by=by, after={"model": usecase.model, **values})
    tasks.run_load_test.delay_on_commit(test.pk)
    live.publish("load-tests", [test.pk])
    return test


def _check(*, users: int, spawn_rate: int, seconds: int, stated_p95_ms: int) -> None:
    bounds = {
        "users": (users, 1, loads.MOST_USERS),
        "spawn_rate": (spawn_rate, 1, loads.MOST_USERS),
        "seconds": (seconds, loads.SHORTEST_S, loads.LONGEST_S),
        "stated_p95_ms": (stated_p95_ms, 1, loads.LONGEST_P95_MS),
    }
    errors = [
        {"field": name, "message": _("It must be from %(low)s to %(high)s.") % {"low": low, "high": high}}
        for name, (value, low, high) in bounds.items()
        if not low <= value <= high
    ]
    if not errors and users > spawn_rate * seconds / 2:
        message = _("At this rate the users are not all there in half of the time: raise it, or take longer.")
        errors.append({"field": "spawn_rate", "message": message})
    if errors:
        raise InvalidRequest(errors[0]["message"], errors=errors)
