"""Backup and restore of an installation without an embedded stack: containers, a cluster, services elsewhere.

    python -m stack.outside backup FILE
    python -m stack.outside restore FILE
    python -m stack.outside secrets FILE     # those that the backup was made with, as NAME=value

It goes by the console's settings, wherever they are set, and knows no machine: PostgreSQL, Redis, Kafka and
the store of artefacts may be anywhere. File, order and promise are those of `backup`; what the console's
settings do not name is said by CONSOLE_BACKUP_AIRFLOW_URL, CONSOLE_BACKUP_MLFLOW_URL and
CONSOLE_BACKUP_ARTIFACTS.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from core.lib import secret_files
from stack import artifacts, backup, backup_file, kafka_state, restore
from stack.artifacts import Bucket, Folder
from stack.backup_file import Backup, Writer
from stack.errors import StackError

KIND = "outside"
MINE = ("CONSOLE_SECRET_KEY", "CONSOLE_RECORD_SECRETS")  # without which parts of the rows stay sealed
# In the order of their snapshots; those of services need not be ours to back up.
DATABASES = {
    "console": "CONSOLE_DATABASE_URL",
    "usecases": "CONSOLE_USECASES_DATABASE_URL",
    "airflow": "CONSOLE_BACKUP_AIRFLOW_URL",
    "mlflow": "CONSOLE_BACKUP_MLFLOW_URL",
}
ARTIFACTS = "CONSOLE_BACKUP_ARTIFACTS"
OPTIONAL = ("airflow", "mlflow")
UNSAID = (*(DATABASES[name] for name in OPTIONAL), ARTIFACTS)


@dataclass(frozen=True)
class Place:
    """What there is, by its settings.

    said: every setting that is or may hold a secret, and those of the compose file.
    """

    urls: dict[str, str]
    kafka: dict[str, Any]
    topic: str
    redis_url: str
    output: Path
    store: Folder | Bucket | None
    said: dict[str, str]


def place(environ: Mapping[str, str] = os.environ) -> Place:
    """Raises StackError for a setting that is missing or cannot be read."""
    urls = {name: _said(setting, environ) for name, setting in DATABASES.items()}
    address = environ.get(ARTIFACTS, "")
    said = {name: _said(name, environ) for name in secret_files.SETTINGS}
    for name in MINE:
        said[name] = said[name] or _missing(name)
    said |= {name: value for name, value in environ.items() if name.startswith("ATALAYA_")}
    return Place(
        urls={
            name: url or _missing(DATABASES[name])
            for name, url in urls.items()
            if url or name not in OPTIONAL
        },
        kafka={
            "bootstrap.servers": environ.get("CONSOLE_KAFKA_BOOTSTRAP")
            or _missing("CONSOLE_KAFKA_BOOTSTRAP"),
            "log_level": 0,
            **_options(_said("CONSOLE_KAFKA_CONFIG", environ)),
        },
        topic=environ.get("CONSOLE_PREDICTIONS_TOPIC") or "predictions",
        redis_url=_said("CONSOLE_REDIS_URL", environ) or _missing("CONSOLE_REDIS_URL"),
        output=Path(environ.get("CONSOLE_OUTPUT_DIR") or _missing("CONSOLE_OUTPUT_DIR")),
        store=artifacts.store(address) if address else None,
        said={name: value for name, value in said.items() if value},
    )


def make(here: Place, path: Path, passphrase: str) -> backup.Summary:
    """Back it up, while it runs or not. Raises StackError, with no file left behind."""
    backup.require_target(path)
    try:
        n_waiting = _write(here, path, passphrase)
    except OSError as error:
        raise StackError(f"Cannot write {path}: {error.strerror or error}. No backup was made.") from error
    return backup.Summary(path, path.stat().st_size, n_waiting)


def _write(here: Place, path: Path, passphrase: str) -> int:
    print("waiting until the recorder has written what was answered ...", flush=True)
    patience_s = backup.RECORDER_PATIENCE_S
    n_waiting = kafka_state.wait_until_recorded(here.kafka, here.topic, patience_s=patience_s)
    with Writer(path) as writer:
        # Before the rows: what Kafka says is recorded by now is in every later snapshot.
        own = kafka_state.own_topics(here.urls["console"], records=here.topic)
        state = kafka_state.state(here.kafka, own)
        about = backup.dump_databases(here.urls, writer)
        writer.add("redis/features.json", BytesIO(backup.features(here.redis_url)))
        if here.store is not None:
            print(f"copying {here.store} ...", flush=True)
            backup.require_room(path, str(here.store), here.store.size_bytes())
            here.store.copy_to(writer)
        backup.require_room(path, str(here.output), backup.size_bytes(here.output))
        backup.copy(writer, "output", here.output)
        writer.finish(
            {
                "kind": KIND,
                "kafka": state,
                "versions": backup.versions(),
                "n_predictions_waiting": n_waiting,
                "has_artifacts": here.store is not None,
                **about,
            },
            secrets={"settings": here.said},
            passphrase=passphrase,
        )
    return n_waiting


def bring_back(here: Place, found: Backup, passphrase: str) -> None:
    """Fill databases without tables, an empty store and output folder, while nothing of the console runs.

    Raises StackError: before anything is written where something is there or does not fit; what was filled
    when it fails later is said, and to be emptied by hand.
    """
    found.check()
    sealed = found.secrets(passphrase)
    restore.require_known(found.manifest)
    _require_fit(here, found, sealed["settings"])
    filled: list[str] = []
    try:
        _fill(here, found, filled)
    except BaseException as error:
        if filled:
            print(f"\nFilled by now, and to be emptied before the next try: {', '.join(filled)}.", flush=True)
        if isinstance(error, OSError):
            raise StackError(f"Restoring failed: {error}.") from error
        raise


def _fill(here: Place, found: Backup, filled: list[str]) -> None:
    for name in found.manifest["databases"]:
        print(f"restoring the database {name} ...", flush=True)
        restore.restore_database(found, name, here.urls[name])
        filled.append(f"the database {name}")
    if not kafka_state.restore(here.kafka, found.manifest["kafka"]):
        restore.forget_places(here.urls["console"])
    restore.forget_kafka_mark(here.urls["console"])
    restore.restore_features(found, here.redis_url)
    if found.manifest["has_artifacts"] and here.store is not None:
        print(f"filling {here.store} ...", flush=True)
        filled.append(str(here.store))
        here.store.fill(found)
    filled.append(str(here.output))
    restore.restore_files(found, "output", here.output)


def _require_fit(here: Place, found: Backup, then: Mapping[str, str]) -> None:
    if found.manifest.get("kind") != KIND:
        raise StackError("This is a backup of an embedded stack: `make restore` brings it back.")
    for name in found.manifest["databases"]:
        restore.require_no_tables(name, here.urls.get(name) or _missing(DATABASES[name]))
    if found.manifest["has_artifacts"] and here.store is None:
        _missing(ARTIFACTS)
    for target in (here.store, Folder(here.output)):
        if target is not None and not target.is_empty():
            raise StackError(f"{target} is not empty: a backup is restored into an empty one only.")
    for name in MINE:
        if set(then[name].split(",")) - set(here.said.get(name, "").split(",")):
            raise StackError(
                f"{name} is another than the backup's, and parts of the rows are sealed with it. "
                "`python -m stack.outside secrets FILE` prints what it was; set it, then restore."
            )


def _said(name: str, environ: Mapping[str, str]) -> str:
    try:
        return secret_files.value(name, environ) or ""
    except secret_files.SecretFileError as error:
        raise StackError(str(error)) from error


def _options(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text or "{}"))
    except (TypeError, ValueError) as error:  # without the value: it may hold a password
        raise StackError("CONSOLE_KAFKA_CONFIG is no object in JSON.") from error


def _missing(setting: str) -> str:
    raise StackError(f"{setting} is not set: docs/operations.md says what a backup goes by.")


def _backup(path: Path) -> None:
    made = make(place(), path, backup_file.passphrase(is_new=True))
    if made.n_waiting:
        print(f"{made.n_waiting} messages of predictions were not recorded yet, and are not in it.")
    unsaid = [setting for setting in UNSAID if not _said(setting, os.environ)]
    if unsaid:
        print(f"Not in it is what these would name, which are not set: {', '.join(unsaid)}.")
    print(f"\nBacked up to {made.path} ({made.size_bytes / backup.MB:.1f} MB).")


def _restore(path: Path) -> None:
    with backup_file.opened(path) as found:
        bring_back(place(), found, backup_file.passphrase(is_new=False))
    print(f"\nRestored as of {found.manifest['made_at']}. Set up (migrations, tokens), then start the parts.")


def _secrets(path: Path) -> None:
    with backup_file.opened(path) as found:
        for name, value in sorted(found.secrets(backup_file.passphrase(is_new=False))["settings"].items()):
            print(f"{name}={value}")


COMMANDS = {"backup": _backup, "restore": _restore, "secrets": _secrets}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m stack.outside", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("file", type=Path)
    options = parser.parse_args(arguments)
    try:
        COMMANDS[options.command](options.file.absolute())
    except StackError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
