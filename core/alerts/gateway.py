"""Webhooks: the one place from which the console calls addresses that people typed.

Connected to is the very address that was checked, so a name that answers otherwise the second time gains
nothing. No redirect is followed, no proxy used, and whatever the other side does ends within seconds.
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from queue import Empty, Queue
from threading import Thread
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore
from django.conf import settings
from django.utils.translation import gettext as _

from core.lib import addresses, edge
from core.lib.errors import InvalidRequest, Unavailable

SERVICE: Final = "webhook"
TIMEOUT_S: Final = 10.0
ANSWER_S: Final = 2.0  # for its text, once the status is known
ANSWER_BYTES: Final = 1000
LONGEST_URL: Final = 2000
MOST_TRIED: Final = 3  # addresses of one name
PIECE_BYTES: Final = 4096  # written at a time: each takes what is left of the time at most
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
# Of clouds, where whoever asks gets a machine's own credentials. The others of this kind are no public ones.
METADATA: Final = tuple(
    ipaddress.ip_address(text)
    for text in (
        *("169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "192.0.0.192"),
        "fd00:ec2::254",
    )
)
# Not public, whatever the Python of the day says of them.
SPECIAL: Final = tuple(ipaddress.ip_network(text) for text in ("192.0.0.0/24", "fec0::/10", "3fff::/20"))

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Answer:
    """What came back: the status, and the beginning of the text."""

    status: int
    text: str


class Clock:
    """The end of everything that one call does."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds, more than 0. Raises httpcore.ReadTimeout when there are none."""
        seconds = self.end - time.monotonic()
        if seconds <= 0:
            raise httpcore.ReadTimeout("no time is left")
        return seconds

    def hurry(self, seconds: float) -> None:
        """End earlier, if that is earlier."""
        self.end = min(self.end, time.monotonic() + seconds)


def check_url(url: str) -> str:
    """The address as it is kept. Raises InvalidRequest, at `url`, for one that is never called."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    is_plain = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in {"http", "https"} or not host or not is_plain or len(url) > LONGEST_URL:
        raise edge.refused("url", _("Write an address like https://host.example/hook."))
    if parts.username is not None or parts.password is not None:
        words = _("Leave the name and password out of the address: the signature shows who calls.")
        raise edge.refused("url", words)
    literal = _literal(host)
    if host.lower().rstrip(".") == "localhost":
        literal = ipaddress.ip_address("127.0.0.1")
    if literal is not None and not is_allowed(literal):
        raise edge.refused("url", _refusal(host))
    return parts._replace(fragment="").geturl()


def is_allowed(address: Address) -> bool:
    """Whether it may be called: a public one, or one of CONSOLE_WEBHOOK_NETWORKS.

    One of a cloud's metadata only where the setting names that very address.
    """
    address = _plain(address)
    allowed = addresses.networks(tuple(settings.CONSOLE_WEBHOOK_NETWORKS))
    if address in METADATA:
        return any(address in network and network.num_addresses == 1 for network in allowed)
    is_public = address.is_global and not address.is_multicast and not address.is_reserved
    is_public = is_public and not any(address in network for network in SPECIAL)
    return is_public or any(address in network for network in allowed)


def _plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _refusal(host: str) -> str:
    return _(
        "%(host)s is no public address, so it is not called. An administrator can allow its network in "
        "CONSOLE_WEBHOOK_NETWORKS."
    ) % {"host": host}


def post(url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Send it and see what comes back within seconds, whatever the status.

    Raises InvalidRequest for an address that must not be called, Unavailable when nothing usable came back.
    """
    host = urlsplit(url).hostname or ""
    own = {"Host": _host(url), "Connection": "close", "Accept": "*/*", **headers}
    tls = _tls()
    clock = Clock(TIMEOUT_S)
    try:
        with (
            httpcore.ConnectionPool(network_backend=_Guarded(clock), ssl_context=tls) as pool,
            pool.stream("POST", _whole(url), headers=list(own.items()), content=body) as response,
        ):
            clock.hurry(ANSWER_S)
            return Answer(response.status, _beginning(response))
    except httpcore.TimeoutException as error:
        words = _("%(host)s did not answer within %(n)d seconds.") % {"host": host, "n": int(TIMEOUT_S)}
        raise Unavailable(words, service=SERVICE) from error
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        words = _("%(host)s could not be called: %(error)s") % {"host": host, "error": str(error)[:300]}
        raise Unavailable(words, service=SERVICE) from error


def _whole(url: str) -> httpcore.URL:
    """As it is written: of a text the library leaves out what follows a semicolon at the end of the path."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = parts.hostname or ""
    return httpcore.URL(scheme=parts.scheme, host=host, port=parts.port, target=target)


def _host(url: str) -> str:
    """As the header has it: the library leaves out the brackets of IPv6."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port in {None, DEFAULT_PORTS[parts.scheme]} else f"{host}:{parts.port}"


@cache
def _tls() -> ssl.SSLContext:
    """Reading all certificates of the system takes a while."""
    return ssl.create_default_context()


def _beginning(response: httpcore.Response) -> str:
    """What of the text came in time: the status says already whether it was taken."""
    content = b""
    try:
        for piece in response.iter_stream():
            content += piece
            if len(content) >= ANSWER_BYTES:
                break
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        pass  # the status is what counts
    text = content[:ANSWER_BYTES].decode(errors="replace")
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")


class _Guarded(httpcore.NetworkBackend):
    """Looks names up itself, and connects only to what is allowed."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._backend = clock, httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        failed: httpcore.NetworkError | httpcore.TimeoutException | None = None
        found = list(_addresses_of(host, port, self._clock))[:MOST_TRIED]
        for n_before, address in enumerate(found):
            # One that swallows everything leaves time for the others.
            share_s = self._clock.left() / (len(found) - n_before)
            try:
                stream = self._backend.connect_tcp(address, port, share_s, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
            else:
                return _Timed(stream, self._clock)
        if failed is None:
            raise InvalidRequest(_refusal(host))
        raise failed


def _addresses_of(host: str, port: int, clock: Clock) -> Iterator[str]:
    """Those of the name that may be called. Raises httpcore.ConnectError for a name that nobody knows."""
    try:
        found = _looked_up(host, port, clock)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(_("the name is not known")) from error
    for *_kind, place in found:
        if is_allowed(ipaddress.ip_address(str(place[0]))):
            yield str(place[0])


def _looked_up(host: str, port: int, clock: Clock) -> list[Any]:
    """What the system says of the name. It takes no limit, so it is left behind when time is over."""
    answers: Queue[list[Any] | OSError | UnicodeError] = Queue()

    def look() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    Thread(target=look, daemon=True).start()
    try:
        found = answers.get(timeout=clock.left())
    except Empty as error:
        raise httpcore.ConnectTimeout("the name was not found in time") from error
    if isinstance(found, Exception):
        raise found
    return found


class _Timed(httpcore.NetworkStream):
    """A connection on which no step outlasts the clock, however slowly the other side drips."""

    def __init__(self, stream: httpcore.NetworkStream, clock: Clock) -> None:
        self._stream, self._clock = stream, clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._clock.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), PIECE_BYTES):
            self._stream.write(buffer[start : start + PIECE_BYTES], self._clock.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        secure = self._stream.start_tls(ssl_context, server_hostname, self._clock.left())
        return _Timed(secure, self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
