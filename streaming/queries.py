"""Reads: streams with rate and lag, windows, dead letters, replays."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Count, Max, Q, QuerySet, Sum
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from core.access.models import User
from core.lib import topics
from core.lib.errors import NotFound, Unauthorized, Unavailable
from core.lib.hits import Hit
from streaming import frames, gateway, groups, places
from streaming.anomalies import topic_name
from streaming.models import Anomaly, DeadLetter, Replay, RuleState, Stream, StreamOffset, Window
from streaming.windows import SHOWN_WINDOWS

RECENT = timedelta(minutes=1)
MOST_SHOWN_ROWS = 20_000
HITS = 8
NAMES_HOLD_S = 10.0


class Names(NamedTuple):
    """What Kafka called its topics and groups, and when it was asked, on the clock of this process."""

    asked_at: float
    topics: list[str]
    groups: list[str]


_remembered = Names(float("-inf"), [], [])


@dataclass(frozen=True)
class Standing:
    """A stream in the list. rate: events a second over the last minute. lag: None while nobody can tell."""

    stream: Stream
    newest_event_at: datetime | None
    n_dead: int
    updated_at: datetime | None
    n_events: int


def stream(name: str) -> Stream:
    """Raises NotFound."""
    found = Stream.objects.filter(name=name).first()
    if found is None:
        raise NotFound(_("There is no stream “%(name)s”.") % {"name": name})
    return found


def streams() -> list[Standing]:
    """Every stream by name, with what it has counted."""
    dead = dict(DeadLetter.objects.values_list("stream").annotate(n=Count("pk")).values_list("stream", "n"))
    counted = {
        row["stream"]: row
        for row in Window.objects.values("stream").annotate(n=Sum("count"), at=Max("updated_at"))
    }
    newest = Max("offsets__newest_event_at")
    return [
        Standing(
            row,
            row.newest,
            dead.get(row.pk, 0),
            counted[row.pk]["at"] if row.pk in counted else None,
            int(counted[row.pk]["n"]) if row.pk in counted else 0,
        )
        for row in Stream.objects.annotate(newest=newest).order_by("name")
    ]


def lags(names: Iterable[str]) -> dict[str, int]:
    """Messages not counted yet, by stream. Asks Kafka: raises Unavailable."""
    rows = list(Stream.objects.filter(name__in=list(names)).prefetch_related("offsets"))
    ranges = gateway.connect().ranges({row.topic for row in rows})
    return {row.name: _lag(row, ranges) for row in rows}


def _lag(row: Stream, ranges: Mapping[places.Place, tuple[int, int]]) -> int:
    """Of what is there: nobody waits for what its topic no longer holds."""
    counted = {offset.partition: offset.next_offset for offset in row.offsets.all()}
    return sum(
        max(0, end - max(low, counted.get(partition, 0)))
        for (topic, partition), (low, end) in ranges.items()
        if topic == row.topic
    )


def chart(row: Stream) -> dict[str, Any]:
    """The last windows, as frames carry them."""
    newest = row.windows.filter(shape=row.shape).aggregate(at=Max("start"))["at"]
    definition = row.usable
    if newest is None or definition is None:
        return frames.of_rows([], _names(row))
    since = newest - timedelta(seconds=SHOWN_WINDOWS * definition.window_s)
    rows = row.windows.filter(shape=row.shape, start__gt=since)[:MOST_SHOWN_ROWS]
    return frames.of_rows(rows, _names(row))


def _names(row: Stream) -> list[str]:
    return [measure.name for measure in row.usable.measures] if row.usable else []


def windows(
    row: Stream, *, since: datetime | None = None, until: datetime | None = None, group: str | None = None
) -> QuerySet[Window]:
    """Windows that start in [since, until), newest first."""
    wanted = Q()
    if since is not None:
        wanted &= Q(start__gte=since)
    if until is not None:
        wanted &= Q(start__lt=until)
    if group is not None:
        wanted &= Q(group=group)
    return row.windows.filter(wanted).order_by("-start", "group")


def dead_letters(row: Stream) -> QuerySet[DeadLetter]:
    """Newest first, without the bytes."""
    return row.dead_letters.defer("payload", "key", "headers").order_by("-pk")


def letters_waiting(row: Stream) -> int:
    """Dead letters that the dead topic has not taken yet, nor refused: their bytes are in the rows alone."""
    return row.dead_letters.filter(is_sent=False, send_error="").count()


def gaps(row: Stream) -> list[StreamOffset]:
    """Partitions of which messages were gone before they were counted, by number."""
    return sorted((at for at in row.offsets.all() if at.n_gone), key=lambda at: at.partition)


def anomalies(
    row: Stream, *, since: datetime | None = None, until: datetime | None = None
) -> QuerySet[Anomaly]:
    """Events above the limit of the rule, found in [since, until), newest first, without payloads."""
    wanted = Q()
    if since is not None:
        wanted &= Q(at__gte=since)
    if until is not None:
        wanted &= Q(at__lt=until)
    return row.anomalies.filter(wanted).defer("payload").order_by("-pk")


def rule_state(row: Stream) -> RuleState | None:
    """How far its anomaly rule has judged; None before it began."""
    return RuleState.objects.filter(stream=row).first()


def replays() -> QuerySet[Replay]:
    """Newest first."""
    return Replay.objects.select_related("requested_by").order_by("-pk")


def replay(replay_id: int) -> Replay:
    """Raises NotFound."""
    found = replays().filter(pk=replay_id).first()
    if found is None:
        raise NotFound(_("There is no replay %(id)s.") % {"id": replay_id})
    return found


def predictions_by_second() -> dict[str, Any]:
    """The stream that the overview draws; empty while there is none."""
    row = Stream.objects.filter(name="predictions").first()
    return {"stream": row, "n": _counted_lately(row) if row else 0}


def side_topics() -> list[topics.Topic]:
    """Those of dead letters and anomalies, which the console makes beside the topics of streams."""
    rules = RuleState.objects.select_related("stream")
    names = {row.dead_topic for row in Stream.objects.filter(has_dead_topic=True)}
    names |= {topic_name(rule) for rule in rules}
    return [topics.Topic(name, kept=topics.SIDE) for name in names]


def _counted_lately(row: Stream) -> int:
    since = timezone.now() - timedelta(minutes=5)
    return row.windows.filter(start__gte=since).aggregate(n=Sum("count"))["n"] or 0


def search(text: str, _user: User) -> list[Hit]:
    """Streams and topics whose names hold the text; without Kafka the topics that streams name."""
    rows = Stream.objects.filter(Q(name__icontains=text) | Q(topic__icontains=text)).order_by("name")
    streams = [
        Hit(row.name, reverse("streams:stream-detail", args=[row.name]), _("stream"), "streams")
        for row in rows[:HITS]
    ]
    names = [name for name in _kafka_names().topics if text.casefold() in name.casefold()]
    topics = [
        Hit(name, reverse("streams:topic-detail", args=[name]), _("topic"), "streams") for name in names
    ]
    return [*streams[: max(HITS // 2, HITS - len(topics))], *topics][:HITS]


def search_groups(text: str, _user: User) -> list[Hit]:
    """Consumer groups whose names hold the text; none without Kafka."""
    page = reverse("streams:group-detail")
    return [
        Hit(name, f"{page}?{urlencode({'group': name})}", _("consumer group"), "streams")
        for name in _kafka_names().groups
        if text.casefold() in name.casefold()
    ][:HITS]


def _kafka_names() -> Names:
    """As of some seconds ago: somebody is typing, and each letter is a search."""
    global _remembered
    if time.monotonic() - _remembered.asked_at > NAMES_HOLD_S:
        found, of_groups = set(Stream.objects.values_list("topic", flat=True)), list[str]()
        try:
            found = gateway.connect().names() - topics.KAFKAS_OWN
            of_groups = groups.connect().names()
        except (Unauthorized, Unavailable):  # the page of topics says so
            pass
        _remembered = Names(time.monotonic(), sorted(found), of_groups)
    return _remembered
