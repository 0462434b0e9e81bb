"""Kafka in memory, behind the classes of confluent-kafka that streams use; fails as librdkafka does.

`Broker.step` is called before and after whatever changes it. Tests count these steps to kill a process at
each one, and put faults in their way.
"""

import re
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    OFFSET_INVALID,
    ConsumerGroupType,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigSource, OffsetSpec

DEFAULT_MAX_BYTES = 1_048_588  # of a broker that was left as it comes
OVERHEAD_BYTES = 70
DEFAULT_CONFIG = {
    "retention.ms": "604800000",
    "cleanup.policy": "delete",
    "max.message.bytes": str(DEFAULT_MAX_BYTES),
    "min.insync.replicas": "1",
}
NUMBERS = {"retention.ms": "LONG", "max.message.bytes": "INT", "min.insync.replicas": "INT"}
BROKER = SimpleNamespace(id=1)
ENDS = {OffsetSpec.earliest()._value: "low", OffsetSpec.latest()._value: "high"}


class Killed(BaseException):
    """The process dies here: nothing in it may catch this."""


@dataclass
class Record:
    """state: committed, open (its transaction runs), aborted, or marker."""

    value: bytes | None = None
    key: bytes | None = None
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)
    state: str = "committed"
    sender: str = ""
    at_ms: int = -1


@dataclass
class Log:
    """A partition: `records` from offset `low` on. is_led: by a broker that answers, unless is_late."""

    low: int = 0
    records: list[Record] = field(default_factory=list)
    is_led: bool = True
    is_late: bool = False

    @property
    def high(self) -> int:
        return self.low + len(self.records)

    @property
    def stable(self) -> int:
        """Before which every transaction has ended."""
        return next((self.low + n for n, one in enumerate(self.records) if one.state == "open"), self.high)


class Broker:
    """Topics, numbers of groups, transactions. The fakes below are made by `install`."""

    def __init__(self) -> None:
        self.topics: dict[str, list[Log]] = {}
        self.ids: dict[str, str] = {}
        self.max_bytes: dict[str, int] = {}
        self.configs: dict[str, dict[str, str]] = {}
        self.numbers: dict[tuple[str, str, int], int] = {}
        self.members: dict[str, list[Any]] = {}  # of groups, by name
        self.unlisted: list[KafkaError] = []  # why some broker does not list its groups
        self.untold: dict[str, KafkaError] = {}  # why nothing is told of a group that is listed
        self.sharing_out: set[str] = set()  # groups of KIP-848 in a state that the client has no word for
        self.listed_twice: set[str] = set()  # groups that two brokers list, as while one takes them over
        self.epochs: dict[str, int] = defaultdict(int)
        self.n_steps = 0
        self.steps: list[str] = []
        self.kill_at: int | None = None
        self.faults: dict[str, list[Exception]] = defaultdict(list)
        self.on_idle: Callable[[], None] = lambda: None
        self.may_create = True
        self.unreadable: list[tuple[str, int, int, int]] = []  # topic, partition, offset, code: told once

    def step(self, name: str) -> None:
        """Something happens: the process may die here, or meet a fault."""
        self.n_steps += 1
        self.steps.append(name)
        if self.n_steps == self.kill_at:
            raise Killed(name)
        if self.faults[name]:
            raise self.faults[name].pop(0)

    def fail(self, name: str, *errors: Exception) -> None:
        """Let the next steps of this name meet these."""
        self.faults[name].extend(errors)

    def add(self, topic: str, *, n_partitions: int = 1, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.topics[topic] = [Log() for _ in range(n_partitions)]
        self.ids[topic], self.max_bytes[topic] = uuid.uuid4().hex, max_bytes
        self.configs[topic] = dict(DEFAULT_CONFIG)

    def put(
        self, topic: str, *values: bytes | None, partition: int = 0, headers: Any = (), at_ms: int = -1
    ) -> None:
        """Messages of somebody else."""
        self.topics[topic][partition].records += [
            Record(value, b"k", list(headers), at_ms=at_ms) for value in values
        ]

    def join(self, group: str, *places: tuple[str, int], client_id: str = "reader") -> None:
        """Somebody reads these partitions in the group."""
        assigned = [TopicPartition(*place) for place in places]
        about = {"member_id": f"{client_id}-1", "client_id": client_id, "host": "/127.0.0.1"}
        assignment = SimpleNamespace(topic_partitions=assigned)
        member = SimpleNamespace(**about, group_instance_id=None, assignment=assignment)
        self.members.setdefault(group, []).append(member)

    def read(self, topic: str) -> list[Record]:
        """What a reader of committed messages finds."""
        return [one for log in self.topics.get(topic, []) for one in log.records if one.state == "committed"]

    def end(self, sender: str, state: str) -> None:
        """End what a sender has open, with a marker in each partition."""
        for log in [log for logs in self.topics.values() for log in logs]:
            mine = [one for one in log.records if one.state == "open" and one.sender == sender]
            for one in mine:
                one.state = state
            if mine:
                log.records.append(Record(state="marker"))

    def install(self, monkeypatch: Any) -> None:
        """Every client that streams make is of this broker."""
        for module in (
            "streaming.aggregator",
            "streaming.rules",
            "streaming.messages",
            "streaming.exactly_once",
        ):
            monkeypatch.setattr(f"{module}.Consumer", lambda config: FakeConsumer(self, config))
        monkeypatch.setattr("streaming.exactly_once.Producer", lambda config: FakeProducer(self, config))
        monkeypatch.setattr("streaming.producing.Producer", lambda config: PlainProducer(self, config))
        monkeypatch.setattr("core.lib.kafka.admin", lambda **_settings: FakeAdmin(self))


def fault(code: int, words: str | None = None, **about: Any) -> KafkaException:
    """What librdkafka raises, with the broker's words where it has any."""
    return KafkaException(KafkaError(code, words, **about))


class FakeMessage:
    def __init__(
        self, topic: str, partition: int, offset: int, record: Record | None, error: KafkaError | None = None
    ) -> None:
        self._topic, self._partition, self._offset = topic, partition, offset
        self._record, self._error = record or Record(), error

    def error(self) -> KafkaError | None:
        return self._error

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int | None:
        return self._partition if self._partition >= 0 else None

    def offset(self) -> int | None:
        return self._offset if self._offset >= 0 else None

    def value(self) -> bytes | None:
        return self._record.value

    def key(self) -> bytes | None:
        return self._record.key

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return list(self._record.headers) or None

    def timestamp(self) -> tuple[int, int]:
        return int(self._record.at_ms >= 0), self._record.at_ms


class FakeConsumer:
    """Reads by `assign`; partitions are served in turn, and each says once that it is at its end."""

    def __init__(self, broker: Broker, config: dict[str, Any]) -> None:
        self._broker, self._config = broker, config
        self._places: dict[tuple[str, int], int] = {}
        self._at_end: set[tuple[str, int, int]] = set()

    def assign(self, places: Iterable[TopicPartition]) -> None:
        self._broker.step("assign")
        self._places.clear()
        for place in places:
            logs = self._broker.topics.get(place.topic, [])
            low, high = (
                (logs[place.partition].low, logs[place.partition].high)
                if place.partition < len(logs)
                else (0, 0)
            )
            offset = {OFFSET_BEGINNING: low, OFFSET_END: high}.get(place.offset, place.offset)
            self._places[place.topic, place.partition] = offset
        self._at_end.clear()

    def incremental_unassign(self, places: Iterable[TopicPartition]) -> None:
        self._broker.step("unassign")
        for place in places:
            del self._places[place.topic, place.partition]

    def consume(self, n: int, _timeout_s: float) -> list[FakeMessage]:
        self._broker.step("consume")
        found = [
            FakeMessage(topic, partition, offset, None, KafkaError(code))
            for topic, partition, offset, code in self._broker.unreadable
        ]
        self._broker.unreadable = []
        for topic, partition in list(self._places):
            found += self._of(topic, partition, n - len(found))
        if not any(message.error() is None for message in found):
            self._broker.on_idle()
        return found

    def _of(self, topic: str, partition: int, n: int) -> list[FakeMessage]:
        place = self._places[topic, partition]
        logs = self._broker.topics.get(topic, [])
        if partition >= len(logs):
            code = KafkaError._UNKNOWN_PARTITION if logs else KafkaError.UNKNOWN_TOPIC_OR_PART
            return [FakeMessage(topic, partition, place, None, KafkaError(code))]
        log = logs[partition]
        if not log.low <= place <= log.high:
            if self._config.get("auto.offset.reset") == "error":
                error = KafkaError(KafkaError._AUTO_OFFSET_RESET)
                return [FakeMessage(topic, partition, place, None, error)]
            place = log.low
        found = []
        while place < log.stable and len(found) < n:
            record = log.records[place - log.low]
            if record.state == "committed":
                found.append(FakeMessage(topic, partition, place, record))
            place += 1
        self._places[topic, partition] = place
        if place == log.stable and (topic, partition, place) not in self._at_end:
            self._at_end.add((topic, partition, place))
            if self._config.get("enable.partition.eof"):
                error = KafkaError(KafkaError._PARTITION_EOF)
                found.append(FakeMessage(topic, partition, place, None, error))
        return found

    def list_topics(self, topic: str, timeout: float) -> Any:
        self._broker.step("list_topics")
        return _metadata(self._broker, [topic])

    def get_watermark_offsets(
        self, place: TopicPartition, timeout: float = 0, cached: bool = False
    ) -> tuple[int, int]:
        logs = self._broker.topics.get(place.topic, [])
        if place.partition < len(logs):
            return logs[place.partition].low, logs[place.partition].high
        if cached:
            return OFFSET_INVALID, OFFSET_INVALID
        raise fault(KafkaError._UNKNOWN_PARTITION)

    def committed(self, places: list[TopicPartition], _timeout_s: float) -> list[TopicPartition]:
        self._broker.step("committed")
        group = self._config["group.id"]
        return [
            TopicPartition(
                place.topic,
                place.partition,
                self._broker.numbers.get((group, place.topic, place.partition), OFFSET_INVALID),
            )
            for place in places
        ]

    def consumer_group_metadata(self) -> str:
        return str(self._config["group.id"])

    def close(self) -> None:
        """Nothing is committed by it."""


class FakeProducer:
    """Sends in transactions only, as streams do. A fault in one spoils it: it has to be ended."""

    def __init__(self, broker: Broker, config: dict[str, Any]) -> None:
        self._broker, self._config = broker, config
        self._name = config["transactional.id"]
        self._epoch = -1
        self._waiting: list[tuple[str, int, Record, Any]] = []
        self._numbers: dict[tuple[str, str, int], int] = {}
        self._spoilt: KafkaError | None = None

    def init_transactions(self, _timeout_s: float) -> None:
        self._broker.step("init_transactions")
        self._broker.epochs[self._name] += 1
        self._epoch = self._broker.epochs[self._name]
        self._broker.end(self._name, "aborted")

    def begin_transaction(self) -> None:
        self._check()
        self._broker.step("begin_transaction")
        self._waiting, self._numbers, self._spoilt = [], {}, None

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int = 0,
        *,
        headers: list[tuple[str, bytes | None]],
        on_delivery: Any,
        timestamp: int,
    ) -> None:
        self._broker.step("produce")
        record = Record(value, key, list(headers), "open", self._name)
        if _size(record) > self._config.get("message.max.bytes", 1_000_000):
            raise fault(KafkaError.MSG_SIZE_TOO_LARGE)
        self._waiting.append((topic, partition, record, on_delivery))

    def poll(self, _timeout_s: float) -> int:
        return self.flush(_timeout_s)

    def flush(self, _timeout_s: float) -> int:
        for one in self._waiting:
            self._deliver(*one)
        self._waiting = []
        return 0

    def _deliver(self, topic: str, partition: int, record: Record, on_delivery: Any) -> None:
        error: KafkaError | None = None
        if topic not in self._broker.topics:
            error = KafkaError(KafkaError._UNKNOWN_TOPIC)
        elif partition >= len(self._broker.topics[topic]):
            error = KafkaError(KafkaError._UNKNOWN_PARTITION)
        elif _size(record) > self._broker.max_bytes[topic]:
            error = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
        elif self._spoilt is not None or self._broker.epochs[self._name] != self._epoch:
            error = KafkaError(KafkaError._PURGE_QUEUE)
        if error is not None:
            self._spoilt = self._spoilt or error
            on_delivery(error, FakeMessage(topic, -1, -1001, record, error))
            return
        log = self._broker.topics[topic][partition]
        log.records.append(record)
        on_delivery(None, FakeMessage(topic, partition, log.high - 1, record))

    def send_offsets_to_transaction(
        self, places: list[TopicPartition], group: str, _timeout_s: float
    ) -> None:
        self._check()
        self._broker.step("send_offsets")
        for place in places:
            self._numbers[group, place.topic, place.partition] = place.offset

    def commit_transaction(self, _timeout_s: float) -> None:
        self.flush(_timeout_s)
        self._check()
        if self._spoilt is not None:
            raise fault(self._spoilt.code(), txn_requires_abort=True)
        self._broker.step("commit")
        self._broker.end(self._name, "committed")
        self._broker.numbers |= self._numbers
        self._broker.step("committed_transaction")

    def _check(self) -> None:
        if self._broker.epochs[self._name] != self._epoch:
            raise fault(KafkaError._FENCED, fatal=True)


class PlainProducer:
    """Sends without transactions; each message is confirmed or refused for itself."""

    def __init__(self, broker: Broker, config: dict[str, Any]) -> None:
        assert config["batch.num.messages"] == 1  # else a broker refuses a batch for one of its messages
        self._broker, self._config = broker, config
        self._waiting: list[tuple[str, int, Record, Any]] = []

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int = 0,
        *,
        headers: list[tuple[str, bytes | None]],
        on_delivery: Any,
        timestamp: int,
    ) -> None:
        self._broker.step("produce")
        record = Record(value, key, list(headers), at_ms=timestamp or -1)
        if _size(record) > self._config["message.max.bytes"]:
            raise fault(KafkaError.MSG_SIZE_TOO_LARGE)
        self._waiting.append((topic, partition, record, on_delivery))

    def flush(self, _timeout_s: float) -> int:
        """What meets a fault of `deliver` stays unconfirmed."""
        left = []
        for one in self._waiting:
            try:
                self._broker.step("deliver")
            except KafkaException:
                left.append(one)
                continue
            self._deliver(*one)
        self._waiting = left
        return len(left)

    def _deliver(self, topic: str, partition: int, record: Record, on_delivery: Any) -> None:
        logs = self._broker.topics[topic]
        if _size(record) > self._broker.max_bytes[topic]:
            error = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
            on_delivery(error, FakeMessage(topic, partition, -1001, record, error))
            return
        logs[partition].records.append(record)
        on_delivery(None, FakeMessage(topic, partition, logs[partition].high - 1, record))

    def purge(self) -> None:
        self._waiting = []


class FakeAdmin:
    """Topics and groups; answers are futures, as the real ones are."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def list_topics(self, topic: str | None = None, timeout: float = 0) -> Any:
        self._broker.step("list_topics")
        return _metadata(self._broker, [topic] if topic else list(self._broker.topics))

    def create_topics(self, new: list[Any], **_times: Any) -> dict[str, Future]:
        self._broker.step("create_topics")
        return {one.topic: _future(lambda one=one: self._create(one)) for one in new}

    def _create(self, new: Any) -> None:
        if not self._broker.may_create:  # asked before anything else, as a real broker does
            raise fault(KafkaError.TOPIC_AUTHORIZATION_FAILED)
        if new.topic in self._broker.topics:
            raise fault(KafkaError.TOPIC_ALREADY_EXISTS)
        if new.topic in (".", "..") or not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", new.topic):
            raise fault(KafkaError.TOPIC_EXCEPTION)
        same = {name.replace(".", "_") for name in self._broker.topics}
        if new.topic.replace(".", "_") in same:
            raise fault(KafkaError.TOPIC_EXCEPTION)
        if new.replication_factor > 1:
            words = f"Unable to replicate the partition {new.replication_factor} time(s): only 1 broker(s)"
            raise fault(KafkaError.INVALID_REPLICATION_FACTOR, words)
        for key, value in (new.config or {}).items():
            _check_setting(key, value)
        max_bytes = int((new.config or {}).get("max.message.bytes", DEFAULT_MAX_BYTES))
        self._broker.add(new.topic, n_partitions=new.num_partitions, max_bytes=max_bytes)
        self._broker.configs[new.topic] |= new.config or {}

    def describe_topics(self, topics: Any, **_times: Any) -> dict[str, Future]:
        self._broker.step("describe_topics")
        return {name: _future(lambda name=name: self._describe(name)) for name in topics.topic_names}

    def _describe(self, name: str) -> Any:
        if name not in self._broker.topics:
            raise fault(KafkaError.UNKNOWN_TOPIC_OR_PART)
        parts = [
            SimpleNamespace(id=number, leader=BROKER if log.is_led else None, replicas=[BROKER], isr=[BROKER])
            for number, log in enumerate(self._broker.topics[name])
        ]
        about = {"topic_id": self._broker.ids[name], "is_internal": name.startswith("__")}
        return SimpleNamespace(name=name, partitions=parts, **about)

    def list_offsets(
        self, places: dict[TopicPartition, Any], *, isolation_level: Any = None, **_times: Any
    ) -> dict[Any, Future]:
        self._broker.step("list_offsets")
        end = "stable" if isolation_level is IsolationLevel.READ_COMMITTED else "high"
        return {
            place: _future(
                lambda place=place, spec=spec: SimpleNamespace(offset=self._offset(place, spec, end))
            )
            for place, spec in places.items()
        }

    def _offset(self, place: TopicPartition, spec: Any, end: str) -> int:
        logs = self._broker.topics.get(place.topic, [])
        if place.partition >= len(logs):
            raise fault(KafkaError.UNKNOWN_TOPIC_OR_PART)
        log = logs[place.partition]
        if log.is_late or not log.is_led:  # librdkafka looks for a leader until the time is over
            raise fault(KafkaError._TIMED_OUT)
        if spec._value in ENDS:
            return getattr(log, {"low": "low", "high": end}[ENDS[spec._value]])
        at_ms = spec.timestamp
        later = (log.low + n for n, one in enumerate(log.records) if one.at_ms >= at_ms)
        return next(later, -1)

    def create_partitions(
        self, new: list[Any], *, validate_only: bool = False, **_times: Any
    ) -> dict[str, Future]:
        self._broker.step("create_partitions")
        return {one.topic: _future(lambda one=one: self._grow(one, validate_only)) for one in new}

    def _grow(self, new: Any, is_trial: bool) -> None:
        logs = self._broker.topics.get(new.topic)
        if logs is None:
            raise fault(KafkaError.UNKNOWN_TOPIC_OR_PART)
        if new.new_total_count <= len(logs):
            raise fault(KafkaError.INVALID_PARTITIONS, f"The topic currently has {len(logs)} partition(s)")
        if not is_trial:
            logs += [Log() for _ in range(new.new_total_count - len(logs))]

    def delete_topics(self, names: list[str], **_times: Any) -> dict[str, Future]:
        self._broker.step("delete_topics")
        return {name: _future(lambda name=name: self._delete(name)) for name in names}

    def _delete(self, name: str) -> None:
        if self._broker.topics.pop(name, None) is None:
            raise fault(KafkaError.UNKNOWN_TOPIC_OR_PART)

    def delete_records(self, places: list[TopicPartition], **_times: Any) -> dict[Any, Future]:
        self._broker.step("delete_records")
        return {place: _future(lambda place=place: self._purge(place)) for place in places}

    def _purge(self, place: TopicPartition) -> Any:
        if "delete" not in self._broker.configs[place.topic]["cleanup.policy"]:
            raise fault(KafkaError.POLICY_VIOLATION)
        log = self._broker.topics[place.topic][place.partition]
        if place.offset > log.high:
            raise fault(KafkaError.OFFSET_OUT_OF_RANGE)
        n_gone = max(0, place.offset - log.low)
        log.records[:n_gone] = []
        log.low += n_gone
        return SimpleNamespace(low_watermark=log.low)

    def describe_configs(self, resources: list[Any], **_times: Any) -> dict[Any, Future]:
        self._broker.step("describe_configs")
        return {one: _future(lambda one=one: self._entries(one.name)) for one in resources}

    def _entries(self, name: str) -> dict[str, ConfigEntry]:
        if name not in self._broker.topics:
            raise fault(KafkaError.UNKNOWN_TOPIC_OR_PART)
        return {key: _entry(key, value) for key, value in self._broker.configs[name].items()}

    def incremental_alter_configs(
        self, resources: list[Any], *, validate_only: bool = False, **_times: Any
    ) -> dict[Any, Future]:
        return {one: _future(lambda one=one: self._alter(one, validate_only)) for one in resources}

    def _alter(self, resource: Any, is_trial: bool) -> None:
        self._broker.step("alter_configs")
        self._entries(resource.name)
        changed = {}
        for entry in resource.incremental_configs:
            is_reset = entry.incremental_operation is AlterConfigOpType.DELETE
            assert is_reset or entry.incremental_operation is AlterConfigOpType.SET
            _check_setting(entry.name, None if is_reset else entry.value)
            changed[entry.name] = DEFAULT_CONFIG[entry.name] if is_reset else entry.value
        if not is_trial:
            self._broker.configs[resource.name] |= changed
            self._broker.max_bytes[resource.name] = int(
                self._broker.configs[resource.name]["max.message.bytes"]
            )

    def list_consumer_groups(self, **_times: Any) -> Future:
        self._broker.step("list_groups")
        names = {place[0] for place in self._broker.numbers} | self._broker.members.keys()
        names |= self._broker.untold.keys()
        valid = [SimpleNamespace(group_id=name) for name in [*sorted(names), *self._broker.listed_twice]]
        errors = [KafkaException(error) for error in self._broker.unlisted]
        return _future(lambda: SimpleNamespace(valid=valid, errors=errors))

    def describe_consumer_groups(self, names: list[str], **_times: Any) -> dict[str, Future]:
        self._broker.step("describe_groups")
        if len(set(names)) < len(names):
            words = "Duplicate groups not allowed"
            return {name: _future(lambda: _raise(fault(KafkaError._INVALID_ARG, words))) for name in names}
        return {name: _future(lambda name=name: self._about(name)) for name in names}

    def _about(self, name: str) -> Any:
        """A group that is not there is told as a dead one."""
        if name in self._broker.untold:
            raise KafkaException(self._broker.untold[name])
        members = self._broker.members.get(name, [])
        is_there = any(place[0] == name for place in self._broker.numbers)
        state = "STABLE" if members else "EMPTY" if is_there else "DEAD"
        kind = ConsumerGroupType.CLASSIC
        if name in self._broker.sharing_out:
            state, kind = "UNKNOWN", ConsumerGroupType.CONSUMER
        return SimpleNamespace(members=members, state=SimpleNamespace(name=state), type=kind)

    def list_consumer_group_offsets(self, asked: list[Any], **_times: Any) -> dict[str, Future]:
        self._broker.step("list_group_offsets")
        [one] = asked
        if not one.group_id:
            raise ValueError("'group_id' cannot be empty")
        places = [
            TopicPartition(topic, partition, offset)
            for (group, topic, partition), offset in self._broker.numbers.items()
            if group == one.group_id
        ]
        return {one.group_id: _future(lambda: SimpleNamespace(topic_partitions=places))}

    def alter_consumer_group_offsets(self, asked: list[Any], **_times: Any) -> dict[str, Future]:
        self._broker.step("alter_group_offsets")
        [one] = asked
        return {one.group_id: _future(lambda: self._move(one))}

    def _move(self, asked: Any) -> Any:
        if self._broker.members.get(asked.group_id):
            raise fault(KafkaError.UNKNOWN_MEMBER_ID)
        for place in asked.topic_partitions:
            self._broker.numbers[asked.group_id, place.topic, place.partition] = place.offset
        return SimpleNamespace(topic_partitions=asked.topic_partitions)

    def delete_consumer_groups(self, groups: list[str], **_times: Any) -> dict[str, Future]:
        self._broker.step("delete_groups")
        return {group: _future(lambda group=group: self._forget(group)) for group in groups}

    def _forget(self, group: str) -> None:
        mine = [place for place in self._broker.numbers if place[0] == group]
        if self._broker.members.get(group):
            raise fault(KafkaError.NON_EMPTY_GROUP)
        if not mine:
            raise fault(KafkaError.GROUP_ID_NOT_FOUND)
        for place in mine:
            del self._broker.numbers[place]


def _check_setting(name: str, value: str | None) -> None:
    """As a broker judges it, in its words."""
    if name not in DEFAULT_CONFIG:
        raise fault(KafkaError.INVALID_CONFIG, f"Unknown topic config name: {name}")
    if value is None:
        return
    wrong = f"Invalid value {value} for configuration {name}: "
    if name in NUMBERS and not re.fullmatch(r"-?[0-9]+", value):
        raise fault(KafkaError.INVALID_CONFIG, f"{wrong}Not a number of type {NUMBERS[name]}")
    if name == "cleanup.policy" and not set(value.split(",")) <= {"delete", "compact"}:
        raise fault(KafkaError.INVALID_CONFIG, f"{wrong}String must be one of: compact, delete")


def _entry(name: str, value: str) -> ConfigEntry:
    """Who says a value: here the topic does if it is none of the defaults. Brokers name it otherwise."""
    default = ConfigSource.DEFAULT_CONFIG
    if value == DEFAULT_CONFIG.get(name):
        return ConfigEntry(name, value, default)
    own = ConfigEntry(name, value, ConfigSource.DYNAMIC_TOPIC_CONFIG, is_synonym=True)
    others = {f"log.{name}": ConfigEntry(f"log.{name}", DEFAULT_CONFIG.get(name), default, is_synonym=True)}
    if name == "retention.ms":  # of which a broker has the default in hours, and tells none
        others = {}
    return ConfigEntry(name, value, ConfigSource.DYNAMIC_TOPIC_CONFIG, synonyms={name: own, **others})


def _raise(error: Exception) -> Any:
    raise error


def _future(call: Callable[[], Any]) -> Future:
    future: Future = Future()
    try:
        future.set_result(call())
    except KafkaException as error:
        future.set_exception(error)
    return future


def _metadata(broker: Broker, names: list[str]) -> Any:
    topics = {}
    for name in names:
        logs = broker.topics.get(name)
        leaders = {number: 1 if log.is_led else -1 for number, log in enumerate(logs or [])}
        partitions = {number: SimpleNamespace(leader=leader) for number, leader in leaders.items()}
        error = None if logs is not None else KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
        topics[name] = SimpleNamespace(topic=name, partitions=partitions, error=error)
    return SimpleNamespace(topics=topics)


def _size(record: Record) -> int:
    texts = [record.value or b"", record.key or b"", *(part or b"" for _name, part in record.headers)]
    return sum(map(len, texts)) + sum(len(name) for name, _part in record.headers) + OVERHEAD_BYTES
