"""Messages that people send to topics: text, JSON, bytes, tombstones; each one's fault is its own."""

import base64
from datetime import UTC, datetime

import pytest
from confluent_kafka import KafkaError

from core.audit.models import AuditEntry
from streaming import messages as reading_messages
from streaming.kafka_types import Read
from streaming.topic_forms import as_typed
from tests.fakes.kafka import fault
from tests.people import bearer, make_token, make_user, signed_in
from tests.unit.streaming.events import make_stream

pytestmark = pytest.mark.django_db

PATH = "/api/v1/topics/orders/messages"


@pytest.fixture
def engineer():
    return signed_in(make_user("eng", "engineer"))


@pytest.fixture(autouse=True)
def _orders(broker):
    broker.add("orders", n_partitions=2, max_bytes=1000)


def produce(browser, *messages, path=PATH):
    return browser.post(path, {"messages": list(messages)}, content_type="application/json")


def lying(broker):
    return [(one.key, one.value, one.headers) for one in broker.read("orders")]


def test_text_json_bytes_and_tombstones_are_sent_as_said(broker, engineer):
    data = base64.b64encode(b"\x00\xff").decode()
    answer = produce(
        engineer,
        {"key": "k", "value": "é"},
        {"key": {"id": 1}, "key_encoding": "json", "value": [1, "é", None], "value_encoding": "json"},
        {"key": data, "key_encoding": "base64", "value": data, "value_encoding": "base64"},
        {"key": "gone", "value": None},
        {"value": ""},
        {"value": "null"},
        {"value": "h", "headers": [{"name": "a", "value": "1"}, {"name": "a", "value": None}, {"name": ""}]},
    )
    assert answer.status_code == 200, answer.content
    assert answer.json()["n_sent"] == 7
    assert [one["offset"] for one in answer.json()["results"]] == [0, 1, 2, 3, 4, 5, 6]
    assert lying(broker) == [
        (b"k", "é".encode(), []),
        (b'{"id":1}', '[1,"é",null]'.encode(), []),
        (b"\x00\xff", b"\x00\xff", []),
        (b"gone", None, []),
        (None, b"", []),
        (None, b"null", []),
        (None, b"h", [("a", b"1"), ("a", None), ("", None)]),
    ]
    assert AuditEntry.objects.get(action="topic.produce").after["n_messages"] == 7


def test_partition_and_time_are_kept(broker, engineer):
    at = "2026-03-01T12:00:00Z"
    at_ms = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp() * 1000)
    answer = produce(
        engineer, {"value": "a", "partition": 1, "timestamp": at}, {"value": "b", "timestamp": at_ms + 1}
    )
    assert [one["partition"] for one in answer.json()["results"]] == [1, 0]
    assert broker.topics["orders"][1].records[0].at_ms == at_ms
    assert broker.topics["orders"][0].records[0].at_ms == at_ms + 1


def test_each_messages_fault_is_its_own(broker, engineer):
    answer = produce(
        engineer,
        {"value": "good"},
        {"value": 1},
        {"value": "x", "value_encoding": "base64"},
        {"value": "x", "partition": 2},
        {"value": "x" * 2000},
        {"value": "x", "timestamp": 0},
        {"value": "x", "headers": [{"name": "h", "value": "?", "encoding": "base64"}]},
        {"value": "x", "colour": "red"},
        {},
        "text",
        {"value": "good too"},
    )
    assert answer.status_code == 200, answer.content
    errors = [one["error"] for one in answer.json()["results"]]
    words = ["", "no text", "no base64", "no partition 2", "larger than the topic takes", "after 1970"]
    words += ["headers.0.value: This is no base64", "colour: There is no such field", "value:", "", ""]
    for error, word in zip(errors, words, strict=True):
        assert word in error
    assert [bool(error) for error in errors] == [False, *[True] * 9, False]
    assert [one.value for one in broker.read("orders")] == [b"good", b"good too"]


def test_nothing_sent_is_a_422_with_the_row_of_each_fault(broker, engineer):
    answer = produce(engineer, {"value": 1}, {"value": "x", "partition": 9})
    assert answer.status_code == 422
    assert [(one["row"], one["field"]) for one in answer.json()["errors"]] == [(0, "value"), (1, "partition")]
    assert not AuditEntry.objects.filter(action="topic.produce").exists()


@pytest.mark.parametrize("body", [{}, {"messages": []}, {"messages": [{"value": ""}] * 101}, {"messages": 1}])
def test_a_call_has_1_to_100_messages(broker, engineer, body):
    assert engineer.post(PATH, body, content_type="application/json").status_code == 422
    assert broker.read("orders") == []


def test_what_kafka_does_not_confirm_is_told_as_unknown(broker, engineer):
    broker.fail("deliver", fault(KafkaError._TIMED_OUT))
    first, second = produce(engineer, {"value": "a"}, {"value": "b"}).json()["results"]
    assert first["is_unknown"]
    assert "may be there" in first["error"]
    assert (second["is_unknown"], second["error"]) == (False, "")


@pytest.mark.parametrize(
    "name", ["predictions", "predictions.dead", "counted.dead", "taxi_trips.dead", "__consumer_offsets"]
)
def test_nobody_forges_what_the_console_writes(broker, engineer, name):
    if not name.startswith("__"):
        broker.add(name)
    make_stream("books", topic="counted")
    answer = produce(engineer, {"value": "{}"}, path=f"/api/v1/topics/{name}/messages")
    assert answer.status_code == 409
    assert broker.read(name) == []
    page = engineer.get(f"/topics/{name}/produce").content.decode()
    assert "Produce message" not in page


def test_a_topic_of_events_takes_messages(broker, engineer):
    broker.add("taxi_trips")
    assert produce(engineer, {"value": "{}"}, path="/api/v1/topics/taxi_trips/messages").status_code == 200


def test_producing_needs_its_scope_and_reading_another(broker, client):
    user = make_user("eng", "engineer")
    _token, may_read = make_token(user, "messages.read")
    _token, may_edit = make_token(user, "streams.edit")
    body = {"messages": [{"value": "a"}]}
    given = {"data": body, "content_type": "application/json"}
    assert client.post(PATH, **given, **bearer(may_read)).status_code == 403
    assert client.post(PATH, **given, **bearer(may_edit)).status_code == 200
    assert client.get(PATH, **bearer(may_edit)).status_code == 403


def test_a_page_sends_one_message(broker, engineer):
    form = {
        "key": "k",
        "key_encoding": "text",
        "value": "a\r\nb",
        "value_encoding": "text",
        "headers": '{"h": "1"}',
    }
    answer = engineer.post("/topics/orders/produce", form)
    assert answer.status_code == 302, answer.content.decode()
    assert lying(broker) == [(b"k", b"a\nb", [("h", b"1")])]


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        ({"is_tombstone": "on", "key": "k"}, (b"k", None, [])),
        ({"value": ""}, (None, b"", [])),
        ({"value": "a", "has_key": "on"}, (b"", b"a", [])),
        ({"value": "[1, 2]", "value_encoding": "json"}, (None, b"[1,2]", [])),
        ({"value": "null", "value_encoding": "json"}, (None, b"null", [])),
        ({"value": "AP8=", "value_encoding": "base64"}, (None, b"\x00\xff", [])),
        ({"value": "a", "headers": '[{"name": "h", "value": "AP8=", "encoding": "base64"}]'},
         (None, b"a", [("h", b"\x00\xff")])),
    ],
)  # fmt: skip
def test_a_page_sends_what_its_boxes_say(broker, engineer, form, wanted):
    given = {"key": "", "key_encoding": "text", "value": "", "value_encoding": "text", **form}
    assert engineer.post("/topics/orders/produce", given).status_code == 302
    assert lying(broker) == [wanted]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"value": "{", "value_encoding": "json"}, "This is not JSON"),
        ({"value": "?", "value_encoding": "base64"}, "no base64"),
        ({"value": "a", "partition": "7"}, "no partition 7"),
        ({"value": "a", "headers": '{"h": 1, "i": [1]}'}, "headers"),
        ({"value": "x" * 2000}, "larger than the topic takes"),
    ],
)
def test_a_page_says_what_is_wrong_and_keeps_what_was_typed(broker, engineer, form, words):
    given = {"key": "mine", "key_encoding": "text", "value_encoding": "text", **form}
    page = engineer.post("/topics/orders/produce", given)
    assert page.status_code == 422
    assert words.lower() in page.content.decode().lower()
    assert 'value="mine"' in page.content.decode()
    assert broker.read("orders") == []


@pytest.mark.parametrize("data", [b"text", "é\n".encode(), b"\x00\xff", b"a\r\nb", b"a\x00b", b"", None])
def test_a_message_that_is_shown_is_sent_again_byte_for_byte(broker, engineer, monkeypatch, data):
    found = Read(1, 5, None, data, data, [("h", data)])
    monkeypatch.setattr(reading_messages, "one", lambda *_place: found)
    page = engineer.get("/topics/orders/produce?from=1:5")
    assert page.status_code == 200
    shown = as_typed(found)
    form = page.context["form"]
    sent = {name: form[name].value() for name in form.fields if form[name].value() not in (None, False)}
    assert sent["value_encoding"] == shown["value_encoding"]
    if "key" in sent:
        sent["key"] = sent["key"].replace("\n", "")  # as browsers do in a box of one line
    assert engineer.post("/topics/orders/produce", sent).status_code == 302
    [record] = broker.topics["orders"][1].records
    assert (record.key, record.value, record.headers) == (data, data, [("h", data)])


def test_headers_with_odd_names_are_not_made_up(broker, engineer, monkeypatch):
    found = Read(1, 5, None, None, b"a", [], has_odd_names=True)
    monkeypatch.setattr(reading_messages, "one", lambda *_place: found)
    page = engineer.get("/topics/orders/produce?from=1:5")
    assert not page.context["form"]["headers"].value()
    assert "no UTF-8" in page.content.decode()


def test_a_message_is_shown_again_only_to_who_may_read_it(broker):
    token_user = make_user("eng", "engineer")
    scientist = signed_in(make_user("sci", "scientist"))
    assert scientist.get("/topics/orders/produce?from=0:0").status_code == 403
    engineer = signed_in(token_user)
    assert engineer.get("/topics/orders/produce?from=0:99").status_code in (404, 503)
    assert engineer.get("/topics/orders/produce?from=latest").status_code == 422
