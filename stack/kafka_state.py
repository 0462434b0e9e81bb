"""What a backup keeps of Kafka: how its topics are made, and how far the recorder has come. No messages.

The aggregator's positions are rows of the console's database, in one transaction with what it counted. The
recorder's is a consumer group: messages before it are rows already, those after it come again.
"""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, ConfigSource, NewTopic, ResourceType

from stack.errors import StackError

RECORDER = "atalaya-recorder"  # predictions.recorder.GROUP; a test compares them
TIMEOUT_S = 15
LOOKS_EVERY_S = 0.5
State = dict[str, Any]


def state(settings: Mapping[str, str]) -> State:
    """Topics by name with id, partitions and own settings; the recorder's next offset by topic and partition.

    settings: of librdkafka. Raises StackError when Kafka does not tell.
    """
    admin = AdminClient(settings)
    try:
        return {"topics": _topics(admin), "recorder": _committed(admin)}
    except KafkaException as error:
        raise StackError(f"Kafka does not tell about its topics: {error.args[0]}.") from error


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
        ids = {name: about["id"] for name, about in _topics(admin).items()}
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


def _topics(admin: AdminClient) -> dict[str, dict[str, Any]]:
    names = sorted(admin.list_topics(timeout=TIMEOUT_S).topics)
    if not names:
        return {}
    described = admin.describe_topics(TopicCollection(names), request_timeout=TIMEOUT_S)
    abouts = [described[name].result() for name in names]
    own = [about for about in abouts if not about.is_internal]
    configs = _configs(admin, [about.name for about in own])
    return {
        about.name: {
            "id": str(about.topic_id),
            "partitions": len(about.partitions),
            "config": configs[about.name],
        }
        for about in own
    }


def _configs(admin: AdminClient, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """What was set for each topic itself, without what it has from its broker."""
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    if not resources:
        return {}
    futures = admin.describe_configs(resources, request_timeout=TIMEOUT_S)
    return {
        resource.name: {
            entry.name: entry.value
            for entry in future.result().values()
            if entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value and entry.value is not None
        }
        for resource, future in futures.items()
    }


def _committed(admin: AdminClient) -> dict[str, dict[str, int]]:
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(RECORDER)])
    found: dict[str, dict[str, int]] = {}
    for place in asked[RECORDER].result(TIMEOUT_S).topic_partitions:
        if place.error is None and place.offset >= 0:
            found.setdefault(place.topic, {})[str(place.partition)] = place.offset
    return found


def _make(admin: AdminClient, topics: Mapping[str, Mapping[str, Any]]) -> None:
    new = [NewTopic(name, about["partitions"], -1, config=about["config"]) for name, about in topics.items()]
    futures: dict[str, Future[None]] = admin.create_topics(new, request_timeout=TIMEOUT_S) if new else {}
    for future in futures.values():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
