"""What MLflow answers when something is amiss, and what the gateway makes of it."""

import httpx
import pytest

from core.lib.errors import NotFound, Unavailable
from models_registry.gateway import MlflowGateway

ROOT = "mlflow-artifacts:/1/abc/artifacts"
FILES = "/api/2.0/mlflow-artifacts/artifacts"


def gateway(answer):
    return MlflowGateway(httpx.Client(base_url="http://mlflow", transport=httpx.MockTransport(answer)))


class Bucket:
    """MLflow before an object store: asked for a key that is not there, it answers 500 and no 404."""

    def __init__(self, *names: str, listing: int = 200) -> None:
        self.names, self.listing = names, listing
        self.listed: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != FILES:
            return httpx.Response(500, json={"error_code": "INTERNAL_ERROR", "message": "Internal error"})
        self.listed.append(request.url.params["path"])
        files = [{"path": name, "is_dir": False, "file_size": 3} for name in self.names]
        return httpx.Response(self.listing, json={"files": files})


@pytest.mark.parametrize(
    ("path", "folder"),
    [("serving/spec.json", "1/abc/artifacts/serving"), ("spec.json", "1/abc/artifacts")],
)
def test_a_file_that_an_object_store_lacks_is_not_found(path, folder):
    bucket = Bucket("reference.parquet")
    with pytest.raises(NotFound, match="has no file"):
        gateway(bucket).read_file(ROOT, path, limit_bytes=10)
    assert bucket.listed == [folder]


def test_a_file_that_is_listed_and_cannot_be_read_is_an_outage():
    with pytest.raises(Unavailable, match="500"):
        gateway(Bucket("spec.json")).read_file(ROOT, "serving/spec.json", limit_bytes=10)


def test_an_object_store_that_cannot_list_either_is_an_outage():
    with pytest.raises(Unavailable):
        gateway(Bucket(listing=500)).read_file(ROOT, "serving/spec.json", limit_bytes=10)
