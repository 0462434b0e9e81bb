"""A topic that is deleted and made anew: its offsets start at 0 again."""

import threading
import time

import pytest
from confluent_kafka import KafkaError, KafkaException
from django.utils import timezone

from core.lib import topics
from core.lib.errors import NotFound, Unauthorized
from core.lib.models import SetAside
from streaming import aggregator, event_topics, gateway, ledger, loops, redriving, tasks
from streaming.aggregator import Session
from streaming.counting import Counting
from streaming.gateway import Read
from streaming.models import Stream
from tests.fakes.kafka import fault
from tests.people import make_user, signed_in
from tests.unit.streaming.events import make_stream, messages, trip

pytestmark = pytest.mark.django_db


def counted(stream: Stream, *values: object) -> None:
    one = Counting(stream)
    one.handle(messages(*values))
    one.save()


@pytest.fixture
def stream() -> Stream:
    stream = make_stream()
    ledger.recognise(stream, "first")
    counted(stream, trip(time.time()), b"bad", trip(time.time()))
    return stream


def test_a_known_topic_goes_on_where_it_was(stream):
    ledger.recognise(stream, "first")
    assert ledger.positions(stream)[0].next_offset == 3
    assert stream.topic_renewed_at is None


def test_an_installation_from_before_ids_keeps_its_offsets():
    stream = make_stream()
    counted(stream, trip(time.time()), b"bad")
    ledger.recognise(stream, "first")
    assert ledger.positions(stream)[0].next_offset == 2
    assert stream.dead_letters.get().topic_id == "first"


def test_another_topic_of_the_same_name_is_counted_from_its_start(stream):
    with pytest.raises(ledger.Overtaken, match="made anew"):
        ledger.recognise(stream, "second")
    again = Stream.objects.get(pk=stream.pk)
    assert ledger.positions(again) == {}
    counted(again, b"bad", b"bad", trip(time.time()))
    assert sum(again.windows.values_list("count", flat=True)) == 3
    assert again.dead_letters.count() == 3  # two of them at offset 1, of two topics


@pytest.fixture
def deleted(broker, stream) -> Stream:
    """Somebody deletes the topic while its stream reads it."""
    broker.add(stream.topic)
    broker.ids[stream.topic] = "first"
    broker.on_idle = lambda: broker.topics.pop(stream.topic, None)
    with pytest.raises(KafkaException):
        Session(stream, threading.Event()).run()
    return stream


def test_a_deleted_topic_is_left_to_whoever_makes_it_anew(broker, deleted, monkeypatch):
    monkeypatch.setattr(aggregator.connection, "close", lambda: None)
    runner = aggregator.Runner(deleted.pk, deleted.name)
    monkeypatch.setattr(runner._stopped, "wait", lambda _seconds: None)
    assert runner._is_there()
    assert deleted.topic not in broker.topics
    assert "was deleted. Make it anew" in SetAside.objects.get(loop=loops.STREAMS.name).reason


def test_a_topic_that_the_console_may_not_see_is_not_called_deleted(broker):
    """Kafka names it not among all topics, and says so to whoever asks for it by name."""
    stream = make_stream(topic_id="first")
    broker.add(stream.topic)
    assert event_topics.ensure(stream) == []
    broker.fail("describe_topics", fault(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(Unauthorized):
        event_topics.ensure(stream)


def test_a_dead_letter_of_a_deleted_topic_is_refused(broker, deleted):
    letter = deleted.dead_letters.get()
    letter.redrive_asked_at = letter.next_attempt_at = timezone.now()
    letter.save()
    tasks.redrive(letter.pk)
    letter.refresh_from_db()
    assert "was deleted" in letter.redrive_error
    assert deleted.topic not in broker.topics


def test_a_deleted_topic_of_the_consoles_own_is_made_again(broker, deleted, monkeypatch):
    monkeypatch.setattr(topics, "_registered", [topics.Topic(deleted.topic)])
    with pytest.raises(ledger.Overtaken):
        Session(deleted, threading.Event()).run()
    assert deleted.topic in broker.topics


def test_the_page_says_so(stream):
    viewer = signed_in(make_user("vic", "viewer"))
    hidden = b'id="stream-renewed" hidden'
    assert hidden in viewer.get(f"/streams/{stream.name}").content
    with pytest.raises(ledger.Overtaken):
        ledger.recognise(stream, "second")
    assert hidden not in viewer.get(f"/streams/{stream.name}").content


class Kafka:
    """Holds one message, whatever one asks for."""

    def __init__(self, headers):
        self._headers = headers

    def message(self, _topic, partition, offset):
        return Read(partition, offset, None, None, b"of another topic", self._headers)


@pytest.mark.parametrize("prefix", ["", "atalaya."])  # earlier releases wrote the bare names
@pytest.mark.parametrize("place", [(None, None), (0, 0)])
def test_a_dead_letter_of_the_old_topic_is_never_another_message(stream, monkeypatch, place, prefix):
    letter = stream.dead_letters.get()
    letter.payload, (letter.dead_partition, letter.dead_offset) = None, place
    letter.stream.topic_id = "second"
    headers = [(f"{prefix}partition", b"0"), (f"{prefix}offset", b"77")]
    monkeypatch.setattr(gateway, "connect", lambda: Kafka(headers))
    with pytest.raises(NotFound, match="the topic was deleted"):
        redriving._outgoing(letter)
