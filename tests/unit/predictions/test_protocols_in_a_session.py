"""The foreign protocols through Django: for whoever has signed in, and what nobody gets."""

import pytest

from tests.champions import ROW
from tests.people import make_user, signed_in
from tests.unit.predictions.test_binary_tensors import packed
from tests.unit.predictions.test_open_inference import INFER, MODEL, tensors

pytestmark = pytest.mark.django_db
INVOCATIONS = "/api/v1/models/titanic/invocations"
JSON = {"content_type": "application/json"}


@pytest.fixture
def ana():
    return make_user("ana", "predictor")


@pytest.fixture
def browser(ana, running):
    return signed_in(ana)


def test_a_row_is_answered_the_same_way_by_each_protocol(browser, ana, broker):
    predicted = browser.post("/api/v1/models/titanic/predict", {"rows": [ROW]}, **JSON).json()
    (value,) = [given["value"] for given in predicted["predictions"]]
    assert browser.post(INVOCATIONS, {"inputs": [ROW]}, **JSON).json() == {"predictions": [value]}
    text = ",".join(ROW) + "\n" + ",".join(map(str, ROW.values()))
    assert browser.post(INVOCATIONS, text, content_type="text/csv").json() == {"predictions": [value]}
    inferred = browser.post(INFER, {"inputs": tensors(ROW)}, **JSON).json()
    assert inferred["outputs"][0]["data"] == [value]
    assert [(record["user_id"], record["source"], record["inputs"]) for record in broker.records] == [
        (ana.pk, "api", ROW)
    ] * 4


def test_binary_tensors_are_read(browser, broker):
    body, json_bytes = packed(ROW)
    binary = {"headers": {"Inference-Header-Content-Length": json_bytes}}
    for kind in ("application/octet-stream", "application/json"):
        inferred = browser.post(INFER, body, content_type=kind, **binary)
        assert inferred.json()["outputs"][0]["shape"] == [1, 1]
    assert [record["inputs"] for record in broker.records] == [ROW] * 2


def test_a_model_is_described_and_ready(browser):
    assert browser.get("/v2").json()["name"] == "atalaya"
    assert browser.get(MODEL).json()["versions"] == ["1"]
    assert browser.get(f"{MODEL}/versions/1").json() == browser.get(MODEL).json()
    assert browser.get(f"{MODEL}/versions/1/ready").json() == {"name": "titanic", "ready": True}
    inferred = browser.post(f"{MODEL}/versions/1/infer", {"inputs": tensors(ROW)}, **JSON)
    assert inferred.json()["model_version"] == "1"
    assert "champion is version 1" in browser.get(f"{MODEL}/versions/2").json()["error"]


def test_health_is_for_everybody(client, running):
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    running.callers._as_of -= 4000
    assert client.get("/v2/health/ready").status_code == 503


def test_health_is_told_without_tls_where_people_need_it(client, running, settings):
    settings.SECURE_SSL_REDIRECT = True
    assert [client.get(f"/v2/health/{one}").status_code for one in ("live", "ready")] == [200, 200]
    assert client.get("/sign-in").status_code == 301


def test_a_session_needs_the_token_of_its_page(ana, running, broker):
    strict = signed_in(ana, enforce_csrf_checks=True)
    assert strict.post(INVOCATIONS, {"inputs": [ROW]}, **JSON).status_code == 403
    refused = strict.post(INFER, {"inputs": tensors(ROW)}, **JSON)
    assert (refused.status_code, "error" in refused.json()) == (403, True)
    assert broker.messages == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", MODEL, 401),
        ("POST", INFER, 401),
        ("GET", "/v2/models", 404),
        ("GET", "/v2/models/titanic/explain", 404),
    ],
)
def test_errors_before_the_view_have_the_form_of_the_protocol_too(client, running, method, path, status):
    answer = client.generic(method, path)
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json")
    assert answer.json()["error"] == answer.json()["detail"]
    assert int(answer["Content-Length"]) == len(answer.content)


def test_errors_of_the_view_have_it_too(browser, broker):
    wrong = browser.post(INFER, {"inputs": tensors(ROW, Age={"data": [500]})}, **JSON)
    assert (wrong.status_code, "[row 0: Age must be at most 120" in wrong.json()["error"]) == (422, True)
    assert browser.post(INFER, "{", **JSON).status_code == 400
    assert browser.post(INFER, "{}", content_type="text/plain").status_code == 415
    assert browser.post(INVOCATIONS, "{}", content_type="text/plain").status_code == 415
    binary = {"headers": {"Inference-Header-Content-Length": "10"}}
    assert browser.post(INFER, {"inputs": tensors(ROW)}, **JSON, **binary).status_code == 400
    broker.fails = True
    lost = browser.post(INFER, {"inputs": tensors(ROW)}, **JSON)
    assert (lost.status_code, len(lost.json()["ids"]), "error" in lost.json()) == (503, 1, True)
    assert lost["Retry-After"]
