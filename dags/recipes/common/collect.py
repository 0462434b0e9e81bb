"""Asking an HTTP service for data, politely: it is never hurried, and each way to fail has its words.

    with collect.connect("http://127.0.0.1:8017") as service:
        answer = service.ask("/data", group_number=3)   # answer.content: an object

What it means is told from the status; the service's words are only passed on.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from dags.recipes.common.log import say

TIMEOUT_S = 45.0  # of one answer, whole
SLOW_S = 5.0  # an answer that took longer is worth a line
TRIES = 4
FIRST_PAUSE_S = 1.0  # doubled after each try
LONGEST_PAUSE_S = 60.0  # whatever Retry-After says
MAX_BYTES = 50 * 1024 * 1024
_WORDS = 300

NOT_REACHED = (httpx.ConnectError, httpx.ConnectTimeout)
TOO_MANY = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)


class CollectError(Exception):
    """The service gave nothing that can be used; the message says what it did."""


class Away(CollectError):
    """It did not answer, too late, or with a failure of its own, as often as it was asked."""


class Refused(CollectError):
    """It does not want to answer this: a status of 400 to 499."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class Broken(CollectError):
    """It answered with something else than what was agreed on."""


@dataclass(frozen=True)
class Answer:
    """An object of JSON, and what is told of it. address: without the query."""

    content: Mapping[str, Any]
    headers: Mapping[str, str]
    sha256: str
    address: str


class Service:
    """One service. Use as a context."""

    def __init__(self, address: str, *, transport: httpx.BaseTransport | None = None) -> None:
        """Raises CollectError for what is no address."""
        if urlsplit(address).scheme not in ("http", "https"):
            raise CollectError(f"{address or 'Nothing'} is no http or https address.")
        self._client = httpx.Client(base_url=address, timeout=TIMEOUT_S, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def ask(self, path: str, **query: object) -> Answer:
        """Raises Away, Refused, Broken."""
        return self._ask(path, query, is_repeatable=True)

    def take(self, path: str, **query: object) -> Answer:
        """As `ask`, where each answer moves the service on: asked again only when it surely gave nothing,
        since it was not reached, or said to come later.

        Raises Away, Refused, Broken.
        """
        return self._ask(path, query, is_repeatable=False)

    def _ask(self, path: str, query: Mapping[str, object], *, is_repeatable: bool) -> Answer:
        for number in range(1, TRIES + 1):
            try:
                answer, data = self._once(path, query)
            except (httpx.HTTPError, _TooSlow) as error:
                why, pause_s = self._silence(error), 0.0
                gave_nothing = isinstance(error, NOT_REACHED)
            else:
                gave_nothing = answer.status_code in TOO_MANY
                if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR and not gave_nothing:
                    return self._read(answer, data)
                why = f"It answered {answer.status_code}: {_words(data) or 'nothing'}"
                pause_s = _retry_after_s(answer) if gave_nothing else 0.0
            if not (is_repeatable or gave_nothing):
                raise Away(
                    f"{self._client.base_url} may have moved on, so that the same cannot be asked for again;"
                    f" the next answer shows whether it did. {why}"
                )
            if number < TRIES:
                pause_s = min(max(pause_s, FIRST_PAUSE_S * 2 ** (number - 1)), LONGEST_PAUSE_S)
                say(f"{self._client.base_url}: {why} Asking again in {pause_s:g} s.")
                time.sleep(pause_s)
        raise Away(f"{self._client.base_url} gave nothing in {TRIES} tries. {why}")

    def _once(self, path: str, query: Mapping[str, object]) -> tuple[httpx.Response, bytes]:
        began_at, data = time.monotonic(), bytearray()
        params = {name: str(value) for name, value in query.items()}
        with self._client.stream("GET", path, params=params) as answer:
            for piece in answer.iter_bytes():
                data += piece
                if len(data) > MAX_BYTES:
                    raise Broken(f"{self._client.base_url} answers with more than {MAX_BYTES:,} bytes.")
                if time.monotonic() - began_at > TIMEOUT_S:
                    raise _TooSlow
        if (took_s := time.monotonic() - began_at) > SLOW_S:
            say(f"{self._client.base_url} took {took_s:.0f} s to answer.")
        return answer, bytes(data)

    def _read(self, answer: httpx.Response, data: bytes) -> Answer:
        address = str(answer.url.copy_with(query=None))
        if not answer.is_success:
            message = f"{address} refused ({answer.status_code}): {_words(data) or 'no words'}"
            raise Refused(message, status=answer.status_code)
        try:
            content = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise Broken(f"{address} answered with broken JSON ({len(data):,} bytes): {error}.") from error
        if not isinstance(content, dict):
            raise Broken(f"{address} answered with {type(content).__name__} where an object belongs.")
        return Answer(content, answer.headers, sha256(data).hexdigest(), address)

    @staticmethod
    def _silence(error: Exception) -> str:
        if isinstance(error, httpx.TimeoutException | _TooSlow):
            return f"It did not answer within {TIMEOUT_S:g} s."
        if isinstance(error, httpx.DecodingError):
            return f"It answered with what cannot be read: {error}."
        return f"It does not answer: {error}."


def connect(address: str) -> Service:
    """Raises CollectError for what is no address."""
    return Service(address)


class _TooSlow(Exception):
    """The answer comes too slowly to wait for its end."""


def _retry_after_s(answer: httpx.Response) -> float:
    """Seconds or a date, as the header may say; 0 for anything else."""
    said = answer.headers.get("Retry-After", "").strip()
    if said.isascii() and said.isdecimal():
        return float(said[:9])
    try:
        at = parsedate_to_datetime(said)
    except ValueError:
        return 0.0
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _words(data: bytes) -> str:
    """The detail of what was answered, else its beginning."""
    text = data.decode(errors="replace")
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return text[:_WORDS].strip()
    return str(told.get("detail") or told if isinstance(told, dict) else told)[:_WORDS]
