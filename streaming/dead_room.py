"""How many dead letters of one reason are kept: what comes beyond them is counted, and told."""

import re
import time
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from django.db.models import Count
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from core.alerts import actions as alerts
from scoring.words import grouped
from streaming.models import DeadTally, Stream
from streaming.windows import storable

MOST_KEPT: Final = 10_000  # rows of one stream and reason
LOOKS_EVERY_S: Final = 600.0  # whether old rows have made room
TOLD_EVERY: Final = timedelta(hours=1)
ALERT: Final = "stream_dead_letters"

_NUMBER = re.compile(r"(?<!\w)[0-9][0-9,.]*")


def kind(reason: str) -> str:
    """The reason without the numbers in it: places and sizes differ from message to message."""
    return storable(_NUMBER.sub("…", reason))[:400]


class Room:
    """What one stream may still keep."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.beyond: Counter[str] = Counter()  # by kind, since they were saved
        self._look()

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        self._n: Counter[str] = Counter()
        rows = self._stream.dead_letters.order_by().values_list("reason")
        for reason, n in rows.annotate(n=Count("pk")):
            self._n[kind(reason)] += n

    def takes(self, reason: str) -> bool:
        """Whether one more is kept; else it is counted as beyond."""
        name = kind(reason)
        if self._n[name] >= MOST_KEPT and time.monotonic() - self._looked_at > LOOKS_EVERY_S:
            self._look()
        if self._n[name] >= MOST_KEPT:
            self.beyond[name] += 1
            return False
        self._n[name] += 1
        return True


def save(stream: Stream, beyond: Mapping[str, int]) -> None:
    """Add them up, in the caller's transaction, which holds the stream; with an alert, once an hour."""
    if not beyond:
        return
    now = timezone.now()
    rows = {row.reason: row for row in stream.dead_tallies.filter(reason__in=beyond)}
    is_told = any(now - row.last_at < TOLD_EVERY for row in rows.values())
    for reason, n in beyond.items():
        row = rows.get(reason) or DeadTally(stream=stream, reason=reason, n=0)
        row.n, row.last_at = row.n + n, now
        row.save()
        rows[reason] = row
    if not is_told:
        _tell(stream, rows)


def _tell(stream: Stream, rows: Mapping[str, DeadTally]) -> None:
    words = {"stream": stream.name, "topic": stream.topic, "most": grouped(MOST_KEPT)}
    alerts.raise_alert(
        ALERT,
        subject=stream.name,
        title=_("%(stream)s: too many dead letters to keep them all") % words,
        detail=_(
            "Of one reason %(most)s are kept; further ones are only counted, and lie in %(topic)s alone as "
            "long as that keeps them."
        )
        % words,
        facts={reason: row.n for reason, row in rows.items()},
        url=reverse("streams:dead-letter-list", args=[stream.name]),
    )
