"""A load generator: kept connections that send the same request again once its answer is complete."""

import asyncio
import re
import time
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


@dataclass
class Load:
    """What came back. latencies_s: one for each answer, in the order they came."""

    seconds: float = 0.0
    cpu_s: float = 0.0  # of the server meanwhile, all its threads
    latencies_s: list[float] = field(default_factory=list)
    statuses: dict[bytes, int] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        return len(self.latencies_s) / self.seconds

    @property
    def cpu_us(self) -> float:
        """Of the server, for each answer: what a busy machine changes least."""
        return self.cpu_s / len(self.latencies_s) * 1e6

    def quantile_ms(self, share: float) -> float:
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


class _Connection(asyncio.Protocol):
    def __init__(self, request: bytes, load: Load) -> None:
        self._request = request
        self._load = load
        self._stop_at = 0.0
        self._received = b""
        self._sent_at = 0.0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def start(self, stop_at: float) -> None:
        """Send the first request; after `stop_at` (performance counter) no further one."""
        self._stop_at = stop_at
        self._send()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        found = _LENGTH.search(head)
        if not separator or found is None or len(body) < int(found[1]):
            return
        now = time.perf_counter()
        self._load.latencies_s.append(now - self._sent_at)
        status = head[9:12]
        self._load.statuses[status] = self._load.statuses.get(status, 0) + 1
        self._received = b""
        if now >= self._stop_at:
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


async def run(port: int, request: bytes, *, connections: int, seconds: float) -> Load:
    """Keep `connections` busy for `seconds`, once all are open."""
    load = Load()
    loop = asyncio.get_running_loop()
    made = [
        (await loop.create_connection(lambda: _Connection(request, load), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    started = time.perf_counter()
    for connection in made:
        connection.start(started + seconds)
    await asyncio.gather(*(connection.closed for connection in made))
    load.seconds = time.perf_counter() - started
    return load
