"""Where a run's data come from: a file, else a public address, else a generator; always said."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx

from dags.recipes.common.log import say

MAX_BYTES = 50 * 1024 * 1024
TIMEOUT_S = 30.0  # without a byte
WHOLE_S = 120.0  # of one answer, whole


class SourceError(Exception):
    """The data cannot be had from where they were asked for."""


@dataclass(frozen=True)
class Loaded:
    """data_source: "file", "url" or "synthetic". origin: the file's name, or the address, see `_shown`."""

    data: bytes
    data_source: str
    origin: str

    @property
    def sha256(self) -> str:
        return sha256(self.data).hexdigest()


def load(source: str, *, file_name: str, url: str, generate: Callable[[], bytes]) -> Loaded:
    """source: "file", "url", "synthetic", or "auto", which takes the first of these that is there.

    Raises SourceError.
    """
    if source == "synthetic":
        return _generated(generate)
    if source == "file" or (source == "auto" and _path(file_name) is not None):
        return _from_file(file_name)
    if source == "url":
        return _from_url(url)
    try:
        return _from_url(url)
    except SourceError as error:
        say(f"{error} Generating rows with the same columns instead.")
        return _generated(generate)


def _path(file_name: str) -> Path | None:
    folder = os.environ.get("CONSOLE_DATA_DIR")
    path = Path(folder) / file_name if folder else None
    return path if path is not None and path.is_file() else None


def _from_file(file_name: str) -> Loaded:
    path = _path(file_name)
    if path is None:
        folder = os.environ.get("CONSOLE_DATA_DIR") or "not set"
        raise SourceError(f"There is no file {file_name} in CONSOLE_DATA_DIR ({folder}).")
    if path.stat().st_size > MAX_BYTES:
        raise SourceError(f"{file_name} is larger than {MAX_BYTES:,} bytes.")
    return Loaded(path.read_bytes(), "file", file_name)


def _from_url(url: str) -> Loaded:
    shown = _shown(url)
    began_at, data = time.monotonic(), bytearray()
    try:
        with _client() as client, client.stream("GET", url) as answer:
            answer.raise_for_status()
            for piece in answer.iter_bytes():
                data += piece
                if len(data) > MAX_BYTES:
                    raise SourceError(f"{shown} holds more than {MAX_BYTES:,} bytes.")
                if time.monotonic() - began_at > WHOLE_S:
                    raise SourceError(
                        f"{shown} gave {len(data):,} bytes in {WHOLE_S:g} s: too slow to wait for its end."
                    )
    except httpx.InvalidURL as error:
        raise SourceError(f"{shown} is no address: {error}.") from None
    except httpx.HTTPError as error:
        raise SourceError(f"{shown} did not answer with the data: {_why(error)}.") from None
    return Loaded(bytes(data), "url", shown)


def _client(transport: httpx.BaseTransport | None = None) -> httpx.Client:
    """Which goes to https alone, wherever it is sent on to."""
    hooks = {"request": [_require_https]}
    return httpx.Client(timeout=TIMEOUT_S, follow_redirects=True, event_hooks=hooks, transport=transport)


def _require_https(request: httpx.Request) -> None:
    if request.url.scheme != "https":
        raise SourceError(f"{_shown(str(request.url))} is no https address.")


def _shown(url: str) -> str:
    """Without account and query: in the presigned address of a bucket's object these are a password.

    Raises SourceError for what is no address.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise SourceError(f"The address given is none: {error}.") from None
    return urlunsplit((parts.scheme, f"{host}:{port}" if port else host, parts.path, "", ""))


def _why(error: httpx.HTTPError) -> str:
    """httpx names the whole address in the message of a bad status."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"status {error.response.status_code} {error.response.reason_phrase}"
    return str(error) or type(error).__name__


def _generated(generate: Callable[[], bytes]) -> Loaded:
    return Loaded(generate(), "synthetic", "generator")
