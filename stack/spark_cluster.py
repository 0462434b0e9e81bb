"""A standalone Spark master and one worker, where SPARK_CLUSTER=1 asks for them: from PySpark.

Both, and the drivers of jobs, ask each other for a secret: whoever could submit to the master would run code
as this user. It reaches them in files that only this user reads.
"""

import json
import os
from pathlib import Path

from core.lib.files import write_whole
from stack import base, java
from stack.config import Config
from stack.parts import Part, Program

MASTER, WORKER = "spark-master", "spark-worker"
JOBS_AT_ONCE = 2
SCALA = "2.13"
EXECUTOR_MEMORY = "768m"
SMALL = ["-Xms64m", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
# PySpark's own scripts add this one: without it Java's vector classes are not found.
SMALL += ["--add-modules=jdk.incubator.vector", "-Djava.awt.headless=true"]


def n_cores() -> int:
    """That the worker offers: all, but enough for each job at once to have one."""
    return max(os.cpu_count() or 1, JOBS_AT_ONCE)


def console_settings(config: Config) -> dict[str, str]:
    """How the console reaches the cluster; nothing without one. Jobs share the cores evenly."""
    if not config.has_spark_cluster:
        return {}
    conf = {
        "spark.cores.max": str(n_cores() // JOBS_AT_ONCE),
        "spark.executor.memory": EXECUTOR_MEMORY,
    }
    target = {"master": _url(config), "at_once": JOBS_AT_ONCE, "conf": conf}
    return {
        "CONSOLE_SPARK_TARGETS": json.dumps({"cluster": target}),
        "CONSOLE_SPARK_AUTH_SECRET": config.secrets["spark"],
    }


def prepare(config: Config) -> None:
    """Write what both read."""
    if not config.has_spark_cluster:
        return
    _folder(config).mkdir(parents=True, mode=0o700, exist_ok=True)
    lines = {
        "spark.authenticate": "true",
        "spark.authenticate.secret": config.secrets["spark"],
        "spark.ui.killEnabled": "false",
        "spark.master.rest.enabled": "false",
        "spark.worker.cleanup.enabled": "true",
        "spark.port.maxRetries": "0",
    }
    text = "".join(f"{name} {value}\n" for name, value in lines.items())
    write_whole(_folder(config) / "spark.properties", text)


def _url(config: Config) -> str:
    return f"spark://127.0.0.1:{config.port(MASTER)}"


def _folder(config: Config) -> Path:
    return config.var_dir / "spark"


def _program(config: Config, main: str, *arguments: str) -> Program:
    home = next(config.venv_dir.glob("console/lib/python*/site-packages/pyspark"))
    argv = [str(java.find()), *SMALL, "-cp", f"{home}/jars/*", main]
    argv += ["--properties-file", str(_folder(config) / "spark.properties")]
    # The pages of both would be on two more ports, without any sign-in: wherever is free, for nobody.
    argv += ["--host", "127.0.0.1", "--webui-port", "0", *arguments]
    environment = base.environment(
        SPARK_HOME=str(home),
        SPARK_SCALA_VERSION=SCALA,  # else the worker looks for a build of Spark, and starts no executor
        SPARK_LOCAL_IP="127.0.0.1",
        SPARK_LOCAL_DIRS=str(_folder(config) / "local"),
    )
    return Program(argv, environment, _folder(config))


def _master(config: Config) -> Program:
    return _program(config, "org.apache.spark.deploy.master.Master", "--port", str(config.port(MASTER)))


def _worker(config: Config) -> Program:
    size = ["--cores", str(n_cores()), "--memory", "2g", "--work-dir", str(_folder(config) / "work")]
    place = ["--port", str(config.port(WORKER)), *size, _url(config)]
    return _program(config, "org.apache.spark.deploy.worker.Worker", *place)


def _master_health(config: Config, _started_at: float) -> None:
    base.listens(config, MASTER)


def _worker_health(config: Config, _started_at: float) -> None:
    base.listens(config, WORKER)


PARTS = (
    Part(MASTER, program=_master, health=_master_health, port=MASTER),
    Part(WORKER, program=_worker, health=_worker_health, port=WORKER, needs=(MASTER,)),
)
