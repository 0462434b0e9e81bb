"""From the bytes of a message to a typed event, or to the reason why it is none. Django-free."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from scoring import row_types
from scoring.language import MAX_TEXT, Field
from streaming.definition import Definition

MAX_EVENT_BYTES = 256 * 1024
MAX_REASON = 300
MOST_TIMES = 100_000

_when = msgspec.json.Decoder(datetime)


class BadEvent(ValueError):
    """The message does not fit; the text says why, without its values."""


class Ignored(Exception):
    """The definition says that messages like this one are meant for others."""


class Times(dict[str | int, float]):
    """Event times as they stand in messages, to Unix seconds. Many events share one, so they are kept.

    Raises BadEvent for what is no time.
    """

    def __missing__(self, value: str | int) -> float:
        seconds = _unix_milliseconds(value) if isinstance(value, int) else _rfc3339(value)
        if len(self) >= MOST_TIMES:
            self.clear()
        self[value] = seconds
        return seconds


def _unix_milliseconds(value: int) -> float:
    return value / 1000


def _rfc3339(text: str) -> float:
    try:
        when = _when.decode(msgspec.json.encode(text))
    except msgspec.ValidationError as error:
        raise BadEvent("the event time is not like 2024-01-31 12:30:00 or 2024-01-31T12:30:00Z") from error
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


class EventDecoder:
    """Checks messages against one definition; made once. `decode` raises, `refusal` then says why."""

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._decoder = msgspec.json.Decoder(_event_type(definition))
        self._ignore = definition.ignore
        names = [field.name for field in definition.fields]
        self._attributes = {name: f"f{position}" for position, name in enumerate(names)}
        self.times = Times()
        self.decode = self._decoder.decode

    def attribute(self, field: str) -> str:
        """Under which name an event holds a field: a field may be called anything."""
        return self._attributes[field]

    def checked(self, value: bytes | None) -> Any:
        """The event. Raises BadEvent with a reason for people, or Ignored."""
        if value is None:
            raise BadEvent("no value: the message is null")
        if len(value) > MAX_EVENT_BYTES:
            raise BadEvent(f"too large: {len(value):,} bytes, at most {MAX_EVENT_BYTES:,} are read")
        try:
            event = self._decoder.decode(value)
        except msgspec.ValidationError as error:
            self._raise_if_ignored(value)
            raise BadEvent(_plain(str(error))) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadEvent(f"not JSON: {error}"[:MAX_REASON]) from error
        _ = self.times[getattr(event, self.attribute(self._definition.event_time_field))]
        return event

    def _raise_if_ignored(self, value: bytes) -> None:
        if not self._ignore:
            return
        plain = msgspec.json.decode(value)
        if isinstance(plain, dict) and all(plain.get(key) == text for key, text in self._ignore.items()):
            raise Ignored


def _event_type(definition: Definition) -> Any:
    """A Struct with attributes f0, f1, …; keys that the definition does not name are passed over."""
    attributes: list[tuple[str, Any, Any] | tuple[str, Any]] = []
    for position, field in enumerate(definition.fields):
        name, kind = f"f{position}", _type(field)
        attributes.append((name, kind) if field.required else (name, kind, field.default))
    return msgspec.defstruct(
        "Event",
        attributes,
        rename={f"f{position}": field.name for position, field in enumerate(definition.fields)},
        kw_only=True,
        gc=False,
    )


def _type(field: Field) -> Any:
    """As rows are checked, but text also comes as a whole number: producers write ids either way."""
    if field.type != "text" or (field.choices is not None and not field.choices.open):
        return row_types.type_of(field)
    kind = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)] | int
    return kind | None if field.nullable else kind


def _plain(sentence: str) -> str:
    """msgspec's sentence with the path in front: `fare_amount: Expected `float`, got `str``."""
    text, _, path = sentence.partition(" - at `")
    place = path.rstrip("`").removeprefix("$").lstrip(".")
    return (f"{place}: {text}" if place else text)[:MAX_REASON]
