"""What the gateways tell of Kafka: topics and their settings, partitions, groups with lag, messages."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Partition:
    """Offsets [low, high): `high` is the offset that the next message gets.

    Both None where Kafka does not tell both, as while nobody leads the partition.
    """

    number: int
    low: int | None
    high: int | None
    leader: int
    n_replicas: int
    n_in_sync: int


@dataclass(frozen=True)
class Topic:
    """A topic with its partitions. n_messages: offsets in use; markers of transactions count too."""

    name: str
    partitions: list[Partition]

    @property
    def ranges(self) -> dict[int, tuple[int, int]]:
        """[low, high) by partition, without those of which Kafka does not tell."""
        return {
            one.number: (one.low, one.high)
            for one in self.partitions
            if one.low is not None and one.high is not None
        }

    @property
    def untold(self) -> list[int]:
        """Partitions of which Kafka does not tell."""
        return [one.number for one in self.partitions if one.number not in self.ranges]

    @property
    def n_messages(self) -> int:
        """Upper bound of the messages that it holds now, as far as Kafka tells."""
        return sum(high - low for low, high in self.ranges.values())

    @property
    def n_replicas(self) -> int:
        """Of the partition that has fewest."""
        return min((partition.n_replicas for partition in self.partitions), default=0)


@dataclass(frozen=True)
class Setting:
    """One entry of a topic's configuration.

    value: None where Kafka hides it. default: what holds once the topic has no value of its own; None where
    Kafka does not tell. source: who says the value, "topic", "broker" or "default".
    """

    name: str
    value: str | None
    source: str
    default: str | None = None
    is_sensitive: bool = False
    is_read_only: bool = False

    @property
    def is_own(self) -> bool:
        """Whether the topic itself says it."""
        return self.source == "topic"


@dataclass(frozen=True)
class Purged:
    """A partition whose messages before `low` are deleted; with an error, Kafka's words, they are not."""

    partition: int
    low: int | None
    error: str = ""


@dataclass(frozen=True)
class GroupLag:
    """How far a group is behind on one partition, of what that holds; None while nobody tells where it ends.

    member: the client that reads it now; empty while none does.
    """

    topic: str
    partition: int
    committed: int
    lag_messages: int | None
    end: int | None = None
    member: str = ""


@dataclass(frozen=True)
class Member:
    """A consumer of a group. assigned: topic and partition of what it reads."""

    id: str
    client_id: str
    host: str
    instance_id: str = ""
    assigned: list[tuple[str, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Group:
    """A consumer group, its members and its lag.

    problem: why some of it is not known, or what is odd about where it stands, a sentence; else empty.
    n_members: None while not known.
    """

    name: str
    state: str
    n_members: int | None
    offsets: list[GroupLag] = field(default_factory=list)
    problem: str = ""
    members: list[Member] = field(default_factory=list)

    @property
    def is_busy(self) -> bool:
        """Whether somebody reads in it: Kafka then changes nothing of it."""
        return bool(self.n_members) or self.state not in ("empty", "dead")

    @property
    def topics(self) -> list[str]:
        """Of which it has offsets."""
        return sorted({offset.topic for offset in self.offsets})

    @property
    def lag_messages(self) -> int | None:
        """Over all partitions; None where some of it is not known."""
        lags = [offset.lag_messages for offset in self.offsets if offset.lag_messages is not None]
        is_known = len(lags) == len(self.offsets) and self.n_members is not None
        return sum(lags) if is_known else None


@dataclass(frozen=True)
class Groups:
    """Consumer groups by name. problem: why some may be missing, a sentence; empty when none is."""

    groups: list[Group]
    problem: str = ""


@dataclass(frozen=True)
class Read:
    """A message as it lies in the topic. Of large ones the beginning: the sizes are of the whole.

    has_odd_names: it has headers whose names are no UTF-8, so that the client gives none of them.
    """

    partition: int
    offset: int
    at_ms: int | None
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    key_bytes: int = 0
    value_bytes: int = 0
    has_odd_names: bool = False


@dataclass(frozen=True)
class Messages:
    """Messages, oldest first. problem: why some are missing, a sentence; empty when none is known to be."""

    read: list[Read]
    problem: str = ""


@dataclass(frozen=True)
class Start:
    """Where reading begins: "earliest", "latest", "time" (at_ms) or "offset" (partition, offset)."""

    kind: str
    at_ms: int = 0
    partition: int = 0
    offset: int = 0
