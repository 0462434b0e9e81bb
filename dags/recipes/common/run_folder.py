"""One DAG run as its steps meet it, and its folder, in which they hand each other files.

Only small facts go through XCom.
"""

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import cloudpickle
import pandas as pd

KEPT_S = 7 * 24 * 3600


class RunFolder:
    """Files of one run, by name. A task that is retried writes its files again."""

    def __init__(self, path: Path) -> None:
        """Who opens a folder uses it: it is no old one."""
        self.path = path
        try:
            os.utime(path)
        except FileNotFoundError:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)

    @classmethod
    def of(cls, dag_id: str, run_id: str) -> "RunFolder":
        """run_id: Airflow's, which may hold characters that file names do not take."""
        readable = re.sub(r"[^A-Za-z0-9_.-]", "_", run_id)[:80]
        return cls(_base() / dag_id / f"{readable}-{sha256(run_id.encode()).hexdigest()[:8]}")

    def write_json(self, name: str, value: Any) -> None:
        self._replace(name, json.dumps(value, indent=2, sort_keys=True).encode())

    def read_json(self, name: str) -> Any:
        return json.loads(self.read_bytes(name))

    def write_bytes(self, name: str, data: bytes) -> None:
        self._replace(name, data)

    def read_bytes(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        table.to_parquet(self.path / name, index=False)

    def read_table(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.path / name)

    def write_model(self, name: str, model: Any) -> None:
        self._replace(name, cloudpickle.dumps(model))

    def read_model(self, name: str) -> Any:
        """What `write_model` of this very run wrote."""
        return cloudpickle.loads(self.read_bytes(name))

    def _replace(self, name: str, data: bytes) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_name(path.name + ".part")
        half.write_bytes(data)
        half.replace(path)


@dataclass(frozen=True)
class DagRun:
    """params: as the DAG's schema has checked them. requested_by: who triggered it; empty for a schedule."""

    dag_id: str
    run_id: str
    params: Mapping[str, Any]
    requested_by: str = ""

    @classmethod
    def from_json(cls, text: str) -> "DagRun":
        return cls(**json.loads(text))

    @cached_property
    def folder(self) -> RunFolder:
        return RunFolder.of(self.dag_id, self.run_id)


def remove_old(dag_id: str, *, older_than_s: float = KEPT_S) -> int:
    """Remove the folders of runs long past, which nobody has opened since; returns how many.

    Several runs may do this at once: whoever renames a folder first removes it.
    """
    removed = 0
    base = _base() / dag_id
    for path in base.iterdir() if base.is_dir() else ():
        going = path.with_name(f".going-{uuid4().hex}")
        try:
            if not path.is_dir() or time.time() - path.stat().st_mtime <= older_than_s:
                continue
            path.rename(going)
        except FileNotFoundError:  # another run took it
            continue
        shutil.rmtree(going)
        removed += 1
    return removed


def _base() -> Path:
    return Path(os.environ.get("ATALAYA_WORK_DIR") or Path(tempfile.gettempdir()) / "atalaya-runs")
