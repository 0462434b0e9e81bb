"""Counting answers: the children of each label are looked up once, because this runs for every call."""

from core.lib import tallies
from core.lib.metrics import (
    KAFKA_PRODUCE_SECONDS,
    PREDICT_ANSWERS,
    PREDICT_IN_FLIGHT,
    PREDICT_ROWS,
    PREDICT_SECONDS,
    PREDICT_STATUSES,
)

_ANSWERS = {int(status): PREDICT_ANSWERS.labels(status) for status in PREDICT_STATUSES}
_UNKNOWN = _ANSWERS[500]


def answered(status: int, seconds: float) -> None:
    """One call, whatever came of it."""
    _ANSWERS.get(status, _UNKNOWN).inc()
    PREDICT_SECONDS.observe(seconds)


def recorded(n_rows: int, seconds: float) -> None:
    """So many rows acknowledged after so many seconds."""
    PREDICT_ROWS.inc(n_rows)
    KAFKA_PRODUCE_SECONDS.observe(seconds)


def write(n_in_flight: int) -> None:
    """Every few seconds: what was counted, and how many rows are being answered now."""
    tallies.flush()
    PREDICT_IN_FLIGHT.set(n_in_flight)
