"""Where the peers' Python is, and ports for what a measurement starts."""

import os
import socket
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
KEPT = ("PATH", "HOME", "LANG", "TMPDIR")


def peer_python(environment: str = "bench") -> str:
    """Beside the console's own environment; `make bench` has installed it."""
    return str(peer_program("python", environment))


def peer_program(name: str, environment: str = "bench") -> Path:
    """One of the programs of a peers' environment."""
    found = Path(sys.prefix).parent / environment / "bin" / name
    if not found.exists():
        sys.exit("The peers are not installed: run `make bench`.")
    return found


def peer_environment(**more: str) -> dict[str, str]:
    """Nothing of the console's."""
    return {**{name: os.environ[name] for name in KEPT if name in os.environ}, **more}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
