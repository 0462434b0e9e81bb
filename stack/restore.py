"""`make restore FILE=…`: a stack from a backup, in a folder that holds none, on whatever ports.

The whole file is read and checked before anything is written. What cannot be restored whole is taken away
again, but for databases elsewhere, which are named; a restore that was killed leaves a mark, by which
`make up` refuses the folder.

Kafka starts empty (its messages are in no backup): its topics are made as they were, with new ids. By these
the aggregator sees that its offsets are another topic's and begins at 0, and the recorder has no position. In
an outside Kafka, which lives on, the ids are the same: the recorder is set back to where the backup was, and
records again what the rows lack.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import psycopg2
import redis
from packaging.version import Version

from core.lib.files import write_whole
from stack import account, backup, console_parts, databases, kafka_state, up
from stack.backup_file import Backup
from stack.config import REPO, Config
from stack.down import stop
from stack.errors import StackError

CHUNK_BYTES = 1 << 20
FORGET_PLACES = "UPDATE streaming_deadletter SET dead_partition = NULL, dead_offset = NULL"
HAS_KAFKA_MARK = "SELECT to_regclass('public.streaming_kafkamark') IS NOT NULL"
FORGET_KAFKA_MARK = "DELETE FROM streaming_kafkamark"
TABLES = """
SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')
"""


def restore(config: Config, found: Backup, passphrase: str) -> None:
    """Fill the stack's folder; nothing runs afterwards.

    Raises StackError, with nothing left behind but what a database elsewhere took, which is said.
    """
    _require_empty(config)
    if found.manifest.get("kind"):
        raise StackError(
            "This backup is of an installation without an embedded stack: `python -m stack.outside restore` "
            "brings it back."
        )
    found.check()
    sealed = found.secrets(passphrase)
    require_known(found.manifest)
    filled: list[str] = []
    try:
        write_whole(config.var_dir / up.RESTORING, "")
        _write_secrets(config, sealed["secrets"])
        with up.servers(config, *backup.SERVERS):
            for name, url in backup.urls(config).items():
                print(f"restoring the database {name} ...", flush=True)
                restore_database(found, name, url)
                filled.append(name)
            if not kafka_state.restore(backup.kafka_settings(config), found.manifest["kafka"]):
                forget_places(backup.urls(config)["console"])
            forget_kafka_mark(backup.urls(config)["console"])
            restore_features(found, console_parts.settings(config)["CONSOLE_REDIS_URL"])
        for name, folder in backup.folders(config).items():
            restore_files(found, name, folder)
        (config.var_dir / up.RESTORING).unlink()
    except OSError as error:
        _take_back(config, filled)
        raise StackError(f"Restoring failed: {error}. The folder is empty again.") from error
    except BaseException:
        _take_back(config, filled)
        raise
    _tell_settings(config, sealed["settings"])


def require_known(manifest: Mapping[str, Any]) -> None:
    """Raises StackError for a backup of a release that is newer than this one."""
    for name, ours in backup.versions().items():
        theirs = manifest["versions"].get(name, "0")
        if Version(theirs) > Version(ours):
            raise StackError(
                f"The backup is of a newer release: it has {name} {theirs}, this one {ours}. "
                "Restore it with that release."
            )
    for database, applied in manifest["migrations"].items():
        unknown = sorted(f"{app}.{name}" for app, name in applied if not _is_known(app, name))
        if unknown:
            raise StackError(
                f"The backup is of a newer release: its database {database} has migrations that this one "
                f"does not know ({', '.join(unknown[:3])}). Restore it with that release."
            )


def _is_known(app: str, name: str) -> bool:
    import django

    bases = (REPO, REPO / "core", REPO / "console", Path(django.__file__).parent / "contrib")
    return any((base / app / "migrations" / f"{name}.py").exists() for base in bases)


def _require_empty(config: Config) -> None:
    kept = {config.var_dir / ".lock", config.venv_dir}
    there = [path for path in config.var_dir.iterdir() if path not in kept] if config.var_dir.exists() else []
    for folder in _outside(config):
        if folder.is_dir() and any(folder.iterdir()):
            there.append(folder)
    if there:
        raise StackError(
            f"{there[0]} is there already, and a backup is restored into an empty folder only. Set "
            "CONSOLE_VAR_DIR (and CONSOLE_PORT_BASE, beside another stack), or `make reset` first."
        )


def _write_secrets(config: Config, secrets: Mapping[str, str]) -> None:
    """As they were, but for the id of Kafka's cluster: this is another one."""
    kept = {name: value for name, value in secrets.items() if name != "kafka_cluster_id"}
    write_whole(config.var_dir / "secrets.json", json.dumps(kept, indent=1))
    config.__dict__.pop("secrets", None)  # asked for before they were there


def restore_database(found: Backup, name: str, url: str) -> None:
    """Fill a database that has no tables, in one transaction. Raises StackError."""
    require_no_tables(name, url)
    command, environment = backup.program("pg_restore", url)
    command += ["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        cwd="/",
    )
    try:
        assert process.stdin is not None
        with found.open(f"databases/{name}.dump") as member:
            _pour(member, process.stdin)
        _out, errors = process.communicate()
    finally:
        process.kill()
        process.wait()
    if process.returncode != 0:
        raise StackError(
            f"pg_restore of the database {name} failed: {errors.decode(errors='replace').strip()}"
        )


def forget_places(url: str) -> None:
    """Dead letters whose bytes lay in a topic that is gone: at their place in the new one lies another's."""
    with (
        closing(psycopg2.connect(url, connect_timeout=5)) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(FORGET_PLACES)


def forget_kafka_mark(url: str) -> None:
    """So that the console makes another: an outside Kafka has numbers of rows made after the backup.

    A backup of a release without marks has no such table.
    """
    with (
        closing(psycopg2.connect(url, connect_timeout=5)) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(HAS_KAFKA_MARK)
        if cursor.fetchone() == (True,):
            cursor.execute(FORGET_KAFKA_MARK)


def _pour(source: IO[bytes], sink: IO[bytes]) -> None:
    """All of it; a program that ends early says itself why."""
    try:
        shutil.copyfileobj(source, sink, CHUNK_BYTES)
    except BrokenPipeError:
        return


def require_no_tables(name: str, url: str) -> None:
    """Raises StackError for a database that does not answer, or holds something."""
    try:
        connection = psycopg2.connect(url, connect_timeout=5)
    except psycopg2.Error as error:
        raise StackError(f"The database {name} does not answer: {error}") from error
    try:
        with connection.cursor() as cursor:
            cursor.execute(TABLES)
            (n_tables,) = cursor.fetchone()
    finally:
        connection.close()
    if n_tables:
        raise StackError(f"The database {name} is not empty ({n_tables} tables): restore into a new one.")


def restore_features(found: Backup, url: str) -> None:
    """Put the rows of the feature store into this Redis, over those of the same keys."""
    with found.open("redis/features.json") as member:
        rows = json.load(member)
    try:
        with redis.Redis.from_url(url, socket_timeout=10) as client:
            for row in rows:
                content = bytes.fromhex(row["dump"])
                client.restore(
                    bytes.fromhex(row["key"]), row["expires_ms"], content, replace=True, absttl=True
                )
    except redis.RedisError as error:
        raise StackError(f"Redis does not take the feature store back: {error}") from error


def restore_files(found: Backup, prefix: str, folder: Path) -> None:
    """Members below this name as files of a folder. Raises OSError where one is there."""
    for name, inside in found.below(prefix):
        target = folder / inside
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with found.open(name) as member, os.fdopen(descriptor, "wb") as stream:
            shutil.copyfileobj(member, stream, CHUNK_BYTES)


def _take_back(config: Config, filled: Sequence[str]) -> None:
    """Remove what this restore wrote, and name what stays: databases that somebody else keeps."""
    print("\nRemoving what was written ...", flush=True)
    outside = [name for name in filled if backup.urls(config)[name] != databases.url(config, name)]
    _forget(config)
    if outside:
        print(
            f"The outside databases {', '.join(outside)} are filled already, and stay so: drop and create"
            " them again before the next restore.",
            flush=True,
        )


def _forget(config: Config) -> None:
    """Remove what the restore wrote. The folder was empty before, but for what is installed."""
    stop(config)
    for path in config.var_dir.iterdir():
        if path not in (config.var_dir / ".lock", config.venv_dir):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for folder in _outside(config):
        if folder.exists():
            shutil.rmtree(folder)


def _outside(config: Config) -> tuple[Path, Path]:
    """Folders that may lie elsewhere: of PostgreSQL, and of what pipelines and jobs write."""
    return account.refuge(config.var_dir), backup.output_dir(config)


def _tell_settings(config: Config, then: Mapping[str, str]) -> None:
    differing = sorted(name for name, value in then.items() if config.settings.get(name) != value)
    if differing:
        print(f"The stack ran with other values of {', '.join(differing)}: see that .env says what you want.")
