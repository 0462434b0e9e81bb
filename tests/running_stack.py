"""A stack of the tests' own, driven by the commands that people use."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from stack import catalogue, config, groups, health, supervisor
from stack.config import REPO, Config
from stack.health import Standing
from tests import made_data

PORT_BASE = int(os.environ.get("CONSOLE_TEST_PORT_BASE", "18000"))
VAR_DIR = os.environ.get("CONSOLE_TEST_VAR_DIR", str(REPO / "var" / "test"))
# Spark's settings for jobs with few rows: what a JVM spends on code that runs for hours is left out.
QUICK_TO_START = dict.fromkeys(
    ("spark.driver.extraJavaOptions", "spark.executor.extraJavaOptions"),
    "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
)
PASSED_ON = ("PATH", "HOME", "LANG", "JAVA_HOME", "CONSOLE_VENV_DIR", "CONSOLE_DATA_DIR")


@dataclass
class RunningStack:
    """One stack; `command` runs `python -m stack ...` with its environment."""

    environ: dict[str, str]
    output: str = ""  # of the `up` that started it: address, one-time password of the first admin

    @cached_property
    def config(self) -> Config:
        return config.from_environment(self.environ, dotenv=Path(os.devnull))

    @property
    def env(self) -> dict[str, str]:
        """Every setting that its console runs with."""
        return config.read_env_file(self.config.var_dir / "console.env")

    @property
    def url(self) -> str:
        return self.config.public_url

    @property
    def serving_url(self) -> str:
        return f"http://127.0.0.1:{self.config.port('serving')}"

    @property
    def airflow_url(self) -> str:
        return self.env["CONSOLE_AIRFLOW_URL"]

    @property
    def mlflow_url(self) -> str:
        return self.env["CONSOLE_MLFLOW_URL"]

    @property
    def mlflow_account(self) -> tuple[str, str]:
        """Name and password that MLflow asks for."""
        return self.env["CONSOLE_MLFLOW_USERNAME"], self.env["CONSOLE_MLFLOW_PASSWORD"]

    def mlflow_client(self) -> httpx.Client:
        return httpx.Client(base_url=self.mlflow_url, auth=self.mlflow_account, timeout=10, trust_env=False)

    @property
    def kafka_config(self) -> dict[str, str]:
        """What librdkafka needs to reach the broker."""
        settings = json.loads(self.env["CONSOLE_KAFKA_CONFIG"])
        return {"bootstrap.servers": self.env["CONSOLE_KAFKA_BOOTSTRAP"], **settings}

    @cached_property
    def admin_token(self) -> str:
        """Of an administrator whom the command made: who else is needed is made with it, by REST."""
        name = f"maker-{uuid.uuid4().hex[:8]}"  # the stack may be kept from an earlier run
        self.manage("create_user", name, "--role", "admin")
        return self.manage("create_token", name, "--scope", "admin", "tokens").strip().splitlines()[-1]

    def command(self, *arguments: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        return self._run([sys.executable, "-m", "stack", *arguments], timeout_s=timeout_s)

    def up(self) -> str:
        """Start what does not run, wait until all is healthy; answers what the command printed."""
        return self._checked(self.command("up"))

    def down(self) -> str:
        return self._checked(self.command("down"))

    def manage(self, *arguments: str, timeout_s: float = 800) -> str:
        """What `manage.py` with these arguments prints, run with the stack's settings."""
        return self._checked(self.command("manage", *arguments, timeout_s=timeout_s))

    def status(self) -> dict[str, Standing]:
        """How each part is, by its name."""
        parts: list[dict[str, Any]] = json.loads(self.command("status", "--json").stdout)["parts"]
        return {part["part"]: Standing(**part) for part in parts}

    def kill(self, *names: str) -> None:
        """kill -9 every process of these parts at once."""
        for part in catalogue.find(*names):
            groups.kill(self.config, part)

    @contextmanager
    def without(self, name: str) -> Iterator[None]:
        """`name` is stopped meanwhile, and healthy again afterwards."""
        (part,) = catalogue.find(name)
        supervisor.stop(self.config, {part.name})
        try:
            yield
        finally:
            supervisor.start_program(self.config, part)
            self.wait_until_healthy([name])

    def wait_until_healthy(self, names: Iterable[str] = catalogue.PARTS, *, timeout_s: float = 90) -> None:
        """Raises AssertionError that names those that are not healthy in time."""
        deadline = time.monotonic() + timeout_s
        while ill := self._ill(names):
            assert time.monotonic() < deadline, f"not healthy after {timeout_s} s: {ill}"
            time.sleep(0.3)

    def _ill(self, names: Iterable[str]) -> dict[str, str]:
        found = health.standings(self.config, catalogue.find(*names))
        return {one.part: one.reason or one.health for one in found if one.health != "healthy"}

    def _run(self, command: Sequence[str], *, timeout_s: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=REPO, env=self.environ, capture_output=True, text=True, timeout=timeout_s
        )

    @staticmethod
    def _checked(done: subprocess.CompletedProcess[str]) -> str:
        assert done.returncode == 0, f"{done.args} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout


def environment(**more: str) -> dict[str, str]:
    """The environment of a stack's commands: little of the caller's, and these; no demonstration."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {**kept, "DEMO": "0", **more}


def own() -> RunningStack:
    """The one stack of a test run."""
    data_dir = os.environ.get("CONSOLE_DATA_DIR") or str(made_data.folder(Path(f"{VAR_DIR}-data")))
    return RunningStack(
        environment(
            CONSOLE_PORT_BASE=str(PORT_BASE),
            CONSOLE_VAR_DIR=VAR_DIR,
            CONSOLE_DATA_DIR=data_dir,
            CONSOLE_LOAD_EXAMPLES=os.environ.get("CONSOLE_TEST_EXAMPLES", "0"),
            COURSE_API_WAIT_S="1",  # else the next batch is five minutes away
            CONSOLE_SPARK_CONF=json.dumps(QUICK_TO_START),
        )
    )
