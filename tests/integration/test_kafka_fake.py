"""What the streams rely on in Kafka, checked on the fake and on a real broker alike."""

import os
import uuid
from typing import Any

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    ConsumerGroupTopicPartitions,
    ConsumerGroupType,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import OffsetSpec

from core.lib import kafka, topic_days, topics
from core.lib.errors import InvalidRequest
from streaming import aggregator, exactly_once, ledger, places, producing
from streaming.exactly_once import Outgoing, Sender
from streaming.ledger import KEPT_BYTES, KEPT_HEADER_BYTES, KEPT_HEADERS, KEPT_KEY_BYTES
from streaming.producing import Wish
from tests.api import wait_for
from tests.fakes.kafka import Broker

pytestmark = pytest.mark.django_db  # names of senders have the mark of the installation

HEADERS = [("h", b"1"), ("h", None), ("é", b"\xff")]
SETTINGS = {"enable.partition.eof": True, "auto.offset.reset": "error"}


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.integration)])
def broker(request, monkeypatch) -> None:
    """Clients of streams lead to the fake or the real one."""
    if request.param == "fake":
        Broker().install(monkeypatch)
    else:
        request.getfixturevalue("on_the_stack")


@pytest.fixture
def topic(broker) -> str:
    name = f"fake_{uuid.uuid4().hex}"
    topics.ensure([topics.Topic(name)])
    return name


def read(topic: str, start: int = OFFSET_BEGINNING, **settings: Any) -> tuple[list[Any], list[KafkaError]]:
    """Messages and other errors, until the partition says that it is at its end, or that it cannot go on."""
    consumer = aggregator.Consumer(kafka.consumer_config("test", **{**SETTINGS, **settings}))
    consumer.assign([TopicPartition(topic, 0, start)])
    found, errors = [], []

    def is_over() -> bool:
        for message in consumer.consume(100, 0.5):
            (found if message.error() is None else errors).append(message)
        return bool(errors)

    wait_for("the end of the partition", is_over, timeout_s=30)
    consumer.close()
    return found, [message.error() for message in errors]


def test_what_is_sent_is_read_with_its_place_and_followed_by_a_marker(topic):
    with Sender("one-" + topic, topic) as sender:
        assert sender.next_number() == 0
        places = sender.send([Outgoing(b"a", b"k", HEADERS), Outgoing(None)], next_number=2)
        assert sender.next_number() == 2
    found, errors = read(topic)
    assert [(one.offset(), one.value(), one.key(), one.headers()) for one in found] == [
        (0, b"a", b"k", HEADERS),
        (1, None, None, None),
    ]
    assert places == [(0, 0), (0, 1)]
    assert [error.code() for error in errors] == [KafkaError._PARTITION_EOF]
    again = [one.offset() for one in read(topic, 1)[0]]
    assert again == [1]


def test_a_second_sender_of_a_name_fences_the_first_and_ends_what_it_began(topic):
    first = Sender("two-" + topic, topic)
    first._producer.begin_transaction()
    first._produce(Outgoing(b"half"), lambda *_: None)
    first._producer.flush(10)
    with Sender("two-" + topic, topic) as second:
        with pytest.raises(KafkaException):
            first.send([Outgoing(b"late")], next_number=1)
        assert second.next_number() == 0
        second.send([Outgoing(b"whole")], next_number=1)
    first.close()
    assert [one.value() for one in read(topic)[0]] == [b"whole"]


def test_the_number_goes_when_it_is_forgotten(topic):
    with Sender("three-" + topic, topic) as sender:
        sender.send([Outgoing(b"a")], next_number=7)

    def is_forgotten() -> bool:
        exactly_once.forget("three-" + topic)
        with Sender("three-" + topic, topic) as sender:
            return sender.next_number() == 0

    wait_for("the group to go", is_forgotten, timeout_s=30)


def test_more_than_a_producer_takes_is_refused_at_once_and_nothing_is_sent(topic):
    with Sender("four-" + topic, topic) as sender, pytest.raises(KafkaException) as raised:
        sender.send([Outgoing(b"small"), Outgoing(b"x" * 3_000_000)], next_number=2)
    assert exactly_once.is_never_taken(raised.value)
    with Sender("four-" + topic, topic) as sender:
        assert sender.next_number() == 0
    assert read(topic)[0] == []


def test_more_than_a_topic_takes_names_the_cause_and_nothing_is_sent(broker):
    name = f"small_{uuid.uuid4().hex}"
    topics.ensure([topics.Topic(name, max_bytes=2_000)])
    with Sender("five-" + name, name) as sender, pytest.raises(KafkaException) as raised:
        sender.send([Outgoing(b"small"), Outgoing(os.urandom(5_000))], next_number=2)
    assert exactly_once.is_never_taken(raised.value), raised.value
    with Sender("five-" + name, name) as sender:
        assert sender.next_number() == 0
        sender.send([Outgoing(b"small")], next_number=1)
    assert [one.value() for one in read(name)[0]] == [b"small"]


def test_names_that_differ_by_a_dot_collide(topic):
    with pytest.raises(InvalidRequest):
        topics.ensure([topics.Topic(topic.replace("_", "."))])


@pytest.mark.parametrize("name", [".", "..", "a/b", "x" * 250])
def test_what_is_no_topic_is_not_made(broker, name):
    with pytest.raises(InvalidRequest):
        topics.ensure([topics.Topic(name)])


def test_an_offset_beyond_the_end_is_an_error_and_not_a_jump(topic):
    _found, errors = read(topic, 50)
    assert [error.code() for error in errors] == [KafkaError._AUTO_OFFSET_RESET]


def test_metadata_of_a_topic_that_is_not_there_says_so(broker):
    name = f"none_{uuid.uuid4().hex}"
    consumer = aggregator.Consumer(kafka.consumer_config("test"))
    about = consumer.list_topics(name, timeout=10).topics[name]
    assert about.error is not None
    consumer.close()


def test_a_group_says_of_which_protocol_it_is(topic):
    """By which a state that the client has no word for is told from a coordinator that is away."""
    group = "nine-" + topic
    admin = kafka.admin()
    place = TopicPartition(topic, 0, 0)
    asked = [ConsumerGroupTopicPartitions(group, [place])]
    admin.alter_consumer_group_offsets(asked, request_timeout=10)[group].result(30)
    about = admin.describe_consumer_groups([group], request_timeout=10)[group].result(30)
    assert (about.state.name, about.type) == ("EMPTY", ConsumerGroupType.CLASSIC)


def test_the_client_asks_for_no_group_without_a_name(broker):
    with pytest.raises(ValueError, match="group_id"):
        kafka.admin().list_consumer_group_offsets([ConsumerGroupTopicPartitions("")], request_timeout=10)


def test_the_client_describes_no_group_twice(broker):
    described = kafka.admin().describe_consumer_groups(["one", "two", "one"], request_timeout=10)
    for future in described.values():
        with pytest.raises(KafkaException) as raised:
            future.result(30)
        assert raised.value.args[0].code() == KafkaError._INVALID_ARG


def test_what_is_unassigned_is_read_no_further_and_the_rest_is(broker):
    """Even though its messages were fetched."""
    name = f"two_{uuid.uuid4().hex}"
    topics.ensure([topics.Topic(name, n_partitions=2)])
    producing.send(name, [Wish(Outgoing(b"%d" % partition), partition) for partition in (0, 1)])
    consumer = aggregator.Consumer(kafka.consumer_config("test", **SETTINGS))
    consumer.assign([TopicPartition(name, partition, OFFSET_BEGINNING) for partition in (0, 1)])
    consumer.incremental_unassign([TopicPartition(name, 0)])
    found = []

    def is_over() -> bool:
        found.extend(consumer.consume(100, 0.5))
        return any(message.error() is not None for message in found)

    wait_for("the end of the other partition", is_over, timeout_s=30)
    consumer.close()
    assert [(one.partition(), one.value()) for one in found if one.error() is None] == [(1, b"1")]


def test_an_open_transaction_ends_what_may_be_read(topic):
    """Two ends are told: where the next message goes, and before which all transactions have ended."""
    asked = [TopicPartition(topic, 0)]
    admin = kafka.admin()
    with Sender("eight-" + topic, topic) as sender:
        sender.send([Outgoing(b"whole")], next_number=1)
        sender._producer.begin_transaction()
        sender._produce(Outgoing(b"half"), lambda *_: None)
        sender._producer.flush(10)
        assert places.offsets(admin, asked, OffsetSpec.latest(), 10) == {(topic, 0): 3}
        assert places.offsets(admin, asked, OffsetSpec.latest(), 10, is_committed=True) == {(topic, 0): 2}
        assert [one.value() for one in read(topic)[0]] == [b"whole"]
        sender._producer.commit_transaction(10)
    wait_for(
        "the end of the transaction",
        lambda: places.offsets(admin, asked, OffsetSpec.latest(), 10, is_committed=True) == {(topic, 0): 4},
        timeout_s=30,
    )


def test_ids_tell_topics_of_one_name_apart(topic):
    assert topics.id_of(topic) == topics.id_of(topic)
    assert topics.id_of(topic)


def test_a_topic_takes_other_days_and_keeps_the_rest_of_its_settings(broker, settings, monkeypatch, db):
    name, missing = f"days_{uuid.uuid4().hex}", f"none_{uuid.uuid4().hex}"
    monkeypatch.setattr(topics, "own", lambda: [topics.Topic(name, max_bytes=2_000), topics.Topic(missing)])
    topics.ensure([topics.Topic(name, max_bytes=2_000)])
    assert topic_days.odd() == []
    settings.CONSOLE_EVENT_TOPICS_KEEP_DAYS = 2
    assert [(one.topic.name, one.actual_ms) for one in topic_days.odd()] == [(name, 604_800_000)]
    assert [(one.topic.name, one.before_ms, one.error) for one in topic_days.apply()] == [
        (name, 604_800_000, "")
    ]
    wait_for("other days", lambda: topic_days.odd() == [], timeout_s=30)
    settings.CONSOLE_EVENT_TOPICS_KEEP_DAYS = 0
    assert [one.before_ms for one in topic_days.apply()] == [172_800_000]
    wait_for("no end", lambda: topic_days.odd() == [], timeout_s=30)
    assert topic_days.apply() == []
    with Sender("seven-" + name, name) as sender, pytest.raises(KafkaException):
        sender.send([Outgoing(os.urandom(5_000))], next_number=1)


@pytest.mark.integration
def test_the_largest_cut_letter_fits_a_topic_of_a_broker_as_it_comes(on_the_stack):
    """KEPT_BYTES of bytes that no compression makes smaller, the longest key and headers."""
    name = f"default_{uuid.uuid4().hex}"
    topics.ensure([topics.Topic(name, max_bytes=1_048_588)])
    about = {"reason": "é" * 400, "stream": "s" * 63, "topic": "t" * 249}
    about |= dict.fromkeys(("partition", "offset", "cut_from_bytes", "headers_left_out"), "9" * 19)
    theirs = ledger.kept_headers([("h", os.urandom(KEPT_HEADER_BYTES // KEPT_HEADERS - 1))] * 99)
    assert len(theirs.kept) == KEPT_HEADERS
    headers = [*theirs.kept, *ledger.ours(about)]
    with Sender("six-" + name, name) as sender:
        sender.send([Outgoing(os.urandom(KEPT_BYTES), os.urandom(KEPT_KEY_BYTES), headers)], next_number=1)
    assert len(read(name)[0]) == 1
