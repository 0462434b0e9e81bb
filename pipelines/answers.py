"""What all of Airflow's answers have in common: lists with items that nobody can read, times, refusals.

What those of one kind mean stands beside it, in `dag_answers` and its like: frozen dataclasses with the
console's own names.
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from django.utils import timezone
from django.utils.translation import gettext as _

from core.lib import aside
from core.lib.aside import Unread

T = TypeVar("T")


@dataclass(frozen=True)
class UnreadPage(Unread):
    """Stands for an item at which Airflow itself fails: nobody can tell which, so nothing else is gone."""


def unread_page(offset: int, why: str) -> UnreadPage:
    """Of the item at this place of a list."""
    words = {"offset": offset, "why": why}
    return UnreadPage(
        f"page at offset {offset}", _("The page at offset %(offset)s could not be read: %(why)s") % words
    )


def is_whole(found: Iterable[Any]) -> bool:
    """Whether all of a list could be read, so that what it lacks is gone."""
    return not any(isinstance(item, UnreadPage) for item in found)


def read(items: list[Any], meaning: Callable[[Any], T], key: Callable[[Any], str]) -> list[T | Unread]:
    """What each item of a list means, see `aside.read`; an `UnreadPage` stays one."""
    unread: list[T | Unread] = [item for item in items if isinstance(item, UnreadPage)]
    return unread + aside.read((i for i in items if not isinstance(i, UnreadPage)), meaning, key=key)


def row_key(item: Any) -> str:
    """Of Airflow's own row: a task that is tried again gets another one, behind all others."""
    return str(item["id"])


def params_of(item: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a DAG or a question, in the author's order."""
    return [
        {
            "name": name,
            "value": param.get("value"),
            "schema": param.get("schema") or {},
            "description": param.get("description") or "",
        }
        for name, param in (item.get("params") or {}).items()
    ]


def http_date(value: str | None) -> datetime:
    """The Date header: Airflow's clock, to the second. Ours, where a proxy has taken that away."""
    try:
        return parsedate_to_datetime(value or "")
    except ValueError:
        return timezone.now()


def nothing(_answer: Any) -> None:
    """Of an answer that says no more than that it worked."""


def words_of_error(body: str) -> str:
    """The sentence in an error's body: `detail` is text, or a list of pydantic's findings."""
    try:
        detail = json.loads(body)["detail"]
    except (ValueError, KeyError, TypeError):
        return body[:500]
    if isinstance(detail, str):
        return detail
    if isinstance(detail, list):
        return "; ".join(_finding(item) for item in detail)
    return str(detail.get("reason") or detail.get("message") or detail)[:500]


def _finding(item: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in item.get("loc", [])[1:])
    return f"{where}: {item.get('msg', '')}" if where else str(item.get("msg", item))


# What Airflow says of a run or a backfill that it does not take, and the field that it is about.
_FAULTS = {
    "partition_key": "partition_key",
    "data_interval": "data_interval_start",
    "The run_id": "dag_run_id",
    "DAG run cannot use ID": "dag_run_id",
    "must not be after to_date": "to_date",
    "future dates": "from_date",
    "No runs to create": "from_date",
    "run in reverse": "run_backwards",
    "reprocess behavior": "reprocess_behavior",
}


# Said with a 403 of who answers a task's question, while any other 403 is of the console's own token.
_NO_RESPONDENT = "is not a respondent for the task"


def is_of_respondent(words: str) -> bool:
    """Whether Airflow refuses the person, whom the task does not ask, and not the console."""
    return _NO_RESPONDENT in words


def fields_of_error(words: str, names: Iterable[str] = ()) -> list[dict[str, str]]:
    """The parameter or field at fault, where Airflow's sentence names one.

    names: the pipeline's parameters, as far as they are known: a name may be any text.
    """
    known = [re.escape(name) for name in sorted(names, key=len, reverse=True)]
    name = "|".join([*known, ".+?"])
    found = re.search(rf"Invalid input for param (?P<field>{name}): (?P<message>[^\n]+)", words)
    if found:
        return [{"field": f"conf.{found['field']}", "message": found["message"]}]
    field = next((field for part, field in _FAULTS.items() if part in words), "")
    return [{"field": field, "message": words}] if field else []
