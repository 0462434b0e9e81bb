"""A server on this machine that does with each connection what a test says, and keeps what came."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ntaken"


@dataclass
class Request:
    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """act: takes the connection once the request is read; by default it answers with `answer`."""

    answer: bytes = OK
    act: Callable[[socket.socket], None] | None = None
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/hook?token=geheim"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _address = self._listening.accept()
                threading.Thread(target=self._handle, args=[connection], daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, self._secured(connection) as ours:
            self.requests.append(_read(ours))
            if self.act is not None:
                self.act(ours)
            else:
                ours.sendall(self.answer)

    def _secured(self, connection: socket.socket) -> socket.socket:
        return self.tls.wrap_socket(connection, server_side=True) if self.tls else connection


def _read(connection: socket.socket) -> Request:
    content = b""
    while b"\r\n\r\n" not in content:
        content += connection.recv(65536)
    head, _blank, body = content.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    headers = dict(one.split(": ", 1) for one in lines)
    while len(body) < int(headers["Content-Length"]):
        body += connection.recv(65536)
    return Request(line, headers, body)
