"""What streams set aside when it cannot be worked on at all; a bad event becomes a dead letter instead."""

from datetime import timedelta

from django.utils.translation import gettext_lazy as _

from core.lib.aside import Loop

# A stream is tried again by its own thread.
STREAMS = Loop("streaming.streams", _("Streams"), thing="stream", longest_retry=timedelta(minutes=1))
WINDOWS = Loop("streaming.windows", _("Windows of streams"), thing="stream")
RULES = Loop(
    "streaming.rules", _("Anomaly rules of streams"), thing="stream", longest_retry=timedelta(minutes=1)
)
DEAD_LETTERS = Loop("streaming.dead_letters", _("Dead letters"), thing="stream")
