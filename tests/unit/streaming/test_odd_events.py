"""What the world sends: read where it can be read, else one dead letter; the events around it are counted."""

import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming import counting as counting_module
from streaming import ledger
from streaming.counting import Counting
from streaming.windows import Windows
from tests.unit.streaming.events import FakeMessage, make_stream, trip

pytestmark = pytest.mark.django_db

NOW = 1_700_000_005.0
PARIS = "Café de Flore"


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    monkeypatch.setattr(counting_module.time, "time", lambda: NOW)


@pytest.fixture
def stream():
    return make_stream()


def encoded(**values):
    return json.dumps(trip(NOW, **values), ensure_ascii=False).encode()


def counted(stream, values):
    one = Counting(stream)
    one.reached_end(0, 0)
    one.handle([FakeMessage(value, offset) for offset, value in enumerate(values)])
    one.save()
    return one


def assert_set_aside_alone(stream, value, reason=""):
    """Ten good events before it and ten after it are counted, and the bad one is a dead letter once."""
    counted(stream, [*[encoded()] * 10, value, *[encoded()] * 10])
    letter = stream.dead_letters.get()
    assert letter.offset == 10
    assert reason in letter.reason
    assert stream.windows.get().count == 20
    assert stream.offsets.get().next_offset == 21


NINES = b"9" * 400
RAW = encoded().replace(b'"fare_amount": 10.0', b'"fare_amount": @')

BAD = {
    "400 digits as time": (
        encoded().replace(b'"2023-11-14 22:13:25"', NINES),
        "the event time is a number too large",
    ),
    "5,000 digits as time": (encoded().replace(b'"2023-11-14 22:13:25"', b"9" * 5000), "out of range"),
    "400 digits as number": (RAW.replace(b"@", NINES), "fare_amount: Number out of range"),
    "1e400": (RAW.replace(b"@", b"1e400"), "fare_amount: Number out of range"),
    "beyond float32": (RAW.replace(b"@", b"1e300"), "fare_amount: Expected `float` <= 3.4"),
    "NaN where a number must be": (RAW.replace(b"@", b"NaN"), "fare_amount: Expected `float`, got `null`"),
    "Infinity": (
        RAW.replace(b"@", b"NaN").replace(b"2.0", b"-Infinity"),
        "trip_distance: Expected `float` >= -3.4",
    ),
    "a fraction as text": (encoded(vendor_id=2.5), "vendor_id: Expected `int | str`, got `float`"),
    "true as text": (encoded(vendor_id=True), "vendor_id: Expected `int | str`, got `bool`"),
    "time 0": (encoded(pickup_datetime=0), "before the year 2000"),
    "time -1": (encoded(pickup_datetime=-1), "before the year 2000"),
    "negative time": (encoded(pickup_datetime=-1_700_000_000_000), "before the year 2000"),
    "time 2**63": (encoded(pickup_datetime=2**63), "a number too large for a Unix time"),
    "time -2**63": (encoded(pickup_datetime=-(2**63)), "a number too large for a Unix time"),
    "time of the year 9999": (encoded(pickup_datetime="9999-12-31T23:59:59-23:59"), "ahead of the clock"),
    "time of the year 1": (encoded(pickup_datetime="0001-01-01T00:00:00+23:59"), "before the year 2000"),
    "no time": (encoded(pickup_datetime=""), "the event time is not like"),
    "half a character as time": (encoded().replace(b"2023-11-14 22:13:25", b"\\ud800"), "not JSON"),
    "half a character beside NaN": (
        RAW.replace(b"@", b"1").replace(b'"1"', b'"\\ud800"').replace(b"null", b"NaN"),
        "not JSON",
    ),
    "time null": (encoded(pickup_datetime=None), "pickup_datetime: Expected"),
    "empty": (b"", "the message is empty"),
    "empty line": (b"\r\n", "not JSON"),
    "null": (None, "the message is null"),
    "trailing comma": (encoded()[:-1] + b",}", "trailing comma"),
    "two events in one line": (encoded() + encoded(), "not JSON"),
    "deep": (b'{"x":' + b"[" * 100_000, "not JSON"),
    "deep and whole": (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"," + encoded()[1:], "not JSON"),
    "Avro": (b"\x00\x00\x00\x00\x07\x02\xff\x04", "begins like Avro or Protobuf"),
    "gzip": (gzip.compress(encoded()), "packed it by gzip"),
    "latin-1": (encoded(vendor_id=PARIS).decode().encode("latin-1"), "not JSON"),
    "a wrong type before broken JSON": (b'{"vendor_id": [], oops', "not JSON"),
    "a list": (b"[" + encoded() + b"]", "Expected `object`, got `array`"),
    "a bare number": (b"2.0", "Expected `object`, got `float`"),
    "junk of 3 MB": (bytes(range(256)) * 12_000, "too large: 3\u202f072\u202f000 bytes"),
}


@pytest.mark.parametrize(("value", "reason"), BAD.values(), ids=BAD)
def test_a_bad_event_is_one_dead_letter_and_delays_nobody(stream, value, reason):
    assert_set_aside_alone(stream, value, reason)


@pytest.mark.parametrize(("value", "reason"), BAD.values(), ids=BAD)
def test_where_others_are_ignored_it_is_one_dead_letter_too(value, reason):
    """The definition of `predictions` looks into messages that do not fit, whatever they are."""
    assert_set_aside_alone(make_stream(definition={"ignore": {"kind": "unanswered"}}), value, reason)


GOOD = {
    "text in UTF-16": encoded(vendor_id=PARIS).decode().encode("utf-16"),
    "text in UTF-16, big end first": encoded(vendor_id=PARIS).decode().encode("utf-16-be"),
    "text in UTF-32": encoded(vendor_id=PARIS).decode().encode("utf-32"),
    "byte order mark": b"\xef\xbb\xbf" + encoded(vendor_id=PARIS),
    "registry's frame": b"\x00\x00\x00\x00\x07" + encoded(vendor_id=PARIS),
    "blanks behind a registry's frame": b"\x00\x00\x00\x00\x07 \r\n" + encoded(vendor_id=PARIS),
    "infinities, passed over": b'{"x":-Infinity,"y":[Infinity],' + encoded(vendor_id=PARIS)[1:],
    "CRLF and blanks": b" \r\n" + encoded(vendor_id=PARIS) + b"\r\n\t",
    "NaN where null may be": encoded(vendor_id=PARIS).replace(b"null", b"NaN"),
    "a key twice": encoded(vendor_id=PARIS).replace(b'"fare_amount"', b'"fare_amount": 7, "fare_amount"', 1),
    "deep, passed over": b'{"x":' + b"[" * 300 + b"]" * 300 + b"," + encoded(vendor_id=PARIS)[1:],
    "1e400, passed over": b'{"x":1e400,"y":' + NINES + b"," + encoded(vendor_id=PARIS)[1:],
}


@pytest.mark.parametrize("value", GOOD.values(), ids=GOOD)
def test_odd_encodings_are_read(stream, value):
    counted(stream, [value])
    assert not stream.dead_letters.exists()
    window = stream.windows.get()
    assert (window.group, window.measures["fare_amount"]) == (PARIS, 10.0)


@pytest.mark.parametrize("number", [2, 2.0, "2"])
def test_an_integer_and_an_integral_float_are_fine_text_ids(stream, number):
    counted(stream, [encoded(vendor_id=number), encoded(payment_type=number)])
    assert list(stream.windows.values_list("group", "count")) == [("2", 2)]
    assert not stream.dead_letters.exists()


@pytest.mark.parametrize(
    ("number", "is_read"), [(b"2", True), (b"2.0", True), (b"2e0", True), (b"2.5", False)]
)
def test_an_integral_float_is_an_integer(number, is_read):
    fields = [{"name": "n", "type": "integer"}, {"name": "pickup_datetime", "type": "text"}]
    measures = [{"name": "n", "kind": "sum", "field": "n"}]
    stream = make_stream(definition={"fields": fields, "measures": measures, "group_by": ""})
    counted(stream, [b'{"pickup_datetime": "2023-11-14 22:13:25", "n": ' + number + b"}"])
    assert [window.measures for window in stream.windows.all()] == [{"n": 2.0}] * is_read
    assert stream.dead_letters.count() == (not is_read)


@pytest.mark.parametrize(
    ("sent", "is_known"), [(1, True), (1.0, True), ("1", True), (3, False), (1.5, False)]
)
def test_a_number_is_one_of_the_known_texts(sent, is_known):
    choices = {"values": [{"value": "1"}, {"value": "2"}]}
    fields = [{"name": "kind", "type": "text", "choices": choices}, {"name": "at", "type": "integer"}]
    definition = {"fields": fields, "event_time_field": "at", "measures": [], "group_by": "kind"}
    stream = make_stream(definition=definition)
    counted(stream, [json.dumps({"kind": sent, "at": 1_700_000_005_000}).encode()])
    assert stream.windows.count() == is_known


@pytest.mark.parametrize("kind", ["text", "integer"])
@pytest.mark.parametrize(
    "at",
    [
        b"1700000005",
        b"1700000005000",
        b"1700000005000000",
        b"1700000005000000000",
        b"1700000005.0",
        b"1700000005.25",
        b"1.700000005e12",
    ],
)
def test_unix_times_are_told_apart_by_their_size(kind, at):
    fields = [{"name": "at", "type": kind}]
    stream = make_stream(
        definition={"fields": fields, "event_time_field": "at", "measures": [], "group_by": ""}
    )
    counted(stream, [b'{"at": ' + at + b"}"])
    assert stream.windows.get().start.timestamp() == 1_700_000_000


def test_a_unix_time_may_stand_in_quotes(stream):
    counted(stream, [encoded(pickup_datetime="1700000005000")])
    assert stream.windows.get().start.timestamp() == 1_700_000_000


def test_groups_that_begin_alike_stay_apart(stream):
    counted(stream, [encoded(vendor_id="x" * 900 + end) for end in ("a", "b", "b")])
    rows = dict(stream.windows.values_list("group", "count"))
    assert sorted(rows.values()) == [1, 2]
    assert all(len(group) == 200 and group.startswith("xxx") for group in rows)


def test_what_is_kept_of_a_large_message_is_cut_and_says_so(stream):
    counted(stream, [b"x" * 3_000_000, b"y" * 1_000_000])
    large, small = stream.dead_letters.order_by("offset")
    assert (large.is_cut, large.size_bytes, len(bytes(large.payload))) == (True, 3_000_000, ledger.KEPT_BYTES)
    assert (small.is_cut, small.size_bytes, len(bytes(small.payload))) == (False, 1_000_000, 1_000_000)


def test_a_long_key_is_cut_and_says_so(stream):
    one = Counting(stream)
    one.handle([FakeMessage(b"bad", 0, key=b"k" * 100_000)])
    one.save()
    letter = stream.dead_letters.get()
    assert (letter.is_cut, len(bytes(letter.key))) == (True, ledger.KEPT_KEY_BYTES)


class Surprise(Exception):
    """An exception that nobody thought of."""


@pytest.mark.parametrize(
    "error", [Surprise, OverflowError, MemoryError, RecursionError, KeyError, UnicodeError]
)
def test_no_exception_of_any_class_out_of_one_event_ends_a_stream(stream, monkeypatch, error):
    """Whatever counting it raises: the others are counted, once, and it is a dead letter."""
    numbers = Windows._numbers

    def fails_for_one(windows, column, name):
        if name == "fare_amount" and 66.0 in column:
            raise error("secret")
        return numbers(windows, column, name)

    monkeypatch.setattr(Windows, "_numbers", fails_for_one)
    assert_set_aside_alone(stream, encoded(fare_amount=66.0), f"could not be counted: {error.__name__}")
    assert "secret" not in stream.dead_letters.get().reason
    assert stream.windows.get().measures["fare_amount"] == 200.0


def test_order_and_lateness_are_kept_when_a_batch_is_counted_in_parts(stream):
    """The good and the late ones are judged as if the bad ones between them were not there."""
    bad = encoded(pickup_datetime="never")
    events = [trip(NOW - 10), trip(NOW - 71), trip(NOW - 70), trip(NOW), trip(NOW - 61)]
    values = [part for event in events for part in (bad, json.dumps(event).encode(), bad)]
    counted(stream, values)
    late = [letter.offset for letter in stream.dead_letters.order_by("offset") if "late" in letter.reason]
    assert late == [4, 13]
    assert sum(stream.windows.values_list("count", flat=True)) == 3


def test_fields_have_the_names_that_senders_give_them():
    names = ["@timestamp", "user-id", "sepal length (cm)", "größe", "a.b", "$x", "1st"]
    fields = [{"name": name, "type": "number"} for name in names[2:]]
    fields += [{"name": name, "type": "text"} for name in names[:2]]
    stream = make_stream(
        definition={
            "fields": fields,
            "event_time_field": "@timestamp",
            "group_by": "user-id",
            "measures": [{"name": f"m{n}", "kind": "sum", "field": one} for n, one in enumerate(names[2:])],
        }
    )
    event = {"@timestamp": "2023-11-14T22:13:25.000Z", "user-id": "ann", **dict.fromkeys(names[2:], 1.5)}
    counted(stream, [json.dumps(one).encode() for one in (event, event, {**event, "user-id": None})])
    window = stream.windows.get()
    assert (window.group, window.count, window.measures) == ("ann", 2, {f"m{n}": 3.0 for n in range(5)})
    assert stream.dead_letters.get().reason.startswith("user-id: ")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
odd_events = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("vendor_id", "pickup_datetime", "fare_amount", "passenger_count", "payment_type"), json_values
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.binary(max_size=60)
        | odd_events.map(lambda values: json.dumps({**trip(NOW), **values}).encode("utf-8", "replace"))
        | json_values.map(lambda value: json.dumps(value).encode("utf-8", "replace")),
        max_size=12,
    )
)
def test_windows_and_dead_letters_equal_what_was_sent_whatever_it_was(stream, values):
    one = Counting(stream)
    start = one.positions[0].next_offset if 0 in one.positions else 0
    before = stream.dead_letters.count() + sum(stream.windows.values_list("count", flat=True))
    all_ = [encoded(), *values, encoded()]
    one.handle([FakeMessage(value, start + place) for place, value in enumerate(all_)])
    one.save()
    after = stream.dead_letters.count() + sum(stream.windows.values_list("count", flat=True))
    assert after - before == len(all_)
