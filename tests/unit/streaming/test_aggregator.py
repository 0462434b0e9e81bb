"""One stream's loop against a broker that fails as librdkafka does."""

import json
import threading
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException
from django.db import DataError
from django.utils import timezone

from core.alerts.models import Alert
from core.lib import lag
from core.lib.errors import InvalidRequest
from core.lib.lag import Behind
from core.lib.models import SetAside
from streaming import aggregator, dead_topics, gateway, ledger, loops, redriving, row_sender, tasks
from streaming.aggregator import Runner, Session
from streaming.dead_topics import DeadSender
from streaming.exactly_once import Sender
from streaming.kafka_types import Read
from streaming.ledger import Overtaken
from streaming.models import Stream, dead_topic_name
from tests.fakes.kafka import FakeConsumer, Record, fault
from tests.people import make_user, signed_in
from tests.unit.streaming.events import encoded, make_stream, trip

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("small_steps")]


def good(n=1):
    return [encoded(time.time())] * n


@pytest.fixture
def stream(broker):
    stream = make_stream()
    broker.add(stream.topic)
    return stream


def session(broker, stream):
    stopped = threading.Event()
    broker.on_idle = stopped.set
    return Session(Stream.objects.get(pk=stream.pk), stopped)


def run(broker, stream):
    session(broker, stream).run()


def counted(stream):
    return sum(stream.windows.values_list("count", flat=True))


def test_junk_larger_than_a_producer_sends_is_a_cut_letter_and_the_stream_goes_on(broker, stream):
    broker.put(stream.topic, *good(2), b"x" * 3_000_000, *good(2))
    run(broker, stream)
    assert counted(stream) == 4
    [sent] = broker.read(stream.dead_topic)
    assert sent.value == b"x" * ledger.KEPT_BYTES
    headers = dict(sent.headers)
    assert (headers["atalaya.offset"], headers["atalaya.cut_from_bytes"]) == (b"2", b"3000000")
    assert headers["atalaya.reason"].startswith(b"too large")


def test_a_dead_topic_that_somebody_made_with_a_brokers_default_takes_what_is_kept(broker, stream):
    broker.add(stream.dead_topic)
    broker.put(stream.topic, b"x" * 3_000_000)
    headers = ledger.kept_headers([(str(n), b"h" * 1_000) for n in range(99)])
    letter = ledger.dead(0, 1, "é" * 400, key=b"k" * 100_000, value=b"y" * 3_000_000, headers=headers)
    ledger._save_dead(stream, [letter])
    run(broker, stream)
    assert len(broker.read(stream.dead_topic)) == 2


ODD_HEADERS = [("traceparent", b"00-1"), ("h", b"1"), ("h", None), ("atalaya.offset", b"99"), ("", b"\xff")]


class Kafka:
    """Reads by place, as the console's own connection does."""

    def __init__(self, broker):
        self._broker = broker

    def message(self, topic, partition, offset):
        found = self._broker.read(topic)[offset]
        return Read(partition, offset, None, None, found.value, found.headers)


def test_a_dead_letter_keeps_its_headers_and_is_sent_again_with_them(broker, stream, monkeypatch):
    broker.put(stream.topic, b"bad", headers=ODD_HEADERS)
    run(broker, stream)
    theirs = [one for one in ODD_HEADERS if one[0] != "atalaya.offset"]  # ours alone bear such names
    [dead] = broker.read(stream.dead_topic)
    assert dead.headers[: len(theirs)] == theirs
    ours = dict(dead.headers[len(theirs) :])
    assert (ours["atalaya.offset"], ours["atalaya.stream"]) == (b"0", stream.name.encode())
    letter = stream.dead_letters.get()
    letter.redrive_asked_at = letter.next_attempt_at = timezone.now()
    letter.save()
    assert (letter.payload, letter.headers) == (None, None)  # the dead topic has them
    monkeypatch.setattr(gateway, "connect", lambda: Kafka(broker))
    tasks.redrive(letter.pk)
    again = broker.read(stream.topic)[-1]
    assert (again.value, again.headers) == (b"bad", [*theirs, ("atalaya.redriven", b"0:0")])


def test_a_letter_that_lacks_headers_says_so_when_it_is_sent_again(broker, stream, monkeypatch):
    broker.put(stream.topic, b"bad", headers=[("a", b"1"), ("large", b"x" * ledger.KEPT_HEADER_BYTES)])
    run(broker, stream)
    letter = stream.dead_letters.get()
    assert letter.n_headers_left_out == 1
    letter.redrive_asked_at = letter.next_attempt_at = timezone.now()
    letter.save()
    monkeypatch.setattr(gateway, "connect", lambda: Kafka(broker))
    tasks.redrive(letter.pk)
    lacks = [("atalaya.redriven", b"0:0"), ("atalaya.headers_left_out", b"1")]
    assert broker.read(stream.topic)[-1].headers == [("a", b"1"), *lacks]


def test_a_null_value_keeps_its_headers_in_the_row(broker, stream):
    broker.put(stream.topic, None, headers=[("a", b"1")])
    run(broker, stream)
    letter = stream.dead_letters.get()
    assert letter.is_null
    assert redriving._outgoing(letter).headers[0] == ("a", b"1")


def test_letters_of_earlier_releases_have_no_headers_but_ours(stream):
    assert redriving._theirs(Read(0, 0, None, None, b"", [("reason", b"odd"), ("offset", b"0")])) == []


@pytest.mark.parametrize(
    ("found", "n_kept"),
    [
        ([(f"h{n}", b"1") for n in range(80)], 50),
        ([("large", b"x" * 17_000), ("small", b"1")], 1),
        ([("é" * 4_000, b"x" * 8_300), ("a", b"")], 2),
        ([("é" * 4_000, b"x" * 8_384), ("a", b"")], 1),
        ([], 0),
    ],
)
def test_headers_are_kept_whole_as_long_as_there_is_room(broker, stream, found, n_kept):
    broker.put(stream.topic, b"bad", headers=found)
    run(broker, stream)
    headers = broker.read(stream.dead_topic)[0].headers
    theirs = [one for one in headers if not one[0].startswith("atalaya.")]
    assert theirs == [one for one in found if one in theirs]
    assert len(theirs) == n_kept
    left_out = dict(headers).get("atalaya.headers_left_out")
    assert left_out == (str(len(found) - n_kept).encode() if n_kept < len(found) else None)


def test_headers_whose_names_nobody_can_read_are_left_out(broker, stream, monkeypatch):
    def headers(_message):
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    monkeypatch.setattr("tests.fakes.kafka.FakeMessage.headers", headers)
    broker.put(stream.topic, b"bad", *good(2))
    run(broker, stream)
    assert counted(stream) == 2
    assert dict(broker.read(stream.dead_topic)[0].headers)["atalaya.headers_left_out"] == b"1"


def test_a_letter_that_the_dead_topic_never_takes_is_set_aside_and_the_others_go(broker, stream):
    broker.add(stream.dead_topic, max_bytes=2_000)
    broker.put(stream.topic, b"one", b"x" * 5_000, b"two", *good())
    run(broker, stream)
    assert counted(stream) == 1
    assert [one.value for one in broker.read(stream.dead_topic)] == [b"one", b"two"]
    refused = stream.dead_letters.get(is_sent=False)
    assert "too large" in refused.send_error.lower()
    assert bytes(refused.payload) == b"x" * 5_000
    aside = SetAside.objects.get(loop=loops.DEAD_LETTERS.name)
    assert (aside.key, aside.about, aside.count) == (f"{stream.name} 0:1", stream.name, 1)
    broker.put(stream.topic, b"three")
    run(broker, stream)
    assert len(broker.read(stream.dead_topic)) == 3
    assert SetAside.objects.get().count == 1


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ("init_transactions", KafkaError._TIMED_OUT),
        ("send_offsets", KafkaError._STATE),
        ("commit", KafkaError.GROUP_AUTHORIZATION_FAILED),
        ("produce", KafkaError._QUEUE_FULL),
        ("committed", KafkaError._TRANSPORT),
    ],
)
def test_counting_goes_on_while_dead_letters_cannot_be_sent(broker, stream, monkeypatch, step, code):
    broker.fail(step, fault(code))
    broker.put(stream.topic, b"bad", *good(7))
    run(broker, stream)
    assert counted(stream) == 7
    assert bytes(stream.dead_letters.get().payload) == b"bad"
    run(broker, stream)
    assert [one.value for one in broker.read(stream.dead_topic)] == [b"bad"]


NO_RIGHT = [
    ("init_transactions", KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
    ("commit", KafkaError.TOPIC_AUTHORIZATION_FAILED),
]


@pytest.mark.parametrize(("step", "code"), NO_RIGHT)
def test_letters_that_may_not_be_sent_say_so_until_they_are(broker, stream, step, code):
    broker.fail(step, fault(code, "not you"))
    broker.put(stream.topic, b"bad")
    run(broker, stream)
    row = SetAside.objects.get(loop=loops.DEAD_LETTERS.name)
    assert (row.key, row.about) == (stream.name, stream.name)
    assert row.reason == "Not in Kafka yet, and kept here: 1. not you"
    run(broker, stream)
    assert stream.dead_letters.get().is_sent
    assert not SetAside.objects.exists()


def test_a_dead_topic_that_may_not_be_made_is_told(broker, stream):
    broker.may_create = False
    broker.put(stream.topic, b"bad")
    run(broker, stream)
    assert "does not let it create one" in SetAside.objects.get(loop=loops.DEAD_LETTERS.name).reason


@pytest.mark.parametrize(("minutes", "n_told"), [(59, 0), (61, 1)])
def test_letters_that_wait_for_long_say_so(broker, stream, minutes, n_told):
    ledger._save_dead(stream, [ledger.dead(0, 0, "odd", key=None, value=b"x")])
    stream.dead_letters.update(at=timezone.now() - timedelta(minutes=minutes))
    broker.fail("init_transactions", fault(KafkaError._TIMED_OUT))
    run(broker, stream)
    assert SetAside.objects.count() == n_told


@pytest.mark.parametrize(
    ("values", "n_left"), [({}, 1), ({"is_sent": True}, 0), ({"send_error": "too large"}, 0)]
)
def test_old_letters_go_once_their_topic_has_them(stream, values, n_left):
    ledger._save_dead(stream, [ledger.dead(0, 0, "odd", key=None, value=b"x")])
    stream.dead_letters.update(at=timezone.now() - timedelta(days=31), **values)
    tasks.clear_old()
    assert stream.dead_letters.count() == n_left


@pytest.fixture
def letters(broker, stream):
    """So many wait in their rows."""
    ledger._save_dead(stream, [ledger.dead(0, n, "odd", key=None, value=b"%d" % n) for n in range(200)])


@pytest.mark.usefixtures("letters")
def test_a_backlog_of_dead_letters_does_not_hold_up_counting(broker, stream, monkeypatch):
    send = Sender.send
    monkeypatch.setattr(Sender, "send", lambda *args, **more: (time.sleep(0.2), send(*args, **more))[1])
    monkeypatch.setattr(row_sender, "SENDS_FOR_S", 0.3)
    sender = DeadSender(stream, threading.Event())
    assert 0 < sender.send() < 200
    monkeypatch.setattr(row_sender, "SENDS_FOR_S", 30)
    sender.send()
    assert [one.value for one in broker.read(stream.dead_topic)] == [b"%d" % n for n in range(200)]


@pytest.mark.usefixtures("letters")
def test_who_is_told_to_stop_sends_no_more_letters(broker, stream):
    stopped = threading.Event()
    stopped.set()
    assert DeadSender(stream, stopped).send() == 0


@pytest.mark.usefixtures("letters")
def test_behind_a_letter_that_is_never_taken_others_go_together(broker, stream):
    stream.dead_letters.filter(offset=10).update(payload=b"x" * 5_000)
    broker.add(stream.dead_topic, max_bytes=2_000)
    assert DeadSender(stream, threading.Event()).send() == 199
    # one of 50 that failed, ten and the odd one alone, four of those behind it
    assert broker.steps.count("begin_transaction") == 1 + 11 + 4


@pytest.mark.usefixtures("letters")
def test_a_letter_that_is_never_taken_holds_up_nobody_where_each_call_has_time_for_one_try(
    broker, stream, monkeypatch
):
    send = Sender.send
    monkeypatch.setattr(Sender, "send", lambda *args, **more: (time.sleep(0.02), send(*args, **more))[1])
    monkeypatch.setattr(row_sender, "SENDS_FOR_S", 0.01)
    stream.dead_letters.filter(offset=10).update(payload=b"x" * 5_000)
    broker.add(stream.dead_topic, max_bytes=2_000)
    sender = DeadSender(stream, threading.Event())
    # Fifty fail and the first goes alone; nine alone, the odd one; then fifty at each call.
    assert [sender.send() for _ in range(16)] == [1] * 10 + [0] + [50, 50, 50, 39] + [0]


@pytest.mark.usefixtures("letters")
def test_letters_go_together_again_when_none_was_at_fault_alone(broker, stream, monkeypatch):
    broker.add(stream.dead_topic)
    broker.fail("produce", fault(KafkaError.MSG_SIZE_TOO_LARGE))
    assert DeadSender(stream, threading.Event()).send() == 200
    assert broker.steps.count("begin_transaction") == 1 + 50 + 3


def test_a_stream_beside_a_topic_with_the_name_of_its_dead_topic_takes_another(broker):
    stream = make_stream("orders", topic="orders_x")
    broker.add("orders_x")
    broker.add("orders_x_dead")
    broker.put("orders_x", b"bad", *good(2))
    run(broker, stream)
    stream.refresh_from_db()
    assert stream.dead_topic == "orders_x-dead"
    assert counted(stream) == 2
    assert [one.value for one in broker.read("orders_x-dead")] == [b"bad"]
    assert broker.read("orders_x_dead") == []


def test_without_any_dead_topic_letters_wait_in_their_rows(broker, stream, monkeypatch):
    def refuse(_stream):
        raise InvalidRequest("not allowed")

    monkeypatch.setattr(dead_topics, "ensure", refuse)
    broker.put(stream.topic, b"bad", *good(2))
    run(broker, stream)
    assert counted(stream) == 2
    assert bytes(stream.dead_letters.get().payload) == b"bad"


@pytest.mark.parametrize("length", [1, 200, 244, 245, 249])
def test_a_dead_topic_has_a_name_that_kafka_takes(length):
    names = {dead_topic_name(letter * length) for letter in "ab"}
    assert len(names) == 2
    assert all(len(name) <= 249 and name.endswith(".dead") for name in names)


def test_markers_gaps_and_messages_of_ended_transactions_are_passed_over(broker, stream):
    log = broker.topics[stream.topic][0]
    log.low = 1_000_000
    log.records += [Record(good()[0]), Record(state="marker"), Record(b"x", state="aborted")]
    log.records += [Record(good()[0]), Record(state="marker")]
    run(broker, stream)
    assert counted(stream) == 2
    assert stream.offsets.get().next_offset == 1_000_005


def test_messages_of_an_open_transaction_are_not_counted(broker, stream):
    broker.topics[stream.topic][0].records += [Record(good()[0]), Record(good()[0], state="open")]
    run(broker, stream)
    assert (counted(stream), stream.offsets.get().next_offset) == (1, 1)


def test_an_empty_topic_and_an_empty_partition_are_at_their_end(broker, stream):
    broker.add(stream.topic, n_partitions=3)
    broker.put(stream.topic, *good(2), partition=1)
    run(broker, stream)
    assert counted(stream) == 2
    assert dict(stream.offsets.values_list("partition", "next_offset")) == {1: 2} | {
        number: 0 for number in (0, 2) if stream.offsets.filter(partition=number).exists()
    }


def test_a_log_that_lost_its_start_or_its_end_is_read_from_what_is_left(broker, stream):
    broker.put(stream.topic, *good(6))
    run(broker, stream)
    log = broker.topics[stream.topic][0]
    del log.records[4:]  # a leader that had not everything was elected
    run(broker, stream)
    assert stream.offsets.get().next_offset == 4
    broker.put(stream.topic, *good(3))
    del log.records[:6]
    log.low = 6
    run(broker, stream)
    assert (counted(stream), stream.offsets.get().next_offset) == (7, 7)


def test_a_log_that_shrinks_while_it_is_read_starts_the_session_again(broker, stream):
    broker.put(stream.topic, *good(3))
    one = session(broker, stream)
    one._ensure_topics()
    ledger.recognise(one._stream, broker.ids[stream.topic])
    one._assign()
    one.count()
    one.write()
    del broker.topics[stream.topic][0].records[1:]
    with pytest.raises(Overtaken, match="does not reach"):
        one.count()
    run(broker, stream)
    assert stream.offsets.get().next_offset == 1


def test_partitions_added_while_it_runs_are_read_after_a_new_start(broker, stream, monkeypatch):
    monkeypatch.setattr(aggregator, "LOOK_EVERY_S", 0.0)
    broker.put(stream.topic, *good(2))
    one = session(broker, stream)
    consume = one._consumer.consume

    def grow(*how):
        if len(broker.topics[stream.topic]) == 1:
            broker.topics[stream.topic].append(type(broker.topics[stream.topic][0])())
            broker.put(stream.topic, *good(3), partition=1)
        return consume(*how)

    one._consumer.consume = grow
    with pytest.raises(Overtaken, match="other partitions"):
        one.run()
    run(broker, stream)
    assert counted(stream) == 5


def test_a_topic_that_is_deleted_while_it_is_read_ends_the_session_with_what_was_counted(broker, stream):
    broker.put(stream.topic, *good(2))
    one = session(broker, stream)
    consume = one._consumer.consume

    def delete(*how):
        found = consume(*how)
        broker.topics.pop(stream.topic, None)
        return found

    one._consumer.consume = delete
    with pytest.raises(KafkaException):
        one.run()
    assert counted(stream) == 2


def test_a_row_that_the_database_does_not_take_is_set_aside_and_the_others_are_saved(
    broker, stream, monkeypatch
):
    save = ledger._save_windows

    def refuse_one(stream, windows, keys):
        if any(group == "9" for _start, group in keys):
            raise DataError("value too long")
        save(stream, windows, keys)

    monkeypatch.setattr(ledger, "_save_windows", refuse_one)
    events = [json.dumps(trip(time.time(), vendor_id=vendor)).encode() for vendor in "9121"]
    broker.put(stream.topic, *events, b"bad")
    run(broker, stream)
    assert counted(stream) == 3
    assert stream.dead_letters.count() == 1
    assert stream.offsets.get().next_offset == 5
    aside = SetAside.objects.get(loop=loops.WINDOWS.name)
    assert (aside.about, aside.count) == (stream.name, 1)


def after(broker, stream, n_more=0, pause_s=0.0):
    """Two partitions at their ends; after a pause, in each the events of ten minutes, one a minute.

    Before these so many more, of the first minute.
    """
    now, stopped = time.time(), threading.Event()
    broker.add(stream.topic, n_partitions=2)
    for partition in (0, 1):
        broker.put(stream.topic, encoded(now - 600), partition=partition)

    def meanwhile():
        for partition in (0, 1):
            minutes = [encoded(now - 540 + 60 * minute) for minute in range(10)]
            broker.put(stream.topic, *[encoded(now - 600)] * n_more, *minutes, partition=partition)
        broker.on_idle = stopped.set
        time.sleep(pause_s)

    broker.on_idle = meanwhile
    Session(Stream.objects.get(pk=stream.pk), stopped).run()
    return counted(stream), stream.dead_letters.count()


@pytest.mark.parametrize("batch", [3, 100])
def test_after_a_stall_in_time_events_of_every_partition_count(broker, stream, monkeypatch, batch):
    monkeypatch.setattr(aggregator, "STALLED_S", 0.5)
    monkeypatch.setattr(aggregator, "BATCH", batch)
    assert after(broker, stream, pause_s=0.6) == (22, 0)


@pytest.mark.parametrize("n_more", [0, 1_500])
@pytest.mark.parametrize("age_s", [0, 60])
def test_what_is_read_as_it_comes_is_judged_by_all_partitions(broker, stream, monkeypatch, n_more, age_s):
    """Whatever time its producer gave it, and in bursts too."""
    at_ms = int((time.time() - age_s) * 1000)
    monkeypatch.setattr("tests.fakes.kafka.FakeMessage.timestamp", lambda _one: (1, at_ms))
    monkeypatch.setattr(aggregator, "BATCH", 5_000)
    # Late are those of the other partition that are more than a minute behind.
    n_late = 8 + n_more
    assert after(broker, stream, n_more) == (22 + 2 * n_more - n_late, n_late)


def test_a_stall_is_over_at_the_end_of_each_partition(broker, stream, monkeypatch):
    monkeypatch.setattr(aggregator, "STALLED_S", 0.5)
    monkeypatch.setattr(aggregator, "BATCH", 100)
    after(broker, stream, pause_s=0.6)
    one = session(broker, stream)
    one._assign()
    one.count()
    assert one._counting.caught_up == {0, 1}
    one._fetched_at -= 0.6
    one.count()
    assert one._counting.caught_up == set()
    broker.put(stream.topic, *good(1), partition=1)
    one.count()
    assert one._counting.caught_up == {1}


def test_it_tells_how_far_behind_it_is(broker, stream, monkeypatch):
    monkeypatch.setattr(aggregator, "LOOK_EVERY_S", 0)
    monkeypatch.setattr(aggregator, "BATCH", 2)
    lags, stopped = [], threading.Event()
    broker.on_idle = stopped.set
    broker.put(stream.topic, *good(5))
    Session(Stream.objects.get(pk=stream.pk), stopped, on_look=lags.append).run()
    assert lags[:3] == [3, 1, 0]


@pytest.fixture
def gone(broker, stream):
    """Two were counted, and three of the four behind them grew too old."""
    broker.put(stream.topic, *good(2))
    run(broker, stream)
    log = broker.topics[stream.topic][0]
    broker.put(stream.topic, *good(4))
    log.records[:5], log.low = [], 5


@pytest.mark.usefixtures("gone")
def test_messages_that_were_gone_before_they_were_counted_are_told(broker, stream):
    run(broker, stream)
    assert counted(stream) == 2 + 1
    run(broker, stream)
    at = stream.offsets.get()
    assert (at.next_offset, at.n_gone) == (6, 3)
    alert = Alert.objects.get(rule=ledger.GONE_ALERT)
    assert (alert.subject, alert.n_findings) == (stream.name, 1)
    assert [(fact["name"], fact["value"]) for fact in alert.facts] == [("Partition 0", 3)]
    viewer = signed_in(make_user("vic", "viewer"))
    page = " ".join(viewer.get(f"/streams/{stream.name}").content.decode().split())
    assert "Partition 0: up to 3, the last" in page
    [gap] = viewer.get(f"/api/v1/streams/{stream.name}").json()["gaps"]
    assert (gap["partition"], gap["n_messages"]) == (0, 3)


def test_a_topic_whose_end_was_cut_off_lacks_nothing_that_is_to_be_counted(broker, stream):
    broker.put(stream.topic, *good(4))
    run(broker, stream)
    broker.topics[stream.topic][0].records[2:] = []
    run(broker, stream)
    at = stream.offsets.get()
    assert (at.next_offset, at.n_gone) == (2, 0)


@pytest.fixture
def leaderless(broker, stream):
    """Of two partitions that were counted, number 1 has no leader."""
    broker.add(stream.topic, n_partitions=2)
    for number in (0, 1):
        broker.put(stream.topic, *good(2), partition=number)
    run(broker, stream)
    broker.put(stream.topic, *good(3))
    broker.topics[stream.topic][1].is_led = False


@pytest.mark.usefixtures("always_looks", "leaderless")
def test_a_partition_without_a_leader_holds_up_no_other_and_is_told(broker, stream):
    def lead():
        broker.topics[stream.topic][1].is_led = True

    told = told_of_faults(broker, stream, quiet, quiet, lead)
    assert counted(stream) == 4 + 3
    assert "fault" in told
    assert told[-1] == "well"


@pytest.mark.usefixtures("leaderless")
def test_while_no_partition_tells_its_offsets_kafka_is_away(broker, stream, monkeypatch):
    for log in broker.topics[stream.topic]:
        log.is_led = False
    monkeypatch.setattr("tests.fakes.kafka._metadata", on_paper(broker))
    with pytest.raises(KafkaException) as raised:
        run(broker, stream)
    assert raised.value.args[0].code() == KafkaError._TIMED_OUT


def on_paper(broker):
    """Metadata that have not heard of any broker's death."""

    def about(_broker, names):
        partitions = {number: SimpleNamespace(leader=1) for number in range(2)}
        return SimpleNamespace(
            topics={name: SimpleNamespace(topic=name, partitions=partitions, error=None) for name in names}
        )

    return about


# --- the thread


@pytest.fixture
def runner(stream, monkeypatch):
    monkeypatch.setattr(aggregator.connection, "close", lambda: None)
    runner = Runner(stream.pk, stream.name)
    waits = []
    monkeypatch.setattr(runner._stopped, "wait", lambda seconds: waits.append(seconds))
    runner.waits = waits
    return runner


class Surprise(Exception):
    """Of no class that anybody thought of."""


@pytest.mark.parametrize(
    "error", [Surprise("odd"), fault(KafkaError.TOPIC_AUTHORIZATION_FAILED), ValueError()]
)
def test_whatever_ends_a_session_is_noted_and_another_follows(runner, monkeypatch, error):
    errors = [error]

    def fail_once(session):
        if errors:
            raise errors.pop()
        session._on_look(3)
        session._stopped.set()

    monkeypatch.setattr(Session, "run", fail_once)
    assert runner._is_there()
    row = SetAside.objects.get(loop=loops.STREAMS.name)
    assert (row.key, row.about) == (runner.stream_name, runner.stream_name)
    assert runner.behind == lag.STUCK
    runner.run()
    assert not SetAside.objects.exists()
    assert runner.behind == Behind(3)


@pytest.mark.parametrize(
    "error", [fault(KafkaError._ALL_BROKERS_DOWN), fault(KafkaError.NOT_COORDINATOR, retriable=True)]
)
def test_while_kafka_is_away_no_stream_is_at_fault(runner, monkeypatch, error):
    def fail(session):
        raise error

    monkeypatch.setattr(Session, "run", fail)
    for _ in range(8):
        assert runner._is_there()
    assert not SetAside.objects.exists()
    assert runner.waits == [1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0, 15.0]


def test_a_definition_that_is_none_any_more_is_noted(runner, stream):
    Stream.objects.update(definition={"fields": []})
    assert runner._is_there()
    assert "DefinitionError" in SetAside.objects.get().reason


def test_the_thread_of_a_deleted_stream_ends_and_leaves_no_note(runner, stream):
    loops.STREAMS.set_aside(stream.name, "bad", about=stream.name)
    stream.delete()
    runner.run()
    assert not SetAside.objects.exists()


def test_a_stream_on_a_name_that_collides_says_so(broker, runner, stream):
    broker.add("tri.ps")
    Stream.objects.filter(pk=stream.pk).update(topic="tri_ps")
    assert runner._is_there()
    assert "tri_ps" in SetAside.objects.get().reason


def test_without_the_right_to_create_topics_those_that_are_there_are_counted(broker, stream):
    broker.may_create = False
    broker.put(stream.topic, *good(3), b"bad")
    run(broker, stream)
    assert counted(stream) == 3
    assert not stream.dead_letters.get().is_sent  # there is no dead topic: it waits in its row
    broker.may_create = True
    run(broker, stream)
    assert stream.dead_letters.get().is_sent


def test_a_topic_that_is_missing_and_may_not_be_created_is_noted(broker, runner, stream):
    broker.may_create = False
    del broker.topics[stream.topic]
    assert runner._is_there()
    reason = SetAside.objects.get(loop=loops.STREAMS.name).reason
    assert "does not let it create one" in reason
    assert stream.topic in reason


def test_what_cannot_be_read_is_told_with_its_place_until_a_message_comes(broker, stream, monkeypatch):
    monkeypatch.setattr(aggregator, "LOOK_EVERY_S", 0.0)
    told, stopped = [], threading.Event()
    broker.add(stream.topic, n_partitions=2)
    broker.unreadable = [(stream.topic, 1, 7, KafkaError._BAD_COMPRESSION)]
    broker.put(stream.topic, *good(2))

    def then():
        told.append("then")
        broker.put(stream.topic, *good(1), partition=1)
        broker.on_idle = stopped.set

    broker.on_idle = then
    Session(
        Stream.objects.get(pk=stream.pk),
        stopped,
        on_look=lambda _lag: told.append("well"),
        on_fault=lambda _lag, words: told.append(words),
    ).run()
    place = f"Partition 1 of {stream.topic} cannot be read from offset 7 on"
    before, after = told[: told.index("then")], told[told.index("then") + 2 :]
    assert before
    assert all(words.startswith(place) for words in before)
    assert set(after) == {"well"}
    assert counted(stream) == 3


@pytest.mark.parametrize(("n_read", "offset"), [(0, 0), (2, 2)])
def test_a_fault_without_an_offset_is_told_with_the_one_that_is_read_next(broker, stream, n_read, offset):
    broker.put(stream.topic, *good(n_read))
    one, words = session(broker, stream), []
    one._on_fault = lambda _lag, text: words.append(text)
    one._assign()
    if n_read:
        one.count()
    broker.unreadable = [(stream.topic, 0, -1001, KafkaError.TOPIC_AUTHORIZATION_FAILED)]
    one.count()
    one._tell()
    assert f"cannot be read from offset {offset} on" in words[0]


def test_a_fault_of_no_partition_ends_the_session(broker, stream):
    broker.unreadable = [("", -1, -1001, KafkaError._AUTHENTICATION)]
    with pytest.raises(KafkaException):
        run(broker, stream)


def told_of_faults(broker, stream, *rounds):
    """What is told at each look, in the session that ends after these rounds without messages."""
    told, stopped, rest = [], threading.Event(), list(rounds)

    def idle():
        if rest:
            rest.pop(0)()
        else:
            stopped.set()

    broker.on_idle = idle
    Session(
        Stream.objects.get(pk=stream.pk),
        stopped,
        on_look=lambda _lag: told.append("well"),
        on_fault=lambda _lag, words: told.append("fault"),
    ).run()
    return told


def quiet():
    """Nothing comes."""


@pytest.fixture
def always_looks(monkeypatch):
    monkeypatch.setattr(aggregator, "LOOK_EVERY_S", 0.0)


@pytest.mark.usefixtures("always_looks")
def test_a_fault_at_the_end_of_a_quiet_partition_is_told_once(broker, stream):
    broker.unreadable = [(stream.topic, 0, 0, KafkaError._BAD_COMPRESSION)]
    assert told_of_faults(broker, stream, quiet, quiet) == ["fault", "well", "well"]


@pytest.mark.usefixtures("always_looks")
def test_a_fault_that_is_over_without_a_message_is_told_no_longer_than_anything_waits(broker, stream):
    """As after a right to read that was taken and given back: the end was told of before."""
    broker.put(stream.topic, *good(2))

    def refuse():
        broker.unreadable = [(stream.topic, 0, -1001, KafkaError.TOPIC_AUTHORIZATION_FAILED)]

    assert told_of_faults(broker, stream, refuse, quiet, quiet) == ["well", "well", "fault", "well", "well"]


@pytest.mark.usefixtures("always_looks")
def test_a_fault_is_told_while_something_waits_behind_it(broker, stream, monkeypatch):
    broker.put(stream.topic, *good(2))
    of = FakeConsumer._of

    def refuse():
        monkeypatch.setattr(FakeConsumer, "_of", lambda *_: [])
        broker.put(stream.topic, *good(3))
        broker.unreadable = [(stream.topic, 0, -1001, KafkaError.TOPIC_AUTHORIZATION_FAILED)]

    def allow():
        monkeypatch.setattr(FakeConsumer, "_of", of)

    assert told_of_faults(broker, stream, refuse, quiet, allow) == [
        *["well", "well"],  # two messages; none
        *["fault", "fault"],
        *["well", "well"],
    ]
    assert counted(stream) == 5


@pytest.mark.usefixtures("always_looks")
def test_a_fault_is_told_while_kafka_does_not_say_what_waits(broker, stream, monkeypatch):
    broker.put(stream.topic, *good(2))

    def ends(_consumer, _place, timeout=0, cached=False):
        if not cached and told_ends:
            raise fault(KafkaError.LEADER_NOT_AVAILABLE)
        return 0, 2

    told_ends = []
    monkeypatch.setattr(FakeConsumer, "get_watermark_offsets", ends)

    def refuse():
        told_ends.append(1)
        broker.unreadable = [(stream.topic, 0, -1001, KafkaError.TOPIC_AUTHORIZATION_FAILED)]

    assert told_of_faults(broker, stream, refuse, quiet)[-2:] == ["fault"] * 2


def test_a_fault_that_is_told_stands_in_the_row_while_the_stream_goes_on(runner):
    runner._note_well(0)
    runner._note_fault(4, "Partition 1 cannot be read")
    assert (SetAside.objects.get().reason, runner.behind) == ("Partition 1 cannot be read", Behind(4))
    runner._note_well(1)
    assert not SetAside.objects.exists()


def test_brokers_that_are_away_are_no_fault_of_what_lies_there(broker, stream, monkeypatch):
    monkeypatch.setattr(aggregator, "LOOK_EVERY_S", 0.0)
    broker.unreadable = [(stream.topic, 0, -1001, KafkaError._TRANSPORT)]
    faults = []
    one = session(broker, stream)
    one._on_fault = lambda _lag, words: faults.append(words)
    one.run()
    assert faults == []


def test_of_a_topic_that_is_made_anew_with_more_partitions_nothing_is_written_twice(
    broker, stream, monkeypatch
):
    broker.put(stream.topic, *good(1))
    run(broker, stream)
    monkeypatch.setattr(aggregator, "WRITE_EVERY_S", 1_000.0)
    monkeypatch.setattr(aggregator, "LOOK_EVERY_S", 0.0)
    one = Session(Stream.objects.get(pk=stream.pk), threading.Event())
    consume = one._consumer.consume

    def made_anew(*how):
        if len(broker.topics[stream.topic]) == 1:
            broker.add(stream.topic, n_partitions=2)
            broker.put(stream.topic, *good(3))
        return consume(*how)

    one._consumer.consume = made_anew
    with pytest.raises(Overtaken, match="made anew"):
        one.run()
    assert counted(stream) == 1
    with pytest.raises(Overtaken, match="made anew"):
        run(broker, stream)  # forgets the offsets
    run(broker, stream)
    assert counted(stream) == 1 + 3


def test_a_topic_that_is_made_anew_between_two_looks_is_noticed(broker, stream, monkeypatch):
    monkeypatch.setattr(aggregator, "LOOK_EVERY_S", 0.0)
    broker.put(stream.topic, *good(4))
    run(broker, stream)

    def made_anew():
        broker.add(stream.topic)
        broker.put(stream.topic, *good(6))  # the offsets go on where the old ones ended

    broker.on_idle = made_anew
    with pytest.raises(Overtaken, match="made anew"):
        Session(Stream.objects.get(pk=stream.pk), threading.Event()).run()
    with pytest.raises(Overtaken, match="made anew"):
        run(broker, stream)  # forgets the offsets
    run(broker, stream)
    assert counted(stream) == 4 + 6
