"""Spark: the command that submits an application, and what its driver tells over REST while it runs.

Written against Spark 4.2. Drivers run where the worker runs (client mode), since the console follows and ends
them as processes. All that they open is on the loopback address, but for what executors elsewhere connect to.
"""

import importlib.util
import json
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings
from django.utils.translation import gettext as _

from core.lib.errors import InvalidRequest, Unavailable
from core.lib.files import write_whole
from jobs import processes
from jobs.folders import Folder

SERVICE = "spark"
DEFAULT = "default"
LONGEST_TARGET = 40
LOCAL = "local"
STANDALONE = "spark://"
KUBERNETES = "k8s://"
LOOPBACK = "127.0.0.1"
MASTER_TIMEOUT_S = 3.0
TIMEOUT_S = 5.0  # a busy driver that is hung up on fills its log with that
# What a driver sees of the worker's environment: nothing that is secret.
KEPT = ("PATH", "HOME", "LANG", "TZ", "JAVA_HOME")


@dataclass(frozen=True)
class Target:
    """Where jobs run: a master as spark-submit knows it, and how many at once. conf: Spark's own settings."""

    name: str
    master: str
    at_once: int
    conf: dict[str, str]


def targets() -> dict[str, Target]:
    """By name; `default` is the first."""
    default = Target(DEFAULT, settings.CONSOLE_SPARK_MASTER, settings.CONSOLE_JOBS_AT_ONCE, {})
    others = {
        name: Target(name, one["master"], one.get("at_once", 1), one.get("conf", {}))
        for name, one in settings.CONSOLE_SPARK_TARGETS.items()
    }
    return {DEFAULT: default, **others}


def target(name: str) -> Target:
    """Raises InvalidRequest."""
    found = targets().get(name)
    if found is None:
        message = _("There is no target “%(name)s”; there are: %(known)s.")
        message %= {"name": name[:LONGEST_TARGET], "known": ", ".join(targets())}
        raise InvalidRequest(message, errors=[{"field": "target", "message": message}])
    return found


def require_master(of: Target) -> None:
    """Raises Unavailable when none of a standalone master's addresses takes connections.

    Whatever other managers there are, spark-submit asks them itself.
    """
    if not of.master.startswith(STANDALONE):
        return
    addresses = of.master.removeprefix(STANDALONE).split(",")
    if not any(_listens(address) for address in addresses):
        raise Unavailable(
            _("The Spark master %(master)s does not answer.") % {"master": of.master}, service=SERVICE
        )


def _listens(address: str) -> bool:
    host, _colon, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=MASTER_TIMEOUT_S).close()
    except (OSError, ValueError):
        return False
    return True


@dataclass(frozen=True)
class Progress:
    """How far an application is, as its driver tells it. Totals grow while Spark plans on."""

    spark_app_id: str
    stages_done: int
    stages_total: int
    tasks_done: int
    tasks_total: int


def connector_jars() -> list[Path]:
    """Spark's jars for Kafka; empty where there are none."""
    folder = settings.CONSOLE_SPARK_JARS
    return sorted(Path(folder).glob("*.jar")) if folder else []


def command(
    name: str,
    *,
    application: Path,
    folder: Folder,
    output_dir: Path,
    ui_port: int,
    jars: Sequence[Path] = (),
    on: Target,
) -> list[str]:
    """The program and arguments that run an application under this name."""
    conf = {
        "spark.app.name": name,
        "spark.ui.port": str(ui_port),
        "spark.port.maxRetries": "0",  # another port would be another job's
        "spark.ui.killEnabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.executorEnv.PYTHONPATH": str(settings.BASE_DIR),
        **_place(on),
        **on.conf,
        **settings.CONSOLE_SPARK_CONF,
    }
    options = ["--master", on.master, "--name", name]
    options += ["--properties-file", str(folder.properties)] if folder.properties.exists() else []
    options += ["--driver-memory", settings.CONSOLE_SPARK_DRIVER_MEMORY]
    options += ["--jars", ",".join(map(str, jars))] if jars else []
    options += [word for key, value in conf.items() for word in ("--conf", f"{key}={value}")]
    arguments = ["--params", str(folder.params), "--result", str(folder.result), "--output", str(output_dir)]
    arguments += ["--access", str(folder.access)]
    return [_submit_program(), *options, str(application), *arguments]


def _place(on: Target) -> dict[str, str]:
    """Where executors find the driver; on Kubernetes also what their pods are made of."""
    host = LOOPBACK if on.master.startswith(LOCAL) else settings.CONSOLE_SPARK_DRIVER_HOST
    conf = {"spark.driver.host": host, "spark.driver.bindAddress": host}
    if on.master.startswith(KUBERNETES):
        conf |= {
            "spark.kubernetes.container.image": settings.CONSOLE_SPARK_IMAGE,
            "spark.kubernetes.namespace": settings.CONSOLE_SPARK_NAMESPACE,
            # what executors have, too, unless a target's conf names another
            "spark.kubernetes.authenticate.driver.serviceAccountName": settings.CONSOLE_SPARK_SERVICE_ACCOUNT,
        }
    return {name: value for name, value in conf.items() if value}


def write_properties(folder: Folder, on: Target) -> None:
    """The secret that a standalone master asks for, where command line and environment do not show it."""
    if settings.CONSOLE_SPARK_AUTH_SECRET and on.master.startswith(STANDALONE):
        text = f"spark.authenticate true\nspark.authenticate.secret {settings.CONSOLE_SPARK_AUTH_SECRET}\n"
        write_whole(folder.properties, text.encode())


def environment(folder: Folder) -> dict[str, str]:
    """All that the launcher and the driver see."""
    kept = {name: os.environ[name] for name in KEPT if os.environ.get(name)}
    return {
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(settings.BASE_DIR),
        **kept,
        processes.MARK: str(folder.path),
        **({} if settings.CONSOLE_SPARK_SUBMIT else {"SPARK_HOME": str(_pyspark())}),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": str(folder.temporary),
        "TMPDIR": str(folder.temporary),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
    }


def progress(name: str, ui_port: int) -> Progress:
    """How far the application of this name is.

    Raises Unavailable when no driver of that name answers at the port: it starts, ends, or is busy.
    """
    with _translated(), httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
        app_id = _application_id(client, name, ui_port)
        return _progress(app_id, _answer(client, f"{_applications(ui_port)}/{app_id}/jobs"))


def application_id(name: str, ui_port: int) -> str:
    """Spark's own id of the application of this name. Raises Unavailable as `progress` does."""
    with _translated(), httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
        return _application_id(client, name, ui_port)


def _application_id(client: httpx.Client, name: str, ui_port: int) -> str:
    found = _answer(client, _applications(ui_port))
    app_id = next((app["id"] for app in found if app["name"] == name), None)
    if app_id is None:
        raise Unavailable(_("Another application answers at this port."), service=SERVICE)
    return str(app_id)


def _applications(ui_port: int) -> str:
    return f"http://127.0.0.1:{ui_port}/api/v1/applications"


def _answer(client: httpx.Client, url: str) -> Any:
    return client.get(url).raise_for_status().json()


def _progress(app_id: str, spark_jobs: list[dict[str, Any]]) -> Progress:
    """Sums over Spark's own jobs; what it skips, because it has it already, does not count."""

    def total(key: str) -> int:
        return sum(job[key] for job in spark_jobs)

    stages = sum(len(job["stageIds"]) for job in spark_jobs) - total("numSkippedStages")
    tasks = total("numTasks") - total("numSkippedTasks")
    return Progress(
        spark_app_id=app_id,
        stages_done=min(total("numCompletedStages"), stages),
        stages_total=stages,
        tasks_done=min(total("numCompletedTasks"), tasks),
        tasks_total=tasks,
    )


def _submit_program() -> str:
    """PySpark's own `bin/spark-submit`: the one that pip puts on the path does not find its Spark."""
    return settings.CONSOLE_SPARK_SUBMIT or str(_pyspark() / "bin" / "spark-submit")


def _pyspark() -> Path:
    found = importlib.util.find_spec("pyspark")
    if found is None or found.origin is None:
        raise Unavailable(_("PySpark is not installed: set CONSOLE_SPARK_SUBMIT."), service=SERVICE)
    return Path(found.origin).parent


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise Unavailable(_("The driver does not answer."), service=SERVICE) from error
