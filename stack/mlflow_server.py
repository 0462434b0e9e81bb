"""The MLflow server: PostgreSQL behind it, artefacts served from a folder, one process, no telemetry."""

from pathlib import Path

from stack import base, databases
from stack.config import REPO, Config
from stack.parts import Part, Program

ACCOUNT = "atalaya"
TRACKING = {  # what MLflow's client reads, and the console's setting for the same
    "MLFLOW_TRACKING_URI": "CONSOLE_MLFLOW_URL",
    "MLFLOW_TRACKING_USERNAME": "CONSOLE_MLFLOW_USERNAME",
    "MLFLOW_TRACKING_PASSWORD": "CONSOLE_MLFLOW_PASSWORD",
}


def url(config: Config) -> str:
    return f"http://127.0.0.1:{config.port('mlflow')}"


def console_settings(config: Config) -> dict[str, str]:
    """Where the console finds MLflow. A server that the caller names is never told this one's password."""
    if config.settings.get("CONSOLE_MLFLOW_URL"):
        return {}
    username, password = _account(config)
    return {
        "CONSOLE_MLFLOW_URL": url(config),
        "CONSOLE_MLFLOW_USERNAME": username,
        "CONSOLE_MLFLOW_PASSWORD": password,
    }


def tracking_environment(config: Config) -> dict[str, str]:
    """The same for MLflow's own client, which pipelines use."""
    known = {**console_settings(config), **config.settings}
    return {variable: known[setting] for variable, setting in TRACKING.items() if known.get(setting)}


def prepare(config: Config) -> None:
    (_folder(config) / "artifacts").mkdir(parents=True, exist_ok=True)
    _folder(config).chmod(0o700)


def _account(config: Config) -> tuple[str, str]:
    said = config.settings
    username, password = said.get("CONSOLE_MLFLOW_USERNAME"), said.get("CONSOLE_MLFLOW_PASSWORD")
    return username or ACCOUNT, password or config.secrets["mlflow"]


def _folder(config: Config) -> Path:
    return config.var_dir / "mlflow"


def _program(config: Config) -> Program:
    port = config.port("mlflow")
    username, password = _account(config)
    argv = [str(config.console_python), "-m", "uvicorn", "--factory", "stack.mlflow_app:make"]
    argv += ["--app-dir", str(REPO), "--host", "127.0.0.1", "--port", str(port)]
    argv += ["--no-access-log", "--no-server-header", "--timeout-graceful-shutdown", "8"]
    environment = base.environment(
        MLFLOW_BACKEND_STORE_URI=databases.url(config, "mlflow", scheme="postgresql+psycopg2"),
        MLFLOW_ARTIFACTS_DESTINATION=(_folder(config) / "artifacts").as_uri(),
        MLFLOW_TRACKING_USERNAME=username,
        MLFLOW_TRACKING_PASSWORD=password,
        MLFLOW_SERVER_ALLOWED_HOSTS=f"127.0.0.1:{port},localhost:{port},127.0.0.1,localhost",
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        MLFLOW_DISABLE_TELEMETRY="true",
        DO_NOT_TRACK="true",
    )
    return Program(argv, environment, _folder(config))


def _health(config: Config, _started_at: float) -> None:
    base.ask(f"{url(config)}/health")


PART = Part("mlflow", program=_program, health=_health, port="mlflow", needs=("postgres",))
