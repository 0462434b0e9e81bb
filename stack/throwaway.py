"""A PostgreSQL for tests: on a socket in a temporary folder, on no port, quick instead of durable."""

import contextlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from stack import account, postgres
from stack.errors import StackError


@contextlib.contextmanager
def server(*, databases: tuple[str, ...] = ("console",)) -> Iterator[str]:
    """A fresh server on a socket in a temporary folder; yields its URL, to which a database name is added."""
    folder = Path(tempfile.mkdtemp(prefix="atalaya-pg-"))
    try:
        account.hand_over(folder, account.owner())
        install = postgres.binaries()
        postgres.initdb(folder / "data", install=install)
        process = _start(folder, install=install)
        try:
            for name in databases:
                _psql(install, folder, f'CREATE DATABASE "{name}"')
            yield f"postgresql://postgres@/{{database}}?host={folder}"
        finally:
            _stop(process)
    finally:
        shutil.rmtree(folder)


def _start(folder: Path, *, install: Path, timeout_s: float = 30) -> subprocess.Popen[bytes]:
    """Start the cluster `folder`/data on a socket in `folder`, and wait until it answers."""
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": f'"{folder}"',
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "max_connections": "200",
        "shared_buffers": "64MB",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    log = folder / "postgres.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [install / "postgres", "-D", folder / "data", *options],
            stdout=stream,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches the tests, which then stop the server
            cwd="/",
            env=postgres.environment(),
            **account.popen_options(account.owner()),
        )
    if not _answers(process, install=install, folder=folder, timeout_s=timeout_s):
        process.kill()
        raise StackError(f"PostgreSQL did not start in {folder}:\n{log.read_text(errors='replace')[-2000:]}")
    return process


def _stop(process: subprocess.Popen[bytes], *, timeout_s: float = 20) -> None:
    """Stop a server at once but cleanly: INT ends its clients' sessions, TERM would wait for them."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answers(process: subprocess.Popen[bytes], *, install: Path, folder: Path, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    command: list[str | Path] = [install / "pg_isready", "--quiet", "--host", folder]
    while time.monotonic() < deadline and process.poll() is None:
        if subprocess.run(command, env=postgres.environment()).returncode == 0:
            return True
        time.sleep(0.05)
    return False


def _psql(install: Path, folder: Path, statement: str) -> None:
    command: list[str | Path] = [
        install / "psql",
        "--no-psqlrc",
        "--quiet",
        "--host",
        folder,
        "--username",
        "postgres",
    ]
    subprocess.run([*command, "--command", statement], check=True, env=postgres.environment())
