"""Killed at every step, of Kafka and of the database, and started again: nothing is lost or there twice."""

import threading
import time

import pytest
from confluent_kafka import KafkaError
from django.utils import timezone

from core.lib import outbox
from streaming import exactly_once, replay_files, replaying, tasks
from streaming.aggregator import Session
from streaming.exactly_once import Outgoing, Sender
from streaming.models import DeadLetter, Replay, ReplayState, Stream
from tests.fakes.kafka import fault
from tests.unit.streaming.conftest import deaths
from tests.unit.streaming.events import encoded, make_stream

pytestmark = pytest.mark.django_db

RIDE = "{n},2013-01-01 00:00:0{n},START,-73.86,40.77,6,-1"


def run_to_the_end(broker, stream):
    """A session as the aggregator's thread runs it, until nothing is left to read."""
    stopped = threading.Event()
    broker.on_idle = stopped.set
    Session(Stream.objects.get(pk=stream.pk), stopped).run()


def counted(stream):
    return sum(stream.windows.values_list("count", flat=True))


@pytest.mark.django_db(transaction=True)  # what dies within a transaction has to leave it
@pytest.mark.usefixtures("small_steps")
def test_the_aggregator(broker):
    now = time.time()
    for number, die_at in enumerate(deaths(broker)):
        stream = make_stream(f"trips{number}")
        broker.add(stream.topic)
        broker.put(stream.topic, *[encoded(now)] * 4, b"bad", *[encoded(now)] * 2, b"worse", b"x" * 1_100_000)
        die_at(lambda stream=stream: run_to_the_end(broker, stream))
        died_at = broker.steps[-1]
        run_to_the_end(broker, stream)
        assert counted(stream) == 6, died_at
        assert sorted(stream.dead_letters.values_list("offset", flat=True)) == [4, 7, 8], died_at
        sent = [dict(one.headers)["atalaya.offset"] for one in broker.read(stream.dead_topic)]
        assert sorted(sent) == [b"4", b"7", b"8"], died_at
        assert not stream.dead_letters.filter(is_sent=False).exists(), died_at
        assert stream.offsets.get().next_offset == 9, died_at


def expire_leases():
    for model in (DeadLetter, Replay):
        model.objects.filter(next_attempt_at__isnull=False).update(next_attempt_at=timezone.now())


def make_letter(broker, number=0, **values):
    stream = make_stream(f"trips{number}")
    broker.add(stream.topic)
    wish = {"redrive_asked_at": timezone.now(), "next_attempt_at": timezone.now(), **values}
    place = {"topic": stream.topic, "partition": 0, "offset": 0, "size_bytes": 3, "at": timezone.now()}
    return DeadLetter.objects.create(stream=stream, payload=b"bad", key=b"k", reason="r", **place, **wish)


def test_sending_a_dead_letter_again(broker):
    for number, die_at in enumerate(deaths(broker)):
        letter = make_letter(broker, number)
        die_at(lambda letter=letter: tasks.redrive(letter.pk))
        died_at = broker.steps[-1]
        for _ in range(2):
            expire_leases()
            tasks.redrive(letter.pk)
        [sent] = broker.read(letter.topic)
        assert (sent.value, sent.key, sent.headers) == (b"bad", b"k", [("atalaya.redriven", b"0:0")]), died_at
        letter.refresh_from_db()
        assert letter.redriven_at is not None, died_at
        assert letter.next_attempt_at is None, died_at


@pytest.mark.parametrize(("n_partitions", "topic_id", "found"), [(4, "t", 3), (2, "t", 0), (4, "new", 0)])
def test_a_dead_letter_goes_to_the_partition_where_it_lay(broker, n_partitions, topic_id, found):
    letter = make_letter(broker)
    broker.add(letter.topic, n_partitions=n_partitions)
    DeadLetter.objects.update(partition=3, topic_id="t")
    Stream.objects.update(topic_id=topic_id)
    tasks.redrive(letter.pk)
    assert [len(log.records) > 0 for log in broker.topics[letter.topic]].index(True) == found


def test_a_key_lies_where_javas_clients_look_for_it(broker, monkeypatch):
    configs, made = [], exactly_once.Producer
    monkeypatch.setattr(exactly_once, "Producer", lambda config: configs.append(config) or made(config))
    broker.add("t")
    Sender("s", "t").close()
    assert configs[0]["partitioner"] == "murmur2_random"


@pytest.fixture
def rides(tmp_path, settings, monkeypatch):
    settings.CONSOLE_DATA_DIR = tmp_path
    (tmp_path / "rides.txt").write_text("\n".join(RIDE.format(n=n) for n in range(5)))
    monkeypatch.setattr(replaying.time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(replaying, "BATCH", 2)
    monkeypatch.setattr(tasks.send_replay, "delay", lambda _pk: None)


def make_replay(number=0):
    return Replay.objects.create(source="rides.txt", topic=f"rides{number}", rate=100_000)


def lines_sent(broker, replay):
    return [int(dict(one.headers)["line"]) for one in broker.read(replay.topic)]


@pytest.mark.usefixtures("rides")
def test_a_replay(broker):
    for number, die_at in enumerate(deaths(broker)):
        replay = make_replay(number)
        die_at(lambda replay=replay: tasks.send_replay(str(replay.pk)))
        died_at = broker.steps[-1]
        for _ in range(2):
            expire_leases()
            tasks.send_replay(str(replay.pk))
        replay.refresh_from_db()
        assert lines_sent(broker, replay) == [0, 1, 2, 3, 4], died_at
        assert (replay.state, replay.n_sent, replay.next_attempt_at) == (ReplayState.DONE, 5, None), died_at
        assert not broker.numbers or died_at, "the group is gone when all went well"


@pytest.mark.usefixtures("rides")
def test_a_replay_whose_number_kafka_forgot_goes_on_where_its_row_is(broker):
    """Kafka forgets a group that nobody used for a week: a worker may have been away that long."""
    replay = make_replay()
    broker.add(replay.topic)
    Replay.objects.update(n_sent=3, n_total=5, shift_s=0.0, state=ReplayState.RUNNING)
    tasks.send_replay(str(replay.pk))
    assert lines_sent(broker, replay) == [3, 4]


@pytest.mark.usefixtures("rides")
def test_a_replay_makes_no_topic_anew_that_somebody_deleted(broker):
    replay = make_replay()
    Replay.objects.update(n_sent=3, n_total=5, shift_s=0.0, state=ReplayState.RUNNING)
    tasks.send_replay(str(replay.pk))
    replay.refresh_from_db()
    assert (replay.state, replay.topic in broker.topics) == (ReplayState.FAILED, False)
    assert "was deleted" in replay.error


@pytest.mark.usefixtures("rides")
def test_a_replay_that_fails_amid_its_file_says_how_much_was_sent(broker, monkeypatch):
    send, n_sent = Sender.send, []

    def send_once(sender, batch, *, next_number):
        if n_sent:
            raise replay_files.FileRefused("the file ends in the middle of a row")
        n_sent.append(next_number)
        send(sender, batch, next_number=next_number)

    monkeypatch.setattr(Sender, "send", send_once)
    replay = make_replay()
    tasks.send_replay(str(replay.pk))
    replay.refresh_from_db()
    assert [replay.n_sent] == n_sent == [len(lines_sent(broker, replay))]
    assert replay.state == ReplayState.FAILED


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("rides", "broker")
def test_a_file_that_takes_longer_to_read_than_a_lease_stays_with_its_worker(monkeypatch):
    monkeypatch.setattr(Replay, "lease_s", 0.3)
    replay, taken = make_replay(), []

    def count(_path):
        threading.Event().wait(0.6)
        taken.append(outbox.claim(Replay, replay.pk))
        return 5

    monkeypatch.setattr(replay_files, "_count_lines", count)
    tasks.send_replay(str(replay.pk))
    assert taken == [None]


@pytest.mark.usefixtures("rides")
def test_a_worker_that_slept_beyond_its_lease_wakes_no_replay_that_has_ended(broker):
    replay = make_replay()
    Replay.objects.update(state=ReplayState.RUNNING)
    late = replaying.Slice(Replay.objects.get(), tasks.paths.inside_allowed("rides.txt"))
    tasks.send_replay(str(replay.pk))
    late._note()
    assert late.run() is False
    replay.refresh_from_db()
    assert lines_sent(broker, replay) == [0, 1, 2, 3, 4]
    assert (replay.n_sent, replay.next_attempt_at) == (5, None)


def test_two_tasks_send_one_letter_once(broker, monkeypatch):
    """The second takes over when the lease of the first, which hangs before it sends, has ended."""
    letter = make_letter(broker)
    begin = Sender.next_number
    monkeypatch.setattr(Sender, "next_number", lambda sender: meanwhile(sender))

    def meanwhile(sender):
        monkeypatch.setattr(Sender, "next_number", begin)
        expire_leases()
        tasks.redrive(letter.pk)
        return begin(sender)

    tasks.redrive(letter.pk)
    assert len(broker.read(letter.topic)) == 1
    letter.refresh_from_db()
    assert letter.next_attempt_at is None


def test_a_letter_whose_bytes_kafka_no_longer_holds_is_refused_and_starves_nobody(broker):
    gone = make_letter(broker, dead_partition=0, dead_offset=7, is_sent=True)
    DeadLetter.objects.filter(pk=gone.pk).update(payload=None)
    broker.add(gone.stream.dead_topic)
    tasks.redrive(gone.pk)
    gone.refresh_from_db()
    assert gone.next_attempt_at is None
    assert gone.redrive_error.startswith("Kafka no longer holds the message")
    assert not DeadLetter.due().exists()


def test_a_letter_waits_while_kafka_is_slow(broker, monkeypatch):
    letter = make_letter(broker, is_sent=True, dead_partition=0, dead_offset=0)
    DeadLetter.objects.filter(pk=letter.pk).update(payload=None)
    broker.add(letter.stream.dead_topic)
    broker.put(letter.stream.dead_topic, b"bad")
    monkeypatch.setattr("streaming.messages.READ_FOR_S", 0.0)
    tasks.redrive(letter.pk)
    letter.refresh_from_db()
    assert letter.next_attempt_at > timezone.now()
    assert letter.redrive_error == ""


def test_a_letter_waits_while_kafka_is_away(broker):
    letter = make_letter(broker)
    broker.fail("init_transactions", fault(KafkaError._TIMED_OUT))
    tasks.redrive(letter.pk)
    letter.refresh_from_db()
    assert letter.next_attempt_at > timezone.now()
    assert letter.redrive_error == ""
    expire_leases()
    tasks.redrive(letter.pk)
    assert len(broker.read(letter.topic)) == 1


def test_a_letter_that_waits_says_for_what_and_not_for_ever(broker):
    letter = make_letter(broker)
    broker.fail("init_transactions", *[fault(KafkaError._TIMED_OUT, "too slow")] * 2)
    tasks.redrive(letter.pk)
    letter.refresh_from_db()
    assert (letter.redrive_waits_for, letter.redrive_error) == ("too slow", "")
    DeadLetter.objects.update(next_attempt_at=timezone.now(), delivery_attempts=tasks.MOST_ATTEMPTS - 1)
    tasks.redrive(letter.pk)
    letter.refresh_from_db()
    assert (letter.redrive_waits_for, letter.redrive_error) == ("", "too slow")


def test_a_letter_that_may_not_be_sent_is_refused_at_once(broker):
    letter = make_letter(broker)
    broker.fail("commit", fault(KafkaError.TOPIC_AUTHORIZATION_FAILED, "not you"))
    tasks.redrive(letter.pk)
    letter.refresh_from_db()
    assert letter.redrive_error == "not you"


def test_a_letter_that_its_topic_takes_no_more_is_refused(broker):
    letter = make_letter(broker)
    broker.max_bytes[letter.topic] = 10
    tasks.redrive(letter.pk)
    letter.refresh_from_db()
    assert "too large" in letter.redrive_error.lower()


def test_a_full_queue_is_emptied_and_then_given_up(broker):
    broker.add("t")
    with Sender("s", "t") as sender:
        broker.fail("produce", BufferError())
        assert sender.send([Outgoing(b"1")], next_number=1) == [(0, 0)]
        broker.fail("produce", BufferError(), BufferError())
        with pytest.raises(exactly_once.KafkaException) as raised:
            sender.send([Outgoing(b"2")], next_number=2)
    assert raised.value.args[0].code() == KafkaError._QUEUE_FULL
    assert [one.value for one in broker.read("t")] == [b"1"]


def test_a_sender_that_another_has_fenced_sends_nothing(broker):
    broker.add("t")
    first = Sender("s", "t")
    Sender("s", "t")
    with pytest.raises(exactly_once.KafkaException) as raised:
        first.send([Outgoing(b"1")], next_number=1)
    assert raised.value.args[0].fatal()
    assert broker.read("t") == []
