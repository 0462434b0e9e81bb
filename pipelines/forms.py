"""The form to run a pipeline, drawn from its parameters' schema."""

import json
from collections.abc import Mapping
from datetime import date, time
from typing import Any

from django import forms
from django.utils.translation import gettext as _

from core.lib import json_out
from core.lib.schema_form import Described, Option, SchemaForm
from core.lib.typed import is_line, shown
from pipelines import params as rules
from pipelines.models import LONGEST_KEY, LONGEST_NOTE

PREFIX = "conf-"
OTHER = "other"

Schema = Mapping[str, Any]


class TriggerForm(SchemaForm):
    """One field a parameter, one for settings that the pipeline does not declare, and a note.

    `conf()` gives what to send once the form is valid.
    """

    def __init__(
        self,
        params: rules.Params,
        *args: Any,
        conf: Mapping[str, Any] | None = None,
        own: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        self.params = params
        given = self.given = conf or {}
        values = {PREFIX + name: value for name, value in given.items() if name in params}
        rest = {name: value for name, value in given.items() if name not in params}
        fixed = {name: param for name, param in params.items() if rules.is_fixed(param)}
        self.fixed = {PREFIX + name: rules.sound_schema(param)["const"] for name, param in fixed.items()}
        described = [
            _described(name, param, given.get(name)) for name, param in params.items() if name not in fixed
        ]
        group = _("This run") if any(one.group for one in described) else ""
        described += _own(group, has_params=bool(params))
        values |= {OTHER: rest or None, **(own or {})}
        super().__init__(described, *args, values=values, **options)

    def clean_other(self) -> dict[str, Any]:
        """An object, or nothing."""
        value = self.cleaned_data[OTHER]
        if value in (None, ""):
            return {}
        if not isinstance(value, dict):
            raise forms.ValidationError(_("Write a JSON object, in braces."))
        return value

    def clean(self) -> dict[str, Any]:
        """The parameters' own rules, beyond what a field's widget knows."""
        cleaned = super().clean() or {}
        for fault in rules.faults(self.params, self.conf()):
            self.add_fault(fault["field"], fault["message"])
        return cleaned

    @property
    def base(self) -> str:
        """What the boxes were filled with: it comes back with the form, so that they are read as drawn."""
        return json_out.encode(self.given).decode()

    def refuse(self, faults: Mapping[str, str]) -> None:
        """What was said of these values: at the fields, until they are sent again."""
        named = {self._field_of(name): message for name, message in faults.items()}
        self.refused = {name: message for name, message in named.items() if name in self.fields}

    def add_fault(self, name: str, message: str) -> None:
        """name: as an action or Airflow says it, `conf.<name>` for a parameter."""
        own = name.removeprefix("conf.")
        super().add_fault(PREFIX + own if own in self.params else own, message)

    def _field_of(self, name: str) -> str:
        own = name.removeprefix("conf.")
        return PREFIX + own if own != name else own

    def conf(self) -> dict[str, Any]:
        """What is to be sent: every declared parameter that has a usable value, and the others."""
        held = self.fixed | self.read()
        declared = {name: _as_json(held[PREFIX + name]) for name in self.params if PREFIX + name in held}
        return {**(held.get(OTHER) or {}), **declared}


def _as_json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date | time) else value


def _own(group: str, *, has_params: bool) -> list[Described]:
    common: dict[str, Any] = {"group": group, "required": False}
    other = _("A JSON object, for pipelines that read settings they do not declare.")
    at = _("What the pipeline's templates call ds and ts, in UTC there. Now when empty.")
    after = _("Airflow keeps it queued until then. At once when empty.")
    name = _("Letters, digits and . _ ~ : + - only. One is made when empty.")
    interval = _("What its templates call data_interval_start. As its schedule has it when both are empty.")
    interval_end = _("What they call data_interval_end.")
    partition = _("Which partition of its assets it makes, where its schedule goes by partitions.")
    why = _("Why you run it; it stays with the run.")
    title = _("Other settings") if has_params else _("Settings")
    return [
        Described(OTHER, "json", label=title, help=other, **common),
        Described("logical_date", "moment", label=_("Logical date"), help=at, **common),
        Described("run_after", "moment", label=_("Run after"), help=after, **common),
        Described("data_interval_start", "moment", label=_("Data interval from"), help=interval, **common),
        Described("data_interval_end", "moment", label=_("Data interval to"), help=interval_end, **common),
        Described(
            "partition_key",
            "text",
            label=_("Partition key"),
            help=partition,
            max_length=LONGEST_KEY,
            **common,
        ),
        Described("dag_run_id", "text", label=_("Run id"), help=name, max_length=250, **common),
        Described("note", "multiline", label=_("Note"), help=why, max_length=LONGEST_NOTE, **common),
    ]


def _described(name: str, param: Mapping[str, Any], earlier: Any) -> Described:
    """earlier: what another run was given, if this one starts from its settings."""
    schema, default = rules.sound_schema(param), param.get("value")
    is_plain = not {"type", "enum", "const"} & schema.keys() and schema == (param.get("schema") or {})
    kind = _guessed(default, schema, earlier) if is_plain else _kind(schema)
    is_optional = kind != "choice" and rules.allows_null(schema)  # a choice has null among its options
    may_be_empty = is_optional or default == "" or (kind in {"lines", "choices"} and default is not None)
    return Described(
        PREFIX + name,
        kind,
        label=schema.get("title") or name,
        help=_help("" if _markdown(schema) else param.get("description"), schema, kind),
        help_md=_markdown(schema),
        types=sorted(rules.types_of(schema)) or UNTYPED,
        group=str(schema.get("section") or ""),
        required=not may_be_empty,
        nullable=is_optional and not (is_plain and kind == "boolean"),
        default=default,
        options=_options(schema, default, earlier) if kind in {"choice", "choices"} else (),
        suggested=_suggested(schema, kind) if _can_suggest(kind, schema) else (),
        minimum=schema.get("minimum"),
        maximum=schema.get("maximum"),
        min_length=schema.get("minLength"),
        max_length=schema.get("maxLength"),
    )


def _markdown(schema: Schema) -> str:
    words = schema.get("description_md")
    return words if isinstance(words, str) else ""


def _help(description: Any, schema: Schema, kind: str) -> str:
    said = str(description or "").rstrip()
    words = [said if said.endswith((".", "!", "?", ":")) else f"{said}."] if said else []
    if "exclusiveMinimum" in schema:
        words.append(_("More than %(low)s.") % {"low": schema["exclusiveMinimum"]})
    if "exclusiveMaximum" in schema:
        words.append(_("Less than %(high)s.") % {"high": schema["exclusiveMaximum"]})
    if kind == "lines":
        words.append(_("One a line."))
    if kind == "union":
        types = sorted(rules.types_of(schema) - {"null"}) or UNTYPED
        words.append(_("Read as %(types)s, whichever fits.") % {"types": " / ".join(types)})
    if schema.get("examples") and kind not in {"choice", "choices"} and not _can_suggest(kind, schema):
        examples = ", ".join(map(rules.in_words, schema["examples"]))
        words.append(_("For example %(examples)s.") % {"examples": examples})
    if "pattern" in schema:
        words.append(_("Has to match %(pattern)s.") % {"pattern": schema["pattern"]})
    return " ".join(words)


UNTYPED = ["number", "string"]  # what a union takes whose parameter names no types


def _guessed(default: Any, schema: Schema, earlier: Any) -> str:
    """Of a plain value without a type, as Airflow guesses.

    The pipeline takes any, so a number may have been a text before: its box takes both then.
    """
    if isinstance(default, bool):
        return "boolean"
    if _is_number(default):
        others = [one for one in [earlier, *(schema.get("examples") or [])] if not _is_number(one)]
        others = [one for one in others if one is not None]
        if not others:
            return "number"
        return "union" if all(isinstance(one, str) for one in others) else "json"
    if isinstance(default, list):
        kind = _list_kind(schema)
        return kind if kind != "lines" or all(map(is_line, default)) else "json"
    return FORMATS.get(schema.get("format", ""), "text") if isinstance(default, str) else "json"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


KINDS = {"boolean": "boolean", "integer": "integer", "number": "number", "string": "text", "array": "lines"}
FORMATS = {"date": "date", "date-time": "moment", "time": "time", "multiline": "multiline"}


def _kind(schema: Schema) -> str:
    """The kind of field; JSON for whatever no other can hold."""
    if "enum" in schema:
        return "choice"
    types = rules.types_of(schema) - {"null"}
    if "string" in types and len(types) > 1:
        return "union"
    kind = "number" if types == {"integer", "number"} else KINDS.get("".join(types), "json")
    if kind == "text":
        return FORMATS.get(schema.get("format", ""), kind)
    return _list_kind(schema) if kind == "lines" else kind


def _list_kind(schema: Schema) -> str:
    """Boxes to tick for what is listed, a text a line, or JSON for other values."""
    if _listed(schema):
        return "choices"
    return "lines" if _is_of_texts(schema) else "json"


def _can_suggest(kind: str, schema: Schema) -> bool:
    """Whether a list can hang on its box, which then has one line."""
    has_lines = kind == "union" and not rules.types_of(schema).isdisjoint({"object", "array"})
    return kind in {"text", "integer", "number", "union"} and not has_lines


def _items(schema: Schema) -> Schema:
    items = schema.get("items")
    return items if isinstance(items, dict) else {}


def _listed(schema: Schema) -> list[Any]:
    """What an array may hold, as far as the schema lists it."""
    return _items(schema).get("enum") or schema.get("examples") or []


def _is_of_texts(schema: Schema) -> bool:
    """Older schemas list their items one by one: those are of several kinds."""
    return not isinstance(schema.get("items"), list) and _items(schema).get("type", "string") == "string"


def _options(schema: Schema, *values: Any) -> list[Option]:
    """Values keep their JSON type through the form; the lists there are may hold what the schema does not."""
    found = list(schema["enum"] if "enum" in schema else _listed(schema))
    for value in values if "enum" not in schema else ():
        found += [one for one in value if one not in found] if isinstance(value, list) else []
    return [_option(schema, one, json.dumps(one)) for one in found]


def _suggested(schema: Schema, kind: str) -> list[Option]:
    """Numbers as their box reads them: a union's takes JSON."""
    written = rules.in_words if kind == "union" else shown
    values = schema.get("examples") or []
    return [_option(schema, one, one if isinstance(one, str) else written(one)) for one in values]


def _option(schema: Schema, value: Any, sent: str) -> Option:
    labels = schema.get("values_display")
    names = [rules.in_words(value), str(value)]  # Python's None, where the author's key was that
    known = (
        next((labels[name] for name in names if name in labels), None) if isinstance(labels, dict) else None
    )
    return Option(value, str(known or ("–" if value is None else value)), sent)
