"""msgspec types made from a spec: a body that decodes into them is right, field by field."""

import math
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from scoring.language import MAX_INTEGER, MAX_NUMBER, MAX_TEXT, Field
from scoring.spec import Spec

MAX_ROWS = 1_000


def body_type(spec: Spec) -> Any:
    """A Struct for the whole body, its rows' attributes f0, f1, …; None where msgspec takes no such name.

    A field that is left out is UNSET.
    """
    if any(character in field.name for field in spec.fields for character in '"\\'):
        return None
    definitions: list[tuple[str, Any, Any] | tuple[str, Any]] = []
    for position, field in enumerate(spec.fields):
        name = f"f{position}"
        definitions.append(
            (name, type_of(field)) if field.required else (name, type_of(field) | UnsetType, UNSET)
        )
    row = msgspec.defstruct(
        "Row",
        definitions,
        rename={f"f{position}": field.name for position, field in enumerate(spec.fields)},
        forbid_unknown_fields=True,
        kw_only=True,
        gc=False,
    )
    rows = Annotated[list[row], Meta(min_length=1, max_length=MAX_ROWS)]  # type: ignore[valid-type]
    return msgspec.defstruct("Body", [("rows", rows)], forbid_unknown_fields=True)


def type_of(field: Field) -> Any:
    """The msgspec type of one field: null is in it where the field may be null."""
    kind = _TYPES[field.type](field)
    return kind | None if field.nullable else kind


def _number_type(field: Field) -> Any:
    low, high = _bounds(field, MAX_NUMBER)
    return Annotated[float, Meta(ge=low, le=high)]


def _integer_type(field: Field) -> Any:
    if field.choices is not None and not field.choices.open:
        return Literal[tuple(value for value in known_values(field) if _within(field, value))]
    low, high = _bounds(field, MAX_INTEGER)
    return Annotated[int, Meta(ge=math.ceil(low), le=math.floor(high))]


def _text_type(field: Field) -> Any:
    if field.choices is not None and not field.choices.open:
        return Literal[tuple(known_values(field))]
    return Annotated[str, Meta(min_length=1, max_length=MAX_TEXT, pattern=r"\A[^\x00]*\Z")]


_TYPES: dict[str, Any] = {
    "number": _number_type,
    "integer": _integer_type,
    "text": _text_type,
    "boolean": lambda field: bool,
}


def _bounds(field: Field, limit: float) -> tuple[float, float]:
    return (
        -limit if field.min is None else max(field.min, -limit),
        limit if field.max is None else min(field.max, limit),
    )


def _within(field: Field, value: Any) -> bool:
    low, high = _bounds(field, MAX_INTEGER)
    return bool(low <= value <= high)


def known_values(field: Field) -> frozenset[Any]:
    return field.choices.known if field.choices is not None else frozenset()
