"""The console's own processes, and the settings that all are started with: `console.env` of the stack."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from core.lib.files import write_whole
from stack import (
    airflow,
    base,
    databases,
    kafka,
    mlflow_server,
    observability,
    redis_server,
    spark_cluster,
)
from stack.config import REPO, Config
from stack.errors import StackError
from stack.parts import Part, Program

HEARTBEAT_OLD_S = 30


def settings(config: Config) -> dict[str, str]:
    """Every setting of the console; what the caller said himself wins."""
    return {
        "CONSOLE_VAR_DIR": str(config.var_dir),
        "CONSOLE_PORT_BASE": str(config.port_base),
        "CONSOLE_BIND": config.bind,
        "CONSOLE_PUBLIC_URL": config.public_url,
        "CONSOLE_ALLOWED_HOSTS": "127.0.0.1,localhost",
        "CONSOLE_SECRET_KEY": config.secrets["console"],
        "CONSOLE_RECORD_SECRETS": config.secrets["records"],
        "CONSOLE_DATABASE_URL": databases.url(config, "console"),
        "CONSOLE_USECASES_DATABASE_URL": databases.url(config, "usecases"),
        "CONSOLE_REDIS_URL": redis_server.url(config),
        **mlflow_server.console_settings(config),
        "CONSOLE_AIRFLOW_URL": airflow.url(config),
        "CONSOLE_AIRFLOW_JWT_SECRET": config.secrets["airflow_jwt"],
        "CONSOLE_SPARK_JARS": str(config.spark_jars_dir),
        "CONSOLE_OUTPUT_DIR": str(config.var_dir / "output"),
        "CONSOLE_PIPELINE_TOKENS": str(airflow.tokens_file(config)),
        "CONSOLE_ALERTMANAGER_TOKEN": str(observability.token_file(config)),
        **observability.console_settings(config),
        **spark_cluster.console_settings(config),
        "PROMETHEUS_MULTIPROC_DIR": str(config.var_dir / "metrics"),
        **config.settings,
        **kafka.console_settings(config),
    }


def prepare(config: Config) -> None:
    """Write `console.env`, and empty the folder in which the processes share their metrics."""
    lines = (f"{name}={value}" for name, value in settings(config).items())
    write_whole(config.var_dir / "console.env", "\n".join(lines) + "\n")
    shutil.rmtree(config.var_dir / "metrics", ignore_errors=True)
    for name in ("metrics", "output", "serving"):
        (config.var_dir / name).mkdir(mode=0o700, exist_ok=True)


def environment(config: Config, part: str = "") -> dict[str, str]:
    """part: which one's; empty for commands."""
    told = settings(config)
    if config.is_traced:
        told.setdefault("OTEL_SERVICE_NAME", f"atalaya-{part or 'command'}")
    return base.environment(DJANGO_SETTINGS_MODULE="console.settings", **told)


@dataclass(frozen=True)
class SetUp:
    """told: what the user must be told. is_empty: whether nobody has used this installation yet."""

    told: str = ""
    is_empty: bool = False


def set_up(config: Config) -> SetUp:
    """Bring database, static files, first account, tokens, topics up to date."""
    command = [str(config.console_python), "-m", "stack.set_up_console"]
    log = config.logs_dir / "set-up.log"
    with log.open("w") as stream:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=stream, text=True, env=environment(config), cwd=REPO
        )
    if done.returncode != 0:
        raise StackError(f"Setting up the console failed ({log}):\n{log.read_text()[-3000:]}")
    return SetUp(**json.loads(done.stdout))


def _python_part(
    name: str,
    arguments: Callable[[Config], tuple[str, ...]],
    *,
    needs: tuple[str, ...],
    stop_wait_s: int = 15,
    stop_signal: str = "TERM",
) -> Part:
    """A process without HTTP: it proves its life by a heartbeat in Redis."""

    def program(config: Config) -> Program:
        return Program([str(config.console_python), *arguments(config)], environment(config, name), REPO)

    def health(config: Config, started_at: float) -> None:
        beat = redis_server.ask(config, "GET", f"heartbeat:{name}")
        if beat is None:
            raise StackError("no heartbeat")
        if float(beat) < max(started_at, time.time() - HEARTBEAT_OLD_S):
            raise StackError("no heartbeat since the start")

    return Part(
        name,
        program=program,
        health=health,
        needs=needs,
        stop_wait_s=stop_wait_s,
        stop_signal=stop_signal,
    )


def _http_part(name: str, application: str) -> Part:
    def program(config: Config) -> Program:
        address = ["--host", config.bind, "--port", str(config.port(name))]
        options = ["--no-access-log", "--no-server-header", "--timeout-graceful-shutdown", "8"]
        # The live socket takes 4 KiB and says so; beyond this nobody is told, the socket just ends.
        options += ["--ws-max-size", "16384", "--ws", "console.sockets:Protocol"]
        # uvicorn believes X-Forwarded-For of callers on this machine, and puts what it says in the address's
        # place. CONSOLE_PROXY_COUNT and CONSOLE_PROXY_NETWORKS decide whose word counts, and need both.
        options.append("--no-proxy-headers")
        argv = [str(config.console_python), "-m", "uvicorn", application, *address, *options]
        return Program(argv, environment(config, name), REPO)

    def health(config: Config, _started_at: float) -> None:
        base.ask(f"http://{base.reachable(config.bind)}:{config.port(name)}/livez")

    return Part(name, program=program, health=health, port=name)


def _worker(_config: Config) -> tuple[str, ...]:
    # One more than the processors of a small machine: two gates, minutes each, leave a place for short calls.
    options = ("-Q", "control,heavy,spark", "--concurrency", "3", "--without-gossip", "--without-mingle")
    return ("-m", "celery", "-A", "console", "worker", "--loglevel", "INFO", *options)


def _beat(_config: Config) -> tuple[str, ...]:
    return ("-m", "celery", "-A", "console", "beat", "--loglevel", "INFO")


def _watch(_config: Config) -> tuple[str, ...]:
    return ("manage.py", "watch")


def _recorder(_config: Config) -> tuple[str, ...]:
    return ("manage.py", "record_predictions")


def _aggregator(_config: Config) -> tuple[str, ...]:
    return ("manage.py", "aggregate_streams")


PARTS = (
    _http_part("web", "console.asgi:application"),
    _http_part("serving", "predictions.serving:app"),
    # QUIT gives running tasks a few seconds and returns them to the queue; TERM waits for the longest one.
    _python_part("worker", _worker, needs=("redis", "postgres"), stop_wait_s=25, stop_signal="QUIT"),
    _python_part("beat", _beat, needs=("redis",)),
    _python_part("watch", _watch, needs=("postgres", "redis")),
    _python_part("recorder", _recorder, needs=("postgres", "kafka")),
    _python_part("aggregator", _aggregator, needs=("postgres", "kafka")),
)
