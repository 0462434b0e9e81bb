"""The passwords and keys of one stack: generated once, kept in `secrets.json` of its folder, mode 0600."""

import base64
import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from core.lib.files import write_whole

TOKENS = (
    "postgres",
    "database_console",
    "database_airflow",
    "database_mlflow",
    "database_usecases",
    "redis",
    "features",
    "console",
    "records",
    "airflow_jwt",
    "airflow_web",
    "airflow_admin",
    "supervisor",
    "mlflow",
    "kafka",
    "spark",
)


def ensure(var_dir: Path) -> dict[str, str]:
    """The secrets of this stack; those that are missing are made."""
    path = var_dir / "secrets.json"
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    wanted = generate(TOKENS)
    if wanted.keys() - known.keys():
        known = wanted | known
        write_whole(path, json.dumps(known, indent=1))
    return known


def generate(tokens: Sequence[str]) -> dict[str, str]:
    """New passwords of these names, Airflow's key and Kafka's cluster id. All are safe inside a URL."""
    made = {name: secrets.token_urlsafe(48) for name in tokens}
    made["airflow_fernet"] = base64.urlsafe_b64encode(os.urandom(32)).decode()
    kafka_id = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")
    made["kafka_cluster_id"] = "k" + kafka_id[1:]  # a leading dash would read as an option
    return made
