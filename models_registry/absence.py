"""What a walk missed, asked for one by one: MLflow pages by offset, and a deletion meanwhile skips others."""

import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import structlog

from core.lib import aside_round
from core.lib.errors import NotFound
from models_registry.gateway import MlflowGateway
from models_registry.mirror import Here

log = structlog.get_logger(__name__)

T = TypeVar("T")

MOST_ASKED: Final = 1000  # of a kind in one walk; the next walk asks for the rest
WITHIN_S: Final = 60.0


def confirmed(mlflow: MlflowGateway, missed: Here) -> Here:
    """Those of them that MLflow says it lacks, or holds as deleted. What was not asked for is left out."""
    until = time.monotonic() + WITHIN_S
    return Here(
        _gone(missed.runs, mlflow.run, until),
        _gone(missed.models, mlflow.model, until),
        _gone(missed.versions, lambda one: mlflow.version(*one), until),
    )


def _gone(things: set[T], ask: Callable[[T], Any], until: float) -> set[T]:
    gone: set[T] = set()
    for thing in sorted(things)[:MOST_ASKED]:  # type: ignore[type-var]
        if time.monotonic() > until:
            log.warning("absence.not_all_asked", n_missed=len(things), n_gone=len(gone))
            break
        with aside_round.caught() as met:
            found = ask(thing)
        if isinstance(met.error, NotFound) or (met.error is None and getattr(found, "is_deleted", False)):
            gone.add(thing)
        elif met.error is not None:  # it may be there: the next walk asks again
            log.warning("absence.not_answered", thing=str(thing), error=str(met.error))
    return gone
