"""What the settings of a topic that people change most are for; Kafka's own pages say the rest."""

from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

DOCS: Final = "https://kafka.apache.org/documentation/#topicconfigs_"

HELP: Final[dict[str, Promise]] = {
    "cleanup.policy": _(
        "delete: old messages go. compact: of each key the last message stays. Or both: compact,delete."
    ),
    "compression.type": _("How the broker stores messages; producer: as they come."),
    "delete.retention.ms": _("For how long a compacted topic keeps the tombstone of a key, in milliseconds."),
    "max.message.bytes": _("The largest message, or batch of messages, that the topic takes, compressed."),
    "message.timestamp.type": _("CreateTime: as the producer says. LogAppendTime: when it arrived."),
    "min.compaction.lag.ms": _("For how long a message stays uncompacted at least, in milliseconds."),
    "min.insync.replicas": _(
        "So many replicas must have a message before a producer with acks=all hears so."
    ),
    "retention.bytes": _("Each partition keeps so many bytes at most; -1: without limit."),
    "retention.ms": _("For how long messages are kept, in milliseconds; -1: for ever."),
    "segment.bytes": _("Messages are deleted by whole files of this size."),
    "segment.ms": _("A file of messages is closed after so many milliseconds, even if it is not full."),
    "unclean.leader.election.enable": _(
        "Whether a replica that lacks messages may lead when no other is left."
    ),
}


def help_of(name: str) -> str:
    """A sentence about the setting; empty where only Kafka's pages say more."""
    return str(HELP.get(name, ""))


def docs_of(name: str) -> str:
    """Where Kafka's documentation says all of it."""
    return DOCS + name
