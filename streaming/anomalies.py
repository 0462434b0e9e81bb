"""What an anomaly rule found, to rows, to `<topic>.anomalies`, and to one alert for each episode."""

import threading
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec
import structlog
from confluent_kafka import KafkaException
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from core.alerts import actions as alerts
from core.lib import aside, topic_days, topics
from core.lib.errors import InvalidRequest
from streaming import loops
from streaming.exactly_once import Outgoing
from streaming.ledger import Overtaken
from streaming.models import Anomaly, RuleState, Stream, Unjudged
from streaming.row_sender import RowSender

log = structlog.get_logger(__name__)

ALERT: Final = "stream_anomaly"
QUIET: Final = timedelta(minutes=10)  # after which an episode is over
MOST_KEPT: Final = 10_000  # rows of one stream
ENDING: Final = "anomalies"


def begun(stream: Stream) -> RuleState:
    """Where the rule is. A new one begins with what is counted next, on a renewed topic with all of it."""
    state = RuleState.objects.filter(stream=stream).first()
    if state is None:
        counted = {str(at.partition): at.next_offset for at in stream.offsets.all()}
        state, _is_new = RuleState.objects.get_or_create(
            stream=stream, defaults={"topic_id": stream.topic_id, "positions": counted}
        )
    if state.topic_id != stream.topic_id:
        state.topic_id, state.positions = stream.topic_id, {}
        state.save(update_fields=["topic_id", "positions"])
    return state


def forget(stream: Stream, *, reason: str) -> None:
    """The rule is gone or another: what it knew goes, its rows stay, its alert is settled."""
    RuleState.objects.filter(stream=stream).delete()
    alerts.settle(ALERT, stream.name, reason=reason)


@transaction.atomic
def write(state: RuleState, new: RuleState, hits: Sequence[Anomaly]) -> list[Anomaly]:
    """Save what was judged since `state`, or nothing; returns the hits that are rows now.

    Raises Overtaken when the row of `state` says something else.
    """
    # The stream before its state, as who deletes or changes it: the other way round each waits for the other.
    Stream.objects.select_for_update(no_key=True).filter(pk=state.stream_id).first()
    held = RuleState.objects.select_for_update().filter(pk=state.pk).first()
    if held is None or (held.topic_id, held.positions) != (state.topic_id, state.positions):
        raise Overtaken("another process judged, or the rule changed")
    saved = _saved(hits)
    new.n_hits += len(saved)
    new.n_judged -= len(hits) - len(saved)
    new.unjudged = counted(new.unjudged, Counter({Unjudged.FAILED: len(hits) - len(saved)}))
    if saved:
        new.n_episode_hits = len(saved) + (held.n_episode_hits if held.is_episode else 0)
        new.last_hit_at, new.is_episode = timezone.now(), True
        _raise(new, saved, is_new=not held.is_episode)
        _trim(new.stream)
    new.save()
    return saved


def _saved(hits: Sequence[Anomaly]) -> list[Anomaly]:
    """Those that the database takes; another one is set aside."""
    try:
        with transaction.atomic():
            Anomaly.objects.bulk_create(hits, batch_size=500, ignore_conflicts=True)
    except Exception as error:
        if aside.is_ours(error):
            raise
    else:
        return list(hits)
    saved = []
    for hit in hits:
        with loops.RULES.item(f"{hit.stream.name} {hit.place}", about=hit.stream.name):
            Anomaly.objects.bulk_create([hit], ignore_conflicts=True)
            saved.append(hit)
    return saved


def note_waiting(state: RuleState, words: str) -> None:
    """Say on the page why nothing is judged; "" when it is again."""
    if state.waits_for == words:
        return
    state.waits_since = timezone.now() if words and not state.waits_for else state.waits_since
    state.waits_for = words
    since = state.waits_since if words else None
    RuleState.objects.filter(pk=state.pk).update(waits_for=words, waits_since=since)


@transaction.atomic
def settle_quiet(state: RuleState) -> bool:
    """End the episode when no hit came for a while; True when it ended now."""
    if not state.is_episode or state.last_hit_at is None or timezone.now() - state.last_hit_at < QUIET:
        return False
    RuleState.objects.filter(pk=state.pk).update(is_episode=False, n_episode_hits=0)
    state.is_episode, state.n_episode_hits = False, 0
    alerts.settle(ALERT, state.stream.name, reason=_("No anomaly for %(n)d minutes.") % {"n": _minutes()})
    return True


def _minutes() -> int:
    return int(QUIET.total_seconds() // 60)


def _raise(state: RuleState, hits: Sequence[Anomaly], *, is_new: bool) -> None:
    stream, worst = state.stream, max(hits, key=lambda hit: hit.observed - hit.limit)
    rule = stream.parsed.anomaly_rule
    if rule is None:
        raise Overtaken("the rule is gone")
    unit = next((field.unit for field in stream.parsed.fields if field.name == rule.field), "")
    facts: dict[str, Any] = {
        rule.field: {"value": worst.observed, "threshold": worst.limit, "unit": unit},
        _("Anomalies in this episode"): state.n_episode_hits,
        _("Place"): str(worst),
        _("Rule"): rule.kind,
    }
    if worst.expected is not None:
        facts[_("Expected")] = {"value": worst.expected, "unit": unit}
    words = {"field": rule.field, "value": f"{worst.observed:.4g}", "limit": f"{worst.limit:.4g}"}
    alerts.raise_alert(
        ALERT,
        subject=stream.name,
        title=_("%(stream)s: %(field)s is above its limit") % {"stream": stream.name, **words},
        detail=_("%(field)s is %(value)s, the limit is %(limit)s. The stream's page lists all.") % words,
        facts=facts,
        url=reverse("streams:anomaly-list", args=[stream.name]),
        # the next episode is a new alert; who resolved that of this one is not told of it again at once
        cooldown=timedelta(0) if is_new else alerts.COOLDOWN,
    )


def _trim(stream: Stream) -> None:
    """What is beyond the newest rows goes; the topic keeps all for its time."""
    last = stream.anomalies.order_by("-pk").values_list("pk", flat=True)[MOST_KEPT : MOST_KEPT + 1].first()
    if last is not None:
        stream.anomalies.filter(pk__lte=last).delete()


def counted(before: dict[str, int], more: Counter[str]) -> dict[str, int]:
    """Reasons with their numbers, added up."""
    return {reason: n for reason, n in (Counter(before) + more).items() if n}


def topic_name(state: RuleState) -> str:
    """Where the rule's hits go."""
    return state.other_topic or topics.side_topic_name(state.stream.topic, ENDING)


class AnomalySender(RowSender[Anomaly]):
    """Sends the hits of one stream."""

    def __init__(self, state: RuleState, stopped: threading.Event) -> None:
        stream = state.stream
        super().__init__(
            f"anomalies-{stream.pk}",
            stream.anomalies,
            stopped,
            loop=loops.RULES,
            key=f"{stream.name} ({ENDING})",
            about=stream.name,
        )
        self._state = state

    def topic(self) -> str:
        """Kafka tells `a.anomalies` and `a_anomalies` not apart: where that cannot be made, with a dash."""
        topic = self._state.stream.topic
        name = topic_name(self._state)
        try:
            topic_days.ensure([topics.Topic(name, kept=topics.SIDE)])
        except InvalidRequest:
            other = topics.side_topic_name(topic, ENDING, "-")
            if name == other:
                raise
            topic_days.ensure([topics.Topic(other, kept=topics.SIDE)])
            RuleState.objects.filter(pk=self._state.pk).update(other_topic=other)
            self._state.other_topic = name = other
        return name

    def outgoing(self, row: Anomaly) -> Outgoing:
        """event, observed, expected, limit, rule, topic, partition, offset, line, at."""
        plain = {
            "event": msgspec.Raw(bytes(row.payload)) if row.payload is not None else None,
            "observed": row.observed,
            "expected": row.expected,
            "limit": row.limit,
            "rule": row.rule,
            "stream": row.stream.name,
            "topic": row.topic,
            "partition": row.partition,
            "offset": row.offset,
            "line": row.line,
            "event_at": row.event_at,
            "at": row.at,
            "prediction_id": row.prediction_id or None,
        }
        return Outgoing(msgspec.json.encode(plain), row.place.encode())

    def note(self, rows: Sequence[Anomaly], places: Sequence[tuple[int, int]]) -> None:
        Anomaly.objects.filter(pk__in=[row.pk for row in rows]).update(is_sent=True, payload=None)

    def refuse(self, row: Anomaly, error: KafkaException) -> None:
        words = {"place": str(row), "error": error.args[0].str()}
        row.send_error = (_("Kafka does not take the anomaly of %(place)s: %(error)s") % words)[:300]
        row.save(update_fields=["send_error"])
        loops.RULES.set_aside(f"{row.stream.name} {row.place}", row.send_error, about=row.stream.name)
