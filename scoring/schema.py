"""Whether callers of one spec can go on with another: every row the old one takes, the new one must take."""

import math
from collections.abc import Iterator

from scoring.language import Field
from scoring.spec import Spec


def breaks(old: Spec, new: Spec) -> list[str]:
    """What a caller of `old` would meet; empty when it is compatible."""
    return [*_tasks(old, new), *_fields(old, new)]


def _tasks(old: Spec, new: Spec) -> Iterator[str]:
    if old.task != new.task:
        yield f"it answers a {new.task}, the champion a {old.task}"
    elif set(old.class_values) != set(new.class_values):
        yield f"it answers {_listed(new.class_values)}, the champion {_listed(old.class_values)}"
    if (before := old.output.unit or "no unit") != (now := new.output.unit or "no unit"):
        yield f"its answer is in {now}, the champion's in {before}"


def _listed(values: list[int | str]) -> str:
    return ", ".join(str(value) for value in values[:20])


def _fields(old: Spec, new: Spec) -> Iterator[str]:
    known = {field.name: field for field in new.fields}
    for field in old.fields:
        if field.name not in known:
            yield f"{field.name} is gone"
        else:
            yield from _narrower(field, known[field.name])
    before = {field.name for field in old.fields}
    for field in new.fields:
        if field.name not in before and field.required:
            yield f"{field.name} is new and required"


def _narrower(old: Field, new: Field) -> Iterator[str]:
    if old.type != new.type and (old.type, new.type) != ("integer", "number"):
        yield f"{new.name} was {old.type} and is {new.type}"
        return
    if new.required and not old.required:
        yield f"{new.name} is now required"
    if old.nullable and not new.nullable:
        yield f"{new.name} may no longer be null"
    if _lowest(new) > _lowest(old) or _highest(new) < _highest(old):
        yield f"{new.name} has narrower bounds"
    if lost := _lost_choices(old, new):
        yield f"{new.name} no longer takes {lost}"


def _lowest(field: Field) -> float:
    return -math.inf if field.min is None else field.min


def _highest(field: Field) -> float:
    return math.inf if field.max is None else field.max


def _lost_choices(old: Field, new: Field) -> str:
    if new.choices is None or new.choices.open:
        return ""
    if old.choices is None or old.choices.open:
        return "values outside its list"
    kept = {choice.value for choice in new.choices.values}
    return ", ".join(str(choice.value) for choice in old.choices.values if choice.value not in kept)
