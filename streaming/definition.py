"""What a stream is: the fields of its events, what is measured over windows of event time, what is odd.

Django-free. Fields are written in the field language of `spec.json`.
"""

import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Literal

import msgspec
from msgspec import Struct

from scoring import spec_faults
from scoring.language import NAME, Field, column_name_fault

Kind = Literal["sum", "mean", "min", "max", "count"]
RuleKind = Literal["model", "threshold", "robust_z"]

MAX_FIELDS = 100
MAX_MEASURES = 20
MIN_WINDOW_S, MAX_WINDOW_S = 1, 24 * 3600
MAX_LATENESS_S = 7 * 24 * 3600
MIN_RULE_N, MAX_RULE_N = 30, 5_000
MAX_MODEL_NAME = 250


class DefinitionError(ValueError):
    """The definition cannot be used; `faults` says everything that is wrong with it."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class Measure(Struct, forbid_unknown_fields=True, frozen=True):
    """One number of a window: `kind` over the values of `field` that are not null."""

    name: str
    kind: Kind
    field: str


class AnomalyRule(Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """Which accepted events are anomalies: those whose `field` is above a limit.

    model: predicted + k · sigma, by the champion of `model` from the event's fields of the same names.
    sigma: in the unit of `field`; by default the usual error that the champion's spec tells.
    threshold: `limit`. robust_z: median + k · 1.4826 · MAD of the last `n` accepted events.
    Source of 1.4826: it makes the MAD of normal numbers their standard deviation (Rousseeuw, Croux 1993).
    """

    kind: RuleKind
    field: str
    limit: float | None = None
    model: str = ""
    sigma: float | None = None
    k: float = 2.8
    n: int = 500


# kind: what of a rule belongs to it alone.
_RULE_PARTS = {"threshold": {"limit"}, "model": {"model", "sigma", "k"}, "robust_z": {"k", "n"}}


class Definition(Struct, forbid_unknown_fields=True, frozen=True, dict=True):
    """Windows are [k·window_s, (k+1)·window_s) of Unix time, for each value of `group_by`.

    event_time_field: date and time in ISO 8601, without a zone UTC, or Unix time in milliseconds; seconds,
    micro- and nanoseconds are told from them by their size.
    lateness_s: how far behind the newest accepted event time an event may lie, or behind our clock when that
    event is ahead of it.
    ignore: a message that does not fit and has these texts in these fields is meant for others, and no fault.
    """

    fields: list[Field]
    event_time_field: str
    measures: list[Measure]
    window_s: int
    lateness_s: int
    group_by: str = ""
    ignore: dict[str, str] = {}
    anomaly_rule: AnomalyRule | None = None

    @cached_property
    def measured_fields(self) -> list[str]:
        """Each field that some measure needs, once, in the order of the measures."""
        return list(dict.fromkeys(measure.field for measure in self.measures))

    @cached_property
    def shape(self) -> tuple[Any, ...]:
        """Windows of definitions that differ in this cannot be added to one another."""
        return (self.event_time_field, self.group_by, self.window_s, tuple(self.measured_fields))


def parse(plain: object) -> Definition:
    """Raises DefinitionError with every fault found."""
    if faults := list(_of_shape(plain)):
        raise DefinitionError(faults)
    definition = msgspec.convert(plain, Definition)
    if faults := list(_of_meaning(definition)):
        raise DefinitionError(faults)
    return definition


def _of_shape(plain: object) -> Iterator[str]:
    if not isinstance(plain, dict):
        yield "the definition must be a JSON object"
        return
    outline = dict(plain)
    for name, kind, most in (("fields", Field, MAX_FIELDS), ("measures", Measure, MAX_MEASURES)):
        items = plain.get(name)
        if not isinstance(items, list):
            continue
        if len(items) > most:
            yield f"{name}: {len(items)} of them, at most {most}"
            return
        outline[name] = []
        for index, item in enumerate(items):
            yield from spec_faults.of_conversion(item, kind, f"{name}[{index}]")
    yield from spec_faults.of_conversion(outline, Definition, "")


def _of_meaning(definition: Definition) -> Iterator[str]:
    by_name = {field.name: field for field in definition.fields}
    yield from _of_names([field.name for field in definition.fields], "fields", _field_name_fault)
    yield from _of_names([measure.name for measure in definition.measures], "measures", _measure_name_fault)
    for field in definition.fields:
        yield from (f"fields ({field.name}): {fault}" for fault in spec_faults.of_field(field))
    yield from _of_event_time(by_name.get(definition.event_time_field), definition.event_time_field)
    for measure in definition.measures:
        field_ = by_name.get(measure.field)
        if field_ is None:
            yield f"measures ({measure.name}): {measure.field!r} is not a field"
        elif not field_.is_numeric and measure.kind != "count":
            yield f"measures ({measure.name}): {measure.field} is {field_.type}, no number"
    if definition.group_by and definition.group_by not in by_name:
        yield f"group_by: {definition.group_by!r} is not a field"
    if not MIN_WINDOW_S <= definition.window_s <= MAX_WINDOW_S:
        yield f"window_s: must be {MIN_WINDOW_S} to {MAX_WINDOW_S} seconds"
    if not 0 <= definition.lateness_s <= MAX_LATENESS_S:
        yield f"lateness_s: must be 0 to {MAX_LATENESS_S} seconds"
    if definition.anomaly_rule is not None:
        yield from (f"anomaly_rule: {fault}" for fault in _of_rule(definition.anomaly_rule, by_name))


def _of_rule(rule: AnomalyRule, by_name: dict[str, Field]) -> Iterator[str]:
    field = by_name.get(rule.field)
    if field is None:
        yield f"field {rule.field!r} is not a field of the stream"
    elif not field.is_numeric:
        yield f"field {rule.field} is {field.type}, no number"
    for name in sorted(set(msgspec.to_builtins(rule)) - {"kind", "field"} - _RULE_PARTS[rule.kind]):
        yield f"{name} is no part of a rule of kind {rule.kind}"
    if rule.kind == "threshold" and rule.limit is None:
        yield "give a limit: events above it are anomalies"
    if rule.kind == "model" and not 0 < len(rule.model.strip()) <= MAX_MODEL_NAME:
        yield f"give the name of a model, at most {MAX_MODEL_NAME} characters"
    if any(number is not None and not math.isfinite(number) for number in (rule.limit, rule.sigma, rule.k)):
        yield "limit, sigma and k must be finite numbers"
    if (rule.sigma is not None and rule.sigma <= 0) or rule.k <= 0:
        yield "sigma and k must be above 0"
    if not MIN_RULE_N <= rule.n <= MAX_RULE_N:
        yield f"n must be {MIN_RULE_N} to {MAX_RULE_N} events"


def _of_names(names: list[str], where: str, fault_of: Callable[[str], str]) -> Iterator[str]:
    if not names and where == "fields":
        yield "fields: there must be one at least, for the event time"
    for name in names:
        if fault := fault_of(name):
            yield f"{where}: name {name!r}: {fault}"
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{where}: {name!r} is there twice"


def _field_name_fault(name: str) -> str:
    """Senders name fields as they like: @timestamp, user-id. msgspec takes no quotes and backslashes."""
    if any(character in name for character in '"\\'):
        return "quotation marks and backslashes are not possible"
    return column_name_fault(name)


def _measure_name_fault(name: str) -> str:
    return "" if NAME.match(name) else "only letters, digits and underscores, no digit first, at most 64"


def _of_event_time(field: Field | None, name: str) -> Iterator[str]:
    if field is None:
        yield f"event_time_field: {name!r} is not a field"
    elif field.type not in ("text", "integer") or field.choices is not None:
        yield "event_time_field: must be text, or an integer of Unix milliseconds, without choices"
    elif field.nullable or not field.required:
        yield "event_time_field: must be required and not nullable"
