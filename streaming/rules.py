"""The loop of one stream's anomaly rule: it follows behind counting, and never holds it up.

A thread and a consumer of its own, which rests as long as it works. It reads what the rows say is counted,
and judges those events that are no dead letters: so an anomaly is always an accepted event, whatever order
partitions are read in. A model that is away, broken or slow makes this loop wait; what waits is bounded, and
what is given up is counted.
"""

import copy
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import numpy as np
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec
from django.utils import timezone

from core.lib import aside, kafka, live, metrics
from streaming import anomalies, champion, counting, encodings, judging, loops
from streaming.aggregator import ADMIN_TIMEOUT_S, LOOK_EVERY_S, Runner, offsets
from streaming.anomalies import AnomalySender
from streaming.champion import Waits
from streaming.counting import Line, Message
from streaming.decoding import MAX_EVENT_BYTES, BadEvent, EventDecoder, Ignored
from streaming.ledger import Overtaken
from streaming.models import Anomaly, DeadLetter, RuleState, Stream, StreamOffset, Unjudged, place
from streaming.windows import group_name

log = structlog.get_logger(__name__)

GROUP = "atalaya-anomalies"  # never joined and never committed: offsets are in PostgreSQL
BATCH = 1_000
WAIT_S = 0.1
IDLE_S = 0.5
MOST_BEHIND = 20_000  # messages that wait for a model; what is older is given up
FIRST_RETRY_S, LONGEST_RETRY_S = 1.0, 15.0


class RuleRunner(Runner):
    """Judges one stream until `stop`, or until its rule is taken away."""

    kind = "rule"
    loop = loops.RULES

    def _session(self, stream: Stream) -> "RuleSession | None":
        definition = stream.usable
        if definition is None or definition.anomaly_rule is None:
            return None
        return RuleSession(stream, self._stopped, on_look=self._note_well)


class Given(NamedTuple):
    """An accepted event that has a value to judge. message: the one it is, or a line of it."""

    message: Message
    event: Any
    observed: float

    @property
    def line(self) -> int:
        """From 1; 0 where the message holds this event alone."""
        return _line(self.message)

    @property
    def place(self) -> str:
        """As `Anomaly.place`."""
        return place(self.message.partition(), self.message.offset(), self.line)


class RuleSession:
    """From the rows as they are now until something changes or fails."""

    def __init__(
        self,
        stream: Stream,
        stopped: threading.Event,
        *,
        on_look: Callable[[int], None] = lambda lag_messages: None,
    ) -> None:
        rule = stream.parsed.anomaly_rule
        if rule is None:
            raise Overtaken("the rule is gone")
        self._stream, self._rule, self._stopped, self._on_look = stream, rule, stopped, on_look
        self._definition = stream.parsed
        self._decoder = EventDecoder(self._definition)
        self._batch = champion.MOST_ROWS if rule.kind == "model" else BATCH
        self._pending: list[Message] = []
        self._ends: dict[int, int] = {}
        self._lows: dict[int, int] = {}  # first offsets, by partition
        self._retry_s = FIRST_RETRY_S
        self._retry_at = 0.0
        self._champion = champion.connect(rule.model) if rule.kind == "model" else None
        settings = {"enable.partition.eof": True, "queued.max.messages.kbytes": 8 * 1024}
        self._consumer = Consumer(kafka.consumer_config(GROUP, **settings, **kafka.quiet(log)))
        self._sender: AnomalySender | None = None

    def run(self) -> None:
        """Raises Overtaken to be made anew, and whatever Kafka or the database raise."""
        looked_at = time.monotonic()
        try:
            self._begin()
            while not self._stopped.is_set():
                began_at = time.monotonic()
                is_busy = self.step()
                self._stopped.wait(time.monotonic() - began_at if is_busy else IDLE_S)
                if time.monotonic() - looked_at >= LOOK_EVERY_S:
                    looked_at = time.monotonic()
                    self._look()
        finally:
            self._consumer.close()
            if self._sender is not None:
                self._sender.close()
            if self._champion is not None:
                self._champion.close()

    def _begin(self) -> None:
        if not self._stream.topic_id:
            raise Waits("nothing of the stream is counted yet")
        self._state = anomalies.begun(self._stream)
        self._state.stream = self._stream
        self._sender = AnomalySender(self._state, self._stopped)
        self._sender.send()
        about = self._consumer.list_topics(self._stream.topic, timeout=ADMIN_TIMEOUT_S).topics[
            self._stream.topic
        ]
        if about.error is not None:
            raise KafkaException(about.error)
        self._partitions = set(about.partitions)
        led = [number for number, partition in about.partitions.items() if partition.leader >= 0]
        admin = kafka.admin(**kafka.quiet(log))  # kept until the end: calls under way die with it
        self._lows = offsets(admin, self._stream.topic, led, OffsetSpec.earliest())
        self._pass_over_gone()
        starts = [(number, self._position(number)) for number in self._partitions]
        self._consumer.assign([TopicPartition(self._stream.topic, *start) for start in starts])

    def _pass_over_gone(self) -> None:
        """Count what the topic no longer holds of what was counted and not judged; at most a message each."""
        counted, at = self._counted(), self._state.positions
        gone = {number: min(self._lows.get(int(number), 0), counted.get(int(number), 0)) for number in at}
        gone = {number: end for number, end in gone.items() if end > at[number]}
        if gone:
            n = sum(end - at[number] for number, end in gone.items())
            new = copy.copy(self._state)
            new.unjudged = anomalies.counted(new.unjudged, Counter({Unjudged.GONE: n}))
            new.positions = {**at, **gone}
            anomalies.write(self._state, new, [])
            self._take(new)

    def _position(self, partition: int) -> int:
        """The next offset to judge; what the topic no longer holds was not judged, and is not waited for."""
        return max(self._state.positions.get(str(partition), 0), self._lows.get(partition, 0))

    def _look(self) -> None:
        if anomalies.settle_quiet(self._state):
            live.publish("streams", [self._stream.name])
        if self._sender is not None:
            self._sender.send()
        self._on_look(self._lag(self._counted()))

    def _counted(self) -> dict[int, int]:
        """The offset before which each partition is counted. Raises Overtaken when the stream is another."""
        stream = Stream.objects.filter(pk=self._stream.pk).values_list("revision", "topic_id").first()
        if stream != (self._stream.revision, self._stream.topic_id):
            raise Overtaken("the definition or the topic changed")
        counted = dict(
            StreamOffset.objects.filter(stream=self._stream).values_list("partition", "next_offset")
        )
        if not set(counted) <= self._partitions:
            raise Overtaken("the topic has other partitions")
        return counted

    def _lag(self, counted: dict[int, int]) -> int:
        """Counted messages that are not judged; with markers of transactions it is an upper bound."""
        return sum(max(0, end - self._position(number)) for number, end in counted.items())

    def step(self) -> bool:
        """Judge one batch; False when there is nothing to do at the moment."""
        counted = self._counted()
        lag = self._lag(counted)
        if not lag:
            return False
        is_given_up = self._champion is not None and lag > MOST_BEHIND
        if time.monotonic() < self._retry_at and not is_given_up:
            return False
        batch = self._due(counted)
        if not batch:
            return self._skip_markers(counted)
        try:
            self._judge(batch, is_given_up=is_given_up)
        except Waits as error:
            anomalies.note_waiting(self._state, error.message)
            log.warning("rule.waits", stream=self._stream.name, error=error.message, wait_s=self._retry_s)
            self._retry_at = time.monotonic() + self._retry_s
            self._retry_s = min(self._retry_s * 2, LONGEST_RETRY_S)
            return False
        return True

    def _due(self, counted: dict[int, int]) -> list[Message]:
        """The next messages that are counted, in the order of each partition."""
        if len(self._pending) < self._batch:
            for message in self._consumer.consume(self._batch - len(self._pending), WAIT_S):
                error = message.error()
                if error is None:
                    self._pending.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    self._ends[message.partition()] = message.offset()
                else:
                    self._note(error)
        due, room = [], self._batch
        for one in self._pending:
            if one.offset() < counted.get(one.partition(), 0):
                due.append(one)
                room -= 1 + (one.value() or b"").count(b"\n")  # never fewer than its events
                if room <= 0:
                    break
        return due

    def _note(self, error: KafkaError) -> None:
        gone = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC)
        if error.fatal() or error.code() in gone:
            raise KafkaException(error)
        log.warning("rule.fetch_failed", stream=self._stream.name, error=error.str())

    def _skip_markers(self, counted: dict[int, int]) -> bool:
        """What a partition still has to its end are markers of transactions: nothing to judge."""
        new = copy.copy(self._state)
        waiting = {message.partition() for message in self._pending}
        ends = {
            str(number): end
            for number, end in self._ends.items()
            if number not in waiting and self._position(number) < end <= counted.get(number, 0)
        }
        if ends:
            new.positions = {**self._state.positions, **ends}
            anomalies.write(self._state, new, [])
            self._take(new)
        return False

    def _judge(self, batch: Sequence[Message], *, is_given_up: bool) -> None:
        """Judge the batch and save that, all or nothing. Raises Waits with nothing saved."""
        unjudged: Counter[str] = Counter()
        new = copy.copy(self._state)
        events = list(self._accepted(batch))
        hits = self._judged_apart(events, new, unjudged, is_given_up=is_given_up) if events else []
        self._save(batch, new, unjudged, hits)
        if not is_given_up:
            self._retry_s, self._retry_at = FIRST_RETRY_S, 0.0

    def _judged_apart(
        self, events: Sequence[Message], new: RuleState, unjudged: Counter[str], *, is_given_up: bool
    ) -> list[Anomaly]:
        """The hits; `new` and `unjudged` take the rest. What fails together is judged half by half."""
        reasons: Counter[str] = Counter()
        hits: list[Anomaly] = []
        n_judged = 0
        try:
            given = self._given(events, reasons)
            if is_given_up:
                reasons[Unjudged.BEHIND] += len(given)
            elif given:
                judgement, ids = self._judgement(given, new, reasons)
                hits, n_judged = self._hits(given, judgement, ids), int(np.isfinite(judgement.limit).sum())
                new.waits_for, new.waits_since = "", None
        except Exception as error:  # one event's fault, whatever it is, is that event's alone
            if isinstance(error, Waits | Overtaken | KafkaException) or aside.is_ours(error):
                raise
            if len(events) > 1:
                middle = len(events) // 2
                halves = events[:middle], events[middle:]
                return [
                    hit
                    for half in halves
                    for hit in self._judged_apart(half, new, unjudged, is_given_up=is_given_up)
                ]
            log.exception("rule.event_failed", stream=self._stream.name, offset=events[0].offset())
            unjudged[Unjudged.FAILED] += 1
            return []
        unjudged.update(reasons)
        new.n_judged += n_judged
        self._remember(new, given)
        return hits

    def _save(
        self, batch: Sequence[Message], new: RuleState, unjudged: Counter[str], hits: Sequence[Anomaly]
    ) -> None:
        new.unjudged = anomalies.counted(self._state.unjudged, unjudged)
        new.positions = {**self._state.positions, **_next(batch)}
        hits = anomalies.write(self._state, new, hits)
        self._take(new)
        metrics.STREAM_ANOMALIES.inc(len(hits))
        metrics.STREAM_UNJUDGED.inc(unjudged.total())
        done = {id(message) for message in batch}
        self._pending = [message for message in self._pending if id(message) not in done]
        if hits:
            live.publish("streams", [self._stream.name])
            if self._sender is not None:
                self._sender.send()

    def _take(self, new: RuleState) -> None:
        """What is saved now; in place, because the sender holds it, too."""
        self._state.__dict__.update(new.__dict__)

    def _given(self, accepted: Sequence[Message], unjudged: Counter[str]) -> list[Given]:
        """Those that have a value."""
        name = self._decoder.attribute(self._rule.field)
        given: list[Given] = []
        for message in accepted:
            try:
                event = self._event(message.value())
            except (Ignored, BadEvent):  # the latter when its letter is no longer kept
                continue
            observed = getattr(event, name)
            if observed is None:
                unjudged[Unjudged.NO_VALUE] += 1
            else:
                given.append(Given(message, event, float(observed)))
        return given

    def _accepted(self, batch: Sequence[Message]) -> Iterator[Message]:
        """Messages and lines, as they were counted, of which no letter tells."""
        dead = self._dead(batch)
        for message in batch:
            place = message.partition(), message.offset()
            if place not in dead:
                yield from counting.parts(message)
            elif dead[place]:  # of a letter without lines the whole message is dead
                yield from (part for part in counting.parts(message) if _line(part) not in dead[place])

    def _event(self, value: bytes | None) -> Any:
        if value is not None and len(value) <= MAX_EVENT_BYTES:
            with suppress(msgspec.MsgspecError, ValueError, RecursionError):
                event = self._decoder.decode(value)
                _ = self._time(event)
                return event
        return self._decoder.checked(value)

    def _dead(self, batch: Sequence[Message]) -> dict[tuple[int, int], list[int]]:
        """The lines that each letter holds, by its place."""
        offsets = [message.offset() for message in batch]
        place = {"topic": self._stream.topic, "topic_id": self._stream.topic_id}
        rows = DeadLetter.objects.filter(stream=self._stream, **place)
        rows = rows.filter(offset__gte=min(offsets), offset__lte=max(offsets))
        found = rows.values_list("partition", "offset", "lines")
        return {(partition, offset): lines or [] for partition, offset, lines in found}

    def _judgement(
        self, given: Sequence[Given], before: RuleState, unjudged: Counter[str]
    ) -> tuple[judging.Judgement, list[str]]:
        """With the ids of the predictions; "" where none was asked for."""
        observed = np.array([one.observed for one in given])
        no_ids = [""] * len(given)
        if self._rule.kind == "threshold":
            return judging.by_threshold(self._rule, observed), no_ids
        if self._champion is not None:
            predicted, ids, sigma = self._predicted(self._champion, given)
            unjudged[Unjudged.UNFIT] += int(np.isnan(predicted).sum())
            return judging.by_prediction(self._rule, observed, predicted, sigma), ids
        found = judging.by_robust_z(self._rule, np.frombuffer(before.values), observed)
        is_early = np.isnan(found.expected)
        unjudged[Unjudged.TOO_FEW] += int(is_early.sum())
        unjudged[Unjudged.NO_SPREAD] += int((np.isnan(found.limit) & ~is_early).sum())
        return found, no_ids

    def _predicted(
        self, model: champion.Champion, given: Sequence[Given]
    ) -> tuple[np.ndarray, list[str], float]:
        names = [field.name for field in self._definition.fields]
        pairs = [(name, self._decoder.attribute(name)) for name in names]
        events = [{name: getattr(one.event, attribute) for name, attribute in pairs} for one in given]
        rows = model.rows(events, set(names))
        places = [place for place, row in enumerate(rows) if row is not None]
        predicted, ids = np.full(len(given), np.nan), [""] * len(given)
        for start in range(0, len(places), champion.MOST_ROWS):
            some = places[start : start + champion.MOST_ROWS]
            at_place = f"{self._stream.pk} {self._stream.topic_id} {given[some[0]].place}"
            answers = model.ask([row for at in some if (row := rows[at]) is not None], place=at_place)
            predicted[some] = answers.predicted
            for at, id_ in zip(some, answers.ids, strict=True):
                ids[at] = id_
        return predicted, ids, self._rule.sigma or model.usual_error()

    def _remember(self, new: RuleState, given: Sequence[Given]) -> None:
        if self._rule.kind == "robust_z":
            values = [one.observed for one in given]
            series = np.concatenate([np.frombuffer(new.values), values])
            new.values = series[-self._rule.n :].tobytes()

    def _hits(
        self, given: Sequence[Given], judgement: judging.Judgement, ids: Sequence[str]
    ) -> list[Anomaly]:
        now = timezone.now()
        return [
            Anomaly(
                stream=self._stream,
                topic=self._stream.topic,
                topic_id=self._stream.topic_id,
                partition=given[at].message.partition(),
                offset=given[at].message.offset(),
                line=given[at].line,
                rule=msgspec.to_builtins(self._rule),
                observed=given[at].observed,
                expected=None if np.isnan(judgement.expected[at]) else float(judgement.expected[at]),
                limit=float(judgement.limit[at]),
                group=self._group(given[at].event),
                event_at=self._time(given[at].event),
                at=now,
                prediction_id=ids[at],
                payload=self._payload(given[at]),
            )
            for at in np.flatnonzero(judgement.is_hit).tolist()
        ]

    def _group(self, event: Any) -> str:
        name = self._definition.group_by
        return group_name(getattr(event, self._decoder.attribute(name))) if name else ""

    def _time(self, event: Any) -> datetime:
        value = getattr(event, self._decoder.attribute(self._definition.event_time_field))
        return datetime.fromtimestamp(self._decoder.times[value], UTC)

    def _payload(self, one: Given) -> bytes:
        """The whole message as JSON; where only the fields of the definition can be read, these."""
        try:
            text = encodings.as_utf8(one.message.value() or b"")
            try:
                plain = msgspec.json.decode(text)
            except msgspec.MsgspecError:
                plain = encodings.without_nan(text)
            return msgspec.json.encode(plain)
        except (ValueError, RecursionError, msgspec.MsgspecError):
            names = [field.name for field in self._definition.fields]
            return msgspec.json.encode(
                {name: getattr(one.event, self._decoder.attribute(name)) for name in names}
            )


def _line(message: Message) -> int:
    return message.number if isinstance(message, Line) else 0


def _next(batch: Sequence[Message]) -> dict[str, int]:
    """The offset after the last message of each partition."""
    found: dict[str, int] = {}
    for message in batch:
        number = str(message.partition())
        found[number] = max(found.get(number, 0), message.offset() + 1)
    return found
