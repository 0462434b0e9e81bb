"""`make test-containers`: builds the images and runs docker-compose.yml, with podman and podman-compose.

    python -m tests.containers [build] [up] [check] [demo] [scale] [kill] [pods] [down]     no word: all

BASE_IMAGE       what our images are built on (localhost/debian:bookworm)
BUILD_OPTIONS    further options of `podman build`, such as those that tell it where packages come from
PODMAN_COMPOSE   the program (podman-compose)
CADDY            the program of the proxy (/usr/bin/caddy)
HELM             the program that renders the chart, for its pods (the one on the path)
MOTO             folder of Python packages with moto's server: an S3 store for MLflow, else it keeps files
STATSD_EXPORTER  one that is built for this machine: Airflow's own metrics are read, too (none)
PROMETHEUS       that of Prometheus (/usr/bin/prometheus)
ALERTMANAGER     that of Alertmanager, as Debian brings it (/usr/bin/prometheus-alertmanager)
CONTAINERS_DIR   where the generated file and the secrets lie (var/containers); named volumes are podman's
"""

import json
import os
import shlex
import subprocess
import sys
import time
from typing import Any

from stack import console_parts
from tests.containers import across, cluster, pods, project
from tests.containers.project import LEFT_OUT, ONE_SHOT, container, is_healthy, run, say, wait

TARGETS = ("console", "servers", "airflow", "notebook")
COPIES = {"ATALAYA_WEB_COUNT": "2", "ATALAYA_SERVING_COUNT": "3"}


def build() -> None:
    """Each target, with its size and how long it took."""
    for target in TARGETS:
        began_at = time.monotonic()
        options = shlex.split(os.environ.get("BUILD_OPTIONS", ""))
        options += [
            "--isolation=chroot",
            "--format=docker",
            f"--build-arg=BASE_IMAGE={project.BASE_IMAGE}",
            f"--target={target}",
        ]
        run("podman", "build", *options, "-t", f"localhost/atalaya/{target}", ".")
        size = int(run("podman", "image", "inspect", "--format", "{{.Size}}", f"localhost/atalaya/{target}"))
        say(f"built {target}: {size / 1e6:.0f} MB in {time.monotonic() - began_at:.0f} s")
    tools = "command -v gcc cc g++ make; find /opt/atalaya/app -name '*.env*'"
    found = run("podman", "run", "--rm", "localhost/atalaya/console", "bash", "-c", tools, is_checked=False)
    assert not found.split(), f"in the image: {found}"
    say("no compiler and no file of settings in the image")


def write(**settings: str) -> None:
    project.write(project.services(), ATALAYA_SPARK_TARGETS=cluster.TARGETS, **settings)


def up() -> None:
    """Everything in the order of `depends_on`, until /readyz is green in each of its parts."""
    found = project.services()
    write()
    began_at = time.monotonic()
    left = {name: one for name, one in found.items() if name != "demo"}
    ready: set[str] = set()
    while left:
        next_ones = [name for name, one in left.items() if set(one.get("depends_on", {})) - LEFT_OUT <= ready]
        project.start(next_ones)
        for name in next_ones:
            del left[name]
        ready |= set(next_ones)
    say(f"all healthy after {time.monotonic() - began_at:.0f} s")
    require_green()


def ask(path: str) -> str:
    address = f"https://localhost:{project.PORT}{path}"
    return run("curl", "-ksS", "--max-time", "10", address, is_checked=False)


def parts() -> dict[str, str]:
    """Each part of /readyz that is not well, with its words."""
    answer = ask("/readyz")
    try:
        found = json.loads(answer)["parts"]
    except (ValueError, KeyError):
        return {"web": answer[:300]}
    return {name: part.get("detail", "") for name, part in found.items() if part["status"] != "ok"}


def require_green() -> None:
    wait("/readyz", lambda: not parts(), log_of=container("web"), patience_s=90)
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
        said = project.inside("worker", "python", "-c", code % address).strip()
        assert said == wanted, f"{address} answers {said}, not {wanted}"
    say("web believes nobody but the proxy")
    names = project.inside("notebook", "sh", "-c", "ls notebooks/*.ipynb && touch notebooks/own").split()
    say(f"JupyterLab shows {len(names)} notebooks")
    _check_prometheus()


def _check_prometheus() -> None:
    """All targets answer, and every rule can be evaluated."""
    address = "http://prometheus:9090/api/v1/"
    code = f"import sys, urllib.request as u; print(u.urlopen('{address}' + sys.argv[1]).read().decode())"

    def asked(what: str) -> Any:
        return json.loads(project.inside("worker", "python", "-c", code, what))["data"]

    def is_read() -> bool:
        jobs = {one["labels"]["job"] for one in asked("targets")["activeTargets"] if one["health"] == "up"}
        parts = {part.name for part in console_parts.PARTS} - {"web"}
        airflow = {"airflow"} if project.HAS_STATSD else set()
        return jobs == {"console", "prometheus", "alertmanager", *airflow, *parts}

    wait("Prometheus' targets", is_read, log_of=container("prometheus"), patience_s=60)
    rules = [rule for group in asked("rules")["groups"] for rule in group["rules"]]
    unwell = {rule["name"]: rule["lastError"] for rule in rules if rule["health"] == "err"}
    assert rules, "no rules"
    assert not unwell, unwell
    say(f"Prometheus reads each part of the console and evaluates {len(rules)} rules")


def demo() -> None:
    """The demonstration through the proxy, in a container of its own; its Spark job again on the cluster."""
    began_at = time.monotonic()
    project.compose("up", "-d", "--no-build", "demo")
    subprocess.run(["podman", "logs", "--follow", container("demo")])
    wait("demo", lambda: project.state(container("demo")).startswith("exited"), log_of=container("demo"))
    if (state := project.state(container("demo"))) != "exited 0":
        sys.exit(f"run_demo: {state}")
    say(f"run_demo went through in {time.monotonic() - began_at:.0f} s")
    cluster.check()


def scale() -> None:
    """Two web and three serving; who asks comes to all of them and notices nothing."""
    write(**COPIES)
    project.start(["web", "serving"])
    time.sleep(6)  # the proxy looks who is there every five seconds
    across.check()


def kill() -> None:
    """Each container once, by kill -9 of its first process; it must come back and be healthy."""
    # what the S3 store of the test holds in memory would be gone
    names = [name for name in project.services() if name not in (*ONE_SHOT, "s3")]
    for one in (one for name in names for one in project.containers(name)):
        before = run("podman", "inspect", "-f", "{{.State.Pid}}", one).strip()
        began_at = time.monotonic()
        os.kill(int(before), 9)

        def is_back(one: str = one, pid: str = before) -> bool:
            now = run("podman", "inspect", "-f", "{{.State.Pid}}", one).strip()
            return now not in ("0", pid) and is_healthy(one)

        wait(f"{one} after kill -9", is_back, log_of=one)
        say(f"killed {one}: healthy again after {time.monotonic() - began_at:.0f} s")
    require_green()


def down() -> None:
    """Containers, networks and volumes of the test."""
    if (project.FOLDER / "compose.yml").exists():
        project.compose("down", "-v", "-t", "5", is_checked=False)
    say("stopped and removed")


STEPS = {
    "build": build,
    "up": up,
    "check": check,
    "demo": demo,
    "scale": scale,
    "kill": kill,
    "pods": pods.check,
    "down": down,
}

if __name__ == "__main__":
    for step in sys.argv[1:] or STEPS:
        STEPS[step]()
