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
from core.alerts.models import Alert
from scoring.words import grouped
from streaming.models import DeadTally, Stream
from streaming.windows import storable

MOST_KEPT: Final = 10_000  # rows of one stream and reason
LOOKS_EVERY_S: Final = 600.0  # whether old rows have made room
TOLD_EVERY: Final = timedelta(hours=1)
MOST_TOLD: Final = 20  # reasons in one alert
ALERT: Final = "stream_dead_letters"

# Numbers, and what is quoted: from the first sign to the last, since a value may hold such signs itself.
_OF_THE_MESSAGE = re.compile(r"""(?<!\w)[0-9][0-9,.]*|'.*'|".*"|“.*”""", re.DOTALL)


def kind(reason: str) -> str:
    """The reason without places, sizes and values, which differ from message to message."""
    return storable(_OF_THE_MESSAGE.sub("…", reason))[:400]


class Room:
    """What one stream may still keep."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.beyond: Counter[str] = Counter()  # by kind, since they were saved
        self._look()

    def _look(self) -> None:
        found: Counter[str] = Counter()
        rows = self._stream.dead_letters.order_by().values_list("reason")
        for reason, n in rows.annotate(n=Count("pk")):
            found[kind(reason)] += n
        self._n, self._looked_at = found, time.monotonic()

    def look_again(self) -> None:
        """See whether old rows have made room; only where all is saved that was taken."""
        is_full = any(n >= MOST_KEPT for n in self._n.values())
        if is_full and time.monotonic() - self._looked_at > LOOKS_EVERY_S:
            self._look()

    def takes(self, reason: str) -> bool:
        """Whether one more is kept; else it is counted as beyond. Amid a batch: no database is asked."""
        name = kind(reason)
        if self._n[name] >= MOST_KEPT:
            self.beyond[name] += 1
            return False
        self._n[name] += 1
        return True


def save(stream: Stream, beyond: Mapping[str, int]) -> None:
    """Add them up, in the caller's transaction, which holds the stream; told once an hour and reason."""
    if not beyond:
        return
    now = timezone.now()
    rows = {row.reason: row for row in stream.dead_tallies.filter(reason__in=beyond)}
    is_new = bool(beyond.keys() - rows.keys())
    for reason, n in beyond.items():
        row = rows.get(reason) or DeadTally(stream=stream, reason=reason, n=0)
        row.n, row.last_at = row.n + n, now
        row.save()
    told = Alert.objects.filter(rule=ALERT, subject=stream.name, last_found_at__gt=now - TOLD_EVERY)
    if is_new or not told.exists():
        _tell(stream)


def _tell(stream: Stream) -> None:
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
        facts=dict(stream.dead_tallies.order_by("-n").values_list("reason", "n")[:MOST_TOLD]),
        url=reverse("streams:dead-letter-list", args=[stream.name]),
    )
