"""Manifests of the chart as Helm renders them, and what a cluster with strict rules would refuse of them."""

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.config import REPO

CHART = REPO / "deploy" / "helm" / "atalaya"
VALUES = REPO / "deploy" / "helm" / "values"
SETS = ("trial", "production", "minimal", "observed")
KUBERNETES = "1.37.0"
HELM = os.environ.get("HELM") or shutil.which("helm") or ""
needs_helm = pytest.mark.skipif(not HELM, reason="helm is neither on the path nor named by HELM")

# An address with a password, or a password that is neither empty nor read from somewhere.
SECRET = re.compile(r"""://[^/\s:@]*:[^@\s]+@|(password|secret)[=:]\s*["']?[^\s$"'{]""", re.IGNORECASE)

Manifest = dict[str, Any]


def read(path: Path) -> Any:
    """A YAML file's only document."""
    return yaml.load(path.read_text(), Loader=yaml.CSafeLoader)


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HELM, *arguments], capture_output=True, text=True, timeout=60)


def template(*options: str, chart: Path = CHART) -> subprocess.CompletedProcess[str]:
    return helm(
        "template", "atalaya", str(chart), "--namespace", "data", "--kube-version", KUBERNETES, *options
    )


@functools.cache
def render(name: str, *options: str) -> tuple[Manifest, ...]:
    """All that one of the four sets of values makes."""
    done = template("-f", str(VALUES / f"{name}.yaml"), *options)
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)


def documents(text: str) -> tuple[Manifest, ...]:
    return tuple(one for one in yaml.load_all(text, Loader=yaml.CSafeLoader) if one)


def of_kind(manifests: tuple[Manifest, ...], kind: str) -> dict[str, Manifest]:
    """Those of one kind, by name."""
    return {one["metadata"]["name"]: one for one in manifests if one["kind"] == kind}


def pods(manifests: tuple[Manifest, ...]) -> dict[str, Manifest]:
    """The pod templates of whatever makes pods, by its name."""
    return {
        one["metadata"]["name"]: one["spec"]["template"]
        for one in manifests
        if one["kind"] in {"Deployment", "StatefulSet", "Job"}
    }


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


def faults(manifest: Manifest) -> list[str]:
    """What policies refuse of it, in words; empty for what makes no pods and is sound."""
    if manifest["kind"] == "ConfigMap":
        return list(_secrets_in(manifest))
    return [
        fault
        for name, pod in pods((manifest,)).items()
        for fault in (*_faults_of_pod(name, pod), *_faults_of_containers(name, pod))
    ]


def _secrets_in(config_map: Manifest) -> Iterator[str]:
    for key, text in config_map["data"].items():
        if SECRET.search(text):
            yield f"{config_map['metadata']['name']}: {key} may hold a secret"


def _faults_of_pod(name: str, pod: Manifest) -> Iterator[str]:
    spec = pod["spec"]
    security = spec.get("securityContext", {})
    if not security.get("runAsNonRoot") or not security.get("runAsUser"):
        yield f"{name} may run as root"
    if security.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield f"{name} has no seccomp profile"
    if spec.get("automountServiceAccountToken") is not False:
        yield f"{name} holds a token of its service account"
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield f"{name} sees the node ({key})"
    if any("hostPath" in volume for volume in spec.get("volumes", ())):
        yield f"{name} mounts a folder of the node"


def _faults_of_containers(name: str, pod: Manifest) -> Iterator[str]:
    for container in containers(pod):
        where = f"{name}/{container['name']}"
        security, resources = container.get("securityContext", {}), container.get("resources", {})
        if not security.get("readOnlyRootFilesystem"):
            yield f"{where} writes to its root file system"
        if security.get("allowPrivilegeEscalation") is not False or security.get("privileged"):
            yield f"{where} may gain privileges"
        if security.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{where} keeps capabilities"
        for kind in ("requests", "limits"):
            if not {"cpu", "memory"} <= resources.get(kind, {}).keys():
                yield f"{where} has no {kind}"
        _name, _slash, version = container["image"].rpartition("/")
        if version.endswith(":latest") or not {":", "@"} & set(version):
            yield f"{where} runs whatever image is the latest"


def without_probes(manifest: Manifest) -> list[str]:
    """Containers that run on and that nobody asks whether they live."""
    if manifest["kind"] not in {"Deployment", "StatefulSet"}:
        return []
    found = manifest["spec"]["template"]["spec"]["containers"]
    return [one["name"] for one in found if not {"startupProbe", "livenessProbe"} <= one.keys()]
