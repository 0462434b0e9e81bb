"""What a backup keeps of Kafka: how the console's topics are made, how far the recorder is. No messages.

The aggregator's positions are rows of the console's database, in one transaction with what it counted. The
recorder's is a consumer group: messages before it are rows already, those after it come again.
"""

import contextlib
import time
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from typing import Any

import psycopg2
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewTopic,
    ResourceType,
)

from core.lib import topics
from stack.errors import StackError

RECORDER = "atalaya-recorder"  # predictions.recorder.GROUP; a test compares them
BESIDE = ("dead", "anomalies")  # how the console calls what it makes beside a topic
NAMED = """
SELECT topic FROM streaming_stream UNION SELECT other_dead_topic FROM streaming_stream
UNION SELECT other_topic FROM streaming_rulestate UNION SELECT topic FROM streaming_replay
UNION SELECT params ->> 'topic' FROM jobs_job UNION SELECT params ->> 'sink_topic' FROM jobs_job
"""
TIMEOUT_S = 15
LOOKS_EVERY_S = 0.5
State = dict[str, Any]


def own_topics(url: str, *, records: str) -> set[str]:
    """The topics that the console's rows name: of streams, replays and jobs, there or not; and its records'.

    url: of its database, which may be empty. Raises StackError when it does not answer.
    """
    try:
        with contextlib.closing(psycopg2.connect(url, connect_timeout=5)) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT to_regclass('public.streaming_rulestate') IS NOT NULL")
            if cursor.fetchone() == (False,):  # nobody has set it up
                return {records}
            cursor.execute(NAMED)
            return {records, *(name for (name,) in cursor.fetchall() if name)}
    except psycopg2.Error as error:
        raise StackError(f"The console's database does not tell which topics are its own: {error}") from error


def state(settings: Mapping[str, str], own: Collection[str]) -> State:
    """Topics by name with id, partitions and own settings; the recorder's next offset by topic and partition.

    settings: of librdkafka. own: topics of the console, with what lies beside them; what else is there is
    somebody else's. Raises StackError when Kafka does not tell, also of a topic that the recorder reads: its
    position would mean nothing.
    """
    admin = AdminClient(settings)
    try:
        found, positions = _topics(admin, own), _committed(admin)
    except KafkaException as error:
        raise StackError(f"Kafka does not tell about its topics: {error.args[0]}.") from error
    if unknown := sorted((positions.keys() & {*own}) - found.keys()):
        raise StackError(f"Kafka does not tell which topic {unknown[0]} is, whose place the recorder notes.")
    return {"topics": found, "recorder": positions}


def wait_until_recorded(settings: Mapping[str, str], topic: str, *, patience_s: float) -> int:
    """Wait until all is recorded that is in the topic now. Returns how many messages were not in time."""
    consumer = Consumer({**settings, "group.id": RECORDER, "enable.auto.commit": False})
    try:
        about = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
        places = [TopicPartition(topic, number) for number in about.partitions]
        if not places:
            return 0
        bounds = {
            place.partition: consumer.get_watermark_offsets(place, timeout=TIMEOUT_S) for place in places
        }
        deadline = time.monotonic() + patience_s
        while True:
            committed = consumer.committed(places, timeout=TIMEOUT_S)
            left = sum(_left(bounds[place.partition], place.offset) for place in committed)
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(LOOKS_EVERY_S)
    except KafkaException as error:
        raise StackError(f"Kafka does not tell how far the recorder is: {error.args[0]}.") from error
    finally:
        consumer.close()


def restore(settings: Mapping[str, str], saved: State) -> bool:
    """Make the topics that are missing, and set the recorder back where a topic is still the same one.

    Returns whether all still are. Raises StackError when Kafka refuses.
    """
    admin = AdminClient(settings)
    try:
        _make(admin, saved["topics"])
        ids = {name: about["id"] for name, about in _topics(admin, saved["topics"]).items()}
        places = positions_to_set(saved, ids)
        if places:
            asked = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(RECORDER, places)])
            asked[RECORDER].result(TIMEOUT_S)
        return all(ids.get(name) == about["id"] for name, about in saved["topics"].items())
    except KafkaException as error:
        raise StackError(f"Kafka does not take its topics or positions back: {error.args[0]}.") from error


def positions_to_set(saved: State, ids: Mapping[str, str]) -> list[TopicPartition]:
    """The recorder's positions that still mean something: of topics that are the very same.

    In a topic that was made anew an offset of the old one would skip what comes first: there the recorder,
    which has no position, begins at the start. The aggregator compares the ids itself.
    """
    return [
        TopicPartition(topic, int(partition), offset)
        for topic, offsets in saved["recorder"].items()
        if topic in ids and ids[topic] == saved["topics"].get(topic, {}).get("id")
        for partition, offset in offsets.items()
    ]


def _left(bounds: tuple[int, int], committed: int) -> int:
    low, high = bounds
    return max(0, high - max(low, committed))  # a negative position: nothing was committed


def _topics(admin: AdminClient, own: Collection[str]) -> dict[str, dict[str, Any]]:
    """Those that are there; one about which Kafka does not tell is left out, and said."""
    beside = {topics.side_topic_name(name, end, mark) for name in own for end in BESIDE for mark in ".-"}
    names = sorted(admin.list_topics(timeout=TIMEOUT_S).topics.keys() & ({*own} | beside))
    if not names:
        return {}
    described = admin.describe_topics(TopicCollection(names), request_timeout=TIMEOUT_S)
    resources = {ConfigResource(ResourceType.TOPIC, name): name for name in names}
    configs = admin.describe_configs(list(resources), request_timeout=TIMEOUT_S)
    by_name = {resources[resource]: future for resource, future in configs.items()}
    found = {}
    for name in names:
        try:
            about = described[name].result()
        except KafkaException as error:
            print(f"Kafka does not tell how the topic {name} is made, which is left out: {error.args[0]}.")
            continue
        found[name] = {
            "id": str(about.topic_id),
            "partitions": len(about.partitions),
            "config": _settings_of(name, by_name[name]),
        }
    return found


def _settings_of(name: str, asked: Future[Mapping[str, ConfigEntry]]) -> dict[str, str]:
    """None where Kafka does not tell, which is said: a topic is made anew with those of its broker then."""
    try:
        return _own_settings(asked.result())
    except KafkaException as error:
        print(f"Kafka does not tell the settings of the topic {name}, which are left out: {error.args[0]}.")
        return {}


def _own_settings(config: Mapping[str, ConfigEntry]) -> dict[str, str]:
    """What was set for the topic itself, without what it has from its broker."""
    return {
        entry.name: entry.value
        for entry in config.values()
        if entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value and entry.value is not None
    }


def _committed(admin: AdminClient) -> dict[str, dict[str, int]]:
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(RECORDER)])
    found: dict[str, dict[str, int]] = {}
    for place in asked[RECORDER].result(TIMEOUT_S).topic_partitions:
        if place.error is None and place.offset >= 0:
            found.setdefault(place.topic, {})[str(place.partition)] = place.offset
    return found


def _make(admin: AdminClient, wanted: Mapping[str, Mapping[str, Any]]) -> None:
    new = [NewTopic(name, about["partitions"], -1, config=about["config"]) for name, about in wanted.items()]
    futures: dict[str, Future[None]] = admin.create_topics(new, request_timeout=TIMEOUT_S) if new else {}
    for future in futures.values():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
