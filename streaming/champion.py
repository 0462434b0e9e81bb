"""The console's own predict API, asked by anomaly rules as by any other client: each answer is recorded."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import msgspec
from django.conf import settings
from django.utils.translation import gettext as _

from core.lib.errors import Unavailable
from scoring import values
from scoring.check import MAX_BYTES, CheckError, RowDecoder
from scoring.language import Field
from scoring.spec import Spec
from scoring.spec_reading import SpecError, read_spec

PRINCIPAL = "anomaly_rule"  # the account is `system:anomaly_rule`
TIMEOUT_S = 5.0
MOST_ROWS = 200  # of one call

Row = dict[str, Any]


class Waits(Unavailable):
    """The model cannot be asked now, for the reason told; asking later may be right."""


class RowsRefused(Waits):
    """The model never takes these rows together; most of them it may take without the others."""


class Answers(NamedTuple):
    """One for each row: the number that is predicted, NaN where there is none, and the prediction's id."""

    predicted: list[float]
    ids: list[str]


@dataclass(frozen=True)
class Known:
    """What the champion takes, as of the last look."""

    spec: Spec
    decoder: RowDecoder


class Champion:
    """Asks the champion of one model. Every method raises Waits."""

    def __init__(self, model: str, client: httpx.Client) -> None:
        self._model, self._client = model, client
        self._known: Known | None = None
        self._version = ""

    def close(self) -> None:
        self._client.close()

    def usual_error(self) -> float:
        """In the unit of what is predicted, above 0."""
        sigma = self._looked_up().spec.output.usual_error
        if not sigma:
            raise Waits(_("The spec of %(model)s tells no usual error: give the rule a sigma.") % self._words)
        return sigma

    def rows(self, events: Sequence[Mapping[str, Any]], offered: set[str]) -> list[Row | None]:
        """What each event tells of the model's fields; None where that does not fit.

        offered: the fields that events of the stream may have.
        """
        known = self._looked_up()
        for field in known.spec.fields:
            if field.required and field.name not in offered:
                words = {**self._words, "field": field.name}
                raise Waits(_("%(model)s needs the field %(field)s, which the events lack.") % words)
        wanted = [field for field in known.spec.fields if field.name in offered]
        rows = [_row(wanted, event) for event in events]
        return [row if _fits(known.decoder, row) else None for row in rows]

    def ask(self, rows: Sequence[Row], *, place: str) -> Answers:
        """place: names these events. The same call is made once, even when its answer was lost on the way.

        A row that the model refuses is no other's fault: what is refused together is asked half by half.
        """
        return self._asked(rows, place, looks=True)

    def _asked(self, rows: Sequence[Row], place: str, *, looks: bool) -> Answers:
        """looks: whether another champion may be why rows are refused; one look is enough for all halves."""
        body = msgspec.json.encode({"rows": rows})
        if len(body) > MAX_BYTES and len(rows) > 1:
            return self._halves(rows, place, looks=looks)
        key = hashlib.sha256(f"{place} ".encode() + body).hexdigest()
        url = f"{settings.CONSOLE_SERVING_URL}/api/v1/models/{quote(self._model, safe='')}/predict"
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        try:
            answer = self._sent("POST", url, content=body, headers=headers)
        except RowsRefused:
            if looks and self._takes_something_else():
                raise  # another champion: the rows are made anew for it
            return self._halves(rows, place, looks=False) if len(rows) > 1 else Answers([math.nan], [""])
        return self._read(answer, len(rows))

    def _halves(self, rows: Sequence[Row], place: str, *, looks: bool) -> Answers:
        middle = len(rows) // 2
        first, second = (
            self._asked(part, f"{place} {n}", looks=looks)
            for n, part in enumerate((rows[:middle], rows[middle:]))
        )
        return Answers(first.predicted + second.predicted, first.ids + second.ids)

    def _takes_something_else(self) -> bool:
        """Whether the spec has changed since the rows were made."""
        known, self._known = self._known, None
        return known is not None and self._looked_up().spec != known.spec

    def _read(self, answer: httpx.Response, n_rows: int) -> Answers:
        try:
            plain = answer.json()
            version, given = str(plain["version"]), plain["predictions"]
            numbers = [one["value"] for one in given]
            ids = [str(one["id"]) for one in given]
        except (ValueError, KeyError, TypeError) as error:
            raise Waits(_("The predict API answered what cannot be read.")) from error
        if len(numbers) != n_rows or not all(number is None or _is_number(number) for number in numbers):
            raise Waits(_("%(model)s predicts no number: a rule needs a regression.") % self._words)
        if self._version not in ("", version):
            self._known = None  # another champion: its usual error is another
        self._version = version
        return Answers([math.nan if number is None else float(number) for number in numbers], ids)

    def _looked_up(self) -> Known:
        if self._known is None:
            url = f"{settings.CONSOLE_PUBLIC_URL}/api/v1/models/{quote(self._model, safe='')}/spec"
            try:
                spec = read_spec(self._sent("GET", url).content)
            except SpecError as error:
                raise Waits(_("The spec of %(model)s cannot be read.") % self._words) from error
            if spec.task != "regression":
                raise Waits(_("%(model)s predicts no number: a rule needs a regression.") % self._words)
            self._known = Known(spec, RowDecoder(spec))
        return self._known

    def _sent(self, method: str, url: str, **sent: Any) -> httpx.Response:
        headers = {**sent.pop("headers", {}), "Authorization": f"Bearer {_token()}"}
        try:
            answer = self._client.request(method, url, headers=headers, **sent)
        except httpx.HTTPError as error:
            words = {"error": str(error) or type(error).__name__}
            raise Waits(_("The predict API does not answer: %(error)s.") % words) from error
        if answer.status_code != httpx.codes.OK:
            words = {"status": str(answer.status_code), "detail": _detail(answer)}
            message = _("The predict API answered %(status)s: %(detail)s") % words
            if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
                raise RowsRefused(message)
            if answer.is_client_error:
                self._known = None
            raise Waits(message)
        return answer

    @property
    def _words(self) -> dict[str, str]:
        return {"model": self._model}


def connect(model: str) -> Champion:
    """It asks with the first call."""
    return Champion(model, httpx.Client(timeout=httpx.Timeout(TIMEOUT_S, connect=2.0), trust_env=False))


def _token() -> str:
    """Read each time: tokens are renewed while this runs."""
    path = Path(settings.CONSOLE_PIPELINE_TOKENS)
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))[PRINCIPAL])
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = _("%(path)s holds no token for %(name)s: `manage.py issue_pipeline_tokens` writes it.")
        raise Waits(message % {"path": path, "name": PRINCIPAL}) from error


def _row(wanted: Sequence[Field], event: Mapping[str, Any]) -> Row:
    """An absent value is left out where it may be; numbers and text become what the field is."""
    row: Row = {}
    for field in wanted:
        value = event.get(field.name)
        if value is None and not field.required and not field.nullable:
            continue
        if isinstance(value, str) and not field.is_text:
            value = values.from_text(field, value)
        elif field.is_text and type(value) is int:
            value = str(value)
        row[field.name] = value
    return row


def _fits(decoder: RowDecoder, row: Row) -> bool:
    try:
        decoder.decode_rows([row])
    except CheckError:
        return False
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _detail(answer: httpx.Response) -> str:
    try:
        plain = answer.json()
    except ValueError:
        plain = None
    text = plain.get("detail") if isinstance(plain, dict) else None
    return str(text or answer.text)[:300]
