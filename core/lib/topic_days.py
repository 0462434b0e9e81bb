"""How long topics that are there keep their messages: a change of the setting is carried to them.

Only a change is: what somebody else gave a topic (say, more days while the recorder was away) stays until the
setting says something else than it did. What a topic was told is noted, from when the console makes it; of
one without a note nobody knows who made it. So setting up again shortens nothing that nobody asked to
shorten.
"""

from collections.abc import Iterable
from concurrent.futures import Future
from typing import Final, NamedTuple

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from django.utils.translation import gettext as _

from core.lib import kafka, topics
from core.lib.errors import InvalidRequest, Unavailable
from core.lib.models import TopicDays
from core.lib.templatetags import numbers
from core.lib.topics import DAY_MS, FOR_EVER_MS, RETENTION, SIDE, Topic, side_topic_name

log = structlog.get_logger(__name__)

TIMEOUT_S: Final = 5
# With which topics are made while nobody has set anything; a test compares them with the settings.
DEFAULT_DAYS: Final = {topics.RECORDS: 7, topics.EVENTS: 7, topics.SIDE: 30}


class Change(NamedTuple):
    """A topic that has other days from now on; or, with Kafka's words, one that was to have them.

    before_ms: how long Kafka kept its messages; means nothing with an error.
    """

    topic: Topic
    before_ms: int = FOR_EVER_MS
    error: str = ""
    is_altered: bool = False


class Odd(NamedTuple):
    """A topic that keeps its messages for another time than its setting says."""

    topic: Topic
    actual_ms: int


def ensure(wanted: Iterable[Topic] | None = None) -> list[str]:
    """Create what is missing, and raise, as `topics.ensure` does; note the days of what was made."""
    wanted = topics.registered() if wanted is None else list(wanted)
    made = topics.ensure(wanted)
    for topic in wanted:
        if topic.name in made:
            _note(topic)
    return made


def ensure_beside(topic: str, ending: str, *, max_bytes: int | None = None) -> str:
    """Create the topic beside a topic if Kafka has none; what it is called.

    Kafka tells `a.dead` and `a_dead` not apart: where the one cannot be made, `a-dead` is. Raises
    InvalidRequest, Unauthorized and Unavailable.
    """
    usual, other = (side_topic_name(topic, ending, mark) for mark in (".", "-"))
    try:
        ensure([Topic(usual, kept=SIDE, max_bytes=max_bytes)])
    except InvalidRequest:
        ensure([Topic(other, kept=SIDE, max_bytes=max_bytes)])
        return other
    return usual


def apply() -> list[Change]:
    """Give the console's topics the days of settings that have changed since they were last applied.

    One without a note is altered if it has the days that topics are made with while nobody has set any; other
    days were given by somebody. One that Kafka refuses to alter is told of, and tried again the next time.
    """
    noted = dict(TopicDays.objects.values_list("topic", "days"))
    changed = [one for one in topics.own() if noted.get(one.name, DEFAULT_DAYS[one.kept]) != one.days]
    admin = kafka.admin(**kafka.quiet(log))  # kept until the end: calls under way die with it
    found = []
    for topic, future in _told(admin, changed):
        change = _applied(admin, topic, future, is_noted=topic.name in noted)
        if change is None:
            continue
        if not change.error:
            _note(topic)
        if change.error or change.is_altered:
            found.append(change)
    return found


def odd() -> list[Odd]:
    """The console's topics for which Kafka has another time than the settings. Raises Unavailable."""
    admin = kafka.admin(**kafka.quiet(log))
    found = []
    for topic, future in _told(admin, topics.own()):
        try:
            actual_ms = _retention_ms(future)
        except KafkaException as error:
            if _is_missing(error):
                continue
            message = _("Kafka does not tell how long it keeps %(topic)s: %(error)s.")
            words = {"topic": topic.name, "error": error.args[0].str()}
            raise Unavailable(message % words, service="kafka") from error
        if actual_ms != topic.retention_ms:
            found.append(Odd(topic, actual_ms))
    return found


def in_days(retention_ms: int) -> str:
    """Kafka's milliseconds for people: whole days, hours where they are none, or for ever."""
    if retention_ms < 0:
        return _("for ever")
    if retention_ms % DAY_MS:
        return _("%(n)s hours") % {"n": numbers.localised(f"{retention_ms / DAY_MS * 24:.1f}")}
    return _("%(n)s days") % {"n": retention_ms // DAY_MS}


def _told(admin: AdminClient, wanted: list[Topic]) -> "list[tuple[Topic, Future[dict[str, ConfigEntry]]]]":
    """What Kafka has of each topic, asked for in one request."""
    by_name = {topic.name: topic for topic in wanted}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in by_name]
    futures = admin.describe_configs(resources, request_timeout=TIMEOUT_S) if resources else {}
    return [(by_name[resource.name], future) for resource, future in futures.items()]


def _retention_ms(future: "Future[dict[str, ConfigEntry]]") -> int:
    return max(int(future.result()[RETENTION].value or FOR_EVER_MS), FOR_EVER_MS)


def _applied(
    admin: AdminClient, topic: Topic, future: "Future[dict[str, ConfigEntry]]", *, is_noted: bool
) -> Change | None:
    """None for a topic that is not there: it is made with its days."""
    before_ms = FOR_EVER_MS
    try:
        before_ms = _retention_ms(future)
        is_ours = is_noted or before_ms == DEFAULT_DAYS[topic.kept] * DAY_MS
        is_altered = is_ours and before_ms != topic.retention_ms
        if is_altered:
            _alter(admin, topic)
    except KafkaException as error:
        return None if _is_missing(error) else Change(topic, before_ms, str(error.args[0].str()))
    return Change(topic, before_ms, is_altered=is_altered)


def _note(topic: Topic) -> None:
    TopicDays.objects.update_or_create(topic=topic.name, defaults={"days": topic.days})


def _alter(admin: AdminClient, topic: Topic) -> None:
    """Set these days, and nothing else of the topic."""
    entry = ConfigEntry(RETENTION, str(topic.retention_ms), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic.name, incremental_configs=[entry])
    admin.incremental_alter_configs([resource], request_timeout=TIMEOUT_S)[resource].result()


def _is_missing(error: KafkaException) -> bool:
    return bool(error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART)
