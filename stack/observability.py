"""Prometheus and Alertmanager beside the stack, where OBSERVE=1 asks for them: programs that the machine has.

With statsd_exporter on the PATH Airflow's own metrics go there, too; it is no package of Debian's.
Their files are those of deploy/observability, with this stack's addresses in the place of the containers'.
Both listen on 127.0.0.1 alone; what Prometheus keeps is bounded in age, size and memory.
"""

import json
import shutil
from pathlib import Path

from core.lib.files import write_whole
from stack import base
from stack.config import REPO, Config
from stack.errors import StackError
from stack.parts import Part, Program

PROMETHEUS, ALERTMANAGER, AIRFLOW_METRICS = "prometheus", "alertmanager", "airflow-metrics"
STATSD_EXPORTER = "statsd_exporter"
FOLDER = REPO / "deploy" / "observability"
# Debian calls the second one otherwise than its authors do.
NAMES = {PROMETHEUS: ("prometheus",), ALERTMANAGER: ("prometheus-alertmanager", "alertmanager")}
KEPT_DAYS, KEPT_SIZE = 15, "512MB"
MEMORY = {
    PROMETHEUS: "192MiB",
    ALERTMANAGER: "64MiB",
    AIRFLOW_METRICS: "32MiB",
}  # beyond it Go collects garbage more often
HINT = (
    "On Debian and Ubuntu: apt-get install --no-install-recommends prometheus prometheus-alertmanager. The"
    " services that these packages start are not needed: the stack runs programs of its own."
)


def console_settings(config: Config) -> dict[str, str]:
    """What the console is told; nothing without them."""
    return {"CONSOLE_PROMETHEUS_URL": _url(config, PROMETHEUS)} if config.has_observability else {}


def has_airflow_metrics(config: Config) -> bool:
    return config.has_observability and shutil.which(STATSD_EXPORTER) is not None


def token_file(config: Config) -> Path:
    """Where the console puts the token by which Alertmanager reports to it."""
    return _folder(config, ALERTMANAGER) / "console_token"


def prepare(config: Config) -> None:
    """Write what both read. Raises StackError when one of the programs is not on this machine."""
    if not config.has_observability:
        return
    for name in NAMES:
        _find(name)
        _folder(config, name).mkdir(parents=True, mode=0o700, exist_ok=True)
    rules = f"{FOLDER / 'prometheus' / 'rules'}/*.yml".replace("'", "''")
    targets = {
        f'"{name}:{port}"': f'"{_address(config, name)}"'
        for name, port in (("web", 8000), ("serving", 8001), (PROMETHEUS, 9090), (ALERTMANAGER, 9093))
    }
    _write(config, PROMETHEUS, targets | {"rules/*.yml": f"'{rules}'"})
    exporters = [_address(config, AIRFLOW_METRICS)] if has_airflow_metrics(config) else []
    _folder(config, AIRFLOW_METRICS).mkdir(mode=0o700, exist_ok=True)
    write_whole(_folder(config, PROMETHEUS) / "airflow.json", json.dumps([{"targets": exporters}]))
    webhook = {
        "http://proxy:8080": config.public_url,
        "/run/secrets/console_alerts_token": "'{}'".format(str(token_file(config)).replace("'", "''")),
    }
    _write(config, ALERTMANAGER, webhook)


def _write(config: Config, name: str, changes: dict[str, str]) -> None:
    text = (FOLDER / name / f"{name}.yml").read_text()
    for said, meant in changes.items():
        if said not in text:
            raise StackError(f"{FOLDER / name / name}.yml does not say {said}, where this stack's own goes.")
        text = text.replace(said, meant)
    write_whole(_file(config, name), text)


def _find(name: str) -> str:
    found = next(filter(None, map(shutil.which, NAMES[name])), None)
    if found is None:
        raise StackError(f"OBSERVE=1 asks for {name}, and there is none on the PATH. {HINT}")
    return found


def _folder(config: Config, name: str) -> Path:
    return config.var_dir / name


def _file(config: Config, name: str) -> Path:
    return _folder(config, name) / f"{name}.yml"


def _address(config: Config, name: str) -> str:
    host = base.reachable(config.bind) if name in ("web", "serving") else "127.0.0.1"
    return f"{host}:{config.port(name)}"


def _url(config: Config, name: str) -> str:
    return f"http://{_address(config, name)}"


def _part(name: str, *options: str) -> Part:
    def program(config: Config) -> Program:
        return _program(config, name, _find(name), f"--config.file={_file(config, name)}", *options)

    def health(config: Config, _started_at: float) -> None:
        base.ask(f"{_url(config, name)}/-/ready")

    return Part(name, program=program, health=health, port=name)


def _program(config: Config, name: str, *argv: str) -> Program:
    listens = (f"--web.listen-address={_address(config, name)}", "--log.level=warn")
    return Program([*argv, *listens], base.environment(GOMEMLIMIT=MEMORY[name]), _folder(config, name))


def _airflow_metrics() -> Part:
    def program(config: Config) -> Program:
        found = shutil.which(STATSD_EXPORTER)
        if found is None:
            raise StackError(f"{STATSD_EXPORTER} is not on the PATH any more.")
        hears = f"--statsd.listen-udp=127.0.0.1:{config.port('airflow-statsd')}"
        return _program(config, AIRFLOW_METRICS, found, hears, "--statsd.listen-tcp=")

    def health(config: Config, _started_at: float) -> None:
        base.ask(f"{_url(config, AIRFLOW_METRICS)}/-/ready")

    return Part(AIRFLOW_METRICS, program=program, health=health, port=AIRFLOW_METRICS)


EXPORTER = _airflow_metrics()
PARTS = (
    _part(
        PROMETHEUS,
        "--storage.tsdb.path=data",
        f"--storage.tsdb.retention.time={KEPT_DAYS}d",
        f"--storage.tsdb.retention.size={KEPT_SIZE}",
    ),
    # No cluster: it would listen on all interfaces.
    _part(ALERTMANAGER, "--storage.path=data", "--cluster.listen-address="),
)
