"""The chart's pods, by `podman kube play`, against the servers that the compose file started.

The compose file's own console parts are stopped, so that every sign of life in /readyz comes from a pod. What
podman 4 does not read is put in other words: volumes become folders, jobs and deployments pods, a Service
the name of a pod on the networks. Its probes by HTTP need a curl, which the image has not: this asks /readyz.
"""

import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from tests.containers import project
from tests.containers.project import run, say, wait
from tests.unit.deploy import manifests
from tests.unit.deploy.manifests import Manifest

USER = 10001
TAG = "localhost/atalaya/console:test"  # the chart refuses `latest`
PARTS = ("web", "serving", "worker", "beat", "watch", "recorder", "aggregator")
WEB = "atalaya-web-web"
NETWORKS = (f"{project.NAME}_back", f"{project.NAME}_data")
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
VALUES = {
    "image": {"repository": TAG.rpartition(":")[0], "tag": TAG.rpartition(":")[2], "pullPolicy": "Never"},
    "publicUrl": "http://web:8000",
    "existingSecret": "atalaya-secrets",
    "kafka": {"bootstrap": "kafka:9092"},
    "mlflow": {"url": "http://mlflow:5000", "username": "atalaya"},
    "airflow": {"url": "http://airflow-api:8080"},
    "web": {"replicas": 1},
    "serving": {"replicas": 1},
    "worker": {"replicas": 1},
    "settings": {"CONSOLE_SERVING_URL": "http://serving:8001"},
}


def check() -> None:
    """Play them all; green in every part within some minutes."""
    if not manifests.HELM:
        say("no helm here: the chart's pods are left out")
        return
    known = json.loads(run("podman", "inspect", "-f", "{{json .Config.Env}}", project.container("worker")))
    folder = Path(tempfile.mkdtemp(prefix="atalaya-pods-"))
    folder.chmod(0o755)  # the pods' user finds its folders below
    run("podman", "tag", "localhost/atalaya/console", TAG)
    files = [_write(manifest, folder) for manifest in _rendered(folder)]
    _write_secrets(folder / "secrets", dict(one.split("=", 1) for one in known))
    project.compose("stop", *PARTS)
    began_at = time.monotonic()
    try:
        for path in files:
            name = path.stem.removeprefix("atalaya-")
            networks = [f"--network={network}:alias={name}" for network in NETWORKS]
            run("podman", "kube", "play", *networks, path)
        wait("the chart's pods", _is_green, log_of=WEB)
        say(f"{len(files)} pods of the chart: /readyz is green after {time.monotonic() - began_at:.0f} s")
    finally:
        for path in files:
            run("podman", "kube", "down", path, is_checked=False)
        shutil.rmtree(folder)
    project.start(PARTS)


def _rendered(folder: Path) -> list[Manifest]:
    """Setup first, then the parts."""
    values = folder / "values.json"
    values.write_text(json.dumps(VALUES))
    done = manifests.template("-f", str(values))
    assert done.returncode == 0, done.stderr
    made = manifests.documents(done.stdout)
    return [one for kind in ("Job", "Deployment") for one in made if one["kind"] == kind]


def _write(manifest: Manifest, folder: Path) -> Path:
    path = folder / f"{manifest['metadata']['name']}.yaml"
    path.write_text(yaml.safe_dump(_for_podman(manifest, folder), sort_keys=False))
    return path


def _for_podman(manifest: Manifest, folder: Path) -> Manifest:
    """The pod of one part, in the words that podman 4 knows."""
    name, spec = manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]
    for key in ("topologySpreadConstraints", "serviceAccountName", "securityContext"):
        spec.pop(key, None)  # podman runs one pod, and reads security where containers have it
    spec["volumes"] = [_as_folder(volume, name, folder) for volume in spec["volumes"]]
    for container in manifests.containers(manifest["spec"]["template"]):
        container["securityContext"] |= {"runAsUser": USER, "runAsGroup": USER}
        container["env"] = [_told(one, name.removeprefix("atalaya-")) for one in container["env"]]
        container.pop("ports", None)  # which podman opens on the host, where five parts would have the same
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if "httpGet" in container.get(probe, {}):
                del container[probe]
    spec["restartPolicy"] = "OnFailure"  # Always would start an init container again that has ended well
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def _as_folder(volume: dict[str, Any], pod: str, folder: Path) -> dict[str, Any]:
    name = volume["name"]
    path = folder / (name if name in {"shared", "secrets"} else f"{pod}-{name}")
    path.mkdir(mode=0o700, exist_ok=True)
    os.chown(path, USER, USER)
    return {"name": name, "hostPath": {"path": str(path), "type": "Directory"}}


def _told(variable: dict[str, Any], alias: str) -> dict[str, Any]:
    """The pod's address is its name on the networks here."""
    value = variable.get("value", alias).replace("$(POD_IP)", alias).replace("$(POD_NAME)", alias)
    return {"name": variable["name"], "value": value}


def _write_secrets(folder: Path, told: dict[str, str]) -> None:
    for name in SECRETS:
        path = folder / name
        path.write_text(told[name])
        path.chmod(0o440)
        os.chown(path, USER, USER)


def _is_green() -> bool:
    code = (
        "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=5); "
        "c.request('GET', '/readyz', headers={'Host': 'web'}); print(c.getresponse().read().decode())"
    )
    said = run("podman", "exec", WEB, "python", "-c", code, is_checked=False)
    try:
        parts = json.loads(said)["parts"]
    except (ValueError, KeyError):
        return False
    return len(parts) > len(PARTS) and all(one["status"] == "ok" for one in parts.values())
