"""The small language by which runs are filtered and ordered, the same on the page and over REST.

metrics.accuracy > 0.8 and params.max_depth = '20' and tags.data_source = 'file' and status = 'FINISHED'
"""

import re

from django.db.models import Case, F, FloatField, Func, QuerySet, TextField, Value, When
from django.db.models.functions import Cast, Coalesce, NullIf
from django.db.models.lookups import Regex
from django.utils.translation import gettext as _

from core.lib.errors import InvalidRequest
from core.lib.times import EARLIEST
from models_registry.models import MlflowRun

MOST_CONDITIONS = 10
COLUMNS = {"status": "status", "name": "name", "user": "user", "run_id": "run_id", "dag_run_id": "dag_run_id"}
ORDERS = {"started_at": "started_at", "name": "name", "status": "status"}
OPERATORS = {
    "=": "exact",
    "!=": "exact",
    ">": "gt",
    ">=": "gte",
    "<": "lt",
    "<=": "lte",
    "like": "icontains",
    "pattern": "iregex",
}

# What PostgreSQL casts to a float without fail; its \s holds spaces that the cast refuses.
NUMBER = r"^[ \t\n\r\f\v]*[+-]?[0-9]{1,200}([.][0-9]{0,50})?([eE][+-]?[0-9]{1,2})?[ \t\n\r\f\v]*$"

_CONDITION = re.compile(
    r"""\s*(?:(?P<kind>metrics|params|tags)\.)?
        (?:`(?P<quoted>[^`]{1,250})`|(?P<key>[\w./-]{1,250}))\s*
        (?P<operator>!=|>=|<=|=|>|<|like)\s*
        (?:'(?P<text>[^']*)'|"(?P<text2>[^"]*)"|(?P<number>-?\d+(?:\.\d+)?(?:e[+-]?\d+)?))\s*(?P<and>and\b)?""",
    re.VERBOSE | re.IGNORECASE,
)


class TextAt(Func):
    """The text at one key of an object. Django's own takes a key of digits for a place in a list."""

    function = "jsonb_extract_path_text"
    output_field = TextField()

    def __init__(self, column: str, key: str) -> None:
        super().__init__(F(column), Value(key, output_field=TextField()))


def matching(runs: QuerySet[MlflowRun], text: str) -> QuerySet[MlflowRun]:
    """Runs that meet all conditions. Raises InvalidRequest, at the field `filter`, when it is unreadable."""
    position, n_conditions, goes_on = 0, 0, bool(text.strip())
    while goes_on:
        found = _CONDITION.match(text, position)
        n_conditions += 1
        if found is None or n_conditions > MOST_CONDITIONS:
            raise _unreadable(text[position : position + 40])
        runs = _narrowed(runs, found, n_conditions)
        position = found.end()
        goes_on = bool(found["and"])
    if text[position:].strip():
        raise _unreadable(text[position : position + 40])
    return runs


def ordered(runs: QuerySet[MlflowRun], order: str) -> tuple[QuerySet[MlflowRun], tuple[str, ...]]:
    """The runs with what they are ordered by, and the order. Runs that lack the value come last.

    A parameter's numbers come before its words.
    """
    sign, name = ("-", order[1:]) if order.startswith("-") else ("", order)
    kind, _dot, key = name.partition(".")
    if name not in ORDERS and (kind not in {"metrics", "params"} or not key):
        sign, name = "-", "started_at"
    if name == "started_at":  # an unknown time is the oldest: PostgreSQL would have it the newest
        return runs.annotate(order_value=Coalesce("started_at", EARLIEST)), (f"{sign}order_value", "run_id")
    if name in ORDERS:
        return runs, (sign + ORDERS[name], "run_id")
    if kind == "metrics":
        return runs.annotate(order_value=_metric(key)), (f"{sign}order_value", "run_id")
    runs = runs.annotate(order_number=_number(kind, key), order_value=TextAt(kind, key))
    return runs, (f"{sign}order_number", f"{sign}order_value", "run_id")


def _number(column: str, key: str) -> Case:
    """The number that the text at one key is; nothing where it is none, or one of more than 200 digits."""
    text = TextAt(column, key)
    return Case(When(Regex(text, NUMBER), then=Cast(text, FloatField())), output_field=FloatField())


def _metric(key: str) -> Func:
    """PostgreSQL holds NaN to be the largest number; for people it is none."""
    number = Cast(TextAt("metrics", key), FloatField())
    return NullIf(number, Value(float("nan"), output_field=FloatField()))


def _narrowed(runs: QuerySet[MlflowRun], found: re.Match[str], position: int) -> QuerySet[MlflowRun]:
    kind, key = (found["kind"] or "").lower(), found["quoted"] or found["key"]
    operator = found["operator"].lower()
    text = found["text"] if found["text"] is not None else found["text2"]
    if not kind:
        if key not in COLUMNS or text is None:
            raise _unreadable(found[0].strip()[:40])
        field, value = COLUMNS[key], text
        if operator == "like":
            operator, value = _pattern(text)
    else:
        field = f"condition_{position}"
        transform: Func | Case
        if kind == "metrics":
            if found["number"] is None or operator == "like":
                raise _unreadable(found[0].strip()[:40])
            transform, value = _metric(key), float(found["number"])
        else:
            is_number = text is None and operator != "like"
            transform = _number(kind, key) if is_number else TextAt(kind, key)
            value = float(found["number"]) if is_number else text or found["number"] or ""
            if operator == "like":
                operator, value = _pattern(str(value))
        runs = runs.alias(**{field: transform})
    condition = {f"{field}__{OPERATORS[operator]}": value}
    return runs.exclude(**condition) if operator == "!=" else runs.filter(**condition)


def _pattern(text: str) -> tuple[str, str]:
    """Operator and value for `like`: with MLflow's % for anything, and without one what is contained."""
    if "%" not in text:
        return "like", text
    return "pattern", f"^{'.*'.join(re.escape(part) for part in text.split('%'))}$"


def _unreadable(where: str) -> InvalidRequest:
    message = _(
        "The filter cannot be read at “%(where)s”. Write, say, metrics.accuracy > 0.8 and params.seed = '42'."
    ) % {"where": where}
    return InvalidRequest(message, errors=[{"field": "filter", "message": message}])
