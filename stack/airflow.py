"""Airflow 3.3 in an environment of its own: API server, scheduler, DAG processor, triggerer.

Its tasks inherit the environment made here, so it holds nothing of the console's own secrets: what a task
needs to call the console is the address and the path of the tokens file.
"""

import json
import subprocess
from datetime import datetime
from pathlib import Path

from core.lib.files import write_whole
from stack import base, databases, mlflow_server, observability, redis_server
from stack.config import REPO, Config
from stack.errors import StackError
from stack.parts import Part, Program

ADMIN = "admin"
# What it tells of itself, as regular expressions. Gauges of single files and tasks are left out: without the
# tag that tells one from another, which would be a label of any number of values, each overwrites the others.
METRICS = (
    r"^scheduler,^executor,^pool,^dagrun,^ti_,^ti\.finish,^trigger,"
    r"^dag_processing\.(import_errors|total_parse_time|processor_timeouts)"
)


def url(config: Config) -> str:
    return f"http://127.0.0.1:{config.port('airflow')}"


def tokens_file(config: Config) -> Path:
    """Where `manage.py issue_pipeline_tokens` puts the tokens with which pipelines call the console."""
    return _folder(config) / "console_tokens.json"


def prepare(config: Config) -> None:
    _folder(config).mkdir(parents=True, mode=0o700, exist_ok=True)
    passwords = json.dumps({ADMIN: config.secrets["airflow_admin"]})
    write_whole(_folder(config) / "passwords.json", passwords)


def migrate(config: Config) -> None:
    """Bring the metadata database to this release; once done for a lock, not again (it takes 6 s)."""
    done_for, lock = _folder(config) / "migrated", (REPO / "requirements" / "airflow.txt").read_text()
    if done_for.exists() and done_for.read_text() == lock:
        return
    command = [str(config.airflow_python), "-m", "airflow", "db", "migrate"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(config), cwd=_folder(config)
    )
    if done.returncode != 0:
        raise StackError(f"`airflow db migrate` failed:\n{(done.stdout + done.stderr)[-3000:]}")
    done_for.write_text(lock)


def environment(config: Config) -> dict[str, str]:
    settings = {f"AIRFLOW__{section}__{key}": value for (section, key), value in _settings(config).items()}
    console = {
        "ATALAYA_PYTHON": str(config.console_python),
        "ATALAYA_URL": _console_url(config),
        "ATALAYA_USECASES_URL": databases.url(config, "usecases"),
        "ATALAYA_COURSE_API": f"http://127.0.0.1:{config.port('course-api')}",
        "ATALAYA_OUTPUT_DIR": str(config.var_dir / "output"),  # what Spark jobs write and read
        "ATALAYA_TOKENS": str(tokens_file(config)),
        "ATALAYA_WORK_DIR": str(_folder(config) / "work"),  # where the tasks of a run hand each other files
        **mlflow_server.tracking_environment(config),
        **redis_server.features_environment(config),
        "PYTHONPATH": str(REPO),
    }
    if config.settings.get("CONSOLE_DATA_DIR"):
        console["CONSOLE_DATA_DIR"] = config.settings["CONSOLE_DATA_DIR"]
    return base.environment(AIRFLOW_HOME=str(_folder(config)), **settings, **console)


def _console_url(config: Config) -> str:
    """Where tasks call the console: where people use https it would send them there, and has no TLS."""
    here = f"http://127.0.0.1:{config.port('web')}"
    return config.public_url if config.public_url.startswith("https://") else here


def _settings(config: Config) -> dict[tuple[str, str], str]:
    folder, secrets, port = _folder(config), config.secrets, str(config.port("airflow"))
    return {
        ("CORE", "DAGS_FOLDER"): str(config.dags_dir),
        ("CORE", "PLUGINS_FOLDER"): str(folder / "plugins"),
        ("CORE", "LOAD_EXAMPLES"): str(config.loads_examples),
        ("CORE", "EXECUTOR"): "LocalExecutor",
        ("CORE", "PARALLELISM"): "4",
        ("CORE", "FERNET_KEY"): secrets["airflow_fernet"],
        ("CORE", "HOSTNAME_CALLABLE"): "socket.gethostname",  # the default asks a name server
        ("CORE", "EXECUTION_API_SERVER_URL"): f"{url(config)}/execution/",
        ("CORE", "SIMPLE_AUTH_MANAGER_USERS"): f"{ADMIN}:admin",
        ("CORE", "SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"): str(folder / "passwords.json"),
        ("DATABASE", "SQL_ALCHEMY_CONN"): databases.url(config, "airflow", scheme="postgresql+psycopg2"),
        ("DATABASE", "SQL_ALCHEMY_CONN_ASYNC"): databases.url(config, "airflow", scheme="postgresql+asyncpg"),
        ("API", "HOST"): "127.0.0.1",
        ("API", "PORT"): port,
        ("API", "WORKERS"): "1",
        ("API", "BASE_URL"): url(config),
        ("API", "SECRET_KEY"): secrets["airflow_web"],
        ("API_AUTH", "JWT_SECRET"): secrets["airflow_jwt"],
        (
            "DAG_PROCESSOR",
            "REFRESH_INTERVAL",
        ): "10",  # seconds until a new file is noticed; the default is minutes
        ("DAG_PROCESSOR", "MIN_FILE_PROCESS_INTERVAL"): "60",
        ("DAG_PROCESSOR", "PARSING_PROCESSES"): "1",
        ("DAG_PROCESSOR", "PRINT_STATS_INTERVAL"): "600",
        # a run of ten tasks waits for the scheduler's next round ten times; its default is a second
        ("SCHEDULER", "SCHEDULER_IDLE_SLEEP_TIME"): "0.5",
        ("LOGGING", "BASE_LOG_FOLDER"): str(folder / "logs"),
        ("USAGE_DATA_COLLECTION", "ENABLED"): "False",
        **(_metrics(config) if observability.has_airflow_metrics(config) else {}),
    }


def _metrics(config: Config) -> dict[tuple[str, str], str]:
    """Its own metrics to the exporter; tags become labels: of DAGs and pools, not of single tasks."""
    said = {
        "STATSD_ON": "True",
        "STATSD_HOST": "127.0.0.1",
        "STATSD_PORT": str(config.port("airflow-statsd")),
        "STATSD_INFLUXDB_ENABLED": "True",
        "STATSD_DISABLED_TAGS": "job_id,run_id,task_id,map_index",
        "LEGACY_NAMES_ON": "False",
        "METRICS_ALLOW_LIST": METRICS,
    }
    return {("METRICS", name): value for name, value in said.items()}


def _folder(config: Config) -> Path:
    return config.var_dir / "airflow"


def _part(name: str, arguments: tuple[str, ...], *, component: str, port: str | None = None) -> Part:
    def program(config: Config) -> Program:
        argv = [str(config.airflow_python), "-m", "airflow", *arguments]
        return Program(argv, environment(config), _folder(config))

    def health(config: Config, started_at: float) -> None:
        _check(config, component, since=started_at)

    # stopping ends running tasks first, which Airflow gives some seconds to clean up
    return Part(name, program=program, health=health, port=port, needs=("postgres",), stop_wait_s=20)


def _check(config: Config, component: str, *, since: float) -> None:
    """Airflow calls a heartbeat of an earlier life healthy for a while; only one since the start counts."""
    told = json.loads(base.ask(f"{url(config)}/api/v2/monitor/health"))[component]
    if told["status"] != "healthy":
        raise StackError(f"Airflow says that its {component} is {told['status'] or 'not there'}")
    heartbeat = told.get(f"latest_{component}_heartbeat")
    if heartbeat is not None and datetime.fromisoformat(heartbeat).timestamp() < since:
        raise StackError("no heartbeat since the start")


PARTS = (
    _part("airflow-api", ("api-server",), component="metadatabase", port="airflow"),
    _part("airflow-scheduler", ("scheduler", "--skip-serve-logs"), component="scheduler"),
    _part("airflow-dag-processor", ("dag-processor",), component="dag_processor"),
    _part("airflow-triggerer", ("triggerer", "--skip-serve-logs"), component="triggerer"),
)
