"""One user's calls of the REST API, repeated while that is safe and something is being restarted.

GET is always safe. A POST carries an Idempotency-Key, so that a repetition gets the first answer; where a
process died between the work and its answer, `found` looks for what the lost answer would have told.
"""

import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from console.demo.errors import NoAnswer, Refused
from core.lib.idempotency import CLAIMED_BY_DJANGO_S

TIMEOUT_S: Final = 20.0
PATIENCE_S: Final = 150.0
AT_WORK_S: Final = CLAIMED_BY_DJANGO_S + 30.0  # a key that a dead process holds is free then
PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 10.0
PAGE: Final = 200
# "Try again": 409 only where Retry-After says that the first call with this key is still at work.
AGAIN: Final = frozenset({429, 502, 503, 504})
API: Final = "/api/v1"


def nothing() -> None:
    """For what is asked again and again while there is nothing else to do."""


class Caller:
    """A user with a token. `base` is where calls go: the console, or the serving process alone."""

    def __init__(
        self,
        name: str,
        base: str,
        http: httpx.Client,
        *,
        key: str,
        meanwhile: Callable[[], None] = nothing,
    ) -> None:
        self.name = name
        self.base = base
        self._http = http
        self._key = key
        self._meanwhile = meanwhile

    def at(self, base: str) -> "Caller":
        """The same user at another address."""
        return Caller(self.name, base, self._http, key=self._key, meanwhile=self._meanwhile)

    def get(self, path: str, **params: Any) -> Any:
        """The JSON at `path`. Raises Refused and NoAnswer."""
        return self._patiently(lambda: self._send("GET", path, params=params or None), f"GET {path}")

    def find(self, path: str) -> Any:
        """The same; None where there is no such thing, or not yet."""
        try:
            return self.get(path)
        except Refused as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def every(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """All rows of a list, page by page."""
        page = self.get(path, limit=PAGE, **params)
        while True:
            yield from page["results"]
            if not page["next"]:
                return
            following = urlsplit(page["next"])
            page = self.get(f"{following.path.removeprefix(API)}?{following.query}")

    def post(self, path: str, body: dict[str, Any], *, key: str, found: Callable[[], Any] = nothing) -> Any:
        """The answer to a call that starts something, once. Raises Refused and NoAnswer."""
        headers = {"Idempotency-Key": key}
        return self._patiently(
            lambda: self._send("POST", path, json=body, headers=headers), f"POST {path}", found
        )

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        """The answer to a POST that changes nothing. Raises Refused and NoAnswer."""
        return self._patiently(lambda: self._send("POST", path, json=body), f"POST {path}")

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._key}", **options.pop("headers", {})}
        url = f"{self.base}{API}{path}"
        return self._http.request(method, url, headers=headers, timeout=TIMEOUT_S, **options)

    def _patiently(
        self, send: Callable[[], httpx.Response], what: str, found: Callable[[], Any] = nothing
    ) -> Any:
        began_at = time.monotonic()
        while True:
            patience_s = PATIENCE_S
            try:
                answer = send()
            except httpx.TransportError as error:
                why, pause_s = f"{type(error).__name__}: {error}", PAUSE_S
            else:
                if not _is_for_later(answer):
                    return _content(answer, what)
                why, pause_s = f"status {answer.status_code}: {answer.text[:300]}", _pause_s(answer)
                if _is_at_work(answer):
                    patience_s = AT_WORK_S
            if time.monotonic() + pause_s > began_at + patience_s:
                raise NoAnswer(f"{what} got no answer within {patience_s:.0f} s; the last was {why}")
            self._meanwhile()
            time.sleep(pause_s)
            if (there := found()) is not None:
                return there


def _is_for_later(answer: httpx.Response) -> bool:
    return _is_at_work(answer) or answer.status_code in AGAIN


def _is_at_work(answer: httpx.Response) -> bool:
    return answer.status_code == HTTPStatus.CONFLICT and "Retry-After" in answer.headers


def _pause_s(answer: httpx.Response) -> float:
    said = answer.headers.get("Retry-After", "")
    return min(float(said), LONGEST_PAUSE_S) if said.isdecimal() else PAUSE_S


def _content(answer: httpx.Response, what: str) -> Any:
    if answer.is_success:
        return answer.json() if answer.content else {}
    try:
        problem = answer.json()
    except ValueError:
        problem = {"detail": answer.text[:300]}
    raise Refused(f"{what} to be answered", answer.status_code, problem)
