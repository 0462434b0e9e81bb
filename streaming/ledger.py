"""What a stream counted, to and from PostgreSQL: windows, offsets and dead letters in one transaction."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from django.db import transaction
from django.db.models import Count, Max, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from core.alerts import actions as alerts
from core.lib import aside
from core.lib.aside import Loop
from scoring.words import grouped
from streaming import dead_room, loops
from streaming.models import DeadLetter, Stream, StreamOffset, Window
from streaming.windows import MAX_GROUPS, OTHERS, Key, Windows, measures, storable

PREVIEW_CHARACTERS = 2000
MAX_REASON = 400
GONE_ALERT: Final = "stream_gone"
STARTS_AT_ONCE = 50  # windows whose rows are fetched together
# Of a message that is in no window so much is kept. Value, key and headers together fit a topic of any broker
# that was left at its default of 1,048,588 bytes.
KEPT_BYTES = 984 * 1024
KEPT_KEY_BYTES = 16 * 1024
KEPT_HEADERS, KEPT_HEADER_BYTES = 50, 16 * 1024
# Headers that the console adds begin so; of a message's own none is kept that does, lest it pass for ours.
OUR_HEADERS = "atalaya."


class Overtaken(Exception):
    """The definition changed, or another process counted the same messages: start again from the rows."""


@dataclass
class Position:
    """Where a partition is read next, and the newest event time accepted from it (Unix s).

    n_gone: offsets, at most a message each, that were gone when they were to be counted; gone_at: when that
    was met last.
    """

    next_offset: int
    newest: float = -math.inf
    n_gone: int = 0
    gone_at: datetime | None = None

    def pass_over(self, low: int) -> None:
        """Nothing before this offset is there."""
        self.n_gone += low - self.next_offset
        self.gone_at, self.next_offset = timezone.now(), low


class Headers(msgspec.Struct, frozen=True):
    """What a message bore, in its order, as far as it is kept; how many headers are not."""

    kept: list[tuple[str, bytes | None]] = []
    n_left_out: int = 0


NO_HEADERS = Headers()


@dataclass(frozen=True)
class Dead:
    """A message that is in no window. value: None for a null value.

    Key and value are as they came unless `is_cut`; size_bytes: of the whole value. lines: which ones of a
    message the value is, from 1, where the others were counted; empty for a whole message.
    """

    partition: int
    offset: int
    reason: str
    key: bytes | None
    value: bytes | None
    size_bytes: int
    is_cut: bool
    headers: Headers = NO_HEADERS
    lines: tuple[int, ...] = ()


def dead(
    partition: int,
    offset: int,
    reason: str,
    *,
    key: bytes | None,
    value: bytes | None,
    headers: Headers = NO_HEADERS,
    lines: tuple[int, ...] = (),
) -> Dead:
    """What is kept of a message that is in no window."""
    kept_key, kept = key and key[:KEPT_KEY_BYTES], value and value[:KEPT_BYTES]
    is_cut = (kept_key, kept) != (key, value)
    return Dead(partition, offset, reason, kept_key, kept, len(value or b""), is_cut, headers, lines)


def kept_headers(found: Sequence[tuple[str, bytes | None]]) -> Headers:
    """The first ones that there is room for, each whole."""
    kept: list[tuple[str, bytes | None]] = []
    room = KEPT_HEADER_BYTES
    theirs = [(name, value) for name, value in found if not name.startswith(OUR_HEADERS)]
    for name, value in theirs:
        size_bytes = len(name.encode()) + len(value or b"")
        if size_bytes <= room and len(kept) < KEPT_HEADERS:
            room -= size_bytes
            kept.append((name, value))
    return Headers(kept, len(theirs) - len(kept))


def headers_of(letter: DeadLetter) -> Headers:
    """As the row keeps them; none once the dead topic has them, and none of letters of earlier releases."""
    return msgspec.msgpack.decode(letter.headers, type=Headers) if letter.headers else NO_HEADERS


def ours(headers: Mapping[str, object]) -> list[tuple[str, bytes | None]]:
    """Headers of the console's own, as they are sent."""
    return [(f"{OUR_HEADERS}{name}", str(value).encode()) for name, value in headers.items()]


def positions(stream: Stream) -> dict[int, Position]:
    """By partition; those never read are not in it."""
    return {
        row.partition: Position(
            row.next_offset,
            row.newest_event_at.timestamp() if row.newest_event_at else -math.inf,
            row.n_gone,
            row.gone_at,
        )
        for row in stream.offsets.all()
    }


def recognise(stream: Stream, topic_id: str) -> None:
    """Note whose offsets these are. Raises Overtaken, the offsets forgotten, when they are another topic's.

    A topic that was deleted and made anew starts at offset 0, so the old offsets would skip messages, and its
    dead letters would pass for old ones. What was counted before stays counted.
    """
    with transaction.atomic():
        row = Stream.objects.select_for_update(no_key=True).filter(pk=stream.pk).first()
        if row is None or row.revision != stream.revision:
            raise Overtaken("the definition changed")
        if row.topic_id == topic_id:
            return
        is_renewed = bool(row.topic_id) and row.offsets.exists()
        if is_renewed:
            row.offsets.all().delete()
            row.topic_renewed_at = timezone.now()
        elif not row.topic_id:
            row.dead_letters.update(topic_id=topic_id)
        row.topic_id = topic_id
        row.save(update_fields=["topic_id", "topic_renewed_at"])
    stream.topic_id, stream.topic_renewed_at = row.topic_id, row.topic_renewed_at
    if is_renewed:
        raise Overtaken("the topic was deleted and made anew")


def load(stream: Stream, windows: Windows) -> None:
    """Bring back the windows that are shown, and the newest event time."""
    newest = stream.offsets.aggregate(at=Max("newest_event_at"))["at"]
    if newest is None:
        return
    windows.newest = newest.timestamp()
    windows.whole_since = windows.shown_since
    rows = stream.windows.filter(shape=stream.shape, start__gte=_time(windows.whole_since))
    for row in rows.iterator():
        windows.put(int(row.start.timestamp()), row.group, row.count, _with_infinities(row.stats))


def write(
    stream: Stream,
    windows: Windows,
    *,
    before: Mapping[int, Position],
    after: Mapping[int, Position],
    dead: Sequence[Dead],
    beyond: Mapping[str, int] | None = None,
) -> None:
    """Save everything since the last call, or nothing. before: the positions of the last call.

    beyond: of `dead_room.Room`, dead letters that are counted only.

    Raises Overtaken, with nothing saved, when those are not what the rows say. A row that the database does
    not take is set aside, and the others are saved.
    """
    try:
        _write(stream, windows, before, after, dead, beyond or {}, _together)
    except Exception as error:
        if isinstance(error, Overtaken) or aside.is_ours(error):
            raise
        _write(stream, windows, before, after, dead, beyond or {}, _one_by_one)
    windows.changed.clear()


Save = Callable[[Sequence[Any]], None]
How = Callable[[Stream, Loop, Iterable[Any], Save], None]


def _write(
    stream: Stream,
    windows: Windows,
    before: Mapping[int, Position],
    after: Mapping[int, Position],
    dead: Sequence[Dead],
    beyond: Mapping[str, int],
    how: How,
) -> None:
    with transaction.atomic():
        _hold(stream, before)
        _complete(stream, windows)
        how(stream, loops.WINDOWS, windows.changed, lambda keys: _save_windows(stream, windows, keys))
        how(stream, loops.DEAD_LETTERS, dead, lambda letters: _save_dead(stream, letters))
        dead_room.save(stream, beyond)
        _save_positions(stream, before, after)


def _together(_stream: Stream, _loop: Loop, items: Iterable[Any], save: Save) -> None:
    save(list(items))


def _one_by_one(stream: Stream, loop: Loop, items: Iterable[Any], save: Save) -> None:
    for item in items:
        with loop.item(f"{stream.name} {_name(item)}", about=stream.name):
            save([item])


def _name(item: Any) -> str:
    return f"{item.partition}:{item.offset}" if isinstance(item, Dead) else f"{item[0]} {item[1]}"


def _hold(stream: Stream, before: Mapping[int, Position]) -> None:
    """Take the stream's row, so that nobody else counts, edits or deletes it meanwhile."""
    held = (
        Stream.objects.select_for_update(no_key=True).filter(pk=stream.pk).values_list("revision", flat=True)
    )
    if list(held) != [stream.revision]:
        raise Overtaken("the definition changed")
    offsets = dict(stream.offsets.values_list("partition", "next_offset"))
    if offsets != {partition: position.next_offset for partition, position in before.items()}:
        raise Overtaken("another process counted")


def _complete(stream: Stream, windows: Windows) -> None:
    """Add what the database holds of windows that were met again after they had been forgotten."""
    unsure = {key for key in windows.changed if not windows.cells[key].is_complete}
    starts = sorted({start for start, _ in unsure})
    for first in range(0, len(starts), STARTS_AT_ONCE):
        some = set(starts[first : first + STARTS_AT_ONCE])
        _complete_some(stream, windows, {key for key in unsure if key[0] in some})


def _complete_some(stream: Stream, windows: Windows, unsure: set[Key]) -> None:
    rows = stream.windows.filter(shape=stream.shape, start__in={_time(start) for start, _ in unsure})
    wanted = {OTHERS, *(group for _, group in unsure)}
    stored = {(int(row.start.timestamp()), row.group): row for row in rows.filter(group__in=wanted)}
    new = {key for key in unsure - stored.keys() if key[0] < windows.whole_since and key[1] != OTHERS}
    for key in _surplus(new, rows) if new else ():
        windows.fold(key)
        unsure = unsure - {key} | {(key[0], OTHERS)}
    for key in unsure:
        cell = windows.cells[key]
        if not cell.is_complete and key in stored:
            cell.add(stored[key].count, _with_infinities(stored[key].stats))
        cell.is_complete = True


def _surplus(new: set[Key], rows: QuerySet[Window]) -> list[Key]:
    """Those for which their windows have no room beside the rows that are there."""
    named = rows.exclude(group=OTHERS).order_by().values_list("start")
    n_groups = Counter({int(start.timestamp()): n for start, n in named.annotate(n=Count("pk"))})
    surplus = []
    for start, group in sorted(new):
        if n_groups[start] < MAX_GROUPS:
            n_groups[start] += 1
        else:
            surplus.append((start, group))
    return surplus


def _save_windows(stream: Stream, windows: Windows, keys: Iterable[Key]) -> None:
    now = timezone.now()
    rows = [_row(stream, windows, key, now) for key in keys]
    Window.objects.bulk_create(
        rows,
        batch_size=1000,
        update_conflicts=True,
        unique_fields=["stream", "shape", "start", "group"],
        update_fields=["count", "measures", "stats", "updated_at"],
    )


def _row(stream: Stream, windows: Windows, key: Key, now: datetime) -> Window:
    cell = windows.cells[key]
    return Window(
        stream=stream,
        shape=stream.shape,
        start=_time(key[0]),
        group=key[1],
        count=cell.count,
        measures=measures(stream.parsed, cell.count, cell.stats),
        stats=[[None if math.isinf(number) else number for number in stats] for stats in cell.stats],
        updated_at=now,
    )


def _with_infinities(stats: Iterable[Sequence[Any]]) -> list[list[float]]:
    """JSON has no infinity: the smallest and largest of no values are stored as null."""
    return [
        [n, total, math.inf if low is None else low, -math.inf if high is None else high]
        for n, total, low, high in stats
    ]


def _save_dead(stream: Stream, dead: Sequence[Dead]) -> None:
    now = timezone.now()
    rows = [
        DeadLetter(
            stream=stream,
            topic=stream.topic,
            topic_id=stream.topic_id,
            partition=letter.partition,
            offset=letter.offset,
            reason=storable(letter.reason)[:MAX_REASON],
            size_bytes=letter.size_bytes,
            is_cut=letter.is_cut,
            preview=preview(letter.value),
            key=letter.key,
            headers=msgspec.msgpack.encode(letter.headers) if letter.headers != NO_HEADERS else None,
            n_headers_left_out=letter.headers.n_left_out,
            payload=letter.value if stream.has_dead_topic or letter.lines else None,
            lines=letter.lines or None,
            is_null=letter.value is None,
            at=now,
            is_sent=not stream.has_dead_topic,
        )
        for letter in dead
    ]
    DeadLetter.objects.bulk_create(rows, batch_size=500, ignore_conflicts=True)


def preview(value: bytes | None) -> str:
    """The start of a message as text that PostgreSQL takes."""
    return storable((value or b"")[: PREVIEW_CHARACTERS * 4].decode("utf-8", "replace")[:PREVIEW_CHARACTERS])


def _save_positions(stream: Stream, before: Mapping[int, Position], after: Mapping[int, Position]) -> None:
    rows = [
        StreamOffset(
            stream=stream,
            partition=partition,
            next_offset=position.next_offset,
            newest_event_at=None if math.isinf(position.newest) else _time(position.newest),
            n_gone=position.n_gone,
            gone_at=position.gone_at,
        )
        for partition, position in after.items()
        if before.get(partition) != position
    ]
    StreamOffset.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["stream", "partition"],
        update_fields=["next_offset", "newest_event_at", "n_gone", "gone_at"],
    )
    if gone := {
        partition: position.n_gone - before[partition].n_gone
        for partition, position in after.items()
        if partition in before and position.n_gone > before[partition].n_gone
    }:
        _tell_gone(stream, gone)


def _tell_gone(stream: Stream, gone: Mapping[int, int]) -> None:
    """gone: offsets by partition."""
    n = sum(gone.values())
    facts = {_("Partition %(number)d") % {"number": number}: n_gone for number, n_gone in gone.items()}
    words = {"stream": stream.name, "topic": stream.topic, "n": grouped(n)}
    alerts.raise_alert(
        GONE_ALERT,
        subject=stream.name,
        title=_("%(stream)s: up to %(n)s messages were gone before they were counted") % words,
        detail=_(
            "The topic %(topic)s no longer held up to %(n)s messages when the stream came to them: they grew "
            "too old, or somebody deleted them. They are in no window, and none is a dead letter."
        )
        % words,
        facts=facts,
        url=reverse("streams:stream-detail", args=[stream.name]),
        cooldown=timedelta(0),  # messages that go later are others
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
