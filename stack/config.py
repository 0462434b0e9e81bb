"""Where one stack lives and which ports it has, from the environment, `.env` and what an earlier start wrote.

The first that says something wins: environment, then `.env` of the checkout, then the default. `make up`
writes the outcome to `run/stack.json` of its folder; each part and all other commands read it from there.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

from core.lib import files, secret_files
from stack import secrets
from stack.errors import StackError

REPO = Path(__file__).resolve().parent.parent

OFFSETS = {
    "web": 0,
    "serving": 1,
    "postgres": 10,
    "redis": 11,
    "kafka": 12,
    "kafka-controller": 13,
    "mlflow": 14,
    "airflow": 15,
    "course-api": 17,
    "spark-master": 18,
    "spark-worker": 19,
    "prometheus": 40,
    "alertmanager": 41,
    "airflow-statsd": 42,  # UDP
    "airflow-metrics": 43,
}
HIGHEST_BASE = 65535 - 99
PREFIXES = ("CONSOLE_", "COURSE_API_", "OTEL_")
COLLECTORS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
)  # as core.lib.traces has it
NOT_FOR_PARTS = "CONSOLE_BACKUP_"  # of the commands alone: a passphrase is written into no stack's files


@dataclass(frozen=True)
class Config:
    """One stack: its folder, its ports, and the settings that the console is started with."""

    var_dir: Path
    venv_dir: Path
    port_base: int
    bind: str = "127.0.0.1"
    dags_dir: Path = REPO / "dags"
    loads_examples: bool = False
    has_demonstration: bool = True
    has_spark_cluster: bool = False
    has_observability: bool = False
    start_timeout_s: float = 180.0
    settings: dict[str, str] = field(default_factory=dict)  # each of PREFIXES that the caller set

    @cached_property
    def secrets(self) -> dict[str, str]:
        """Passwords and keys of this stack; made when they are first asked for."""
        return secrets.ensure(self.var_dir)

    def port(self, name: str) -> int:
        return self.port_base + OFFSETS[name]

    @property
    def console_python(self) -> Path:
        return self.venv_dir / "console" / "bin" / "python"

    @property
    def airflow_python(self) -> Path:
        return self.venv_dir / "airflow" / "bin" / "python"

    @property
    def jars_dir(self) -> Path:
        return self.venv_dir / "jars"

    @property
    def spark_jars_dir(self) -> Path:
        return self.venv_dir / "spark-jars"

    @property
    def run_dir(self) -> Path:
        return self.var_dir / "run"

    @property
    def logs_dir(self) -> Path:
        return self.var_dir / "logs"

    @property
    def public_url(self) -> str:
        return self.settings.get("CONSOLE_PUBLIC_URL") or f"http://127.0.0.1:{self.port('web')}"

    @property
    def is_traced(self) -> bool:
        """Whether the console sends traces, which takes one more lock."""
        return any(self.settings.get(name) for name in COLLECTORS)

    def save(self) -> None:
        self.run_dir.mkdir(parents=True, exist_ok=True)
        values = {
            name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()
        }
        files.write_whole(self.run_dir / "stack.json", json.dumps(values, indent=1))


def from_environment(environ: Mapping[str, str] = os.environ, *, dotenv: Path = REPO / ".env") -> Config:
    """The stack that the caller means.

    Raises StackError for a value that cannot be.
    """
    said = {**read_env_file(dotenv), **{name: value for name, value in environ.items() if value}}
    settings = _read_secrets(
        {
            name: value
            for name, value in said.items()
            if name.startswith(PREFIXES) and not name.startswith(NOT_FOR_PARTS)
        }
    )
    var_dir = _folder(settings.pop("CONSOLE_VAR_DIR", None), REPO / "var")
    return Config(
        var_dir=var_dir,
        venv_dir=_folder(settings.pop("CONSOLE_VENV_DIR", None), REPO / "var" / "venv"),
        port_base=_port_base(settings.pop("CONSOLE_PORT_BASE", "8000")),
        bind=settings.pop("CONSOLE_BIND", "127.0.0.1"),
        loads_examples=settings.pop("CONSOLE_LOAD_EXAMPLES", "0") == "1",
        has_demonstration=said.get("DEMO", "1") != "0",
        has_spark_cluster=said.get("SPARK_CLUSTER", "0") == "1",
        has_observability=said.get("OBSERVE", "0") == "1",
        start_timeout_s=_seconds("CONSOLE_START_TIMEOUT_S", settings.pop("CONSOLE_START_TIMEOUT_S", "180")),
        settings=settings,
    )


def _read_secrets(settings: dict[str, str]) -> dict[str, str]:
    """Put what FOO_FILE names in place of it: the parts are told values, in files of mode 0600."""
    try:
        told = {name: secret_files.value(name, settings) for name in secret_files.SETTINGS}
    except secret_files.SecretFileError as error:
        raise StackError(str(error)) from error
    names_of_files = {name + secret_files.SUFFIX for name in secret_files.SETTINGS}
    others = {name: value for name, value in settings.items() if name not in names_of_files}
    return others | {name: value for name, value in told.items() if value is not None}


def load(var_dir: Path) -> Config | None:
    """The configuration of the stack that was last started in this folder; None when there is none."""
    try:
        values = json.loads((var_dir / "run" / "stack.json").read_text())
    except FileNotFoundError:
        return None
    known = {
        name: values[name] for name in Config.__dataclass_fields__ if name in values
    }  # an older release's too
    return Config(**known | {name: Path(known[name]) for name in ("var_dir", "venv_dir", "dags_dir")})


def read_env_file(path: Path) -> dict[str, str]:
    """KEY=value lines; quotes around a value are dropped, comments and empty lines left out."""
    if not path.exists():
        return {}
    pairs = (line.partition("=") for line in map(str.strip, path.read_text().splitlines()) if line)
    return {
        key.strip(): _unquoted(value.strip())
        for key, mark, value in pairs
        if mark and not key.startswith("#")
    }


def _folder(said: str | None, default: Path) -> Path:
    return Path(os.path.abspath(Path(said).expanduser())) if said else default


def _port_base(said: str) -> int:
    if not said.isdecimal() or not 1024 <= int(said) <= HIGHEST_BASE:
        raise StackError(f"CONSOLE_PORT_BASE is {said!r}: it must be a number from 1024 to {HIGHEST_BASE}.")
    return int(said)


def _seconds(name: str, said: str) -> float:
    if not said.isdecimal() or int(said) == 0:
        raise StackError(f"{name} is {said!r}: it must be a number of seconds above 0.")
    return float(said)


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
