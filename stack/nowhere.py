"""Settings under which the console loads though no server is there: for checks, and for unit tests."""

import os
import tempfile
from pathlib import Path

SECRET = "no-secret-" + "x" * 60
KEPT = ("CONSOLE_DATA_DIR", "CONSOLE_VENV_DIR", "CONSOLE_KILL_ROUNDS", "CONSOLE_TEST_")


def settings(
    var_dir: Path,
    *,
    database_url: str = "postgresql://console@127.0.0.1:3/console",
    usecases_url: str = "postgresql://usecases@127.0.0.1:3/usecases",
) -> dict[str, str]:
    """Each service is at a port from 1 to 9, where nobody answers: what is not faked fails at once."""
    return {
        "CONSOLE_VAR_DIR": str(var_dir),
        "CONSOLE_PORT_BASE": "18000",
        "CONSOLE_PUBLIC_URL": "http://127.0.0.1:18000",
        "CONSOLE_ALLOWED_HOSTS": "127.0.0.1,localhost,testserver",
        "CONSOLE_SECRET_KEY": SECRET,
        "CONSOLE_RECORD_SECRETS": SECRET,
        "CONSOLE_DATABASE_URL": database_url,
        "CONSOLE_USECASES_DATABASE_URL": usecases_url,
        "CONSOLE_REDIS_URL": "redis://:none@127.0.0.1:1/0",
        "CONSOLE_KAFKA_BOOTSTRAP": "127.0.0.1:2",
        "CONSOLE_MLFLOW_URL": "http://127.0.0.1:4",
        "CONSOLE_AIRFLOW_URL": "http://127.0.0.1:5",
        "CONSOLE_AIRFLOW_JWT_SECRET": SECRET,
        "CONSOLE_PIPELINE_TOKENS": str(var_dir / "console_tokens.json"),
        "CONSOLE_ALERTMANAGER_TOKEN": str(var_dir / "alertmanager_token"),
    }


def forget_the_callers() -> None:
    """Take the caller's CONSOLE_* out of the environment, but for where input data and programs are."""
    for name in [name for name in os.environ if name.startswith("CONSOLE_") and not name.startswith(KEPT)]:
        del os.environ[name]


def put_in_place() -> None:
    """Let these settings stand in the environment, in place of the caller's."""
    forget_the_callers()
    os.environ.update(settings(Path(tempfile.gettempdir()) / "atalaya-nowhere"))
    os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings"
