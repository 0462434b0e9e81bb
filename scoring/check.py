"""Rows that come in: decoded and checked against the spec, or refused with every fault named.

The fast way is a msgspec decoder whose types are made from the spec. What it accepts is right; what it
refuses goes through `values.normalise`, field by field, which finds all faults; forms go that way too.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import astuple

from scoring import row_types, values
from scoring.language import Field
from scoring.spec import Spec
from scoring.words import gettext as _
from scoring.words import grouped, ngettext

MAX_BYTES = 1024 * 1024
MAX_ROWS = row_types.MAX_ROWS
MAX_FAULTS = 100
MAX_HINTS = 3  # names that are compared with those of the spec: for a wide one that takes milliseconds each

Row = dict[str, values.Value]


class CheckError(Exception):
    """Nothing was accepted. errors: {"row": index or None, "field": name or None, "message": sentence}."""

    status = 422

    def __init__(self, message: str, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.errors = errors or []


class NotJSON(CheckError):
    status = 400


class UnknownKind(CheckError):
    """A body of a kind that is not read."""

    status = 415


class TooLarge(CheckError):
    status = 413


class RowsInvalid(CheckError):
    status = 422


class NoNumber(RowsInvalid):
    """The model answers these rows with NaN or infinity, which nobody can use and JSON does not hold."""

    def __init__(self, rows: Sequence[int]) -> None:
        words = ngettext(
            "The model answers %(n)s row with no number; nothing was predicted.",
            "The model answers %(n)s rows with no number; nothing was predicted.",
            len(rows),
        )
        message = _("the model answers with no number")
        super().__init__(
            words % {"n": grouped(len(rows))},
            [{"row": row, "field": None, "message": message} for row in rows[:MAX_FAULTS]],
        )


class Fault(NamedTuple):
    row: int | None
    field: str | None
    message: str


class Rows:
    """Checked rows. inputs: every field of the spec, null where missing. warnings: sentences for each row."""

    __slots__ = ("inputs", "warnings")

    def __init__(self, inputs: list[Row], warnings: list[list[str]]) -> None:
        self.inputs = inputs
        self.warnings = warnings

    def __len__(self) -> int:
        return len(self.inputs)


class RowDecoder:
    """Reads rows for one spec; made once when the model is loaded."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._fields = spec.fields
        self._names = [field.name for field in spec.fields]
        self._known = frozenset(self._names)
        self._derived = frozenset(derived.name for derived in spec.derived)
        body_type = row_types.body_type(spec)
        self._decoder = None if body_type is None else msgspec.json.Decoder(body_type)
        self._defaults = [(field.name, field.default) for field in spec.fields if not field.required]
        self._seen = [(f.name, *f.seen, f) for f in spec.fields if f.seen is not None]
        self._open = [
            (f.name, row_types.known_values(f), f)
            for f in spec.fields
            if f.choices is not None and f.choices.open
        ]

    def decode(self, body: bytes) -> Rows:
        """body: {"rows": [{…}, …]}, up to 1,000 rows and 1 MiB. Raises NotJSON, TooLarge, RowsInvalid."""
        if len(body) > MAX_BYTES:
            words = _("The request holds %(n)s bytes, at most %(most)s are taken: send fewer rows.")
            raise TooLarge(words % {"n": grouped(len(body)), "most": grouped(MAX_BYTES)})
        if self._decoder is None:
            return self.decode_rows(_rows_of(read_json(body)))
        try:
            structs = self._decoder.decode(body).rows
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return self.decode_rows(_rows_of(read_json(body)))
        inputs: list[Row] = [dict(zip(self._names, astuple(struct), strict=True)) for struct in structs]
        n_keys = 1 + len(inputs) * len(self._names) - self._fill(inputs)
        if body.count(b":") != n_keys and not _has_keys(body, n_keys):
            read_json(body)  # a key that is there twice; a text may look like one
        return self._rows(inputs)

    def _fill(self, inputs: list[Row]) -> int:
        """Defaults for what is left out; how many there are."""
        n_filled = 0
        for name, default in self._defaults:
            for row in inputs:
                if row[name] is msgspec.UNSET:  # type: ignore[comparison-overlap]
                    row[name] = default
                    n_filled += 1
        return n_filled

    def decode_rows(self, rows: Sequence[object]) -> Rows:
        """Rows that are parsed already."""
        refuse_too_many(len(rows))
        inputs: list[Row] = []
        refuse(self._collect(rows, inputs))
        return self._rows(inputs)

    def _rows(self, inputs: list[Row]) -> Rows:
        """The quick way takes any text of an open choice: spaces around a known one go here."""
        for name, known, field in self._open:
            for row in inputs:
                if row[name] is not None and row[name] not in known:
                    row[name] = values.trimmed(field, row[name])
        return Rows(inputs, [self._warnings(row) for row in inputs])

    def _warnings(self, row: Row) -> list[str]:
        unusual: list[Field] = []
        for name, low, high, field in self._seen:
            value = row[name]
            if value is not None and not low <= value <= high:  # type: ignore[operator]
                unusual.append(field)
        for name, known, field in self._open:
            value = row[name]
            if value is not None and value not in known:
                unusual.append(field)
        return [sentence for field in unusual if (sentence := values.warning(field, row[field.name]))]

    def _collect(self, rows: Sequence[object], inputs: list[Row]) -> Iterator[Fault]:
        """Yields faults; fills `inputs` with the normalised rows as it goes."""
        hints: dict[str, str] = {}
        if not rows:
            yield Fault(None, "rows", _("rows is empty: send at least one row"))
        for index, row in enumerate(rows):
            if not isinstance(row, dict):
                words = _("a row must be an object of fields, not %(value)s")
                yield Fault(index, None, words % {"value": values.shown(row)})
                continue
            yield from self._unknown(index, row, hints)
            clean: Row = {}
            for field in self._fields:
                try:
                    given = field.name in row
                    clean[field.name] = (
                        values.normalise(field, row[field.name]) if given else values.absent(field)
                    )
                except values.ValueFault as fault:
                    yield Fault(index, field.name, f"{field.name} {fault}")
            inputs.append(clean)

    def _unknown(self, index: int, row: dict[Any, object], hints: dict[str, str]) -> Iterator[Fault]:
        """hints: for names of this call so far."""
        for shown in sorted(shown_name(name) for name in row.keys() - self._known):
            if shown not in hints and len(hints) < MAX_HINTS:
                hints[shown] = self._hint(shown)
            hint = hints.get(shown, _("correct it, or leave it out"))
            words = _("%(name)s is not a field of this model: %(hint)s")
            yield Fault(index, shown, words % {"name": shown, "hint": hint})

    def _hint(self, name: str) -> str:
        if name in self._derived:
            return _("it is worked out from the fields here, leave it out")
        close = get_close_matches(name, self._names, n=1)
        return _("did you mean %(name)s?") % {"name": close[0]} if close else _("leave it out")


def refuse_too_many(n_rows: int) -> None:
    """Raises TooLarge for more rows than a call may carry."""
    if n_rows > MAX_ROWS:
        words = _("%(n)s rows came, at most %(most)s are taken at once: send them in parts.")
        raise TooLarge(words % {"n": grouped(n_rows), "most": grouped(MAX_ROWS)})


def refuse(faults: Iterable[Fault]) -> None:
    """Raises RowsInvalid with the first of them, if there are any."""
    found = list(islice(faults, MAX_FAULTS + 1))
    if found:
        raise invalid(found)


def _has_keys(body: bytes, n: int) -> bool:
    """Whether it certainly has so many keys and none twice, though its texts hold colons."""
    return body.count(b'":') == n and not any(gap in body for gap in (b" :", b"\t:", b"\n:", b"\r:"))


def read_json(body: bytes, *, nan: float | None = math.nan) -> object:
    """JSON with Python's NaN and Infinity, so that a message can name the field that holds one.

    nan: what NaN becomes. Raises NotJSON, for a key that is there twice too: readers of JSON take one of its
    values and tell nobody.
    """
    try:
        return json.loads(
            body.decode(),
            parse_int=lambda digits: int(digits) if len(digits) < 20 else float(digits),
            parse_constant=lambda word: nan if word == "NaN" else float(word),
            object_pairs_hook=_once,
        )
    except RecursionError as error:
        raise NotJSON(_("The request is nested too deeply to be rows.")) from error
    except ValueError as error:
        raise NotJSON(_("The request is not JSON: %(error)s.") % {"error": error}) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _value in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        words = _("The request has %(name)s twice in one object: send each field once.")
        raise NotJSON(words % {"name": shown_name(twice)})
    return found


def _rows_of(plain: Any) -> list[object]:
    if not isinstance(plain, dict) or not isinstance(plain.get("rows"), list):
        raise invalid([Fault(None, "rows", _('send an object with a list of rows: {"rows": [{…}]}'))])
    extra = sorted(shown_name(key) for key in plain.keys() - {"rows"})
    words = _("%(name)s is not known here: only rows is taken")
    refuse(Fault(None, name, words % {"name": name}) for name in extra)
    rows: list[object] = plain["rows"]
    return rows


def shown_name(name: object) -> str:
    """A name that somebody sent, as an answer can hold it."""
    return str(name)[:64].encode(errors="replace").decode()


def invalid(faults: list[Fault]) -> RowsInvalid:
    """The refusal with the first of these faults, of which there is at least one."""
    kept = faults[:MAX_FAULTS]
    if len(faults) > MAX_FAULTS:
        kept.append(Fault(None, None, _("There are more faults than these %(n)s.") % {"n": MAX_FAULTS}))
        words = _("The rows have more than %(n)s faults; nothing was predicted.")
    else:
        words = ngettext(
            "The rows have %(n)s fault; nothing was predicted.",
            "The rows have %(n)s faults; nothing was predicted.",
            len(faults),
        )
    return RowsInvalid(words % {"n": len(kept[:MAX_FAULTS])}, [fault._asdict() for fault in kept])
