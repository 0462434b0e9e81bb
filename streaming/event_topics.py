"""The topic that a stream reads: made where Kafka has none, but never in the place of one that was there."""

from django.utils.translation import gettext as _

from core.lib import topics
from core.lib.errors import NotFound
from streaming.models import Stream


def ensure(stream: Stream) -> list[str]:
    """Create it if need be; returns what was made. Raises as `topics.ensure`, and NotFound.

    Somebody who deletes a topic may be about to make it anew, with the partitions that it is to have. Only
    the console's own topics are nobody else's to make.
    """
    if not stream.topic_id or topics.is_registered(stream.topic):
        return topics.ensure([topics.Topic(stream.topic)])
    if not topics.is_there(stream.topic):
        message = _(
            "The topic %(topic)s was deleted. Make it anew with the partitions that it is to have, and it is "
            "counted from its start."
        )
        raise NotFound(message % {"topic": stream.topic}, service="kafka")
    return []
