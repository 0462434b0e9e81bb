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
    """How far a group is behind on one partition; None while nobody tells where it ends."""

    topic: str
    partition: int
    committed: int
    lag_messages: int | None


@dataclass(frozen=True)
class Group:
    """A consumer group, its members and its lag.

    problem: why some of it is not known, a sentence; empty when all is. n_members: None while not known.
    """

    name: str
    state: str
    n_members: int | None
    offsets: list[GroupLag] = field(default_factory=list)
    problem: str = ""

    @property
    def lag_messages(self) -> int | None:
        """Over all partitions; None where some of it is not known."""
        lags = [offset.lag_messages for offset in self.offsets if offset.lag_messages is not None]
        is_known = len(lags) == len(self.offsets) and self.n_members is not None
        return sum(lags) if is_known else None


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
