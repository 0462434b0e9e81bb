"""From the bytes of a message to a typed event, or to the reason why it is none. Django-free."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from scoring import row_types
from scoring.language import MAX_INTEGER, MAX_TEXT, Field
from scoring.words import grouped
from streaming import encodings
from streaming.definition import Definition

MAX_EVENT_BYTES = 256 * 1024
MAX_REASON = 300
MOST_TIMES = 100_000
YEAR_2000_S, YEAR_2100_S = 946_684_800, 4_102_444_800
MAX_UNIX_MS = 10**15  # the year 33658: more is no time in any unit

# Behind the time: an offset and the name of a zone, or UTC, with or without an offset.
_ZONE_NAME = re.compile(
    r"(Z|[+-][0-9]{2}:?[0-9]{2})\[[A-Z0-9_/+-]{1,40}\]\Z"
    r"|(?: ?([+-][0-9]{2}:?[0-9]{2}))? (?:UTC|GMT)\Z",
    re.IGNORECASE,
)
_LEAP_SECOND = re.compile(r"(.{13}:[0-9]{2}):60(.*)")
_UNIX_FRACTION = re.compile(r"[0-9]{1,19}\.[0-9]{1,19}")

_when = msgspec.json.Decoder(datetime)


class BadEvent(ValueError):
    """The message does not fit; the text says why, without its values."""


class Ignored(Exception):
    """The definition says that messages like this one are meant for others."""


class Times(dict[str | int | float, float]):
    """Event times as they stand in messages, to Unix seconds. Many events share one, so they are kept.

    Raises BadEvent for what is no time.
    """

    def __missing__(self, value: str | int | float) -> float:
        seconds = _of_text(value) if isinstance(value, str) else _of_number(value)
        if len(self) >= MOST_TIMES:
            self.clear()
        self[value] = seconds
        return seconds


def _of_number(value: int | float) -> float:
    """Unix time in milliseconds, or in seconds, micro- or nanoseconds: only one of them can be meant.

    From 2000 to 2100 the four units share no number.
    """
    for per_second in (1_000, 1, 1_000_000, 1_000_000_000):
        if YEAR_2000_S * per_second <= value <= YEAR_2100_S * per_second:
            return value / per_second
    if abs(value) > MAX_UNIX_MS:
        raise BadEvent("the event time is a number too large for a Unix time in any unit")
    return value / 1000


def _of_text(text: str) -> float:
    """RFC 3339, without a zone UTC; or the digits of a Unix time, as some write 64-bit numbers.

    Then the rarer ways: a Unix time with a fraction, and what else of ISO 8601 holds date and time.
    """
    text = text.strip(" \t\r\n")
    if text.isascii() and text.isdigit() and len(text) < 20:
        return _of_number(int(text))
    try:
        when = _when.decode(msgspec.json.encode(text))
    except ValueError:
        if _UNIX_FRACTION.fullmatch(text):
            return _of_number(float(text))
        when = _of_iso(text)
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _of_iso(text: str) -> datetime:
    """PostgreSQL's own `+00`, no seconds, a comma before the fraction. A day alone is no time.

    Java names the zone behind the offset, which alone says the time; Go and Ruby write UTC. A leap second is
    the first of the next minute, as POSIX counts.
    """
    try:
        if not any(mark in text for mark in "Tt "):
            raise ValueError
        plain = _ZONE_NAME.sub(lambda found: found[1] or found[2] or "Z", text)
        leap = _LEAP_SECOND.fullmatch(plain)
        when = datetime.fromisoformat(f"{leap[1]}:59{leap[2]}" if leap else plain)
        return when + timedelta(seconds=leap is not None)
    except (ValueError, OverflowError) as error:
        raise BadEvent("the event time is not like 2024-01-31 12:30:00 or 2024-01-31T12:30:00Z") from error


class EventDecoder:
    """Checks messages against one definition; made once.

    `decode` is quick, reads most messages and raises for the others; `checked` reads all that can be read
    and says what is wrong with the rest.
    """

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._type = _event_type(definition)
        self._decoder = msgspec.json.Decoder(self._type)
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
        if not value:
            raise BadEvent("no value: the message is " + ("null" if value is None else "empty"))
        if len(value) > MAX_EVENT_BYTES:
            raise BadEvent(
                f"too large: {grouped(len(value))} bytes, at most {grouped(MAX_EVENT_BYTES)} are read"
            )
        try:
            event = self._read(encodings.as_utf8(value))
        except msgspec.ValidationError as error:
            raise BadEvent(_plain(str(error))) from error
        except (ValueError, RecursionError) as error:
            raise BadEvent(f"not JSON: {error}"[:MAX_REASON]) from error
        _ = self.times[getattr(event, self.attribute(self._definition.event_time_field))]
        return event

    def _read(self, text: bytes) -> Any:
        """Raises msgspec.ValidationError, Ignored, and ValueError or RecursionError for what is no JSON."""
        try:
            return self._decoder.decode(text)
        except msgspec.ValidationError as error:
            plain = _untyped(text, error)
        except msgspec.DecodeError:
            if b"NaN" not in text and b"Infinity" not in text:
                raise
            plain = encodings.without_nan(text)
        if not isinstance(plain, dict):
            return msgspec.convert(plain, self._type)
        if self._ignore and all(plain.get(key) == text for key, text in self._ignore.items()):
            raise Ignored
        return msgspec.convert(self._with_whole_numbers(plain), self._type)

    def _with_whole_numbers(self, plain: dict[str, Any]) -> dict[str, Any]:
        """2.0 is the integer 2, and where the known texts are listed, 2 is the text "2"."""
        for field in self._definition.fields:
            value = plain.get(field.name)
            if isinstance(value, float) and field.type in ("integer", "text") and _is_grouped(value):
                plain[field.name] = value = int(value)
            if field.type == "text" and _is_closed(field) and type(value) is int:
                plain[field.name] = str(value)
        return plain


def _event_type(definition: Definition) -> Any:
    """A Struct with attributes f0, f1, …; keys that the definition does not name are passed over."""
    attributes: list[tuple[str, Any, Any] | tuple[str, Any]] = []
    for position, field in enumerate(definition.fields):
        name = f"f{position}"
        kind = _time_type(field) if field.name == definition.event_time_field else _type(field)
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
    if field.type != "text" or _is_closed(field):
        return row_types.type_of(field)
    kind = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)] | int
    return kind | None if field.nullable else kind


def _time_type(field: Field) -> Any:
    """An event time may come as a number in any case; `Times` knows which ones are times."""
    return Annotated[str, Meta(max_length=MAX_TEXT)] | int | float if field.is_text else int | float


def _untyped(text: bytes, fault: msgspec.ValidationError) -> Any:
    """What the text holds; when even that cannot be told, the fault says more."""
    try:
        return msgspec.json.decode(text)
    except msgspec.ValidationError:
        raise fault from None


def _is_grouped(number: float) -> bool:
    return number.is_integer() and abs(number) <= MAX_INTEGER


def _is_closed(field: Field) -> bool:
    return field.choices is not None and not field.choices.open


def _plain(sentence: str) -> str:
    """msgspec's sentence with the path in front: `fare_amount: Expected `float`, got `str``."""
    text, _, path = sentence.partition(" - at `")
    place = path.rstrip("`").removeprefix("$").lstrip(".")
    return (f"{place}: {text}" if place else text)[:MAX_REASON]
