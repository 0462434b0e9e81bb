"""The chart's values and their schema, without Helm."""

import json

import jsonschema
import pytest

from tests.unit.deploy import manifests

SCHEMA = json.loads((manifests.CHART / "values.schema.json").read_text())
DEFAULTS = manifests.read(manifests.CHART / "values.yaml")
CHECKER = jsonschema.Draft7Validator(SCHEMA)


def merged(under, over):
    """As Helm lays one file of values over another."""
    if not (isinstance(under, dict) and isinstance(over, dict)):
        return over
    return {**under, **{name: merged(under.get(name), value) for name, value in over.items()}}


def faults(values) -> list[str]:
    return [".".join(map(str, error.path)) for error in CHECKER.iter_errors(merged(DEFAULTS, values))]


def test_schema_is_one():
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_defaults_fit():
    assert faults({}) == []


@pytest.mark.parametrize("name", manifests.SETS)
def test_sets_fit(name):
    assert faults(manifests.read(manifests.VALUES / f"{name}.yaml")) == []


def test_every_value_of_the_schema_has_a_default():
    """Who reads values.yaml has read all that there is."""

    def names(schema, path=()):
        for name, one in schema.get("properties", {}).items():
            yield (*path, name)
            if "properties" in one:
                yield from names(one, (*path, name))

    def has(path, values=DEFAULTS):
        return path[0] in values and (len(path) == 1 or has(path[1:], values[path[0]]))

    unsaid = {".".join(path) for path in names(SCHEMA) if not has(path)}
    assert unsaid == {"global", "podSecurity.fsGroupChangePolicy", "podSecurity.supplementalGroups"}


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"image": {"tag": "latest"}}, "image.tag"),
        ({"image": {"digest": "sha256:short"}}, "image.digest"),
        ({"redis": {"image": "redis"}}, "redis.image"),
        ({"redis": {"image": "redis:latest"}}, "redis.image"),
        ({"replicas": 2}, ""),
        ({"web": {"replica": 2}}, "web"),
        ({"web": {"replicas": 0}}, "web.replicas"),
        ({"web": {"resources": {"limits": {"cpu": None}}}}, "web.resources.limits.cpu"),
        ({"publicUrl": "atalaya.example.org"}, "publicUrl"),
        ({"publicUrl": "https://atalaya.example.org/"}, "publicUrl"),
        ({"mlflow": {"url": "https://mlflow.example.org/"}}, "mlflow.url"),
        ({"allowedHosts": ["*"]}, "allowedHosts.0"),
        ({"proxyNetworks": ["ingress"]}, "proxyNetworks.0"),
        ({"kafka": {"bootstrap": "kafka"}}, "kafka.bootstrap"),
        ({"airflow": {"auth": "none"}}, "airflow.auth"),
        ({"spark": {"master": "localhost:7077"}}, "spark.master"),
        ({"spark": {"targets": {"x": {}}}}, "spark.targets.x"),
        ({"settings": {"CONSOLE_SECRET_KEY": "x"}}, "settings"),
        ({"settings": {"CONSOLE_DATABASE_URL": "postgresql://x:y@z/x"}}, "settings"),
        ({"podSecurity": {"runAsUser": 0}}, "podSecurity.runAsUser"),
        ({"sharedStorage": {"accessModes": ["ReadOnlyMany"]}}, "sharedStorage.accessModes.0"),
        ({"networkPolicy": {"egressPorts": []}}, "networkPolicy.egressPorts"),
    ],
)
def test_value_that_cannot_work_is_named(values, where):
    assert faults(values) == [where]


def test_production_brings_no_services_and_no_secrets():
    found = merged(DEFAULTS, manifests.read(manifests.VALUES / "production.yaml"))
    assert not any(found[name]["bundled"] for name in ("postgresql", "redis", "kafka"))
    assert found["existingSecret"]
    assert found["image"]["digest"]


SOUND = {
    "kind": "Deployment",
    "metadata": {"name": "x"},
    "spec": {
        "template": {
            "spec": {
                "automountServiceAccountToken": False,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 1000,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "x",
                        "image": "registry.example.org:5000/x:1.0",
                        "resources": {
                            "requests": {"cpu": "1", "memory": "1Gi"},
                            "limits": {"cpu": "1", "memory": "1Gi"},
                        },
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "readOnlyRootFilesystem": True,
                            "capabilities": {"drop": ["ALL"]},
                        },
                        "startupProbe": {},
                        "livenessProbe": {},
                    }
                ],
            }
        }
    },
}


def changed(path: str, value):
    """The sound deployment with one thing in its pod changed."""
    found = json.loads(json.dumps(SOUND))
    *way, last = path.split(".")
    place = found["spec"]["template"]["spec"]
    for step in way:
        place = place[int(step) if step.isdigit() else step]
    place[last] = value
    return found


def test_policies_have_nothing_against_a_sound_pod():
    assert manifests.faults(SOUND) == manifests.without_probes(SOUND) == []


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("securityContext.runAsUser", 0, "may run as root"),
        ("securityContext.runAsNonRoot", False, "may run as root"),
        ("securityContext.seccompProfile", {"type": "Unconfined"}, "no seccomp profile"),
        ("automountServiceAccountToken", True, "holds a token"),
        ("hostNetwork", True, "sees the node"),
        ("volumes", [{"name": "x", "hostPath": {"path": "/"}}], "mounts a folder of the node"),
        ("containers.0.image", "registry.example.org:5000/x", "whatever image is the latest"),
        ("containers.0.image", "x:latest", "whatever image is the latest"),
        ("containers.0.resources", {"requests": {"cpu": "1", "memory": "1Gi"}}, "has no limits"),
        ("containers.0.securityContext.readOnlyRootFilesystem", False, "root file system"),
        ("containers.0.securityContext.privileged", True, "may gain privileges"),
        ("containers.0.securityContext.capabilities", {"drop": []}, "keeps capabilities"),
    ],
)
def test_policies_refuse(path, value, fault):
    (found,) = manifests.faults(changed(path, value))
    assert fault in found


@pytest.mark.parametrize("text", ["redis://:pw@host", "password=pw", 'client_secret: "pw"'])
def test_policies_refuse_a_secret_in_a_config_map(text):
    config_map = {"kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"x": text}}
    assert len(manifests.faults(config_map)) == 1
