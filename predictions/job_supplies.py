"""What Spark applications get from predictions: a model to score with, recorded predictions to keep.

A driver has no right of its own: it gets the compiled model, which it can read without running
anybody's code, and the part of the records that is nobody's personal data.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from core.access.models import User
from core.lib.errors import Conflict, ConsoleError, InvalidRequest, NotFound
from core.lib.files import whole, write_whole
from jobs.supplies import Params, Supply
from models_registry import queries as registry
from models_registry.queries import Champion
from predictions import partitions
from predictions.models import Prediction

MOST_DAYS = 31
MOST_ROWS = 2_000_000
ROWS_AT_ONCE = 5_000
# Neither who asked nor what: files are not reached by the erasure of a prediction.
COLUMNS = (
    "id",
    "at",
    "model",
    "version",
    "source",
    "row",
    "value",
    "label",
    "probabilities",
    "is_demo",
    "is_answered",
    "actual",
)


# --- a model


def _scorer(params: Params) -> Champion:
    """Raises InvalidRequest in the words of the parameter at fault."""
    name, number = params["model"], params["version"]
    if name not in registry.model_names():
        known = ", ".join(sorted(registry.model_names())) or "–"
        raise _fault(
            "model", _("There is no model of this name; there are: %(known)s.") % {"known": known[:500]}
        )
    try:
        found = registry.scorer(name, int(number) if number else None)
    except ValueError as error:
        raise _fault("version", _("Write the number of a version.")) from error
    except (Conflict, NotFound) as error:
        raise _fault("version" if number else "model", error.message) from error
    if found.serve_as != "onnx":
        message = _(
            "%(model)s v%(version)s could not be compiled: only its original answers, and no job loads one."
        )
        words = {"model": found.model, "version": found.version}
        raise _fault("version" if number else "model", message % words)
    return found


def _check_model(params: Params, _by: User) -> None:
    _scorer(params)


def _write_model(params: Params, folder: Path) -> None:
    found = _scorer(params)
    told = {
        "model": found.model,
        "version": found.version,
        "sha256": found.sha256,
        "spec_json": found.spec_json.decode(),
    }
    write_whole(folder / "model.onnx", registry.champion_onnx(found))
    write_whole(folder / "model.json", msgspec.json.encode(told))


# --- recorded predictions


def _days(params: Params) -> list[date]:
    """Raises InvalidRequest for what are no whole days of the past, or too many."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    last = _day("last_day", params["last_day"], yesterday)
    first = _day("first_day", params["first_day"], last)
    if last > yesterday:
        raise _fault(
            "last_day", _("This day is not over yet (UTC): yesterday is the last one that can be kept.")
        )
    if not timedelta(0) <= last - first < timedelta(days=MOST_DAYS):
        message = _("Take from 1 to %(n)d days, the first one first.")
        raise _fault("first_day", message % {"n": MOST_DAYS})
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _day(name: str, text: str, default: date) -> date:
    try:
        return date.fromisoformat(text) if text else default
    except ValueError as error:
        raise _fault(name, _("Write a day as YYYY-MM-DD.")) from error


def _check_days(params: Params, _by: User) -> None:
    days = _days(params)
    n_rows = sum(_of_day(day).count() for day in days)
    if n_rows > MOST_ROWS:
        message = _("There are %(n)d predictions, more than %(most)d: take fewer days.")
        raise _fault("first_day", message % {"n": n_rows, "most": MOST_ROWS})


def _of_day(day: date) -> QuerySet[Prediction]:
    """In the order of their ids, which is that of time."""
    bounds = {"id__gte": partitions.first_id(day), "id__lt": partitions.first_id(day + timedelta(days=1))}
    return Prediction.objects.filter(**bounds).order_by("id")


def _write_days(params: Params, folder: Path) -> None:
    for day in _days(params):
        with whole(folder / f"{day}.ndjson") as part, part.open("wb") as stream:
            stream.writelines(_lines(_of_day(day)))


def _lines(rows: QuerySet[Prediction]) -> Iterator[bytes]:
    encode = msgspec.json.encode
    for values in rows.values(*COLUMNS).iterator(chunk_size=ROWS_AT_ONCE):
        yield encode(_flat(values)) + b"\n"


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """Values of any type, which a table's column cannot be, as JSON text."""
    for name in ("value", "probabilities", "actual"):
        if values[name] is not None:
            values[name] = msgspec.json.encode(values[name], order="sorted").decode()
    return values


def _fault(name: str, message: str) -> ConsoleError:
    return InvalidRequest(message, errors=[{"field": f"params.{name}", "message": message}])


MODEL = Supply(check=_check_model, write=_write_model)
PREDICTIONS = Supply(check=_check_days, write=_write_days)
