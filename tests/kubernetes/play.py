"""The chart's pods, run by `podman kube play` against the running embedded stack until /readyz is green.

    python -m tests.kubernetes.play IMAGE      after `make up DEMO=0`; as root, with podman and helm

The embedded stack gives PostgreSQL, Redis, Kafka, MLflow and Airflow; its own console parts are stopped, so
that every sign of life comes from a pod. What podman 4 does not read is put in other words: volumes become
folders, a job a pod, and the pods' network is the machine's; probes by HTTP are left out, since this asks.
Everything is taken down at the end.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from stack import config, console_parts, down
from stack.config import REPO, Config
from tests.unit.deploy import manifests

USER = 10001
PORTS = {"web": ("8000", 50), "serving": ("8001", 51)}  # in a pod, and as offsets from the stack's here
PATIENCE_S = 240.0
SECRETS = (
    "CONSOLE_SECRET_KEY",
    "CONSOLE_RECORD_SECRETS",
    "CONSOLE_AIRFLOW_JWT_SECRET",
    "CONSOLE_DATABASE_URL",
    "CONSOLE_USECASES_DATABASE_URL",
    "CONSOLE_REDIS_URL",
    "CONSOLE_KAFKA_CONFIG",
    "CONSOLE_MLFLOW_PASSWORD",
)

Manifest = dict[str, Any]


def main(image: str) -> int:
    """0 when every part was green within some minutes."""
    stack = config.load(config.from_environment().var_dir)
    if stack is None:
        sys.exit("No stack has been started here: run `make up DEMO=0` first.")
    down.stop(stack, console_parts.PARTS)
    folder = Path(tempfile.mkdtemp(prefix="atalaya-pods-"))
    folder.chmod(0o755)  # the pods' user finds its folders below
    pods = folder / "pods.yaml"
    try:
        made = [_for_podman(one, folder, stack) for one in _rendered(stack, image) if _is_ours(one)]
        _write_secrets(folder / "secrets", console_parts.settings(stack))
        pods.write_text(yaml.safe_dump_all(made, sort_keys=False))
        began_at = time.monotonic()
        _podman("kube", "play", "--network", "host", str(pods))
        found = _wait(stack)
        sys.stdout.write(f"{time.monotonic() - began_at:.0f} s: {json.dumps(found, indent=1)}\n")
        return 0 if _is_green(found) else 1
    finally:
        if pods.exists():
            _podman("ps", "--all", "--format", "{{.Names}}: {{.Status}}", is_needed=False)
            _podman("kube", "down", str(pods), is_needed=False)
        shutil.rmtree(folder)


def _rendered(stack: Config, image: str) -> tuple[Manifest, ...]:
    known = console_parts.settings(stack)
    repository, _colon, tag = image.rpartition(":")
    values = {
        "image": {"repository": repository, "tag": tag, "pullPolicy": "Never"},
        "publicUrl": f"http://127.0.0.1:{_port(stack, 'web')}",
        "existingSecret": "atalaya-secrets",
        "kafka": {"bootstrap": known["CONSOLE_KAFKA_BOOTSTRAP"]},
        "mlflow": {"url": known["CONSOLE_MLFLOW_URL"], "username": known["CONSOLE_MLFLOW_USERNAME"]},
        "airflow": {"url": known["CONSOLE_AIRFLOW_URL"]},
        # each part once: two would ask for one port
        "web": {"replicas": 1},
        "serving": {"replicas": 1},
        "worker": {"replicas": 1},
        "settings": {"CONSOLE_SERVING_URL": f"http://127.0.0.1:{_port(stack, 'serving')}"},
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(values, file)
        file.flush()
        done = manifests.template("-f", file.name)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return manifests.documents(done.stdout)


def _is_ours(manifest: Manifest) -> bool:
    return manifest["kind"] in {"Deployment", "Job"}


def _for_podman(manifest: Manifest, folder: Path, stack: Config) -> Manifest:
    """The pod of one part, in the words that podman 4 knows."""
    name, spec = manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]
    for key in ("topologySpreadConstraints", "serviceAccountName", "securityContext"):
        spec.pop(key, None)  # podman runs one pod, and reads security where containers have it
    spec["volumes"] = [_as_folder(volume, name, folder) for volume in spec["volumes"]]
    for container in manifests.containers(manifest["spec"]["template"]):
        container["securityContext"] |= {"runAsUser": USER, "runAsGroup": USER}
        container["env"] = [_told(one) for one in container["env"]]
        part = container["name"]
        if part in PORTS:
            inside, _offset = PORTS[part]
            container["args"] = [
                str(_port(stack, part)) if word == inside else word for word in container["args"]
            ]
            for probe in ("startupProbe", "livenessProbe", "readinessProbe", "ports"):
                del container[probe]  # podman asks by a curl that the image has not; we ask ourselves
    if manifest["kind"] == "Job":  # podman 4 knows no jobs
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    return manifest


def _as_folder(volume: Manifest, pod: str, folder: Path) -> Manifest:
    name = volume["name"]
    path = folder / (name if name in {"shared", "secrets"} else f"{pod}-{name}")
    path.mkdir(mode=0o700, exist_ok=True)
    os.chown(path, USER, USER)
    return {"name": name, "hostPath": {"path": str(path), "type": "Directory"}}


def _told(variable: Manifest) -> Manifest:
    """The pod's address and name are the machine's here."""
    value = variable.get("value", "127.0.0.1").replace("$(POD_IP)", "127.0.0.1").replace("$(POD_NAME)", "pod")
    return {"name": variable["name"], "value": value}


def _write_secrets(folder: Path, known: dict[str, str]) -> None:
    for name in SECRETS:
        path = folder / name
        path.write_text(known[name])
        path.chmod(0o440)
        os.chown(path, USER, USER)


def _port(stack: Config, part: str) -> int:
    _inside, offset = PORTS[part]
    return stack.port_base + offset


def _wait(stack: Config) -> dict[str, Any]:
    """What /readyz says once all is green, or at last."""
    url = f"http://127.0.0.1:{_port(stack, 'web')}/readyz"
    deadline = time.monotonic() + PATIENCE_S
    found: dict[str, Any] = {}
    while time.monotonic() < deadline and not _is_green(found):
        time.sleep(2)
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            found = json.loads(error.read() or b"{}")
        except OSError as error:
            found = {"status": str(error), "parts": {}}
    return found


def _is_green(found: dict[str, Any]) -> bool:
    parts = found.get("parts", {})
    return len(parts) > len(console_parts.PARTS) and all(one["status"] == "ok" for one in parts.values())


def _podman(*arguments: str, is_needed: bool = True) -> None:
    subprocess.run(["podman", *arguments], check=is_needed, cwd=REPO)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
