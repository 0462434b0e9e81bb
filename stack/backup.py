"""`make backup`: what a stack cannot get again, in one file. `restore` is the way back.

The four databases are dumped from snapshots that are taken within moments of each other, the console's
first: what it asked of a service the service may know already, and recognises by its id. One snapshot over
several databases PostgreSQL does not have. MLflow's artefacts and the output folder, whose files are written
once, are copied after the databases that name them.
"""

import contextlib
import json
import shutil
import subprocess
import time
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import IO, Any, NamedTuple

import psycopg2
import redis
from psycopg2.extensions import make_dsn, parse_dsn

from stack import console_parts, databases, health, kafka_state, postgres, supervisor, up
from stack.backup_file import Writer
from stack.catalogue import find
from stack.config import REPO, Config
from stack.errors import StackError

SERVERS = ("postgres", "redis", "kafka")
RECORDER_PATIENCE_S = 30.0
MIGRATIONS = "SELECT app, name FROM django_migrations ORDER BY id"
FEATURES = "feature:*"
MB = 1_000_000


class Summary(NamedTuple):
    """size_bytes: of the file. n_waiting: messages of predictions that were in no row yet: not in it."""

    path: Path
    size_bytes: int
    n_waiting: int


def make(config: Config, path: Path, passphrase: str) -> Summary:
    """Back the stack up, which may run or not. Raises StackError, with no file left behind."""
    require_target(path)
    with contextlib.ExitStack() as held:
        is_up = supervisor.is_running(config)
        if is_up:
            _require_servers(config)
        else:
            held.enter_context(up.servers(config, *SERVERS))
        try:
            n_waiting = _write(config, path, passphrase, is_up=is_up)
        except OSError as error:
            raise StackError(
                f"Cannot write {path}: {error.strerror or error}. No backup was made; FILE names another "
                "place."
            ) from error
    return Summary(path, path.stat().st_size, n_waiting)


def default_path(config: Config) -> Path:
    """Beside the stack's folder, so that `make reset` leaves it alone."""
    return config.var_dir.parent / "backups" / f"atalaya-{datetime.now(UTC):%Y%m%d-%H%M%S}.zip"


def folders(config: Config) -> dict[str, Path]:
    """What a backup copies file by file: the name there, and the folder."""
    return {
        "mlflow": config.var_dir / "mlflow" / "artifacts",
        "output": output_dir(config),
        "course_api": config.var_dir / "course_api",
    }


def output_dir(config: Config) -> Path:
    """What pipelines and jobs wrote; asks for no secrets, which would make them."""
    return Path(config.settings.get("CONSOLE_OUTPUT_DIR") or config.var_dir / "output")


def urls(config: Config) -> dict[str, str]:
    """The databases in the order of their snapshots; console's and use cases' may be outside ones."""
    settings = console_parts.settings(config)
    return {
        "console": settings["CONSOLE_DATABASE_URL"],
        "usecases": settings["CONSOLE_USECASES_DATABASE_URL"],
        "airflow": databases.url(config, "airflow"),
        "mlflow": databases.url(config, "mlflow"),
    }


def kafka_settings(config: Config) -> dict[str, Any]:
    """What librdkafka needs to reach the console's Kafka."""
    settings = console_parts.settings(config)
    access = json.loads(settings.get("CONSOLE_KAFKA_CONFIG") or "{}")
    return {"bootstrap.servers": settings["CONSOLE_KAFKA_BOOTSTRAP"], "log_level": 0, **access}


def program(name: str, url: str) -> tuple[list[str], dict[str, str]]:
    """A program of PostgreSQL for a database: command line, and environment with the password."""
    parts = parse_dsn(url)
    password = parts.pop("password", "")
    command = [str(postgres.binaries() / name), "--no-password", "--dbname", make_dsn(**parts)]
    return command, {**postgres.environment(), "PGPASSWORD": password}


def versions() -> dict[str, str]:
    """The releases that this checkout locks, of what has data of its own."""
    return {
        "airflow": _locked("airflow.txt", "apache-airflow"),
        "mlflow": _locked("console.txt", "mlflow"),
        "atalaya": tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["version"],
    }


def _locked(lock: str, package: str) -> str:
    lines = (REPO / "requirements" / lock).read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{package}==")).split("==")[1].split()[0]


def require_target(path: Path) -> None:
    """Raises StackError for a file that is there, or a folder that cannot be made."""
    if path.exists():
        raise StackError(f"{path} exists already: FILE names another one.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(f"Cannot make the folder {path.parent}: {error.strerror}.") from error


def _require_servers(config: Config) -> None:
    for part in find(*SERVERS):
        if reason := health.reason_unhealthy(config, part, started_at=0):
            raise StackError(
                f"{part.name} does not answer ({reason}): `make status` says more. No backup was made."
            )


def _write(config: Config, path: Path, passphrase: str, *, is_up: bool) -> int:
    n_waiting = _wait_recorded(config) if is_up else 0
    with Writer(path) as writer:
        # Before the rows: what Kafka says is recorded by now is in every later snapshot.
        own = kafka_state.own_topics(urls(config)["console"], records=_records(config))
        state = kafka_state.state(kafka_settings(config), own)
        about = dump_databases(urls(config), writer)
        writer.add(
            "redis/features.json", BytesIO(features(console_parts.settings(config)["CONSOLE_REDIS_URL"]))
        )
        for name, folder in folders(config).items():
            require_room(path, str(folder), size_bytes(folder))
            copy(writer, name, folder)
        writer.finish(
            {"kafka": state, "versions": versions(), "n_predictions_waiting": n_waiting, **about},
            secrets={"secrets": config.secrets, "settings": config.settings},
            passphrase=passphrase,
        )
    return n_waiting


def _wait_recorded(config: Config) -> int:
    print("waiting until the recorder has written what was answered ...", flush=True)
    return kafka_state.wait_until_recorded(
        kafka_settings(config), _records(config), patience_s=RECORDER_PATIENCE_S
    )


def _records(config: Config) -> str:
    return config.settings.get("CONSOLE_PREDICTIONS_TOPIC", "predictions")


def dump_databases(addresses: Mapping[str, str], writer: Writer) -> dict[str, Any]:
    """Each by name and address, the snapshots in this order. Returns what the manifest says of them."""
    began_at = time.monotonic()
    with contextlib.ExitStack() as held:
        snapshots = {name: held.enter_context(_snapshot(name, url)) for name, url in addresses.items()}
        apart_s = time.monotonic() - began_at
        for name, found in snapshots.items():
            print(f"dumping the database {name} ...", flush=True)
            _dump(writer, name, addresses[name], found["snapshot"])
    return {
        "databases": {name: found["server"] for name, found in snapshots.items()},
        "migrations": {name: found["migrations"] for name, found in snapshots.items() if found["migrations"]},
        "snapshots_apart_s": round(apart_s, 3),
    }


@contextlib.contextmanager
def _snapshot(name: str, url: str) -> Iterator[dict[str, Any]]:
    """What a database holds at this moment, kept until the end."""
    try:
        connection = psycopg2.connect(url, connect_timeout=5, application_name="atalaya backup")
    except psycopg2.Error as error:
        raise StackError(f"The database {name} does not answer: {error}") from error
    try:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection.cursor() as cursor:
            # It waits while the databases before it are dumped, and a server may end who waits for long.
            cursor.execute("SET idle_in_transaction_session_timeout = 0")
            cursor.execute("SELECT pg_export_snapshot(), current_setting('server_version')")
            snapshot, server = cursor.fetchone()
            cursor.execute("SELECT to_regclass('public.django_migrations') IS NOT NULL")
            (has_migrations,) = cursor.fetchone()
            if has_migrations:
                cursor.execute(MIGRATIONS)
            yield {
                "snapshot": snapshot,
                "server": server,
                "migrations": cursor.fetchall() if has_migrations else [],
            }
    finally:
        connection.close()


def _dump(writer: Writer, name: str, url: str, snapshot: str) -> None:
    command, environment = program("pg_dump", url)
    command += ["--format=custom", f"--snapshot={snapshot}", "--no-owner", "--no-privileges"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd="/"
    )
    try:
        assert process.stdout is not None
        writer.add(f"databases/{name}.dump", process.stdout, is_compressed=True)
        _out, errors = process.communicate()
    finally:
        process.kill()
        process.wait()
    if process.returncode != 0:
        raise StackError(f"pg_dump of the database {name} failed: {errors.decode(errors='replace').strip()}")


def features(url: str) -> bytes:
    """The rows of the feature store as Redis itself writes them, with when each expires (Unix ms)."""
    found: list[dict[str, Any]] = []
    try:
        with redis.Redis.from_url(url, socket_timeout=10) as client:
            for key in client.scan_iter(FEATURES, count=1000):
                now_ms, left_ms, content = int(time.time() * 1000), client.pttl(key), client.dump(key)
                if content is not None:  # it expired this moment
                    expires_ms = now_ms + left_ms if left_ms > 0 else 0
                    found.append({"key": key.hex(), "dump": content.hex(), "expires_ms": expires_ms})
    except redis.RedisError as error:
        raise StackError(f"Redis does not give the feature store: {error}") from error
    return json.dumps(found).encode()


def size_bytes(folder: Path) -> int:
    """Of the files that a backup takes."""
    return sum(found.stat().st_size for found in _files(folder))


def require_room(path: Path, source: str, needed: int) -> None:
    """Raises StackError where so many bytes of a source do not fit beside the backup's file."""
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise StackError(
            f"{source} holds {needed // MB} MB, and where the backup goes {free // MB} MB are free: "
            "FILE names another place. No backup was made."
        )


def _files(folder: Path) -> Iterator[Path]:
    """Its files; links are left out, since they may lead anywhere."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path


def copy(writer: Writer, name: str, folder: Path) -> None:
    """A folder's files as members below this name."""
    for path in _files(folder):
        stream: IO[bytes]
        try:
            stream = path.open("rb")
        except FileNotFoundError:  # a job tidied up
            continue
        with stream:
            writer.add(f"{name}/{path.relative_to(folder).as_posix()}", stream)
