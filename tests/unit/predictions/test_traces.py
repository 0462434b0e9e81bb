"""From a prediction over Kafka to its row in one trace."""

import time
from types import SimpleNamespace

import pytest

from predictions import recorder
from predictions.serving.application import PredictApp
from predictions.serving.inference import InferenceApp
from tests.champions import KEY, ROW
from tests.tracing import *  # noqa: F403
from tests.tracing import PARENT, TRACE


def message(headers):
    return SimpleNamespace(headers=lambda: headers)


def test_a_call_its_record_and_its_row_are_one_trace(call, broker, spans):
    status, _answer, _headers = call({"rows": [ROW, ROW]}, traceparent=PARENT)
    assert status == 200
    (headers,) = broker.headers
    began_at_ns = time.time_ns()
    recorder._trace([message(headers), message(None), message([("other", b"x")])], began_at_ns)
    assert spans.names == ["send predictions", "POST /api/v1/models/{name}/predict", "record predictions"]
    assert spans.trace_ids == {TRACE}
    assert spans.parent_of("POST /api/v1/models/{name}/predict") == PARENT.split("-")[2]
    assert spans.parent_of("record predictions") == spans.id_of("send predictions")
    assert spans.all[2].start_time == began_at_ns


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/v2", "GET /v2"),
        ("GET", "/v2/models/titanic", "GET /v2/models/{name}"),
        ("POST", "/v2/models/v2/versions/1/infer", "POST /v2/models/{name}/versions/{version}/infer"),
    ],
)
async def test_a_call_of_another_protocol_is_named_by_its_route(running, spans, method, path, name):
    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_message):
        pass

    headers = [(b"authorization", f"Bearer {KEY}".encode())]
    app = InferenceApp(PredictApp(running))
    await app({"type": "http", "method": method, "path": path, "headers": headers}, receive, send)
    assert spans.names == [name]


def test_a_header_whose_name_cannot_be_read_stops_no_other(spans):
    def unreadable():
        return b"\xff".decode()

    began_at_ns = time.time_ns()
    odd = SimpleNamespace(headers=unreadable)
    recorder._trace([odd, message([("traceparent", PARENT.encode())])], began_at_ns)
    assert spans.names == ["record predictions"]


def test_a_call_that_is_refused_says_so_in_its_span(call, spans):
    call({"rows": []}, traceparent=PARENT)
    (span,) = spans.all
    assert span.attributes["http.response.status_code"] == 422
    assert span.attributes["atalaya.model"] == "titanic"


def test_calls_that_share_a_message_each_keep_their_trace():
    from predictions.serving.deliveries import _Bundle, _Delivery

    turn = SimpleNamespace(loop=SimpleNamespace(create_future=lambda: None))
    first, second, none = (_Delivery(1, turn, parent) for parent in (PARENT, "00-b", ""))
    bundle = _Bundle([(b"1", first), (b"2", second), (b"3", first), (b"4", none)])
    assert bundle.headers == [("traceparent", PARENT.encode()), ("traceparent", b"00-b")]


def test_a_message_carries_no_headers_where_traces_are_off(call, broker):
    call({"rows": [ROW]}, traceparent=PARENT)
    assert broker.headers == [None]
