"""What of Kafka is not for people to change: the console's own, Kafka's own, and what is in use.

Each function answers with a sentence for whoever wanted to, empty where nothing is in the way.
"""

from typing import Final

from django.utils.translation import gettext as _

from core.lib import topics
from core.lib.errors import Conflict
from streaming import queries
from streaming.models import Replay, ReplayState, Stream

# Those of the recorder, the aggregator, the anomaly rules, the numbers of what is sent once.
OWN_GROUPS: Final = "atalaya-"


def why_not_changed(name: str) -> str:
    """Why nobody configures the topic or produces to it: what it holds is Kafka's or the console's word."""
    if name in topics.KAFKAS_OWN:
        return _("Kafka keeps its own books in “%(topic)s”. Choose another topic.") % {"topic": name}
    own = next((one for one in topics.own() if one.name == name), None)
    if own is None or not (own.scope or own.kept == topics.SIDE):
        return ""
    return _(
        "“%(topic)s” is the console's own: only the console writes to it and configures it (how long it "
        "keeps messages: %(setting)s)."
    ) % {"topic": name, "setting": own.kept}


def why_not_emptied(name: str) -> str:
    """Why nobody deletes the topic or messages of it."""
    if name in topics.KAFKAS_OWN:
        return _("Kafka keeps its own books in “%(topic)s”. Choose another topic.") % {"topic": name}
    if topics.is_registered(name):
        return _("“%(topic)s” is the console's own: it comes with the console and stays.") % {"topic": name}
    return _of_streams(name) or _of_replays(name) or topics.use_of(name)


def why_not_of_group(name: str) -> str:
    """Why nobody moves the group's offsets or deletes it."""
    if not name.startswith(OWN_GROUPS):
        return ""
    return _(
        "“%(group)s” is the console's own group: it keeps where the console goes on, so that nothing is lost "
        "or sent twice."
    ) % {"group": name}


def refuse(words: str) -> None:
    """Raises Conflict with these words, if there are any."""
    if words:
        raise Conflict(words)


def _of_streams(name: str) -> str:
    if stream := Stream.objects.filter(topic=name).order_by("name").first():
        return _("The stream “%(stream)s” counts “%(topic)s”: delete the stream first.") % {
            "stream": stream.name,
            "topic": name,
        }
    if any(topic.name == name for topic in queries.side_topics()):
        return _("“%(topic)s” holds the dead letters or anomalies of a stream: delete the stream first.") % {
            "topic": name
        }
    return ""


def _of_replays(name: str) -> str:
    is_open = {"state__in": (ReplayState.REQUESTED, ReplayState.RUNNING)}
    replay = Replay.objects.filter(topic=name, **is_open).first()
    if replay is None:
        return ""
    return _("Replay %(id)d is sending to “%(topic)s”: stop it first.") % {"id": replay.pk, "topic": name}
