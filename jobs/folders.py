"""A job's folder: what its launcher and the console tell one another, in files. No Django: both use it.

Whoever holds the lock is alone with the job. A driver is started under the lock and only where neither
`launcher.json` nor `exit.json` is there; `exit.json` is written under the lock too. So a job has one driver
at most, however often it is sent, and a free lock beside one of the two files means that it is over.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.lib.files import write_whole
from jobs import log_file

TAIL_BYTES = 64 * 1024


@dataclass(frozen=True)
class Folder:
    """One job's folder; it need not exist yet."""

    path: Path

    @property
    def params(self) -> Path:
        return self.path / "params.json"

    @property
    def access(self) -> Path:
        """How services are reached that the application needs, with passwords; gone once the job ended."""
        return self.path / "access.json"

    @property
    def properties(self) -> Path:
        """Spark settings that are secret; gone once the job ended."""
        return self.path / "spark.properties"

    @property
    def supplies(self) -> Path:
        """A folder of what the console puts there for the application."""
        return self.path / "supplies"

    @property
    def stop(self) -> Path:
        """Asks a streaming application to end; it looks every second."""
        return self.path / "stop"

    @property
    def progress(self) -> dict[str, Any] | None:
        """How a streaming application fares: `at`, its `queries`, and the `history` of its rows a second."""
        return self._read("progress.json")

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def log(self) -> Path:
        return self.path / "log"

    @property
    def temporary(self) -> Path:
        return self.path / "tmp"

    @property
    def launch(self) -> dict[str, Any] | None:
        """What the launcher runs: `argv`, `env`. Limits: `longest_s` (or none), `asks_for_s`,
        `kill_after_s`, `largest_log_bytes`.
        """
        return self._read("launch.json")

    @property
    def launcher(self) -> dict[str, Any] | None:
        """`pid`, `boot_id`, `started_at` of the launcher, from just before it starts the driver."""
        return self._read("launcher.json")

    @property
    def end(self) -> dict[str, Any] | None:
        """`code` of the driver if it had one, `ended_at`, `error`; `is_stopped` when it was told to end, and
        `is_late` when it took longer than it may.
        """
        return self._read("exit.json")

    @property
    def has_begun(self) -> bool:
        """Whether a driver was started, or never will be."""
        return self.launcher is not None or self.end is not None

    @property
    def is_held(self) -> bool:
        """Whether a launcher lives, or somebody settles the job right now."""
        with self.locked() as is_free:
            return not is_free

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """True when the lock is ours for the block; False, at once, when somebody has it."""
        descriptor = self.take_lock()
        try:
            yield descriptor is not None
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def take_lock(self) -> int | None:
        """The lock, held until the descriptor is closed in this process and in those that it forks."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def write(self, name: str, value: dict[str, Any]) -> None:
        """A file, whole or not at all, and safe on disk."""
        write_whole(self.path / name, json.dumps(value))

    def log_tail(self) -> str:
        """The last lines of the log."""
        try:
            return log_file.before_byte(self.log, None, TAIL_BYTES).content.decode(errors="replace")
        except FileNotFoundError:
            return ""

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            value = json.loads((self.path / name).read_bytes())
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError) as error:  # who minds that a file cannot be read minds this, too
            raise OSError(f"{name} is damaged: {error}") from error
        if not isinstance(value, dict):
            raise OSError(f"{name} is damaged: it holds no object")
        return value
