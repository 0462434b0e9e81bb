"""One message that does not fit is set aside, once, and all others are recorded."""

import threading
import uuid
from typing import Any

import msgspec
import orjson
import pytest
from confluent_kafka import OFFSET_INVALID, TIMESTAMP_CREATE_TIME, KafkaError, KafkaException, TopicPartition
from django.db import InterfaceError, OperationalError
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.lib.ids import uuid7
from core.lib.lag import Behind
from core.lib.models import SetAside
from predictions import ingestion, recorder, unfit
from predictions.loops import RECORDS
from predictions.models import Prediction
from predictions.recorder import Recorder
from predictions.sealing import Sealer
from tests.unit.predictions.test_ingestion import handle, message, plain

pytestmark = pytest.mark.django_db


def sealed_with(secret: str) -> bytes:
    record = orjson.loads(message())
    record["sealed"] = Sealer([secret]).seal(uuid.UUID(record["id"]), b"{}")
    return orjson.dumps(record)


def changed(**values: Any) -> bytes:
    """The open part of a sealed record."""
    return orjson.dumps(orjson.loads(message()) | values)


BAD = {
    "nothing": b"",
    "not text": b"\xff\xfe\x00",
    "not JSON": b"{",
    "another document": b"[1, 2]",
    "null": b"null",
    "nested too deeply": b"[" * 500_000,
    "half a character": message().replace(b'"titanic"', b'"\\ud800"'),
    "a number of 400 digits": message().replace(b'"row":0', b'"row":' + b"9" * 400),
    "an unknown field": changed(surprise=1),
    "no id": changed(id="seven"),
    "a time that no calendar holds": changed(at="9999-12-31T23:59:59-23:59"),
    "a row below zero": changed(row=-1),
    "a row beyond its column": changed(row=2**40),
    "a version beyond its column": changed(version="x" * 51),
    "a model beyond its column": changed(model="m" * 257),
    "a user beyond its column": message(user_id=2**63),
    "a request id beyond its column": message(request_id="r" * 65),
    "a name beyond its column": message(username="n" * 151),
    "an unknown source": changed(source="elsewhere"),
    "no value": changed(value=None),
    "sealed with another secret": sealed_with("another" * 10),
    "sealed for another id": changed(id=str(uuid7())),
    "no base64": changed(sealed="???"),
    "sealed nothing": changed(sealed=""),
    "a personal part that is none": message(inputs=[1]),
    "inputs nested too deeply": message(inputs={"a": 1}).replace(b"{", b"{", 1) + b"]",
    "a marker without ids": b'{"kind": "unanswered"}',
    "a marker with a bad id": b'{"kind": "unanswered", "ids": ["x"]}',
    "an old record that is bad": orjson.dumps(plain(version="x" * 51)),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_bad_message_is_set_aside_once_and_the_others_are_recorded(bad):
    good = [uuid7() for _ in range(4)]
    handled = handle([message(good[0]), message(good[1]), bad, message(good[2]), message(good[3])])
    assert {row.pk for row in Prediction.objects.all()} == set(good)
    assert [letter.message for letter in handled.dead] == [bad]
    row = SetAside.objects.get()
    assert (row.loop, row.key, row.count) == ("predictions.records", handled.dead[0].place, 1)
    assert handled.n_rows == 4
    assert handled.dead[0].reason == row.reason != ""


@pytest.mark.parametrize("kind", [ingestion.Record, ingestion.SealedRecord, ingestion.Personal])
def test_texts_may_be_as_long_as_their_columns(kind):
    found = {
        field.encode_name: field.type.max_length
        for field in msgspec.inspect.type_info(kind).fields
        if isinstance(field.type, msgspec.inspect.StrType) and field.encode_name != "sealed"
    }
    assert found
    assert found == {name: Prediction._meta.get_field(name).max_length for name in found}


def test_a_model_with_the_longest_name_is_recorded():
    assert handle([changed(model="m" * 256)]).n_rows == 1
    assert Prediction.objects.get().model == "m" * 256


def test_a_whole_corpus_in_one_batch_is_set_aside_one_by_one():
    good = [uuid7() for _ in BAD]
    batch = [content for id_, bad in zip(good, BAD.values(), strict=True) for content in (message(id_), bad)]
    assert handle(batch).n_rows == len(good)
    assert SetAside.objects.filter(count=1).count() == len(BAD)
    assert {row.pk for row in Prediction.objects.all()} == set(good)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(field=st.sampled_from(sorted(plain())), value=JSON)
def test_whatever_a_field_holds_the_others_are_recorded(field, value):
    good, odd = [uuid7(), uuid7()], uuid7()
    content = _odd(odd, field, value)
    n_aside, n_rows = SetAside.objects.count(), Prediction.objects.count()
    handled = handle([message(good[0]), content, message(good[1])])
    assert Prediction.objects.filter(pk__in=good).count() == 2
    is_recorded = Prediction.objects.count() == n_rows + 3
    assert SetAside.objects.count() - n_aside == len(handled.dead) == (0 if is_recorded else 1)


def _odd(id_: uuid.UUID, field: str, value: Any) -> bytes:
    import json

    record = plain(id_) | {field: value}
    return json.dumps(record).encode()  # as it comes: NaN, halves of characters, integers of any size


def test_reasons_and_letters_tell_nothing_of_what_was_asked():
    secret = message(inputs={"Diagnosis": "a-secret-one"}, username="a-secret-name", request_id="r" * 65)
    handled = handle([secret])
    row = SetAside.objects.get()
    for text in (row.reason, row.about, row.key, handled.dead[0].reason, handled.dead[0].message.decode()):
        assert "a-secret" not in text
        assert "Diagnosis" not in text


def test_one_that_comes_again_is_one_row_still():
    content = {"predictions/0/7": BAD["a row below zero"]}
    ingestion.handle(content)
    ingestion.handle(content)
    assert SetAside.objects.get().key == "predictions/0/7"


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_database_that_is_away_sets_nothing_aside(monkeypatch, error):
    def away(*_args):
        raise error("the connection is closed")

    monkeypatch.setattr(ingestion, "_insert", away)
    with pytest.raises(error):
        handle([message()])
    monkeypatch.undo()
    assert not SetAside.objects.exists()


def test_what_the_database_alone_refuses_is_found_among_the_others(monkeypatch):
    insert, odd, good = ingestion._insert, uuid7(), [uuid7() for _ in range(4)]

    def refuse(cursor, records):
        if odd in {record.id for record in records}:
            cursor.execute("SELECT 1 / 0")
        return insert(cursor, records)

    monkeypatch.setattr(ingestion, "_insert", refuse)
    handled = handle([message(id_) for id_ in (*good[:2], odd, *good[2:])])
    assert handled.n_rows == 4
    assert SetAside.objects.get().count == 1
    assert "division by zero" in handled.dead[0].reason
    assert {row.pk for row in Prediction.objects.all()} == set(good)


# --- the loop around it


class FakeMessage:
    def __init__(self, offset: int, value: bytes) -> None:
        self._offset, self._value = offset, value

    def topic(self):
        return "predictions"

    def partition(self):
        return 0

    def offset(self):
        return self._offset

    def value(self):
        return self._value

    def error(self):
        return None

    def timestamp(self):
        return TIMESTAMP_CREATE_TIME, 1_000_000 + self._offset


class FakeConsumer:
    """Hands out one message after the other, then the end."""

    def __init__(self, _config) -> None:
        self.messages: list[FakeMessage] = []
        self.n_commits = 0
        self.committed_at, self.bounds = OFFSET_INVALID, (0, 0)
        self.at_end = lambda: None

    def subscribe(self, _topics):
        pass

    def consume(self, n, _timeout_s):
        if n > 1:
            return []
        if not self.messages:
            self.at_end()
        return [self.messages.pop(0)] if self.messages else []

    def commit(self, *, asynchronous):
        self.n_commits += 1

    def assignment(self):
        return [TopicPartition("predictions", 0)]

    def committed(self, places, _timeout_s):
        return [TopicPartition(place.topic, place.partition, self.committed_at) for place in places]

    def get_watermark_offsets(self, _place, _timeout_s):
        return self.bounds

    def close(self):
        pass


class FakeProducer:
    """refuses: what `produce` raises."""

    refuses: Exception | None = None

    def __init__(self, _config) -> None:
        self.letters: list[tuple[bytes, dict[str, str]]] = []

    def produce(self, _topic, value, *, headers, on_delivery):
        if self.refuses:
            raise self.refuses
        self.letters.append((value, headers))

    def flush(self, _timeout_s):
        return 0


@pytest.fixture
def loop(monkeypatch):
    """A recorder that ends once it has read all that it was given."""
    monkeypatch.setattr(recorder, "Consumer", FakeConsumer)
    monkeypatch.setattr(unfit, "Producer", FakeProducer)
    monkeypatch.setattr("django.db.connection.close", lambda: None)  # it is the test's own
    stop = threading.Event()
    made = Recorder("predictions", stop)
    made._consumer.at_end = stop.set
    made.given = lambda *contents: made._consumer.messages.extend(
        FakeMessage(number, content) for number, content in enumerate(contents)
    )
    return made


def test_the_loop_records_all_but_what_it_copies_aside(loop):
    good = [uuid7() for _ in BAD]
    loop.given(*[one for id_, bad in zip(good, BAD.values(), strict=True) for one in (message(id_), bad)])
    loop.run()
    assert {row.pk for row in Prediction.objects.all()} == set(good)
    letters = loop._letters._producer.letters
    assert len(letters) == len(BAD) == SetAside.objects.count()
    places = set(RECORDS.rows().values_list("key", flat=True))
    assert {headers["place"] for _value, headers in letters} == places
    assert loop._consumer.n_commits == 2 * len(BAD)


@pytest.mark.parametrize(
    ("committed_at", "bounds", "n_messages"),
    [(7, (0, 10), 3), (10, (0, 10), 0), (OFFSET_INVALID, (2, 10), 8), (1, (4, 10), 6), (12, (0, 10), 0)],
)
def test_it_tells_how_far_behind_it_is(loop, committed_at, bounds, n_messages):
    loop._consumer.committed_at, loop._consumer.bounds = committed_at, bounds
    assert loop.behind() == {"predictions/0": Behind(n_messages)}


def test_it_tells_the_age_of_what_it_cannot_record_and_nothing_once_it_is_closed(loop, monkeypatch):
    loop._consumer.bounds, told = (0, 3), []

    def fails(_messages):
        raise OperationalError("made up")

    def wait(_timeout_s):
        told.append(loop.behind()["predictions/0"])
        loop._stop.set()

    monkeypatch.setattr(ingestion, "handle", fails)
    monkeypatch.setattr(loop._stop, "wait", wait)
    loop.given(message())
    loop.run()
    assert told == [Behind(3, oldest_at=1000.0)]
    assert loop.behind() == {}


def test_a_letter_is_no_larger_than_our_producer_takes(loop):
    loop.given(b"x" * 3_000_000)
    loop.run()
    ((value, headers),) = loop._letters._producer.letters
    assert len(value) == unfit.MOST_BYTES
    assert headers["bytes"] == "3000000"


@pytest.mark.parametrize(
    "refusal", [BufferError("full"), KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))]
)
def test_a_letter_that_is_refused_holds_nobody_up(loop, monkeypatch, refusal):
    monkeypatch.setattr(FakeProducer, "refuses", refusal)
    loop.given(b"junk", message())
    loop.run()
    assert Prediction.objects.count() == SetAside.objects.count() == 1
    assert loop._consumer.n_commits == 2


@pytest.mark.parametrize("error", [OperationalError, InterfaceError, RuntimeError, KeyError, MemoryError])
def test_what_fails_for_all_is_waited_for(loop, monkeypatch, error):
    handle_it, left = ingestion.handle, [error("made up"), error("again")]

    def fails_at_first(messages):
        if left:
            raise left.pop()
        return handle_it(messages)

    monkeypatch.setattr(ingestion, "handle", fails_at_first)
    monkeypatch.setattr(loop._stop, "wait", lambda _timeout_s: False)
    loop.given(message())
    loop.run()
    assert Prediction.objects.count() == 1
    assert loop._consumer.n_commits == 1
    assert not SetAside.objects.exists()


def test_what_was_set_aside_is_tried_again_and_goes_when_it_fits(loop, monkeypatch):
    content = message()
    record = orjson.loads(content)
    with monkeypatch.context() as patch:
        patch.setattr(ingestion, "sealer", lambda: Sealer(["another secret"]))
        loop.given(content)
        loop.run()
    assert not Prediction.objects.exists()
    SetAside.objects.update(next_try_at=timezone.now())
    monkeypatch.setattr(unfit, "read_at", lambda wanted: FakeMessage(wanted.offset, content))
    loop._again._looked_at -= unfit.LOOK_EVERY_S
    loop._again.try_if_due()
    assert Prediction.objects.filter(pk=record["id"]).exists()
    assert not SetAside.objects.exists()


def test_one_line_that_was_set_aside_is_tried_again_alone(loop, monkeypatch):
    good, late = message(), message()
    bad = orjson.loads(late)
    content = b"\n".join([good, sealed_with("another" * 10)])
    loop.given(content)
    loop.run()
    assert Prediction.objects.count() == 1
    assert SetAside.objects.get().key.endswith("/0/0/1")
    ((letter, _headers),) = loop._letters._producer.letters
    assert letter == content.split(b"\n")[1]
    SetAside.objects.update(next_try_at=timezone.now())
    mended = b"\n".join([good, late])
    monkeypatch.setattr(unfit, "read_at", lambda wanted: FakeMessage(wanted.offset, mended))
    loop._again._looked_at -= unfit.LOOK_EVERY_S
    loop._again.try_if_due()
    assert Prediction.objects.filter(pk=bad["id"]).exists()
    assert not SetAside.objects.exists()


def test_what_kafka_has_no_more_is_forgotten(loop, monkeypatch):
    loop.given(b"junk")
    loop.run()
    SetAside.objects.update(next_try_at=timezone.now())
    monkeypatch.setattr(unfit, "read_at", lambda _wanted: None)
    loop._again._looked_at -= unfit.LOOK_EVERY_S
    loop._again.try_if_due()
    assert not SetAside.objects.exists()


@pytest.mark.parametrize("error", [KafkaException, OperationalError, RuntimeError])
def test_trouble_with_another_try_ends_nothing(loop, monkeypatch, error):
    def fails(_wanted):
        raise error("made up")

    loop.given(b"junk")
    loop.run()
    SetAside.objects.update(next_try_at=timezone.now())
    monkeypatch.setattr(unfit, "read_at", fails)
    loop._again._looked_at -= unfit.LOOK_EVERY_S
    loop._again.try_if_due()
    assert SetAside.objects.count() == 1
