"""`make test-containers`: builds the images and runs docker-compose.yml, with podman and podman-compose.

    python -m tests.containers [build] [up] [demo] [kill] [down]      all of them when none is named

Parts whose images cannot be pulled run from ours (deploy/compose.test.yml). podman 4 knows no start by
health: services are started here in the order that `depends_on` says, each when the health checks of what it
needs pass.

BASE_IMAGE       what our images are built on (localhost/debian:bookworm)
BUILD_OPTIONS    further options of `podman build`, such as those that tell it where packages come from
PODMAN_COMPOSE   the program (podman-compose)
CONTAINERS_DIR   where the generated file and the secrets lie (var/containers); named volumes are podman's
"""

import json
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

PROJECT = "atalayatest"
BASE_IMAGE = os.environ.get("BASE_IMAGE", "localhost/debian:bookworm")
COMPOSE = os.environ.get("PODMAN_COMPOSE", "podman-compose")
FOLDER = Path(os.environ.get("CONTAINERS_DIR") or REPO / "var" / "containers")
TARGETS = ("console", "servers", "airflow")
LEFT_OUT = {"s3", "prometheus", "grafana", "notebook", "course-api", "spark-master", "spark-worker", "demo"}
ONE_SHOT = ("setup", "airflow-setup")
PORT = 20443
PATIENCE_S = 240.0


def say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)


def run(*words: str | Path, is_checked: bool = True, timeout_s: float | None = None) -> str:
    """What a command prints; on failure its words are shown."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout_s, cwd=REPO)
    if is_checked and done.returncode:
        said = f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
        sys.exit(f"{shlex.join(map(str, words))} ended with {done.returncode}:\n{said}")
    return done.stdout + done.stderr


def build() -> None:
    """Each target, with its size and how long it took."""
    for target in TARGETS:
        began_at = time.monotonic()
        options = shlex.split(os.environ.get("BUILD_OPTIONS", ""))
        options += [
            "--isolation=chroot",
            "--format=docker",
            f"--build-arg=BASE_IMAGE={BASE_IMAGE}",
            f"--target={target}",
        ]
        run("podman", "build", *options, "-t", f"localhost/atalaya/{target}", ".")
        size = int(run("podman", "image", "inspect", "--format", "{{.Size}}", f"localhost/atalaya/{target}"))
        say(f"built {target}: {size / 1e6:.0f} MB in {time.monotonic() - began_at:.0f} s")
    tools = "command -v gcc cc g++ make; find /opt/atalaya/app -name '*.env*'"
    found = run("podman", "run", "--rm", "localhost/atalaya/console", "bash", "-c", tools, is_checked=False)
    say(f"compilers and files of settings in the image: {found.split() or 'none'}")


def services() -> dict[str, Any]:
    """The services of the two files, one upon the other, as they are started here."""
    base, over = (
        yaml.safe_load((REPO / name).read_text())
        for name in ("docker-compose.yml", "deploy/compose.test.yml")
    )
    found = {
        name: merged(service, over["services"].get(name, {})) for name, service in base["services"].items()
    }
    found = {name: service for name, service in found.items() if name not in LEFT_OUT}
    for service in found.values():
        service.pop("build", None)
        service["logging"] = {
            "driver": "k8s-file",
            "options": {"max-size": "10m"},
        }  # as podman calls json-file
        service["volumes"] = [volume.replace("./", f"{REPO}/", 1) for volume in service.get("volumes", [])]
    return found


def merged(below: Any, above: Any) -> Any:
    """As compose merges files: mappings by key, volumes one after the other, what else is above wins."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    both = {key: merged(below[key], above[key]) for key in below.keys() & above.keys() - {"volumes"}}
    volumes = {"volumes": [*below.get("volumes", []), *above.get("volumes", [])]}
    return {**below, **above, **both, **volumes}


def write(found: dict[str, Any]) -> list[str]:
    """The file and the secrets; how podman-compose is called with them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    compose_secrets.ensure(FOLDER / ".env")
    own = {
        "ATALAYA_CONSOLE_IMAGE": "localhost/atalaya/console",
        "ATALAYA_AIRFLOW_IMAGE": "localhost/atalaya/airflow",
        "ATALAYA_BASE_IMAGE": BASE_IMAGE,
        "ATALAYA_HTTPS_PORT": str(PORT),
        "ATALAYA_PUBLIC_URL": f"https://localhost:{PORT}",
        "ATALAYA_MLFLOW_PORT": "20014",
        "ATALAYA_AIRFLOW_PORT": "20015",
        **{name: os.environ[name] for name in os.environ if name.startswith("ATALAYA_") or name == "CADDY"},
    }
    text = (FOLDER / ".env").read_text()
    kept = [line for line in text.splitlines() if line.partition("=")[0] not in own]
    (FOLDER / ".env").write_text("\n".join([*kept, *(f"{key}={value}" for key, value in own.items())]) + "\n")
    document = yaml.safe_load((REPO / "docker-compose.yml").read_text())
    without_order = {
        name: {k: v for k, v in service.items() if k != "depends_on"} for name, service in found.items()
    }
    volumes = {**document["volumes"], "mlflow": {}}
    content = {"services": without_order, "networks": document["networks"], "volumes": volumes}
    (FOLDER / "compose.yml").write_text(yaml.safe_dump(content, sort_keys=False))
    return [COMPOSE, "-p", PROJECT, "-f", str(FOLDER / "compose.yml"), "--env-file", str(FOLDER / ".env")]


def container(name: str, number: int = 1) -> str:
    return f"{PROJECT}_{name}_{number}"


def is_healthy(name: str) -> bool:
    done = subprocess.run(["podman", "healthcheck", "run", container(name)], capture_output=True, text=True)
    return done.returncode == 0


def wait(what: str, is_so: Callable[[], bool], *, log_of: str = "", patience_s: float = PATIENCE_S) -> None:
    """Until it is so, or the end with the log of the container."""
    deadline = time.monotonic() + patience_s
    while not is_so():
        if time.monotonic() > deadline:
            log = run("podman", "logs", "--tail", "40", container(log_of), is_checked=False) if log_of else ""
            sys.exit(f"{what}: not within {patience_s:.0f} s\n{log}")
        time.sleep(1)


def ask(path: str, *options: str) -> str:
    return run(
        "curl", "-ksS", "--max-time", "10", *options, f"https://localhost:{PORT}{path}", is_checked=False
    )


def up() -> None:
    """Everything in the order of `depends_on`, until /readyz is green in each of its parts."""
    found = services()
    compose = write(found)
    began_at = time.monotonic()
    left = dict(found)
    ready: set[str] = set()
    while left:
        next_ones = [name for name, one in left.items() if set(one.get("depends_on", {})) - LEFT_OUT <= ready]
        start(compose, next_ones)
        for name in next_ones:
            del left[name]
        ready |= set(next_ones)
    say(f"all healthy after {time.monotonic() - began_at:.0f} s")
    require_green()


def start(compose: list[str], names: Iterable[str]) -> None:
    names = list(names)
    say(f"starting {', '.join(names)}")
    run(*compose, "up", "-d", "--no-build", *names, timeout_s=300)
    for name in names:
        if name in ONE_SHOT:
            wait(name, lambda one=name: state(one) == "exited 0", log_of=name)
        else:
            wait(name, lambda one=name: is_healthy(one), log_of=name)
        say(f"  {name} {'done' if name in ONE_SHOT else 'healthy'}")


def state(name: str) -> str:
    return run(
        "podman", "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", container(name), is_checked=False
    ).strip()


def parts() -> dict[str, str]:
    """Each part of /readyz that is not well, with its words."""
    answer = ask("/readyz")
    try:
        found = json.loads(answer)["parts"]
    except (ValueError, KeyError):
        return {"web": answer[:300]}
    return {name: part.get("detail", "") for name, part in found.items() if part["status"] != "ok"}


def require_green() -> None:
    wait("/readyz", lambda: not parts(), log_of="web", patience_s=90)
    say("/readyz is green through the proxy")


def check() -> None:
    """What only shows when it runs: setup again, two at once, and who may forward."""
    assert "setup: done" in run("podman", "start", "--attach", container("setup"))
    again = ["podman", "exec", container("worker"), "python", "-m", "stack.compose_setup"]
    assert [one.wait(120) for one in [subprocess.Popen(again) for _ in range(2)]] == [0, 0]
    say("setup again, and two at once: nothing to do")
    for address, wanted in (("web:8000", "301"), ("proxy:8080", "302")):
        code = (
            "import http.client as h; c = h.HTTPConnection('%s', timeout=5); c.request('GET', '/', headers={"
            "'Host': 'proxy', 'X-Forwarded-Proto': 'https', 'X-Forwarded-For': '6.6.6.6'}); "
            "print(c.getresponse().status)"
        )
        said = run("podman", "exec", container("worker"), "python", "-c", code % address).strip()
        assert said == wanted, f"{address} answers {said}, not {wanted}"
    say("web believes nobody but the proxy")


def demo() -> None:
    """The demonstration, through the proxy, from a container of its own."""
    began_at = time.monotonic()
    inner = ["-e", "CONSOLE_PUBLIC_URL=http://proxy:8080"]
    done = subprocess.run(["podman", "exec", *inner, container("worker"), "python", "manage.py", "run_demo"])
    if done.returncode:
        sys.exit(f"run_demo ended with {done.returncode}")
    say(f"run_demo went through in {time.monotonic() - began_at:.0f} s")


def kill() -> None:
    """Each container once, by kill -9 of its first process; it must come back and be healthy."""
    for name in services():
        if name in ONE_SHOT:
            continue
        before = run("podman", "inspect", "-f", "{{.State.Pid}}", container(name)).strip()
        began_at = time.monotonic()
        os.kill(int(before), 9)

        def is_back(one: str = name, pid: str = before) -> bool:
            now = run("podman", "inspect", "-f", "{{.State.Pid}}", container(one)).strip()
            return now not in ("0", pid) and is_healthy(one)

        wait(f"{name} after kill -9", is_back, log_of=name)
        say(f"killed {name}: healthy again after {time.monotonic() - began_at:.0f} s")
    require_green()


def down() -> None:
    """Containers, networks and volumes of the test."""
    if (FOLDER / "compose.yml").exists():
        run(
            COMPOSE,
            "-p",
            PROJECT,
            "-f",
            FOLDER / "compose.yml",
            "--env-file",
            FOLDER / ".env",
            "down",
            "-v",
            "-t",
            "5",
            is_checked=False,
        )
    say("stopped and removed")


STEPS = {"build": build, "up": up, "check": check, "demo": demo, "kill": kill, "down": down}

if __name__ == "__main__":
    for step in sys.argv[1:] or STEPS:
        STEPS[step]()
