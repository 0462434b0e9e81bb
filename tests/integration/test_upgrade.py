"""The release before, installed and used; then this checkout on the same folder: all is there and goes on.

`make test-upgrade`, outside `make test`: older code starts a whole stack and goes through its demonstration,
this code takes over as docs/operations.md says. FROM=… names another commit than the default.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from stack import config, databases
from stack.config import REPO
from tests import running_stack
from tests.api import Caller, ok, wait_for
from tests.first_path import PASSENGER
from tests.running_stack import RunningStack

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("CONSOLE_TEST_UPGRADE") != "1",
        reason="`make test-upgrade` runs it: two whole stacks, one after the other",
    ),
    pytest.mark.timeout(2700),
]
FROM = os.environ.get("CONSOLE_TEST_UPGRADE_FROM") or "37bba6eaad39"
FOLDER = Path(f"{running_stack.VAR_DIR}-upgrade")
OF_INSTALLERS = ("PIP_", "UV_", "SSL_CERT_")  # where packages come from, and whom to trust for them
# Rows of these are what was done: an upgrade may give them columns, and changes nothing else.
KEPT = (
    "access_apitoken",
    "access_user",
    "alerts_alertstep",
    "audit_auditentry",
    "audit_auditseal",
    "demo_step",
    "jobs_job",
    "models_registry_championperiod",
    "models_registry_gaterun",
    "models_registry_modelversion",
    "models_registry_promotionrequest",
    "models_registry_registeredmodel",
    "pipelines_run",
    "pipelines_taskinstance",
    "predictions_driftwindow",
    "predictions_prediction",
    "streaming_replay",
    "streaming_stream",
    "streaming_window",
)
UNDER_WAY = {"requested", "queued", "starting", "running"}
# What the console notes about itself as it goes, in such rows too.
MOVING = {"access_apitoken": {"last_used_at"}}


@dataclass
class Checkout(RunningStack):
    """A stack that another checkout's code runs; `python` is what its commands are run with."""

    repo: Path = REPO
    python: tuple[str, ...] = (sys.executable,)

    def up(self) -> str:
        return self._checked(self.command("up", timeout_s=900))

    def _run(self, command: Any, *, timeout_s: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.python, *command[1:]],
            cwd=self.repo,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )


class OlderCaller(Caller):
    """By the commands that every release has."""

    def new_token(self, stack: RunningStack, roles: tuple[str, ...]) -> str:
        stack.manage("create_user", self.name, "--role", *roles)
        return stack.manage("create_token", self.name).strip().splitlines()[-1]


@dataclass(frozen=True)
class Seen:
    """What the older code left. rows: of `KEPT`, by table and primary key."""

    at: datetime
    rows: dict[str, dict[str, dict[str, Any]]]
    champions: dict[str, str]
    head: str
    answer: dict[str, Any]
    parts: set[str]


def timed(what: str, act: Callable[[], Any]) -> Any:
    began_at = time.monotonic()
    found = act()
    print(f"{what}: {time.monotonic() - began_at:.1f} s", flush=True)  # noqa: T201 - the figures are asked for
    return found


def older_code(folder: Path) -> Path:
    """The tree of the commit, without its history."""
    folder.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", FROM], cwd=REPO, capture_output=True)
    assert archive.returncode == 0, f"{FROM}: {archive.stderr.decode()} Name another commit: FROM=…"
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    return folder


def has_our_locks(folder: Path) -> bool:
    names = [*(f"{name}.txt" for name in ("bootstrap", "build", "console", "airflow")), "ivy.xml"]
    return all(
        (folder / "requirements" / name).read_bytes() == (REPO / "requirements" / name).read_bytes()
        for name in names
    )


def rows_of(stack: RunningStack) -> dict[str, dict[str, dict[str, Any]]]:
    connection = psycopg2.connect(databases.url(stack.config, "console"))
    found = {}
    with connection, connection.cursor() as cursor:
        for table in KEPT:
            cursor.execute(f"SELECT to_jsonb(t) FROM {table} t")
            found[table] = {
                str(row.get("id", row.get("number"))): {
                    name: value for name, value in row.items() if name not in MOVING.get(table, ())
                }
                for (row,) in cursor.fetchall()
            }
    connection.close()
    return found


def is_under_way(row: dict[str, Any], read_at: datetime) -> bool:
    """Whether its part still worked at it when it was read, which changes it without any upgrade."""
    updated_at = datetime.fromisoformat(row["updated_at"]) if "updated_at" in row else None
    is_counting = updated_at is not None and updated_at > read_at - timedelta(minutes=2)
    return is_counting or bool(row.get("next_attempt_at")) or row.get("state") in UNDER_WAY


def champions(by: Caller) -> dict[str, str]:
    return {model["name"]: model["champion"] for model in ok(by.get("/models"))["results"]}


def predict(by: Caller) -> dict[str, Any]:
    """The answer about one passenger, without its own id."""
    answer = ok(by.post("/models/titanic/predict", {"rows": [PASSENGER]}))
    (found,) = answer["predictions"]
    return {"version": answer["version"], **found}


def is_recorded(by: Caller, answer: dict[str, Any]) -> bool:
    return by.get(f"/predictions/{answer['id']}").status_code == 200


def head_of(stack: RunningStack, *noted: str) -> str:
    """Of the audit trail's chain, which holds the one noted."""
    told = stack.manage("verify_audit", *(("--head", noted[0]) if noted else ()))
    return told.split("Head: ")[1].split()[0]


def demonstrated(stack: RunningStack) -> bool:
    about = json.loads(stack.command("status", "--json").stdout)["demonstration"]
    if (
        about["state"] == "failed"
    ):  # its steps have deadlines, which a busy machine misses: it says to repeat it
        stack.manage("run_demo", timeout_s=900)
    return bool(about["state"] == "done")


def use(stack: RunningStack) -> tuple[Caller, Seen]:
    """Let the older code work, and note what it left."""
    timed("older code: make up", stack.up)
    timed(
        "older code: its demonstration", lambda: wait_for("it", lambda: demonstrated(stack), timeout_s=1200)
    )
    caller = OlderCaller(stack, "upgrade", "scientist")
    answer = predict(caller)
    wait_for("record", lambda: is_recorded(caller, answer), timeout_s=30)
    time.sleep(6)  # entries of the audit trail are sealed every five seconds
    found = Seen(
        datetime.now(UTC), rows_of(stack), champions(caller), head_of(stack), answer, set(stack.status())
    )
    timed("older code: make down", stack.down)
    return caller, found


def changed(
    before: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]], *, read_at: datetime
) -> dict[str, Any]:
    """Rows that went, or say something else though nobody works at them: what columns said, and say."""
    return {
        key: {name: (value, now.get(key, {}).get(name)) for name, value in row.items()}
        for key, row in before.items()
        if key not in now
        or (
            not is_under_way(row, read_at) and any(now[key].get(name) != value for name, value in row.items())
        )
    }


@pytest.fixture
def older() -> Iterator[Checkout]:
    """The release before, in a folder of its own; what it started is stopped and removed at the end."""
    folder = FOLDER / "checkout"
    shutil.rmtree(folder, ignore_errors=True)
    stack = Checkout(environment(DEMO="1"), repo=older_code(folder))
    if not has_our_locks(folder):
        stack.environ["CONSOLE_VENV_DIR"] = str(FOLDER / "venv")
        stack.environ |= {name: os.environ[name] for name in os.environ if name.startswith(OF_INSTALLERS)}
        stack.python = ("python3", "-m", "stack.bootstrap")
    try:
        yield stack
    finally:
        stack.command("reset")
        shutil.rmtree(folder)


def environment(**more: str) -> dict[str, str]:
    return running_stack.environment(
        CONSOLE_PORT_BASE=str(running_stack.PORT_BASE),
        CONSOLE_VAR_DIR=str(FOLDER / "var"),
        CONSOLE_VENV_DIR=str(config.from_environment().venv_dir),  # of this checkout's .env, perhaps
        **more,
    )


def test_the_release_before_is_upgraded_with_all_that_it_holds(older):
    caller, before = use(older)
    stack = Checkout(environment())
    try:
        timed("this code: make up", stack.up)
        now = rows_of(stack)
        found = {table: changed(before.rows[table], now[table], read_at=before.at) for table in KEPT}
        assert not any(found.values()), json.dumps({name: rows for name, rows in found.items() if rows})
        assert all(before.rows.values())
        assert champions(caller) == before.champions
        head_of(stack, before.head)
        answer = predict(caller)
        assert answer | {"id": before.answer["id"]} == before.answer
        wait_for("record", lambda: is_recorded(caller, answer), timeout_s=30)
        assert "No planned migration operations." in stack.manage("migrate", "--plan")
        assert stack.status().keys() >= before.parts
    finally:
        stack.command("down")
