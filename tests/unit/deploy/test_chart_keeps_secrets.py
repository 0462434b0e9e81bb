"""Generated secrets stay what they are: Helm asks the cluster, here one that knows nothing but a Secret."""

import base64
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.unit.deploy import manifests
from tests.unit.deploy.manifests import VALUES

pytestmark = manifests.needs_helm

PATH = "/api/v1/namespaces/data/secrets/atalaya-generated"
KINDS = {
    "kind": "APIResourceList",
    "groupVersion": "v1",
    "resources": [{"name": "secrets", "kind": "Secret", "namespaced": True, "verbs": ["get"]}],
}
ABSENT = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}


class Cluster(ThreadingHTTPServer):
    """As much of Kubernetes' API as `lookup` asks for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Api)
        self.secret: dict | None = None
        self.asked: list[str] = []

    def keep(self, secret) -> None:
        data = {name: base64.b64encode(v.encode()).decode() for name, v in secret["stringData"].items()}
        self.secret = {"apiVersion": "v1", "kind": "Secret", "metadata": secret["metadata"], "data": data}

    def render(self, *options: str):
        """The generated secret as an upgrade would write it."""
        address = f"http://127.0.0.1:{self.server_port}"
        done = manifests.template(
            "--dry-run=server",
            "--kubeconfig",
            os.devnull,
            "--kube-apiserver",
            address,
            "-f",
            str(VALUES / "trial.yaml"),
            *options,
        )
        assert done.returncode == 0, done.stderr
        return manifests.of_kind(manifests.documents(done.stdout), "Secret")["atalaya-generated"]


class Api(BaseHTTPRequestHandler):
    server: Cluster

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        answers = {
            "/version": {"major": "1", "minor": "37", "gitVersion": "v1.37.0"},
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
            "/api/v1": KINDS,
            PATH: self.server.secret,
        }
        found = answers.get(path)
        body = json.dumps(found or ABSENT).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments) -> None:
        pass


@pytest.fixture
def cluster():
    with Cluster() as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def test_first_install_generates_others_each_time(cluster):
    one, two = cluster.render(), cluster.render()
    assert PATH in cluster.asked
    same = {name for name, value in one["stringData"].items() if two["stringData"][name] == value}
    assert same == set()


def test_upgrade_keeps_every_one(cluster):
    first = cluster.render()
    cluster.keep(first)
    assert cluster.render("--set", "image.tag=0.2.0")["stringData"] == first["stringData"]


def test_upgrade_adds_what_is_missing(cluster):
    first = cluster.render("--set", "redis.bundled=false,existingSecret=x")
    cluster.keep(first)
    second = cluster.render("--set", "existingSecret=x")["stringData"]
    assert "redis" in second.keys() - first["stringData"].keys()
    assert first["stringData"].items() <= second.items()
