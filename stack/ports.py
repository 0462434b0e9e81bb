"""Ports: whether one is free, and else who has it."""

import contextlib
import socket
import time
from collections.abc import Iterable

import psutil

from stack.config import OFFSETS, Config
from stack.errors import StackError
from stack.parts import Part

COMMAND_LENGTH = 120
# A server that was killed holds its ports until its last thread is gone; nobody can see whose they are then.
DYING_S = 10.0
LOOKS_EVERY_S = 0.2


def require_free(config: Config, parts: Iterable[Part]) -> None:
    """Raises StackError that names each port of these parts that somebody has, and keeps."""
    names = {part.port for part in parts if part.port}
    if "kafka" in names:
        names.add("kafka-controller")
    deadline = time.monotonic() + DYING_S
    taken = _taken(config, names)
    while taken and time.monotonic() < deadline and not any(_pid(config.port(name)) for name in taken):
        time.sleep(LOOKS_EVERY_S)
        taken = _taken(config, names)
    if taken:
        lines = (f"  port {config.port(name)} ({name}) {holder(config.port(name))}" for name in taken)
        raise StackError(
            "These ports are taken:\n"
            + "\n".join(lines)
            + "\nStop what uses them, or choose another block: make up CONSOLE_PORT_BASE=9000"
        )


def _taken(config: Config, names: set[str]) -> list[str]:
    return [name for name in OFFSETS if name in names and not is_free(config.port(name))]


def holder(port: int) -> str:
    """Who listens on a port, as far as one may know."""
    pid = _pid(port)
    if pid is None:
        return "is held by a process of another user"
    with contextlib.suppress(psutil.Error):
        command = " ".join(psutil.Process(pid).cmdline())
        return f"is held by pid {pid}: {command[:COMMAND_LENGTH]}"
    return f"is held by pid {pid}"


def _pid(port: int) -> int | None:
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            return connection.pid
    return None


def is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # a port that a dead server left is free
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
