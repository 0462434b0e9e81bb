"""Ports: whether one is free, and else who has it."""

import contextlib
import socket
from collections.abc import Iterable

import psutil

from stack.config import OFFSETS, Config
from stack.errors import StackError
from stack.parts import Part

COMMAND_LENGTH = 120


def require_free(config: Config, parts: Iterable[Part]) -> None:
    """Raises StackError that names each port of these parts that somebody else has."""
    names = {part.port for part in parts if part.port}
    if "kafka" in names:
        names.add("kafka-controller")
    taken = [name for name in OFFSETS if name in names and not _is_free(config.port(name))]
    if taken:
        lines = (f"  port {config.port(name)} ({name}) {holder(config.port(name))}" for name in taken)
        raise StackError(
            "These ports are taken:\n"
            + "\n".join(lines)
            + "\nStop what uses them, or choose another block: make up CONSOLE_PORT_BASE=9000"
        )


def holder(port: int) -> str:
    """Who listens on a port, as far as one may know."""
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            with contextlib.suppress(psutil.Error):
                command = " ".join(psutil.Process(connection.pid).cmdline())
                return f"is held by pid {connection.pid}: {command[:COMMAND_LENGTH]}"
            return f"is held by pid {connection.pid}"
    return "is held by a process of another user"


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # a port that a dead server left is free
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
