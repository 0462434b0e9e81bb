"""Where the first values of a trigger form come from: the address, an earlier run, a preset, raw JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.translation import gettext as _

from core.lib import edge, json_bodies
from core.lib.errors import InvalidRequest, NotFound
from pipelines import answers, params
from pipelines.models import Pipeline, Preset, Run, RunState

TIMES: Final = ("logical_date", "run_after", "data_interval_start", "data_interval_end")
OWN: Final = ("note", "dag_run_id", "partition_key", *TIMES)
_WORDS: Final = {*OWN, "from", "preset", "conf", "unpause"}
LOOKED_AT, OFFERED = 40, 6
_SWITCH: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Start:
    """conf: settings that are not the defaults, None for none. own: text by `OWN`. refused: by field's name.

    run: the one it starts from; its note and dates are its own and not taken over, its partition is.
    """

    conf: dict[str, Any] | None = None
    own: dict[str, str] = field(default_factory=dict)
    run: Run | None = None
    preset: Preset | None = None
    refused: dict[str, str] = field(default_factory=dict)


def of(pipeline: Pipeline, given: QueryDict) -> Start:
    """What an address asks for: `?from=<run>` or `?preset=<id>`, over that `?conf={…}` and `?<parameter>=…`.

    A parameter of the name of one of our own words is `?conf.<name>=…`. What does not fit is taken as it is,
    and refused at its field. Raises InvalidRequest for a `conf` that is no JSON object.
    """
    run = _one(Run, pipeline, given.get("from"))
    preset = _one(Preset, pipeline, given.get("preset"))
    conf = dict(run.conf if run else preset.conf if preset else {})
    if "conf" in given:
        conf |= an_object(str(given["conf"]))
    conf |= _by_name(pipeline.params, given)
    own = {"partition_key": run.partition_key} if run and run.partition_key else {}
    own |= {name: str(given[name]) for name in OWN if name in given}
    refused = (
        _faults(pipeline.params, conf) | _odd_times(own) | (_refused(run, pipeline.params) if run else {})
    )
    return Start(conf or (run.conf if run else None), own, run, preset, refused)


def _one(model: type[Any], pipeline: Pipeline, text: str | None) -> Any:
    number = edge.whole_or(None, text)
    return None if number is None else model.objects.filter(pk=number, dag_id=pipeline.dag_id).first()


def an_object(text: str) -> dict[str, Any]:
    """Settings written as JSON. Raises InvalidRequest, at `conf`."""
    try:
        value = json_bodies.read(text)
    except json_bodies.Unreadable as error:
        raise edge.refused("conf", str(error)) from error
    if not isinstance(value, dict):
        raise edge.refused("conf", _("Write a JSON object, in braces."))
    return value


def _by_name(known: params.Params, given: QueryDict) -> dict[str, Any]:
    found = {}
    for name in given:
        own = name.removeprefix("conf.")
        if own in known and (own != name or name not in _WORDS):
            found[own] = _typed(known[own], given.getlist(name))
    return found


def _typed(param: Mapping[str, Any], texts: Sequence[str]) -> Any:
    """What the texts stand for: the first reading that the schema takes, else the first of its type.

    If there is none, what the last text is as JSON, and the text itself where it is no JSON.
    """
    schema = params.typed_schema(param)
    of_its_type = {"type": schema["type"]} if "type" in schema else {}
    readings = list(_readings(texts, whole="integer" in params.types_of(schema)))
    for rules in (schema, of_its_type):
        for value in readings:
            if params.takes(rules, value):
                return value
    return readings[0]


def _readings(texts: Sequence[str], *, whole: bool) -> Iterator[Any]:
    """As nothing, as JSON, as itself, as a switch, as a list of texts or of JSON: whichever there are.

    whole: 7.0 is 7.
    """
    text, lines = texts[-1], [line.strip() for one in texts for line in one.splitlines() if line.strip()]
    if not text.strip():
        yield None
    value = _as_json(text)
    yield int(value) if whole and isinstance(value, float) and value.is_integer() else value
    yield text
    if text.strip().lower() in _SWITCH:
        yield _SWITCH[text.strip().lower()]
    yield lines
    yield [_as_json(line) for line in lines]


def _as_json(text: str) -> Any:
    """The text itself where it is no JSON, or a text in JSON."""
    try:
        value = json_bodies.read(text)
    except json_bodies.Unreadable:
        return text
    return text if isinstance(value, str) else value


def _faults(known: params.Params, conf: Mapping[str, Any]) -> dict[str, str]:
    """What breaks the rules of the parameters that have a value here; a fixed one keeps its own."""
    given = {name: param for name, param in known.items() if name in conf and not params.is_fixed(param)}
    return {fault["field"]: fault["message"] for fault in params.faults(given, conf)}


def _odd_times(own: Mapping[str, str]) -> dict[str, str]:
    """What cannot be read as the time that it should be."""
    found = {}
    for name in own.keys() & set(TIMES):
        try:
            edge.MomentField(label=name).clean(own[name])
        except ValidationError as error:
            found[name] = " ".join(error.messages)
    return found


def _refused(run: Run, known: params.Params) -> dict[str, str]:
    """Airflow's sentence, at its field."""
    if run.state != RunState.REFUSED:
        return {}
    faults = answers.fields_of_error(run.delivery_error, known)
    return {fault["field"]: fault["message"] for fault in faults}


def base(text: str | None) -> dict[str, Any] | None:
    """What a form was filled with when it was drawn, as it carries it itself; None for nothing usable."""
    try:
        return an_object(text) if text else None
    except InvalidRequest:
        return None


def recent(pipeline: Pipeline) -> list[Run]:
    """The newest runs with settings of their own, each set of them once."""
    found: list[Run] = []
    newest = Run.objects.filter(dag_id=pipeline.dag_id).exclude(conf={}).order_by("-created_at", "-pk")
    for run in newest[:LOOKED_AT]:
        if all(run.conf != one.conf for one in found):
            found.append(run)
    return found[:OFFERED]


def presets(pipeline: Pipeline) -> list[Preset]:
    """By name."""
    return list(Preset.objects.filter(dag_id=pipeline.dag_id).select_related("created_by"))


def preset(preset_id: int) -> Preset:
    """One of them. Raises NotFound."""
    found = Preset.objects.select_related("created_by").filter(pk=preset_id).first()
    if found is None:
        raise NotFound(_("There is no preset %(id)s.") % {"id": preset_id})
    return found
