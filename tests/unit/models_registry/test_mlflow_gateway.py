"""What MLflow answers when something is amiss, and what the gateway makes of it."""

import json
import time

import httpx
import pytest

from core.lib.errors import NotFound, Unavailable
from models_registry import gateway as module
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


ABSENT = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Model Version (name=a, version=1) not found"}


class TestNotFound:
    """Only MLflow's own word says that it lacks something; a proxy before it answers 404 while it is away."""

    CALLS = (
        lambda mlflow: mlflow.run("a"),
        lambda mlflow: mlflow.version("a", 1),
        lambda mlflow: mlflow.set_champion("a", 1),
        lambda mlflow: mlflow.remove_champion("a"),
        lambda mlflow: mlflow.read_file(ROOT, "serving/spec.json", limit_bytes=10),
    )

    @pytest.mark.parametrize("call", CALLS)
    @pytest.mark.parametrize(
        "body", ["<h1>404</h1>", "", '{"detail": "Not Found"}', "RESOURCE_DOES_NOT_EXIST"]
    )
    def test_a_404_of_others_is_an_outage(self, call, body):
        with pytest.raises(Unavailable, match="404"):
            call(gateway(lambda _request: httpx.Response(404, text=body)))

    @pytest.mark.parametrize("call", CALLS[:3])
    def test_mlflow_says_so_itself(self, call):
        with pytest.raises(NotFound, match="version=1"):
            call(gateway(lambda _request: httpx.Response(404, json=ABSENT)))

    def test_an_alias_that_is_not_there_is_taken_away(self):
        gateway(lambda _request: httpx.Response(404, json=ABSENT)).remove_champion("a")

    @pytest.mark.parametrize("body", ["<h1>404</h1>", json.dumps(ABSENT)])
    def test_a_file_that_the_proxied_store_lacks(self, body):
        def answer(request):
            is_list = request.url.path == FILES
            return httpx.Response(200, json={"files": []}) if is_list else httpx.Response(404, text=body)

        with pytest.raises(NotFound):
            gateway(answer).read_file(ROOT, "serving/spec.json", limit_bytes=10)


@pytest.mark.parametrize("body", ["null", "5", "[1]", '"x"', "<html>", "[" * 100_000])
@pytest.mark.parametrize(
    "call",
    [lambda mlflow: mlflow.run("a"), lambda mlflow: mlflow.set_champion("titanic", 1), lambda m: m.models()],
)
def test_what_is_no_object_is_no_answer_of_mlflow(body, call):
    with pytest.raises(Unavailable, match="CONSOLE_MLFLOW_URL"):
        call(gateway(lambda _request: httpx.Response(200, text=body)))


CALLS = {
    "experiments": lambda mlflow: mlflow.experiments(),
    "runs": lambda mlflow: list(mlflow.runs(["1"])),
    "run": lambda mlflow: mlflow.run("a"),
    "history": lambda mlflow: mlflow.metric_history("a", "loss"),
    "models": lambda mlflow: mlflow.models(),
    "model": lambda mlflow: mlflow.model("a"),
    "versions": lambda mlflow: list(mlflow.versions()),
    "version": lambda mlflow: mlflow.version("a", 1),
    "root": lambda mlflow: mlflow.model_root("a", 1),
    "files": lambda mlflow: mlflow.list_files(ROOT),
}
LISTS = {
    "experiments": "experiments", "runs": "runs", "history": "metrics", "models": "registered_models",
    "versions": "model_versions", "files": "files",
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("body", [{"detail": "Sign in"}, {"run": 1, "files": 1, "model_version": [1]}])
def test_an_object_of_others_is_no_answer_of_mlflow(call, body):
    with pytest.raises(Unavailable, match="CONSOLE_MLFLOW_URL"):
        call(gateway(lambda _request: httpx.Response(200, json=body)))


@pytest.mark.parametrize("name", ["run", "model", "version"])
def test_one_thing_without_its_parts_is_no_answer_of_mlflow(name):
    body = {"run": {}, "model_version": {}, "registered_model": {"name": "a", "aliases": 3}}
    with pytest.raises(Unavailable, match="CONSOLE_MLFLOW_URL"):
        CALLS[name](gateway(lambda _request: httpx.Response(200, json=body)))


def test_a_file_that_leads_to_a_sign_in_is_an_outage():
    class Page(httpx.SyncByteStream):  # which nobody has read yet, as from a real connection
        def __iter__(self):
            yield b"<html>Sign in</html>"

    elsewhere = httpx.Response(302, headers={"location": "http://proxy/login"}, stream=Page())
    with pytest.raises(Unavailable, match="302"):
        gateway(lambda _request: elsewhere).read_file(ROOT, "spec.json", limit_bytes=10)


@pytest.mark.parametrize(("name", "key"), LISTS.items(), ids=LISTS)
def test_an_empty_list_is_left_out_and_never_null(name, key):
    assert CALLS[name](gateway(lambda _request: httpx.Response(200, json={}))) in ([], module.History([]))
    with pytest.raises(Unavailable, match="CONSOLE_MLFLOW_URL"):
        CALLS[name](gateway(lambda _request: httpx.Response(200, json={key: None})))


@pytest.mark.parametrize("name", ["run", "model", "version", "root"])
def test_nothing_is_no_answer_about_one_thing(name):
    with pytest.raises(Unavailable, match="CONSOLE_MLFLOW_URL"):
        CALLS[name](gateway(lambda _request: httpx.Response(200, json={})))


@pytest.mark.parametrize("body", [{"files": [{"is_dir": True}]}, {"files": ["a"]}])
def test_files_without_names_are_none_of_mlflow(body):
    with pytest.raises(Unavailable, match="CONSOLE_MLFLOW_URL"):
        gateway(lambda _request: httpx.Response(200, json=body)).list_files(ROOT, "serving")


@pytest.mark.parametrize(
    "call",
    [*CALLS.values(), lambda mlflow: mlflow.read_file(ROOT, "a", limit_bytes=10)],
    ids=[*CALLS, "read"],
)
def test_an_answer_that_cannot_be_unpacked_or_nests_without_end_is_an_outage(call):
    def packed(_request):
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"no"))

    with pytest.raises(Unavailable, match="not answering"):
        call(gateway(packed))
    with pytest.raises(Unavailable, match="502"):
        call(gateway(lambda _request: httpx.Response(502, text="[" * 200_000)))


class Trickle(httpx.SyncByteStream):
    """Four bytes, a moment apart."""

    def __iter__(self):
        for _number in range(4):
            time.sleep(0.05)
            yield b"x"


def test_a_file_that_trickles_in_ends_in_time():
    mlflow = gateway(lambda _request: httpx.Response(200, stream=Trickle()))
    assert b"".join(mlflow.chunks(ROOT, "a", limit_bytes=10)) == b"xxxx"
    found = mlflow.chunks(ROOT, "a", limit_bytes=10, until=time.monotonic() + 0.08)
    with pytest.raises(Unavailable, match="sends a too slowly"):
        list(found)


class Paged:
    """Two pages of models; the second fails so many times first."""

    def __init__(self, n_failures: int) -> None:
        self.n_failures = n_failures
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        token = request.url.params.get("page_token", "")
        self.asked.append(token)
        if token and self.n_failures:
            self.n_failures -= 1
            return httpx.Response(503, text="busy")
        last = {"registered_models": [{"name": "b"}]}
        return httpx.Response(
            200, json=last if token else {"registered_models": [{"name": "a"}], "next_page_token": "2"}
        )


@pytest.fixture
def _no_waits(monkeypatch):
    monkeypatch.setattr(module, "WAITS_S", (0.0, 0.0))


@pytest.mark.usefixtures("_no_waits")
def test_a_page_that_fails_is_asked_for_again():
    pages = Paged(2)
    assert [model.name for model in gateway(pages).models()] == ["a", "b"]
    assert pages.asked == ["", "2", "2", "2"]


@pytest.mark.usefixtures("_no_waits")
def test_a_page_that_goes_on_failing_ends_the_walk():
    with pytest.raises(Unavailable):
        gateway(Paged(3)).models()


def test_the_first_page_is_asked_for_once():
    asked = []

    def busy(request):
        asked.append(request)
        return httpx.Response(503)

    with pytest.raises(Unavailable):
        gateway(busy).models()
    assert len(asked) == 1
