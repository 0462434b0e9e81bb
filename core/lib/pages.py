"""Lists over REST: `{"results": […], "next": url | null}`, cursor pages that stay right while rows arrive.

A cursor holds where the page before ended: the last row's value of every column of the order, and its key.
So each row comes once, however many share a value, and no page is dearer than the first.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import urlsplit, urlunsplit

from django.core import signing
from django.db.models import F, Field, Q, QuerySet
from django.db.models.expressions import OrderBy
from django.http import QueryDict
from django.utils.translation import gettext as _
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from core.lib import edge

CURSOR, LIMIT = "cursor", "limit"
PAGE: Final = 50
MOST: Final = 200
FROM_NEXT: Final = "From `next` of the answer before."
N_RESULTS: Final = "Number of results in an answer."
NOTHING: Final = Q(pk__in=[])

T = TypeVar("T")


class CursorPages(BasePagination):
    """Newest first; `limit` up to 200. A view sets `ordering` where its rows have another order."""

    ordering: str | Sequence[str] = "-pk"

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        """The page that the address asks for. Raises InvalidRequest at `cursor` or `limit`."""
        order = Order(queryset, [self.ordering] if isinstance(self.ordering, str) else self.ordering)
        limit = _limit(request)
        rows = list(order.after(request.query_params.get(CURSOR, ""))[: limit + 1])
        self._next = with_cursor(request, order.cursor(rows[limit - 1])) if len(rows) > limit else None
        return rows[:limit]

    def get_paginated_response(self, data: list[Any]) -> Response:
        """Only results and the way on: nothing counts all rows."""
        return Response({"results": data, "next": self._next})

    def get_paginated_response_schema(self, schema: dict) -> dict:
        """The same, for OpenAPI."""
        return {
            "type": "object",
            "required": ["results", "next"],
            "properties": {
                "results": schema,
                "next": {"type": "string", "format": "uri", "nullable": True},
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Both parameters, for OpenAPI."""
        limit = {"type": "integer", "minimum": 1, "maximum": MOST, "default": PAGE}
        return [
            _parameter(CURSOR, {"type": "string"}, FROM_NEXT),
            _parameter(LIMIT, limit, N_RESULTS),
        ]


def listed(
    request: Request, things: Sequence[T], *, place: Callable[[T], list[Any]], of: str
) -> tuple[list[T], str | None]:
    """A page of what a service gives whole, and the address of the next one.

    things: in the order of `place`, which tells no two of them the same and is what JSON can hold. of: names
    the list that a cursor is for. Raises InvalidRequest at `cursor` or `limit`.
    """
    limit, cursor, salt = _limit(request), request.query_params.get(CURSOR, ""), f"cursor:{of}"
    if cursor:
        last = _opened(cursor, salt)
        things = [thing for thing in things if place(thing) > last]
    page = list(things[:limit])
    is_more = len(things) > limit
    return page, with_cursor(request, signing.dumps(place(page[-1]), salt=salt)) if is_more else None


class Column(NamedTuple):
    """One column or annotation of an order. field: what reads its value from a cursor."""

    name: str
    falls: bool
    field: Field
    may_lack: bool

    def by(self) -> OrderBy | str:
        """Where rows without a value are is said only where there can be some: an index knows no such end."""
        if not self.may_lack:
            return f"-{self.name}" if self.falls else self.name
        expression = F(self.name)
        return expression.desc(nulls_last=True) if self.falls else expression.asc(nulls_last=True)

    def at(self, value: Any) -> Q:
        """Rows with this value."""
        return Q(**{f"{self.name}__isnull": True}) if value is None else Q(**{self.name: value})

    def beyond(self, value: Any, *, also_at: bool = False) -> Q:
        """Rows whose value comes later, or is the same if `also_at`."""
        if value is None:
            return self.at(None) if also_at else NOTHING
        further = Q(**{f"{self.name}__{'lt' if self.falls else 'gt'}{'e' if also_at else ''}": value})
        return further | self.at(None) if self.may_lack else further


class Order:
    """Rows in an order that no two of them share; those without a value come last either way.

    names: columns and annotations, "-" before those that fall.
    """

    def __init__(self, rows: QuerySet[Any], names: Sequence[str]) -> None:
        columns = [_column(rows, name) for name in names]
        key = rows.model._meta.pk
        if not any(
            column.field is key for column in columns
        ):  # the way of the last, as an index of both would
            columns.append(Column("pk", bool(columns) and columns[-1].falls, key, False))
        self._columns = columns
        self._rows = rows.order_by(*(column.by() for column in columns))
        self._salt = f"cursor:{rows.model._meta.label}:{','.join(names)}"

    def all(self) -> QuerySet[Any]:
        """Every row."""
        return self._rows

    def after(self, cursor: str) -> QuerySet[Any]:
        """The rows after the place that the cursor holds; all when it is empty. Raises InvalidRequest."""
        if not cursor:
            return self._rows
        texts = _opened(cursor, self._salt)
        values = [
            None if text is None else column.field.to_python(text)
            for column, text in zip(self._columns, texts, strict=True)
        ]
        return self._rows.filter(self._beyond(values))

    def cursor(self, row: Any) -> str:
        """The place of a row."""
        return signing.dumps([_text(getattr(row, column.name)) for column in self._columns], salt=self._salt)

    def _beyond(self, values: list[Any]) -> Q:
        """Further in the first column, or the same there and further in the rest.

        That it is no earlier in the first column follows from it, but only so does PostgreSQL begin there.
        """
        found, same = NOTHING, Q()
        for column, value in zip(self._columns, values, strict=True):
            found |= same & column.beyond(value)
            same &= column.at(value)
        return self._columns[0].beyond(values[0], also_at=True) & found


def _column(rows: QuerySet[Any], name: str) -> Column:
    falls, name = name.startswith("-"), name.lstrip("-")
    if name in rows.query.annotations:
        return Column(name, falls, rows.query.annotations[name].output_field, True)
    options = rows.model._meta
    field = options.pk if name == "pk" else options.get_field(name)
    return Column(name, falls, field, field.null)


def _text(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _limit(request: Request) -> int:
    return edge.whole(request.query_params.get(LIMIT, str(PAGE)), LIMIT, least=1, most=MOST)


def _opened(cursor: str, salt: str) -> Any:
    try:
        return signing.loads(cursor, salt=salt)
    except (signing.BadSignature, ValueError) as error:
        message = _("This cursor is not from the “next” of this list, in this order.")
        raise edge.refused(CURSOR, message) from error


def with_cursor(request: Request, cursor: str) -> str:
    """The address of the page that begins there."""
    parts = urlsplit(request.build_absolute_uri())
    query = QueryDict(parts.query, mutable=True)
    query[CURSOR] = cursor
    return urlunsplit(parts._replace(query=query.urlencode()))


def _parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}
