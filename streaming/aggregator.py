"""The loop of one stream: fetch, count, every second write windows and offsets, tell the pages.

One thread for each stream, so that a topic that is gone stops no other stream. Whatever fails, the memory is
thrown away and the loop starts again from the rows: what was not written is read again.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec, PartitionMetadata
from django.db import Error, close_old_connections, connection
from django.utils.translation import gettext as _

from core.lib import aside, kafka, lag, live, metrics, topics
from core.lib.errors import ConsoleError, Unavailable
from core.lib.lag import Behind
from streaming import dead_topics, event_topics, frames, ledger, loops, places
from streaming.counting import Counting
from streaming.dead_topics import DeadSender
from streaming.ledger import Overtaken
from streaming.models import Stream

log = structlog.get_logger(__name__)

GROUP = "atalaya-aggregator"  # never joined and never committed: offsets are in PostgreSQL
BATCH = 5_000
WAIT_S = 0.1
WRITE_EVERY_S = 1.0
LOOK_EVERY_S = 5.0  # for a new definition, for new partitions
TELL_EVERY_S = 2.0
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 15.0
ADMIN_TIMEOUT_S = 10
# Who has not fetched for so long finds messages that wait: of the partitions one may be ahead of another
# only because it is read first. How old the messages are says nothing, producers may write event time there;
# nor does how many there are, they may come in bursts.
STALLED_S = 5.0

# No broker, or a topic that is being made or deleted this moment.
AWAY = (
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT,
    KafkaError._MSG_TIMED_OUT,
    KafkaError._RESOLVE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
)


class Work(Protocol):
    """What a runner runs: until the stop, or an exception after which another one follows."""

    def run(self) -> None: ...


class Runner(threading.Thread):
    """Counts one stream until `stop`, or until its definition is deleted. Those of rules inherit this.

    behind: what is there and not counted, seconds old; None before the first look, stuck after a failure.
    """

    kind = "stream"
    loop = loops.STREAMS

    def __init__(self, stream_id: int, name: str) -> None:
        super().__init__(name=f"{self.kind}-{name}", daemon=True)
        self._stream_id = stream_id
        self.stream_name = name
        self._stopped = threading.Event()
        self._wait_s = FIRST_RETRY_S
        self._began_at = 0.0
        self.behind: Behind | None = None
        self._is_well = False  # nobody knows what an earlier process noted

    def stop(self) -> None:
        """Ask it to write what it has and end."""
        self._stopped.set()

    def run(self) -> None:
        """Sessions one after the other, with a pause after one that failed."""
        try:
            while not self._stopped.is_set() and self._is_there():
                close_old_connections()
        finally:
            connection.close()

    def _is_there(self) -> bool:
        """One session; False when there is nothing left to do. Whatever else it ends by, another follows."""
        self._began_at = time.monotonic()
        try:
            stream = Stream.objects.filter(pk=self._stream_id).first()
            session = self._session(stream) if stream is not None else None
            if session is None:
                self.loop.fits(self.stream_name)
                return False
            session.run()
        except Overtaken as error:
            log.info(f"{self.kind}.starts_again", stream=self.stream_name, why=str(error))
        except Exception as error:  # noqa: BLE001  of any class: it is this stream's alone, and its row says so
            self._wait_after(error)
        return True

    def _session(self, stream: Stream) -> "Work | None":
        """None when the stream asks for none."""
        return Session(stream, self._stopped, on_look=self._note_well, on_fault=self._note_fault)

    def _wait_after(self, error: Exception) -> None:
        self.behind = lag.STUCK
        lasted_s = time.monotonic() - self._began_at
        self._wait_s = FIRST_RETRY_S if lasted_s > LONGEST_RETRY_S else min(self._wait_s * 2, LONGEST_RETRY_S)
        log.warning(
            f"{self.kind}.waits", stream=self.stream_name, error=aside.in_words(error), wait_s=self._wait_s
        )
        close_old_connections()
        if not _is_away(error):
            self._note(error)
        self._stopped.wait(self._wait_s)

    def _note(self, error: Exception | str) -> None:
        try:
            self.loop.set_aside(self.stream_name, error, about=self.stream_name)
            self._is_well = False
        except Error as database_error:
            log.warning(f"{self.kind}.not_noted", stream=self.stream_name, error=str(database_error))

    def _note_fault(self, lag_messages: int, words: str) -> None:
        """It goes on, but for something that it cannot read."""
        self.behind = Behind(lag_messages)
        self._note(words)

    def _note_well(self, lag_messages: int) -> None:
        self.behind = Behind(lag_messages)
        if not self._is_well:
            self.loop.fits(self.stream_name)
            self._is_well = True


def _is_away(error: Exception) -> bool:
    """Whether a service is, which is no fault of the stream."""
    if isinstance(error, KafkaException):
        cause = error.args[0]
        return isinstance(cause, KafkaError) and (cause.retriable() or cause.code() in AWAY)
    return isinstance(error, Unavailable) or aside.is_ours(error)


@dataclass
class Fault:
    """That something of a partition cannot be read. is_over: it was read on, behind what was passed over."""

    words: str
    is_told: bool = False
    is_over: bool = False


def offsets(admin: AdminClient, topic: str, asked: Collection[int], spec: OffsetSpec) -> dict[int, int]:
    """By partition; those of which nobody tells are not in it. Raises KafkaException when none is told."""
    wanted = [TopicPartition(topic, partition) for partition in asked]
    found, failures = places.told(admin, wanted, spec, ADMIN_TIMEOUT_S)
    if failures and not found:
        raise next(iter(failures.values()))
    return {partition: offset for (_topic, partition), offset in found.items()}


class Session:
    """From the rows as they are now until something changes or fails."""

    def __init__(
        self,
        stream: Stream,
        stopped: threading.Event,
        *,
        on_look: Callable[[int], None] = lambda lag_messages: None,
        on_fault: Callable[[int, str], None] = lambda lag_messages, words: None,
    ) -> None:
        self._stream = stream
        self._on_look, self._on_fault = on_look, on_fault
        self._faults: dict[int, Fault] = {}  # by partition
        self._admin = kafka.admin(**kafka.quiet(log))
        self._stopped = stopped
        self._counting = Counting(stream)
        self._pulse = frames.Pulse()
        self._dead_sender = DeadSender(stream, stopped)
        self._is_one_partition = False
        self._partitions: set[int] = set()
        self._leaderless: set[int] = set()
        self._told_at = 0.0
        self._fetched_at = time.time()
        self._consumer = Consumer(
            kafka.consumer_config(
                GROUP,
                **{
                    "enable.partition.eof": True,
                    "auto.offset.reset": "error",  # `_note` looks whether it is another topic
                    "fetch.wait.max.ms": 50,
                    "queued.max.messages.kbytes": 32 * 1024,
                    "fetch.message.max.bytes": 1024 * 1024,
                },
                **kafka.quiet(log),
            )
        )

    def run(self) -> None:
        wrote_at = looked_at = time.monotonic()
        try:
            self._ensure_topics()
            ledger.recognise(self._stream, topics.id_of(self._stream.topic))
            self._dead_sender.send()
            self._assign()
            while not self._stopped.is_set():
                self.count()
                now = time.monotonic()
                if now - wrote_at >= WRITE_EVERY_S or self._counting.is_full:
                    wrote_at = now
                    self.write()
                if now - looked_at >= LOOK_EVERY_S:
                    looked_at = now
                    self._look()
                    self._dead_sender.send()
                    self._tell()
            self.write()
        finally:
            self._consumer.close()
            self._dead_sender.close()

    def _ensure_topics(self) -> None:
        if made := event_topics.ensure(self._stream):
            log.info("stream.topics_made", stream=self._stream.name, topics=made)
        if not self._stream.has_dead_topic:
            return
        try:
            dead_topics.ensure(self._stream)
        except ConsoleError as error:  # letters wait in their rows
            log.warning("stream.no_dead_topic", stream=self._stream.name, error=error.message)

    def _assign(self) -> None:
        found = self._consumer.list_topics(self._stream.topic, timeout=ADMIN_TIMEOUT_S)
        about = found.topics[self._stream.topic]
        if about.error is not None:
            raise KafkaException(about.error)
        self._partitions = set(about.partitions)
        self._is_one_partition = len(self._partitions) == 1
        self._note_leaders(about.partitions)
        known = self._partitions & self._counting.positions.keys() - self._leaderless
        lows = offsets(self._admin, self._stream.topic, known, OffsetSpec.earliest())
        highs = offsets(self._admin, self._stream.topic, known, OffsetSpec.latest())
        self._consumer.assign(
            [
                TopicPartition(
                    self._stream.topic,
                    partition,
                    self._start(partition, lows.get(partition), highs.get(partition)),
                )
                for partition in self._partitions
            ]
        )

    def _start(self, partition: int, low: int | None, high: int | None) -> int:
        """Where it was left, or the nearest offset that the partition still has, if anybody tells.

        If nobody does, and it has no such offset any more, reading it ends this session later.
        """
        position = self._counting.positions.get(partition)
        if position is None:
            return OFFSET_BEGINNING
        if low is None or high is None or low <= position.next_offset <= high:
            return position.next_offset
        names = {"stream": self._stream.name, "partition": partition, "wanted": position.next_offset}
        log.warning("stream.messages_gone", **names, low=low, high=high)
        if position.next_offset < low:
            position.pass_over(low)
        else:
            position.next_offset = high  # its end was cut off: what lay there was counted
        return position.next_offset

    def _note_leaders(self, partitions: Mapping[int, PartitionMetadata]) -> None:
        """A partition without a leader is told once it has none at two looks: between two leaders is none."""
        leaderless = {number for number, about in partitions.items() if about.leader < 0}
        text = _("Partition %(partition)s of %(topic)s has no leader: what lies there is not counted.")
        for number in leaderless & self._leaderless:
            fault = Fault(text % {"partition": number, "topic": self._stream.topic})
            self._faults.setdefault(number, fault)
        for number in self._leaderless - leaderless:
            self._read_on(number)
        self._leaderless = leaderless

    def _tell(self) -> None:
        """Each fault once at least, and again while something waits in its partition."""
        words = [
            fault.words
            for partition, fault in self._faults.items()
            if not fault.is_told or partition in self._leaderless or self._has_unread(partition)
        ]
        if words:
            self._on_fault(self._lag(), "; ".join(words))
        else:
            self._on_look(self._lag())
        for fault in self._faults.values():
            fault.is_told = True
        self._faults = {partition: fault for partition, fault in self._faults.items() if not fault.is_over}

    def _has_unread(self, partition: int) -> bool:
        """Whether anything waits there, as Kafka says now: no fetch may have told of it."""
        place = TopicPartition(self._stream.topic, partition)
        try:
            low, high = self._consumer.get_watermark_offsets(place, timeout=ADMIN_TIMEOUT_S)
        except KafkaException as error:
            words = {"partition": partition, "error": str(error)}
            log.warning("stream.end_unknown", stream=self._stream.name, **words)
            return True
        position = self._counting.positions.get(partition)
        return bool((position.next_offset if position is not None else low) < high)

    def _look(self) -> None:
        """Raises Overtaken when the topic has grown or is another one, or the definition changed."""
        revision = Stream.objects.filter(pk=self._stream.pk).values_list("revision", flat=True).first()
        if revision != self._stream.revision:
            raise Overtaken("the definition changed")
        about = self._consumer.list_topics(self._stream.topic, timeout=ADMIN_TIMEOUT_S)
        partitions = set(about.topics[self._stream.topic].partitions)
        # Without any it is gone, and what was counted is its own.
        if partitions and topics.id_of(self._stream.topic, self._admin) != self._stream.topic_id:
            # What is not written may be of either topic: of the new one it will be read again.
            raise Overtaken("the topic was deleted and made anew")
        if partitions != self._partitions:
            self.write()
            raise Overtaken("the topic has other partitions")
        self._note_leaders(about.topics[self._stream.topic].partitions)

    @property
    def n_counted(self) -> int:
        """Events counted since the start."""
        return self._counting.n_counted

    def count(self) -> None:
        """Fetch a batch and count it."""
        sound: list[Message] = []
        ends: list[tuple[int, int]] = []
        for message in self._consumer.consume(BATCH, WAIT_S):
            error = message.error()
            if error is None:
                sound.append(message)
                self._read_on(message.partition())
            elif error.code() == KafkaError._PARTITION_EOF:
                ends.append((message.partition(), message.offset()))
                self._read_on(message.partition())
            else:
                self._note(error, message)
        counting = self._counting
        self._note_stall()
        n_before, n_dead = counting.n_counted, counting.n_refused
        counting.handle(sound, is_one_partition=self._is_one_partition)
        for partition, offset in ends:
            position = counting.positions.get(partition)
            if position is None or offset >= position.next_offset:
                counting.reached_end(partition, offset)
        self._pulse.counted(counting.n_counted - n_before)
        metrics.STREAM_EVENTS.inc(counting.n_counted - n_before)
        metrics.STREAM_DEAD.inc(counting.n_refused - n_dead)
        if self._pulse.is_due():
            began_at = time.monotonic()
            live.frame(f"streams:{self._stream.name}", self._frame())
            self._pulse.took(time.monotonic() - began_at)

    def _read_on(self, partition: int) -> None:
        if fault := self._faults.get(partition):
            fault.is_over = True

    def _note_stall(self) -> None:
        """After a fetch, before its messages are counted: whether the one before it was long ago."""
        now = time.time()  # which goes on while the machine sleeps
        if now - self._fetched_at > STALLED_S:
            for partition in self._partitions:
                self._counting.fell_behind(partition)
        self._fetched_at = now

    def _high(self, partition: int) -> int:
        """The partition's end, by what the last fetch told of it."""
        place = TopicPartition(self._stream.topic, partition)
        high: int = self._consumer.get_watermark_offsets(place, cached=True)[1]
        return high

    def _note(self, error: KafkaError, message: Message) -> None:
        """A topic that is gone or another ends the session; what cannot be read is told with its place."""
        gone = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC)
        if error.code() in (*gone, KafkaError._AUTO_OFFSET_RESET):
            self.write()  # nobody can read it again
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise Overtaken("the topic does not reach from where it was read")
        if error.fatal() or error.code() in gone:
            raise KafkaException(error)
        log.warning("stream.fetch_failed", stream=self._stream.name, error=error.str())
        if error.code() not in AWAY and not error.retriable():
            if message.partition() is None:  # of the client as a whole: another one follows
                raise KafkaException(error)
            words = {"topic": self._stream.topic, "partition": message.partition(), "error": error.str()}
            words["offset"] = self._next_offset(message)
            text = _(
                "Partition %(partition)s of %(topic)s cannot be read from offset %(offset)s on: "
                "%(error)s. What lies there may be passed over."
            )
            self._faults[message.partition()] = Fault(text % words)

    def _next_offset(self, message: Message) -> int:
        """Where it lies, if Kafka's client says so; else where the partition is read next."""
        offset: int | None = message.offset()
        if offset is not None:
            return offset
        position = self._counting.positions.get(message.partition())
        return position.next_offset if position is not None else 0

    def _frame(self) -> dict:
        renewed_at = self._stream.topic_renewed_at
        about = {"lag": self._lag(), "renewed_at": renewed_at and renewed_at.isoformat()}
        return frames.of_memory(self._counting.windows) | self._pulse.state() | about

    def _lag(self) -> int:
        """Messages that are there and not counted, by what the last fetch told of the ends."""
        positions = self._counting.positions.items()
        return sum(max(0, self._high(partition) - position.next_offset) for partition, position in positions)

    def write(self) -> None:
        """Save what was counted, send dead letters on, tell the pages."""
        if not self._counting.has_news:
            return
        has_dead = bool(self._counting.dead)
        with metrics.STREAM_WRITE_SECONDS.time():
            self._counting.save()
        if has_dead:
            self._dead_sender.send()
        if time.monotonic() - self._told_at >= TELL_EVERY_S:
            self._told_at = time.monotonic()
            live.publish("streams", [self._stream.name])
