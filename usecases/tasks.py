"""The worker's half: run a load test, keep what it measured; forget inputs of erased predictions."""

from datetime import timedelta
from typing import Any

import structlog
from celery import shared_task
from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from core.access import policy, tokens
from core.access.models import ApiToken, User
from core.lib import live, outbox
from core.lib.errors import Unavailable
from core.lib.pieces import pieces
from dags.recipes.real_estate.params import ID, INPUTS
from models_registry import queries as registry
from predictions import queries as predictions
from scoring.spec_reading import SpecError, read_spec
from usecases import load_running, loads, queries
from usecases.load_running import LoadTestFailed
from usecases.models import LoadTest, LoadTestState, RawRow

log = structlog.get_logger(__name__)

LOOKED_AT = 5_000  # erased predictions at once
TOKEN_OUTLIVES = timedelta(minutes=2)


class TakenOver(Exception):
    """Another worker thought this one dead, and has closed the test."""


@shared_task
def run_load_test(test_id: int) -> None:
    """Ask the model, step by step. A test whose worker died before is closed: its figures are lost."""
    test = outbox.claim(LoadTest, test_id)
    if test is None:
        return
    if test.state != LoadTestState.REQUESTED:
        _close(
            test, LoadTestState.FAILED, error=_("The worker was restarted in the middle. Ask for it again.")
        )
        return
    _change(test, state=LoadTestState.RUNNING, started_at=timezone.now())
    try:
        measured = load_running.run(_plan(test), still_there=lambda: _hold(test))
    except TakenOver:
        _close_token(test)
        log.warning("load_test.taken_over", test=test.pk)
    except LoadTestFailed as error:
        log.warning("load_test.failed", test=test.pk, error=str(error))
        _close(test, LoadTestState.FAILED, error=str(error))
    else:
        _close(test, LoadTestState.DONE, **_figures(measured, test.stated_p95_ms))


@shared_task
def forget_erased() -> int:
    """Delete what pipelines kept of the inputs of predictions that were erased since; how many rows.

    A later look, since ledgers have a database of their own: nobody who erases waits for it.
    """
    n_rows = 0
    try:
        with queries.reachable():
            for piece in pieces(map(str, predictions.erased_ids()), LOOKED_AT):
                kept = RawRow.objects.filter(batch__facts__kind=INPUTS)
                n_rows += kept.filter(**{f"data__{ID}__in": piece}).delete()[0]
    except Unavailable as error:
        log.warning("erased_inputs.not_looked_at", error=error.message)
    return n_rows


def _plan(test: LoadTest) -> dict[str, Any]:
    """What the script is told. Raises LoadTestFailed."""
    version = registry.champion_version(test.model)
    text = registry.spec_json(test.model, version.version) if version else ""
    if version is None or not text:
        raise LoadTestFailed(_("No version of %(model)s answers any more.") % {"model": test.model})
    _change(test, version=str(version.version))
    return {
        "url": settings.CONSOLE_SERVING_URL,
        "path": f"/api/v1/models/{test.model}/predict",
        "row": _example(test, text),
        "token": _token(test),
        "steps": loads.steps(test.users),
        "spawn_rate": test.spawn_rate,
        "seconds": test.seconds,
    }


def _example(test: LoadTest, text: bytes | str) -> dict[str, Any]:
    """A row that the champion takes. Raises LoadTestFailed."""
    try:
        return read_spec(text).example
    except SpecError as error:  # an earlier release took it
        words = {"model": test.model, "version": test.version, "error": error}
        message = _(
            "This release does not read the description of %(model)s %(version)s: %(error)s. "
            "Register a new version of the model."
        )
        raise LoadTestFailed(message % words) from error


def _token(test: LoadTest) -> str:
    """Of who asked, for predictions only, and for as long as the test takes. Raises LoadTestFailed."""
    user = User.objects.filter(username=test.requested_by).first()
    if user is None or not policy.allows(user, "predict"):
        raise LoadTestFailed(_("%(user)s may not predict any more.") % {"user": test.requested_by})
    token, key = tokens.issue(
        user,
        name=f"load test {test.pk}",
        scopes=frozenset({"predict"}),
        expires_at=timezone.now() + timedelta(seconds=test.seconds) + TOKEN_OUTLIVES,
        by=user,
    )
    _change(test, token_id=token.pk)
    return key


def _figures(measured: dict[str, Any], p95_ms: float) -> dict[str, Any]:
    steps = measured["steps"]
    return {
        "steps": steps,
        "series": measured["series"],
        "requests": sum(step["requests"] for step in steps),
        "failures": sum(step["failures"] for step in steps),
        "max_users_within_p95": loads.max_users_within(steps, p95_ms),
        **{name: steps[-1][name] for name in ("rps", "p50", "p95", "p99")},
    }


def _hold(test: LoadTest) -> None:
    """Others keep off as long as this worker lives. Raises TakenOver where one did not."""
    if not test.renew():
        raise TakenOver


def _change(test: LoadTest, **values: Any) -> None:
    for name, value in values.items():
        setattr(test, name, value)
    test.save(update_fields=list(values))
    live.publish("load-tests", [test.pk])


def _close(test: LoadTest, state: LoadTestState, **values: Any) -> None:
    """Whatever came, its token is closed; what another worker has closed stays as it is."""
    _close_token(test)
    if not test.renew():
        log.warning("load_test.closed_by_another", test=test.pk, state=state)
        return
    _change(test, state=state, ended_at=timezone.now(), next_attempt_at=None, **values)


def _close_token(test: LoadTest) -> None:
    if test.token_id is not None:
        for token in ApiToken.objects.filter(pk=test.token_id):
            tokens.revoke(token, by=None)
