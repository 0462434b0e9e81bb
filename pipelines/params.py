"""A pipeline's parameters, and what in a conf breaks them by Airflow's rule: one JSON schema for each."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from django.utils.translation import gettext as _
from jsonschema import FormatChecker
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from jsonschema_specifications import REGISTRY
from referencing.exceptions import Unresolvable

Params = Mapping[str, Mapping[str, Any]]


def types_of(schema: Mapping[str, Any]) -> set[str]:
    """The JSON types that the schema names; empty when it names none."""
    named = schema.get("type", [])
    return {named} if isinstance(named, str) else set(named)


def is_sound(schema: Mapping[str, Any]) -> bool:
    """Whether it is a JSON schema at all. If not, that is the DAG's own mistake: Airflow's answer says so."""
    try:
        validator_for(schema).check_schema(schema)
    except SchemaError:
        return False
    return True


def sound_schema(param: Mapping[str, Any]) -> Mapping[str, Any]:
    """The rules of a parameter; one that is no JSON schema says nothing."""
    schema = param.get("schema") or {}
    return schema if is_sound(schema) else {}


def is_fixed(param: Mapping[str, Any]) -> bool:
    """Whether its author leaves no choice."""
    return "const" in sound_schema(param)


_GUESSED: dict[type, Any] = {
    bool: "boolean",
    int: ["number", "string"],
    float: ["number", "string"],
    str: "string",
    list: "array",
    dict: "object",
}


def typed_schema(param: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema; of a plain value with the type that forms read it as, though the DAG takes any."""
    schema = sound_schema(param)
    guessed = _GUESSED.get(type(param.get("value")))
    is_plain = guessed is not None and not {"type", "enum", "const"} & schema.keys()
    return {**schema, "type": guessed} if is_plain else schema


# A `$ref` to nowhere, or round in circles: the DAG's own mistake, of which Airflow's answer tells.
_LOST: Final = (Unresolvable, RecursionError)


def _validator(schema: Mapping[str, Any], **options: Any) -> Validator:
    """Asks no other machine for what the schema refers to."""
    return validator_for(schema)(schema, registry=REGISTRY, **options)


def takes(schema: Mapping[str, Any], value: Any) -> bool:
    """Whether the value fits a sound schema, its format aside."""
    try:
        return _validator(schema).is_valid(value)
    except _LOST:
        return True


def allows_null(schema: Mapping[str, Any]) -> bool:
    """Whether leaving the parameter empty is fine."""
    named = types_of(schema)
    return "null" in named or (not named and None in schema.get("enum", [None]))


def faults(params: Params, conf: Mapping[str, Any]) -> list[dict[str, str]]:
    """{"field": "conf.<name>", "message": …} for each fault; empty when Airflow would accept the conf."""
    return [
        {"field": f"conf.{name}", "message": message}
        for name, param in params.items()
        for message in _faults_of(param, name, conf)
    ]


def _faults_of(param: Mapping[str, Any], name: str, conf: Mapping[str, Any]) -> Iterator[str]:
    schema = param.get("schema") or {}
    if not is_sound(schema):
        return
    value = conf[name] if name in conf else param.get("value")
    if name not in conf and value is None and not allows_null(schema):
        yield _("This setting has no default: give a value.")
        return
    try:
        found = list(_validator(schema, format_checker=FormatChecker()).iter_errors(value))
    except _LOST:
        return
    for error in found:
        where = "".join(f"[{part!r}]" for part in error.absolute_path)
        yield f"{where} {_words(error)}".strip()[:300]


def _words(error: ValidationError) -> str:
    """How to correct it, for the common rules; the validator's own sentence for the others."""
    limit = error.validator_value
    match error.validator:
        case "minimum":
            return _("Give %(limit)s or more.") % {"limit": limit}
        case "maximum":
            return _("Give %(limit)s or less.") % {"limit": limit}
        case "exclusiveMinimum":
            return _("Give more than %(limit)s.") % {"limit": limit}
        case "exclusiveMaximum":
            return _("Give less than %(limit)s.") % {"limit": limit}
        case "enum":
            return _("Give one of these: %(choices)s.") % {"choices": ", ".join(map(str, limit))}
        case "type":
            types = limit if isinstance(limit, str) else " or ".join(limit)
            return _("This has to be of the type %(type)s.") % {"type": types}
        case "pattern":
            return _("This has to match %(pattern)s.") % {"pattern": limit}
    return error.message


def by_name(param_list: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """name -> {"value", "schema", "description"}, in the author's order."""
    return {
        param["name"]: {key: value for key, value in param.items() if key != "name"} for param in param_list
    }


def in_words(value: Any) -> str:
    """Text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class Setting(NamedTuple):
    """A parameter in words: its default and what else it may be."""

    name: str
    default: str
    description: str
    allowed: str


def setting(param: Mapping[str, Any]) -> Setting:
    """One entry of `Pipeline.param_list`, for reading."""
    rules = {key: value for key, value in param["schema"].items() if key not in {"title", "description"}}
    allowed = ", ".join(f"{key}: {in_words(value)}" for key, value in rules.items())
    return Setting(param["name"], in_words(param["value"]), param["description"], allowed)
