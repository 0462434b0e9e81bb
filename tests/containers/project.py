"""docker-compose.yml as podman and podman-compose run it: the file that is handed over, start, health, logs.

Parts whose images cannot be pulled run from ours (deploy/compose.test.yml). podman 4 knows no start by
health: services are started here in the order that `depends_on` says, each when the health checks of what it
needs pass.
"""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

from stack import compose_secrets
from stack.config import REPO

NAME = "atalayatest"
BASE_IMAGE = os.environ.get("BASE_IMAGE", "localhost/debian:bookworm")
COMPOSE = os.environ.get("PODMAN_COMPOSE", "podman-compose")
FOLDER = Path(os.environ.get("CONTAINERS_DIR") or REPO / "var" / "containers")
FILES = ("docker-compose.yml", "deploy/compose.test.yml")
HAS_S3 = "MOTO" in os.environ
HAS_STATSD = "STATSD_EXPORTER" in os.environ
LEFT_OUT = {"grafana"} | (set() if HAS_S3 else {"s3"}) | (set() if HAS_STATSD else {"airflow-metrics"})
WITHOUT_S3 = {"setup", "mlflow"}  # what compose.test.yml says of them
PROGRAMS = ("CADDY", "PROMETHEUS", "ALERTMANAGER", "STATSD_EXPORTER", "MOTO")
ONE_SHOT = ("setup", "airflow-setup", "demo")
PORT = 20443
PATIENCE_S = 240.0


def say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)


def run(*words: str | Path, is_checked: bool = True, timeout_s: float | None = None) -> str:
    """What a command writes to standard output; on failure all its words are shown."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout_s, cwd=REPO)
    if is_checked and done.returncode:
        said = f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
        sys.exit(f"{shlex.join(map(str, words))} ended with {done.returncode}:\n{said}")
    return done.stdout


def services() -> dict[str, Any]:
    """The services of the two files, one upon the other, as they are started here."""
    base, over = (yaml.safe_load((REPO / name).read_text())["services"] for name in FILES)
    if HAS_S3:
        over = {name: one for name, one in over.items() if name not in WITHOUT_S3}
    found = {
        name: merged(service, over.get(name, {})) for name, service in base.items() if name not in LEFT_OUT
    }
    for service in found.values():
        service.pop("build", None)
        service.pop("profiles", None)
        # as podman calls json-file
        service["logging"] = {"driver": "k8s-file", "options": {"max-size": "10m"}}
        service["volumes"] = [volume.replace("./", f"{REPO}/", 1) for volume in service.get("volumes", [])]
    return found


def merged(below: Any, above: Any) -> Any:
    """As compose merges files: mappings by key, volumes one after the other, what else is above wins."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    both = {key: merged(below[key], above[key]) for key in below.keys() & above.keys() - {"volumes"}}
    volumes = {"volumes": [*below.get("volumes", []), *above.get("volumes", [])]}
    return {**below, **above, **both, **volumes}


def write(found: dict[str, Any], **settings: str) -> None:
    """The file for podman-compose, and beside it .env with the secrets and these settings."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    compose_secrets.ensure(FOLDER / ".env")
    own = {
        "ATALAYA_CONSOLE_IMAGE": "localhost/atalaya/console",
        "ATALAYA_AIRFLOW_IMAGE": "localhost/atalaya/airflow",
        "ATALAYA_NOTEBOOK_IMAGE": "localhost/atalaya/notebook",
        "ATALAYA_BASE_IMAGE": BASE_IMAGE,
        "ATALAYA_HTTPS_PORT": str(PORT),
        "ATALAYA_PUBLIC_URL": f"https://localhost:{PORT}",
        "ATALAYA_MLFLOW_PORT": "20014",
        "ATALAYA_AIRFLOW_PORT": "20015",
        "ATALAYA_NOTEBOOK_PORT": "20088",
        "ATALAYA_AIRFLOW_STATSD_ON": str(HAS_STATSD),
        "ATALAYA_WEB_COUNT": "1",
        "ATALAYA_SERVING_COUNT": "1",
        **{
            name: value
            for name, value in os.environ.items()
            if name.startswith("ATALAYA_") or name in PROGRAMS
        },
        **settings,
    }
    text = (FOLDER / ".env").read_text()
    kept = [line for line in text.splitlines() if line.partition("=")[0] not in own]
    (FOLDER / ".env").write_text("\n".join([*kept, *(f"{key}={value}" for key, value in own.items())]) + "\n")
    documents = [yaml.safe_load((REPO / name).read_text()) for name in FILES]
    without_order = {
        name: {key: value for key, value in service.items() if key != "depends_on"}
        for name, service in found.items()
    }
    content = {
        "services": without_order,
        "networks": documents[0]["networks"],
        "volumes": {**documents[0]["volumes"], **documents[1]["volumes"]},
    }
    (FOLDER / "compose.yml").write_text(yaml.safe_dump(content, sort_keys=False))


def compose(*words: str, is_checked: bool = True) -> str:
    files = ("-f", FOLDER / "compose.yml", "--env-file", FOLDER / ".env")
    return run(COMPOSE, "-p", NAME, *files, *words, is_checked=is_checked, timeout_s=300)


def start(names: Iterable[str]) -> None:
    """These services, and no other; returns when all are healthy, or done."""
    names = list(names)
    say(f"starting {', '.join(names)}")
    compose("up", "-d", "--no-build", *names)
    for name in names:
        if name in ONE_SHOT:
            wait(name, lambda one=name: state(container(one)) == "exited 0", log_of=container(name))
        for one in containers(name) if name not in ONE_SHOT else ():
            wait(one, lambda one=one: is_healthy(one), log_of=one)
        say(f"  {name} {'done' if name in ONE_SHOT else 'healthy'}")


def container(name: str, number: int = 1) -> str:
    return f"{NAME}_{name}_{number}"


def containers(name: str) -> list[str]:
    """Those of one service that are there, by number."""
    found = run("podman", "ps", "--all", "--format", "{{.Names}}").split()
    prefix = container(name).removesuffix("1")
    return sorted(one for one in found if one.startswith(prefix) and one.removeprefix(prefix).isdigit())


def is_healthy(one: str) -> bool:
    done = subprocess.run(["podman", "healthcheck", "run", one], capture_output=True, text=True)
    return done.returncode == 0


def state(one: str) -> str:
    form = "{{.State.Status}} {{.State.ExitCode}}"
    return run("podman", "inspect", "-f", form, one, is_checked=False).strip()


def log(one: str) -> str:
    """All that a container wrote, which podman gives back where it was written to."""
    done = subprocess.run(
        ["podman", "logs", one], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.stdout


def inside(name: str, *words: str, number: int = 1) -> str:
    """What a command in a container says."""
    return run("podman", "exec", container(name, number), *words)


def wait(what: str, is_so: Callable[[], bool], *, log_of: str = "", patience_s: float = PATIENCE_S) -> None:
    """Until it is so, or the end with the log of the container."""
    deadline = time.monotonic() + patience_s
    while not is_so():
        if time.monotonic() > deadline:
            sys.exit(f"{what}: not within {patience_s:.0f} s\n{log(log_of)[-8000:] if log_of else ''}")
        time.sleep(1)
