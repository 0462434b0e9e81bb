"""A pipeline's parameters, and what in a conf breaks them by Airflow's rule: one JSON schema for each."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _
from jsonschema import FormatChecker
from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for

Params = Mapping[str, Mapping[str, Any]]


def types_of(schema: Mapping[str, Any]) -> set[str]:
    """The JSON types that the schema names; empty when it names none."""
    named = schema.get("type", [])
    return {named} if isinstance(named, str) else set(named)


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
    value = conf[name] if name in conf else param.get("value")
    if name not in conf and value is None and not allows_null(schema):
        yield _("This setting has no default: give a value.")
        return
    validator = validator_for(schema)(schema, format_checker=FormatChecker())
    try:
        for error in validator.iter_errors(value):
            where = "".join(f"[{part!r}]" for part in error.absolute_path)
            yield f"{where} {error.message}".strip()[:300]
    except SchemaError:  # the DAG's own mistake: Airflow's answer will say so
        return
