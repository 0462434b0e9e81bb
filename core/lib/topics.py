"""The Kafka topics that the apps need: each app registers its own, one command creates what is missing.

How topics may be called, and which of them Kafka cannot tell apart, is said here for all apps too.
"""

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic, TopicDescription
from django.conf import settings
from django.utils.translation import gettext as _

from core.lib import kafka
from core.lib.errors import InvalidRequest, Unauthorized, Unavailable

log = structlog.get_logger(__name__)

DAY_MS = 24 * 3600 * 1000
RETENTION = "retention.ms"
FOR_EVER_MS = -1  # as Kafka writes it
# The settings of how many days a topic's messages are kept; 0: for ever.
RECORDS = "CONSOLE_PREDICTIONS_TOPIC_KEEP_DAYS"
EVENTS = "CONSOLE_EVENT_TOPICS_KEEP_DAYS"
SIDE = "CONSOLE_SIDE_TOPICS_KEEP_DAYS"  # what lies beside a topic: dead letters, anomalies
KEPT = (RECORDS, EVENTS, SIDE)
TIMEOUT_S = 15
SOON_S = 1.0  # somebody waits for the answer
REFUSED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
LONGEST_TOPIC = 249
TOPIC_NAME = r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,249}"
# What a broker's flag says of these is asked where a broker is; a wish is checked without one.
KAFKAS_OWN = frozenset(
    {"__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"}
)


@dataclass(frozen=True)
class Topic:
    """How a topic is created; one that exists stays. max_bytes: of one message, else the broker's.

    kept: the setting of its days; `core.lib.topic_days` applies a change of it to a topic that exists.
    scope: the right that reading its messages needs besides that of reading messages at all; "" for none.
    """

    name: str
    n_partitions: int = 1
    kept: str = EVENTS
    max_bytes: int | None = None
    scope: str = ""

    @property
    def days(self) -> int:
        """For which its messages are kept; 0: for ever."""
        return int(getattr(settings, self.kept))

    @property
    def retention_ms(self) -> int:
        """The same as Kafka has it."""
        return self.days * DAY_MS or FOR_EVER_MS


_registered: list[Topic] = []
_finders: list[Callable[[], Iterable[Topic]]] = []
_users: list[Callable[[str], str]] = []


def register(*topics: Topic) -> None:
    """Have `ensure` create these; called in `AppConfig.ready`."""
    _registered.extend(topics)


def register_finder(find: Callable[[], Iterable[Topic]]) -> None:
    """Say which topics an app has made beside others, by its rows; called in `AppConfig.ready`."""
    _finders.append(find)


def register_user(use: Callable[[str], str]) -> None:
    """Say for what an app needs a topic now, in a sentence, or nothing; called in `AppConfig.ready`."""
    _users.append(use)


def use_of(name: str) -> str:
    """For what an app needs the topic now: why nobody may take it away. Empty where none does."""
    return next((words for use in _users if (words := use(name))), "")


def own() -> list[Topic]:
    """All that are the console's, there or not: those registered, and those beside topics of others."""
    found = {topic.name: topic for find in _finders for topic in find()}
    found |= {topic.name: topic for topic in _registered}
    return sorted(found.values(), key=lambda topic: topic.name)


def scope_of(name: str) -> str:
    """What reading this topic's messages needs besides; "" where that is nothing, or nobody registered it."""
    return next((topic.scope for topic in _registered if topic.name == name), "")


def registered() -> list[Topic]:
    """Those that apps of the console own, by name."""
    return sorted(_registered, key=lambda topic: topic.name)


def is_registered(name: str) -> bool:
    """Whether an app of the console owns the topic."""
    return any(topic.name == name for topic in _registered)


def ensure(wanted: Iterable[Topic] | None = None) -> list[str]:
    """Create the topics that are missing, by default all registered ones; returns those made.

    With as many replicas as the brokers' default. Raises Unavailable when Kafka does not answer,
    InvalidRequest for a name that it does not take, Unauthorized when the console may not create what is
    missing.
    """
    new = [_new(topic) for topic in (_registered if wanted is None else wanted)]
    admin = kafka.admin(**kafka.quiet(log))  # kept until the end: calls under way die with it
    return [name for name, future in _asked(admin, new).items() if _is_made(admin, name, future)]


def side_topic_name(topic: str, ending: str, mark: str = ".") -> str:
    """How a topic beside a topic is called; what would be too long keeps its beginning, and a hash."""
    name = f"{topic}{mark}{ending}"
    if len(name) > LONGEST_TOPIC:
        digest = hashlib.sha256(topic.encode()).hexdigest()[:12]
        kept = LONGEST_TOPIC - len(ending) - len(digest) - 2
        name = f"{topic[:kept]}-{digest}{mark}{ending}"
    return name


def names() -> set[str]:
    """Of all topics that are there. Raises Unavailable within a moment."""
    try:
        return set(kafka.admin(**kafka.quiet(log)).list_topics(timeout=SOON_S).topics)
    except KafkaException as error:
        raise Unavailable(_("Kafka is not answering. Try again soon."), service="kafka") from error


def is_there(name: str) -> bool:
    """Whether Kafka has the topic. Raises Unavailable, and Unauthorized where the console may not ask."""
    admin = kafka.admin(**kafka.quiet(log))  # kept until the end: calls under way die with it
    try:
        _described(name, admin)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return False
        raise _untold(name, error) from error
    return True


def collision(topic: str, others: Iterable[str]) -> str:
    """One of the others beside which Kafka creates none of this name; empty if there is none.

    In its metrics `.` and `_` are one character.
    """
    return next((name for name in others if name != topic and _as_metric(name) == _as_metric(topic)), "")


def _as_metric(name: str) -> str:
    return name.replace(".", "_")


def collision_in_words(topic: str, taken: str) -> str:
    """For whoever asked for the topic."""
    words = {"topic": topic, "taken": taken}
    return (
        _(
            "Kafka does not create “%(topic)s” beside “%(taken)s”: it tells dots and underscores not apart. "
            "Take that topic, or another name."
        )
        % words
    )


def id_of(name: str, admin: AdminClient | None = None) -> str:
    """What Kafka calls this topic itself: one deleted and made anew has another.

    admin: a client for who asks again and again. Raises Unavailable, and Unauthorized where the console may
    not ask.
    """
    admin = admin or kafka.admin(**kafka.quiet(log))  # kept until the end: calls under way die with it
    try:
        return str(_described(name, admin).topic_id)
    except KafkaException as error:
        raise _untold(name, error) from error


def _described(name: str, admin: AdminClient) -> TopicDescription:
    """Of this topic alone; unlike a question for its metadata, this one creates none."""
    return admin.describe_topics(TopicCollection([name]), request_timeout=TIMEOUT_S)[name].result()


def _untold(name: str, error: KafkaException) -> Unauthorized | Unavailable:
    message = _("Kafka does not tell about the topic %(name)s: %(error)s.") % {"name": name, "error": error}
    ours = Unauthorized if error.args[0].code() in REFUSED else Unavailable
    return ours(message, service="kafka")


def _asked(admin: AdminClient, new: list[NewTopic]) -> "dict[str, Future[None]]":
    futures: dict[str, Future[None]] = admin.create_topics(
        new, operation_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S
    )
    return futures


def _new(topic: Topic) -> NewTopic:
    config = {RETENTION: str(topic.retention_ms)}
    if topic.max_bytes is not None:
        config["max.message.bytes"] = str(topic.max_bytes)
    return NewTopic(topic.name, topic.n_partitions, -1, config=config)


def _is_made(admin: AdminClient, name: str, future: "Future[None]") -> bool:
    try:
        future.result()
    except KafkaException as error:
        code = error.args[0].code()
        if code == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        if code in REFUSED:
            _require(admin, name)
            return False
        message = _("Kafka did not create the topic %(name)s: %(error)s.") % {"name": name, "error": error}
        if code in (KafkaError.TOPIC_EXCEPTION, KafkaError.POLICY_VIOLATION, KafkaError.INVALID_CONFIG):
            raise InvalidRequest(message, service="kafka") from error
        raise Unavailable(message, service="kafka") from error
    return True


def _require(admin: AdminClient, name: str) -> None:
    """Kafka asks for the right to create before it looks whether there is anything to do.

    Raises Unauthorized when the topic is not there, Unavailable when Kafka does not say.
    """
    try:
        about = admin.list_topics(timeout=TIMEOUT_S).topics.get(name)
    except KafkaException as error:
        raise Unavailable(_("Kafka is not answering. Try again soon."), service="kafka") from error
    if about is None or about.error is not None:
        message = _(
            "Kafka has no topic %(name)s that the console may see, and does not let it create one. Create "
            "it, or give the console's user the right to (Create on the topic, Describe to see it)."
        )
        raise Unauthorized(message % {"name": name}, service="kafka")
