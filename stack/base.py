"""What programs of the stack have in common: a small clean environment, and ways to ask for signs of life."""

import os
import socket
import urllib.request

from stack.config import Config

KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "TZ", "JAVA_HOME")
PATIENCE_S = 3.0
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through the caller's proxy


def environment(**more: str) -> dict[str, str]:
    """The few variables that every program needs, and these; nothing else of the caller's goes in."""
    kept = {name: os.environ[name] for name in KEPT if os.environ.get(name)}
    return {"LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", **kept, **more}


def ask(url: str) -> bytes:
    """What a GET of this URL answers; raises OSError for anything but success."""
    with _OPENER.open(url, timeout=PATIENCE_S) as answer:
        content: bytes = answer.read()
    return content


def listens(config: Config, port: str) -> None:
    """Raises OSError when nothing accepts connections there."""
    socket.create_connection(("127.0.0.1", config.port(port)), timeout=PATIENCE_S).close()


def reachable(bind: str) -> str:
    """An address at which this machine reaches what binds to `bind`."""
    return "127.0.0.1" if bind in ("0.0.0.0", "::") else bind  # noqa: S104 - compared, not bound
