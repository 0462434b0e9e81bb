"""The Kafka topics that predictions need."""

from django.conf import settings

from core.lib import topics

SCOPE = "predictions.see_all"  # the messages hold everybody's inputs


def wanted() -> list[topics.Topic]:
    """That of the records, and that of what is none."""
    name = settings.CONSOLE_PREDICTIONS_TOPIC
    return [
        topics.Topic(name, 4, kept=topics.RECORDS, scope=SCOPE),
        topics.Topic(f"{name}.dead", kept=topics.SIDE, scope=SCOPE),
    ]


def ensure() -> list[str]:
    """Create those that are missing. Raises Unavailable when Kafka does not answer."""
    return topics.ensure(wanted())
