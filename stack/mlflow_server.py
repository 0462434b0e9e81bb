"""The MLflow server: PostgreSQL behind it, artefacts served from a folder, one worker, no telemetry."""

from pathlib import Path

from stack import base, databases
from stack.config import Config
from stack.parts import Part, Program


def url(config: Config) -> str:
    return f"http://127.0.0.1:{config.port('mlflow')}"


def prepare(config: Config) -> None:
    (_folder(config) / "artifacts").mkdir(parents=True, exist_ok=True)
    _folder(config).chmod(0o700)


def _folder(config: Config) -> Path:
    return config.var_dir / "mlflow"


def _program(config: Config) -> Program:
    port = config.port("mlflow")
    argv = [str(config.console_python), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    argv += ["--workers", "1", "--allowed-hosts", f"127.0.0.1:{port},localhost:{port},127.0.0.1,localhost"]
    environment = base.environment(
        MLFLOW_BACKEND_STORE_URI=databases.url(
            config, "mlflow", scheme="postgresql+psycopg2"
        ),  # not on the command line: it has a password
        MLFLOW_SERVE_ARTIFACTS="true",
        MLFLOW_ARTIFACTS_DESTINATION=(_folder(config) / "artifacts").as_uri(),
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        MLFLOW_DISABLE_TELEMETRY="true",
        DO_NOT_TRACK="true",
    )
    return Program(argv, environment, _folder(config))


def _health(config: Config, _started_at: float) -> None:
    base.ask(f"{url(config)}/health")


PART = Part("mlflow", program=_program, health=_health, port="mlflow", needs=("postgres",))
