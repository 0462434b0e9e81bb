"""What the gateway tells of Kafka: topics, partitions, groups with lag, messages."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Partition:
    """Offsets [low, high): `high` is the offset that the next message gets."""

    number: int
    low: int
    high: int
    leader: int
    n_replicas: int
    n_in_sync: int


@dataclass(frozen=True)
class Topic:
    """A topic with its partitions. n_messages: offsets in use; markers of transactions count too."""

    name: str
    partitions: list[Partition]

    @property
    def n_messages(self) -> int:
        """Upper bound of the messages that it holds now."""
        return sum(partition.high - partition.low for partition in self.partitions)


@dataclass(frozen=True)
class GroupLag:
    """How far a group is behind on one partition."""

    topic: str
    partition: int
    committed: int
    lag_messages: int


@dataclass(frozen=True)
class Group:
    """A consumer group, its members and its lag."""

    name: str
    state: str
    n_members: int
    offsets: list[GroupLag] = field(default_factory=list)

    @property
    def lag_messages(self) -> int:
        """Over all partitions."""
        return sum(offset.lag_messages for offset in self.offsets)


@dataclass(frozen=True)
class Read:
    """A message as it lies in the topic. Of large ones the beginning: the sizes are of the whole."""

    partition: int
    offset: int
    at_ms: int | None
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    key_bytes: int = 0
    value_bytes: int = 0


@dataclass(frozen=True)
class Start:
    """Where reading begins: "earliest", "latest", "time" (at_ms) or "offset" (partition, offset)."""

    kind: str
    at_ms: int = 0
    partition: int = 0
    offset: int = 0
