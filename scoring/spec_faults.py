"""Everything that can be wrong with a spec.json, one sentence each, starting with where it is."""

import math
from collections.abc import Callable, Iterator

import msgspec

from scoring import expressions, values
from scoring.language import (
    MAX_COLUMN_NAME,
    MAX_TEXT,
    Demand,
    Derived,
    Field,
    Label,
    Output,
    column_name_fault,
)
from scoring.spec import METRICS, Spec
from scoring.words import plain

MAX_FIELDS = 500
MAX_DERIVED = 200
MAX_CHOICES = 2_000
MAX_CLASSES = 1_000
MAX_DEMANDS = 20


def of_shape(plain: object) -> Iterator[str]:
    """Wrong types and unknown keys, at least one sentence for each part that has any."""
    if not isinstance(plain, dict):
        yield "the description must be a JSON object"
        return
    outline = dict(plain)
    for name, kind in (("fields", Field), ("derived", Derived), ("gate", Demand)):
        items = plain.get(name)
        if isinstance(items, list):
            outline[name] = []
            for index, item in enumerate(items[:MAX_FIELDS]):
                yield from of_conversion(item, kind, f"{name}[{index}]")
    if isinstance(plain.get("output"), dict):
        outline["output"] = {}
        yield from of_conversion(plain["output"], Output, "output")
    yield from of_conversion(outline, Spec, "")


def of_conversion(item: object, kind: type, where: str) -> Iterator[str]:
    """The first wrong type or unknown key of `item`, if any, with the place where it is."""
    try:
        msgspec.convert(item, kind)
    except msgspec.ValidationError as error:
        sentence, _, path = str(error).partition(" - at `")
        place = (where + path.rstrip("`").removeprefix("$")).lstrip(".")
        yield f"{place or 'the description'}: {sentence}"


def of_meaning(spec: Spec) -> Iterator[str]:
    """spec: of the right shape."""
    yield from _of_names(spec)
    for index, field in enumerate(spec.fields):
        yield from (f"fields[{index}] ({field.name}): {fault}" for fault in of_field(field))
    yield from _of_derived(spec)
    yield from _of_slices(spec)
    yield from _of_output(spec)
    yield from _of_gate(spec)
    yield from _of_example(spec)
    yield from (f"{where}: holds a null character" for where in _with_null(msgspec.to_builtins(spec)))
    for name in ("title", "entity", "description"):
        if len(getattr(spec, name)) > MAX_TEXT:
            yield f"{name}: longer than {MAX_TEXT} characters"


def _with_null(part: object, where: str = "") -> Iterator[str]:
    """Where texts are that no database holds: sentences about a model quote any of them."""
    if isinstance(part, dict):
        for name, inner in part.items():
            yield from _with_null(inner, f"{where}.{name}".lstrip("."))
    elif isinstance(part, list):
        for index, inner in enumerate(part):
            yield from _with_null(inner, f"{where}[{index}]")
    elif isinstance(part, str) and "\x00" in part:
        yield where


def _of_names(spec: Spec) -> Iterator[str]:
    if not 1 <= len(spec.fields) <= MAX_FIELDS:
        yield f"fields: {len(spec.fields)} of them; there must be 1 to {MAX_FIELDS}"
    if len(spec.derived) > MAX_DERIVED:
        yield f"derived: {len(spec.derived)} of them, at most {MAX_DERIVED}"
    seen: set[str] = set()
    for name in spec.columns:
        if fault := column_name_fault(name):
            yield f"name {name[:MAX_COLUMN_NAME]!r}: {fault}"
        if name.startswith("atalaya."):
            yield f"name {name!r}: names that begin with atalaya. are the console's own, call it otherwise"
        if name in seen:
            yield f"name {name!r}: used twice"
        seen.add(name)


def of_field(field: Field) -> Iterator[str]:
    """Faults of one field by itself."""
    for name in ("label", "help", "unit", "group"):
        if len(getattr(field, name)) > MAX_TEXT:
            yield f"{name} is longer than {MAX_TEXT} characters"
    if not field.is_numeric and (field.min is not None or field.max is not None or field.seen is not None):
        yield f"min, max and seen are for numbers, not for {field.type}"
    if any(
        bound is not None and not math.isfinite(bound)
        for bound in (field.min, field.max, *(field.seen or ()))
    ):
        yield "min, max and seen must be finite"
    if field.min is not None and field.max is not None and field.min > field.max:
        yield f"min {plain(field.min)} is above max {plain(field.max)}"
    if field.seen is not None and field.seen[0] > field.seen[1]:
        yield f"seen starts at {plain(field.seen[0])}, above its end {plain(field.seen[1])}"
    yield from _of_choices(field)
    yield from _of_default(field)


def _of_choices(field: Field) -> Iterator[str]:
    if field.choices is None:
        return
    if field.type not in ("integer", "text"):
        yield f"choices are for integer and text, not for {field.type}"
        return
    yield from _of_labels(field.choices.values, "choices", at_least=1, at_most=MAX_CHOICES)
    kind = int if field.type == "integer" else str
    if any(type(choice.value) is not kind for choice in field.choices.values):
        yield f"choices must all be of type {field.type}"
    if any(choice.value == "" for choice in field.choices.values):
        yield 'choices may not hold "": make the field nullable instead'


def _of_labels(labels: list[Label], where: str, *, at_least: int, at_most: int) -> Iterator[str]:
    if not at_least <= len(labels) <= at_most:
        yield f"{where}: {len(labels)} values; there must be {at_least} to {at_most}"
    if len({label.value for label in labels}) < len(labels):
        yield f"{where}: a value is there twice"
    if any(len(label.text) > MAX_TEXT for label in labels):
        yield f"{where}: a value or label is longer than {MAX_TEXT} characters"


def _of_default(field: Field) -> Iterator[str]:
    if field.required and field.default is not None:
        yield "a required field has no use for a default: set required to false"
    if not field.required and field.default is None and not field.nullable:
        yield "a field that is not required needs a default, or must be nullable"
    if field.default is not None:
        try:
            values.normalise(field, field.default)
        except values.ValueFault as fault:
            yield f"default {fault}"


def _of_derived(spec: Spec) -> Iterator[str]:
    names = {field.name for field in spec.fields}
    texts = set(spec.text_columns)
    for derived in spec.derived[:MAX_DERIVED]:
        try:
            expressions.compile_expression(derived.expression, names, texts=texts)
        except expressions.ExpressionError as error:
            yield f"derived {derived.name}: {error}"


def _of_slices(spec: Spec) -> Iterator[str]:
    sliceable = {field.name for field in spec.fields if field.type != "number"}
    for name in spec.slices:
        if name not in sliceable:
            yield f"slices: {name!r} is not a field of type text, integer or boolean"


def _of_output(spec: Spec) -> Iterator[str]:
    if spec.primary_metric not in METRICS[spec.task]:
        known = ", ".join(sorted(METRICS[spec.task]))
        yield f"primary_metric: {spec.primary_metric!r} is not a metric of a {spec.task}; known are {known}"
    checks: dict[str, Callable[[Spec], Iterator[str]]] = {
        "classification": _of_classes,
        "regression": _of_amount,
    }
    yield from checks[spec.task](spec)


def _of_classes(spec: Spec) -> Iterator[str]:
    labels = spec.output.labels
    yield from _of_labels(labels, "output.labels", at_least=2, at_most=MAX_CLASSES)
    if len({type(label.value) for label in labels}) > 1:
        yield "output.labels: values must all be whole numbers or all be text"
    if spec.primary_metric == "roc_auc" and len(labels) != 2:
        yield "primary_metric: roc_auc is for two classes"


def _of_amount(spec: Spec) -> Iterator[str]:
    if spec.output.labels:
        yield "output.labels: a regression has none"
    error = spec.output.usual_error
    if error is not None and not (math.isfinite(error) and error >= 0):
        yield "output.usual_error: must be a finite number, not below 0"


def _of_gate(spec: Spec) -> Iterator[str]:
    if len(spec.gate) > MAX_DEMANDS:
        yield f"gate: {len(spec.gate)} demands, at most {MAX_DEMANDS}"
    seen: set[tuple[str, bool]] = set()
    for index, demand in enumerate(spec.gate[:MAX_DEMANDS]):
        where = f"gate[{index}] ({demand.metric})"
        if demand.metric not in METRICS[spec.task]:
            known = ", ".join(sorted(METRICS[spec.task]))
            yield f"{where}: not a metric of a {spec.task}; known are {known}"
        if (demand.better_by is None) == (demand.not_worse_by is None):
            yield f"{where}: needs either better_by or not_worse_by"
        for name in ("better_by", "not_worse_by"):
            share = getattr(demand, name)
            if share is not None and not 0 <= share <= 1:
                yield f"{where}: {name} must be a share from 0 to 1 (0.03 is 3 %)"
        if (demand.metric, demand.better_by is None) in seen:
            yield f"{where}: the same is demanded twice"
        seen.add((demand.metric, demand.better_by is None))


def _of_example(spec: Spec) -> Iterator[str]:
    for name in spec.example.keys() - {field.name for field in spec.fields}:
        yield f"example: {name!r} is no field"
    for field in spec.fields:
        try:
            if field.name in spec.example:
                values.normalise(field, spec.example[field.name])
            elif spec.example:
                values.absent(field)
        except values.ValueFault as fault:
            yield f"example: {field.name} {fault}"
