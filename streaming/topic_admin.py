"""Changes of Kafka's topics: create, configure, purge, delete. Every call ends within seconds."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, Final

import structlog
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from core.lib import kafka
from streaming.kafka_errors import translated
from streaming.kafka_types import Purged, Setting

log = structlog.get_logger(__name__)

TIMEOUT_S: Final = 10.0
BROKERS_DEFAULT: Final = -1  # as Kafka writes it, of replicas
_SOURCES: Final = {
    ConfigSource.DYNAMIC_TOPIC_CONFIG: "topic",
    ConfigSource.DYNAMIC_BROKER_CONFIG: "broker",
    ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG: "broker",
    ConfigSource.STATIC_BROKER_CONFIG: "broker",
}


class TopicAdmin:
    """Raises NotFound, Conflict, InvalidRequest with Kafka's own words, Unauthorized and Unavailable."""

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin

    def create(
        self, name: str, *, n_partitions: int, replication_factor: int | None, config: Mapping[str, str]
    ) -> None:
        """replication_factor: None for the brokers' default."""
        new = NewTopic(name, n_partitions, replication_factor or BROKERS_DEFAULT, config=dict(config))
        with translated():
            self._admin.create_topics([new], **_limits())[name].result()

    def add_partitions(self, name: str, n_partitions: int, *, is_trial: bool = False) -> None:
        """n_partitions: how many there are then. is_trial: Kafka checks it and changes nothing."""
        new = NewPartitions(name, n_partitions)
        with translated():
            self._admin.create_partitions([new], validate_only=is_trial, **_limits())[name].result()

    def settings(self, name: str) -> list[Setting]:
        """The topic's configuration, its own values first, then by name."""
        resource = ConfigResource(ResourceType.TOPIC, name)
        with translated():
            futures = self._admin.describe_configs([resource], request_timeout=TIMEOUT_S)
            found = [_setting(entry) for entry in futures[resource].result().values()]
        return sorted(found, key=lambda setting: (not setting.is_own, setting.name))

    def change_settings(
        self, name: str, changes: Mapping[str, str | None], *, is_trial: bool = False
    ) -> None:
        """Set these entries, or reset those that are None to their defaults; the others stay."""
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            if value is not None
            else ConfigEntry(key, None, incremental_operation=AlterConfigOpType.DELETE)
            for key, value in changes.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        with translated():
            self._admin.incremental_alter_configs(
                [resource], validate_only=is_trial, request_timeout=TIMEOUT_S
            )[resource].result()

    def delete(self, name: str) -> None:
        """Delete the topic with all its messages."""
        with translated():
            self._admin.delete_topics([name], **_limits())[name].result()

    def purge(self, name: str, before: Mapping[int, int]) -> list[Purged]:
        """Delete the messages before an offset of each partition; a partition's fault is its own.

        Raises what the first said when no partition was purged.
        """
        wanted = [TopicPartition(name, number, offset) for number, offset in sorted(before.items())]
        with translated():
            futures = self._admin.delete_records(wanted, **_limits())
            found = [(place.partition, *_outcome(future)) for place, future in futures.items()]
            failures = [failure for _number, _low, failure in found if failure is not None]
            if failures and len(failures) == len(found):
                raise failures[0]
        return [
            Purged(number, low, failure.args[0].str() if failure is not None else "")
            for number, low, failure in sorted(found, key=lambda one: one[0])
        ]


def _limits() -> dict[str, float]:
    return {"operation_timeout": TIMEOUT_S, "request_timeout": TIMEOUT_S}


def _setting(entry: ConfigEntry) -> Setting:
    try:
        source = ConfigSource(entry.source)
    except ValueError:  # newer than the client
        source = ConfigSource.UNKNOWN_CONFIG
    says = _SOURCES.get(source, "default")
    return Setting(
        entry.name,
        entry.value,
        says,
        entry.value if says != "topic" else _default(entry),
        entry.is_sensitive,
        entry.is_read_only,
    )


def _default(entry: ConfigEntry) -> str | None:
    """What brokers say, which Kafka lists under their own names; of `retention.ms` it lists nothing."""
    return next((one.value for one in entry.synonyms.values() if not _is_topics(one)), None)


def _is_topics(entry: ConfigEntry) -> bool:
    return entry.source in (ConfigSource.DYNAMIC_TOPIC_CONFIG, ConfigSource.DYNAMIC_TOPIC_CONFIG.value)


def _outcome(future: "Future[Any]") -> tuple[int | None, KafkaException | None]:
    try:
        return future.result().low_watermark, None
    except KafkaException as failure:
        return None, failure


def connect() -> TopicAdmin:
    """An admin with the console's settings; it connects with the first call."""
    return TopicAdmin(kafka.admin(**kafka.quiet(log)))
