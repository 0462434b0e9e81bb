"""Where each partition of a topic is read from."""

import pytest

from core.lib.errors import NotFound, Unavailable
from streaming import gateway, messages, serializers
from streaming.kafka_types import Partition, Start, Topic
from tests.fakes.kafka import FakeMessage, Record
from tests.people import make_user, signed_in

TOPIC = Topic(
    "rides", [Partition(0, 10, 100, 1, 1, 1), Partition(1, 0, 3, 1, 1, 1), Partition(2, 7, 7, 1, 1, 1)]
)


@pytest.mark.parametrize(
    ("start", "found"),
    [
        (Start("earliest"), {0: 10, 1: 0}),
        (Start("offset", partition=0, offset=50), {0: 50}),
        (Start("offset", partition=0, offset=5), {0: 10}),
        (Start("offset", partition=0, offset=100), {}),
        (Start("time", at_ms=1), {0: 42}),
    ],
)
def test_partitions_with_nothing_to_read_are_left_out(start, found):
    at_time = {0: 42, 1: -1, 2: -1} if start.kind == "time" else {}
    assert messages.starts(TOPIC, start, at_time) == found


def test_a_partition_that_is_not_there_is_not_found():
    with pytest.raises(NotFound, match="no partition 9"):
        messages.starts(TOPIC, Start("offset", partition=9), {})


class Odd(FakeMessage):
    """A message with a time that nobody set, and whatever headers."""

    def __init__(self, headers=lambda: None, at_ms=-1):
        super().__init__("t", 0, 7, Record(None, None))
        self._headers, self._at_ms = headers, at_ms

    def headers(self):
        return self._headers()

    def timestamp(self):
        return 1, self._at_ms


def test_a_time_that_nobody_set_is_unknown():
    read = messages._as_read(Odd())
    assert (read.at_ms, read.key, read.value, read.headers) == (None, None, None, [])
    assert messages._as_read(Odd(at_ms=2**62)).at_ms == 2**62


def test_header_names_that_are_no_text_hide_no_message():
    def headers():
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    odd = messages._as_read(Odd(headers))
    assert (odd.headers, odd.has_odd_names) == ([], True)
    plain = messages._as_read(Odd(lambda: [("a", None), ("a", b"1")]))
    assert (plain.headers, plain.has_odd_names) == ([("a", None), ("a", b"1")], False)


def topic_of(broker, name):
    parts = [Partition(n, log.low, log.high, 1, 1, 1) for n, log in enumerate(broker.topics[name])]
    return Topic(name, parts)


def newest(broker, name, most):
    return [read.value for read in messages.latest(topic_of(broker, name), most=most)]


def put(broker, name, values, *, n_markers, partition=0, at_ms=-1):
    """Each followed by as many offsets that nobody reads."""
    for value in values:
        broker.put(name, value, partition=partition, at_ms=at_ms)
        empty = [Record(state="marker") for _ in range(n_markers)]
        broker.topics[name][partition].records += empty


@pytest.mark.parametrize("n_markers", [0, 1, 9, 100])
def test_the_latest_are_found_behind_markers_and_what_was_taken_back(broker, n_markers):
    broker.add("t")
    values = [b"%d" % n for n in range(30)]
    put(broker, "t", values, n_markers=n_markers)
    assert newest(broker, "t", 5) == values[-5:]
    assert newest(broker, "t", 40) == values


def test_the_latest_of_several_partitions_are_by_time(broker):
    """And hide no partition altogether."""
    broker.add("t", n_partitions=3)
    put(broker, "t", [b"old"] * 20, n_markers=0, partition=1, at_ms=1)
    put(broker, "t", [b"new"] * 20, n_markers=3, partition=0, at_ms=2)
    assert newest(broker, "t", 15) == [b"old"] + [b"new"] * 14
    assert newest(broker, "t", 25) == [b"old"] * 5 + [b"new"] * 20
    assert newest(broker, "t", 3) == [b"new"] * 3


@pytest.mark.parametrize("odd", [1_700_000_000_000_000, -1, 0])
def test_times_that_cannot_be_hide_no_partition(broker, odd):
    broker.add("t", n_partitions=4)
    for n in range(50):
        for partition in range(4):
            at_ms = odd if partition == 2 else 1_700_000_000_000 + n
            broker.put("t", b"%d:%d" % (partition, n), partition=partition, at_ms=at_ms)
    found = newest(broker, "t", 20)
    assert len(found) == 20
    assert {b"0:49", b"1:49", b"2:49", b"3:49"} <= set(found)


def test_the_first_of_several_partitions_are_by_time(broker):
    """Though the client hands over all that lies in one before it comes to the next."""
    broker.add("t", n_partitions=4)
    for n in range(400):
        broker.put("t", b"%d" % n, partition=n % 4, at_ms=1_700_000_000_000 + n)
    found = messages.read("t", dict.fromkeys(range(4), 0), dict.fromkeys(range(4), 100), most=20)
    assert [read.value for read in found] == [b"%d" % n for n in range(20)]
    found = messages.read("t", {0: 10, 1: 0, 2: 99, 3: 10}, dict.fromkeys(range(4), 100), most=20)
    after = [n for n in range(400) if n // 4 >= {0: 10, 1: 0, 2: 99, 3: 10}[n % 4]]
    assert [read.value for read in found] == [b"%d" % n for n in after[:20]]


def test_many_large_messages_do_not_lie_in_memory(broker):
    broker.add("t", n_partitions=4)
    for partition in range(4):
        put(broker, "t", [b"x" * 300_000] * 60, n_markers=0, partition=partition)
    first = messages.read("t", dict.fromkeys(range(4), 0), dict.fromkeys(range(4), 60), most=60)
    assert len(first) == 60
    found = messages.latest(topic_of(broker, "t"), most=60)
    assert len(found) == 60
    assert sum(len(read.value) for read in found) == 60 * 64 * 1024
    assert {read.value_bytes for read in found} == {300_000}
    assert messages.one("t", 0, 3).value == b"x" * 300_000


def test_a_page_shows_the_beginning_of_a_large_message_and_its_size(broker):
    broker.add("t")
    broker.put("t", "xä".encode() * 40_000, headers=[("a", b"1"), ("b", b"2" * 20_000), ("c", b"3")])
    [read] = messages.read("t", {0: 0}, {0: 1}, most=5)
    value = serializers.message(read)["value"]
    assert (value["encoding"], value["size_bytes"], value["is_cut"]) == ("utf-8", 120_000, True)
    assert value["content"] == "xä" * (8 * 1024)
    assert read.headers == [("a", b"1"), ("(2 headers more)", b"")]


def test_a_message_that_is_not_there_is_never_another_one(broker):
    broker.add("t")
    broker.put("t", *[b"%d" % n for n in range(5)])
    assert messages.one("t", 0, 3).value == b"3"
    broker.add("t")  # deleted and made anew
    broker.put("t", b"other", b"others")
    assert messages.one("t", 0, 3) is None
    assert messages.one("t", 0, 2) is None
    broker.topics["t"][0].low = 7
    assert messages.one("t", 0, 3) is None


# --- what cannot be read


def hold(broker, name, n, *, partition=0):
    """Somebody's transaction that does not end, with so many messages of others behind its first."""
    log = broker.topics[name][partition]
    log.records.append(Record(b"half", state="open", sender="hanging"))
    broker.put(name, *[b"behind"] * (n - 1), partition=partition)


def kafka_messages(start, limit=5):
    found = gateway.connect().messages("t", start=start, limit=limit)
    return [read.value for read in found.read], found.problem


@pytest.mark.parametrize("start", [Start("latest"), Start("earliest"), Start("offset", offset=0)])
def test_what_lies_before_an_open_transaction_is_shown_and_the_rest_told(broker, monkeypatch, start):
    """More lies behind it than is asked for: the newest are not to be waited for."""
    monkeypatch.setattr(messages, "READ_FOR_S", 0.5)
    broker.add("t")
    broker.put("t", b"1", b"2", b"3")
    hold(broker, "t", 30)
    words = "An open transaction holds back 30 offsets, until it ends, from here on: 0:3."
    assert kafka_messages(start) == ([b"1", b"2", b"3"], words)


@pytest.mark.parametrize("start", [Start("time", at_ms=5), Start("offset", offset=20)])
def test_a_place_behind_an_open_transaction_is_told_at_once(broker, monkeypatch, start):
    monkeypatch.setattr(messages, "READ_FOR_S", 0.0)
    broker.add("t")
    broker.put("t", b"1", at_ms=1)
    hold(broker, "t", 1)
    broker.put("t", *[b"behind"] * 29, at_ms=5)
    found, problem = kafka_messages(start)
    assert (found, "holds back 30 offsets" in problem) == ([], True)


def test_a_partition_that_another_one_is_held_in_is_read_without_a_word(broker):
    broker.add("t", n_partitions=2)
    broker.put("t", b"1")
    hold(broker, "t", 1, partition=1)
    assert kafka_messages(Start("offset", partition=0)) == ([b"1"], "")
    words = "An open transaction holds back 1 offset, until it ends, from here on: 1:0."
    assert kafka_messages(Start("earliest")) == ([b"1"], words)


def test_a_partition_that_nobody_leads_is_not_an_empty_one(broker):
    broker.add("t", n_partitions=12)
    broker.put("t", b"1")
    for log in broker.topics["t"][1:]:
        log.is_led = False
    for start in (Start("latest"), Start("earliest"), Start("time", at_ms=0)):
        _found, problem = kafka_messages(start)
        assert problem.endswith("so they are left out: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ….")
    assert kafka_messages(Start("offset", partition=0)) == ([b"1"], "")
    with pytest.raises(Unavailable, match="does not tell of the partition"):
        kafka_messages(Start("offset", partition=3))
    broker.topics["t"][0].is_led = False
    for start in (Start("latest"), Start("earliest"), Start("time", at_ms=0)):
        with pytest.raises(Unavailable, match="does not tell of the partition"):
            kafka_messages(start)


@pytest.mark.django_db
def test_a_broker_that_is_late_hides_no_partition_of_others(broker):
    """Dead, and the leader on paper yet."""
    broker.add("t", n_partitions=2)
    broker.put("t", b"1", at_ms=1)
    broker.topics["t"][1].is_late = True
    assert kafka_messages(Start("offset", partition=0)) == ([b"1"], "")
    for start in (Start("latest"), Start("time", at_ms=1)):
        words = "Kafka does not tell of these partitions now, so they are left out: 1."
        assert kafka_messages(start) == ([b"1"], words)
    broker.add("other")
    broker.topics["other"][0].is_late = True
    browser = signed_in(make_user("eng", "engineer"))
    found = {one["name"]: one["partitions"] for one in browser.get("/api/v1/topics").json()["results"]}
    assert [[part["high"] for part in parts] for parts in found.values()] == [[None], [1, None]]
    page = browser.get("/topics/t", headers={"HX-Request": "true"}).content.decode()
    assert "Kafka does not tell the offsets of every partition now." in page
    assert "not of every partition" in browser.get("/topics", headers={"HX-Request": "true"}).content.decode()
    broker.topics["t"][0].is_late = True
    assert browser.get("/api/v1/topics/t").status_code == 503


@pytest.mark.django_db
def test_page_and_rest_say_why_messages_are_missing(broker):
    broker.add("t")
    hold(broker, "t", 2)
    browser = signed_in(make_user("eng", "engineer"))
    answer = browser.get("/api/v1/topics/t/messages").json()
    assert answer["results"] == []
    assert "holds back 2 offsets" in answer["problem"]
    page = browser.get("/topics/t/messages").content.decode()
    assert "holds back 2 offsets" in page
    assert "No message" not in page
    broker.put("t", b"1")
    broker.topics["t"][0].records[0].state = "committed"
    assert browser.get("/api/v1/topics/t/messages").json()["problem"] == ""


def test_a_reading_stops_where_it_should(broker):
    broker.add("t", n_partitions=2)
    broker.put("t", *[b"%d" % n for n in range(9)])
    assert [read.value for read in messages.read("t", {0: 2, 1: 0}, {0: 4, 1: 0}, most=9)] == [b"2", b"3"]
    assert len(messages.read("t", {0: 0}, {0: 9}, most=4)) == 4
    assert messages.one("t", 1, 0) is None


@pytest.mark.parametrize(
    "call",
    [
        lambda: messages.one("t", 0, 0),
        lambda: messages.read("t", {0: 0}, {0: 1}, most=5),
        lambda: messages.latest(Topic("t", [Partition(0, 0, 1, 1, 1, 1)]), most=5),
    ],
)
def test_a_kafka_that_is_slow_does_not_mean_that_there_is_no_message(broker, monkeypatch, call):
    broker.add("t")
    broker.put("t", b"1")
    monkeypatch.setattr(messages, "READ_FOR_S", 0.0)
    with pytest.raises(Unavailable, match="no message of t within"):
        call()
