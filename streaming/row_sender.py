"""Rows of a stream to a topic of Kafka: each once, in the order of their ids."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Generic, TypeVar

import structlog
from confluent_kafka import KafkaException
from django.utils import timezone
from django.utils.translation import gettext as _

from core.lib.aside import Loop
from core.lib.errors import ConsoleError
from streaming import exactly_once
from streaming.exactly_once import Outgoing, Sender
from streaming.models import Anomaly, DeadLetter

log = structlog.get_logger(__name__)

BATCH = 50
SENDS_FOR_S = 2.0  # of a backlog at once: whoever calls has other things to do
LONGEST_WAIT_S = 60.0
LONG = timedelta(hours=1)  # what waits longer is told, whatever it waits for

Row = TypeVar("Row", DeadLetter, Anomaly)


class RowSender(ABC, Generic[Row]):
    """Sends the rows that have `is_sent` false and no `send_error`.

    What cannot be sent now waits in its rows: whoever made them goes on meanwhile. Where the console lacks a
    right, or the first of them waits for long, the loop says so under this key. Once `stopped` is set it
    sends no more.
    """

    def __init__(
        self,
        name: str,
        rows: Any,
        stopped: threading.Event,
        *,
        loop: Loop,
        key: str,
        about: str,
        is_on: bool = True,
    ) -> None:
        self._name, self._rows, self._stopped, self._is_on = name, rows, stopped, is_on
        self._loop, self._key, self._about = loop, key, about
        self._is_well = False  # nobody knows what an earlier process noted
        self._sender: Sender | None = None
        self._n_alone = 0  # so many still go one by one: among them is one that is never taken
        self._n_failures = 0
        self._again_at = 0.0

    @abstractmethod
    def topic(self) -> str:
        """Where they go; created if Kafka has none. Raises ConsoleError."""

    @abstractmethod
    def outgoing(self, row: Row) -> Outgoing:
        """The message that a row becomes."""

    @abstractmethod
    def note(self, rows: Sequence[Row], places: Sequence[tuple[int, int]]) -> None:
        """Mark them as sent, with partition and offset of each; -1 where unknown."""

    @abstractmethod
    def refuse(self, row: Row, error: KafkaException) -> None:
        """Mark one that the topic takes at no time."""

    def send(self) -> int:
        """Send what is not there yet, and note where it is; returns how many. After a failure it pauses.

        After some seconds it leaves the rest for the next call, but tries something at each.
        """
        if not self._is_on or time.monotonic() < self._again_at:
            return 0
        try:
            n_sent = self._send()
        except (KafkaException, ConsoleError) as error:
            self.close()
            self._n_failures += 1
            wait_s = min(2.0**self._n_failures, LONGEST_WAIT_S)
            self._again_at = time.monotonic() + wait_s
            log.warning("stream.rows_wait", sender=self._name, error=str(error), wait_s=wait_s)
            self._tell(error)
            return 0
        self._n_failures = 0
        if not self._is_well and not self._stopped.is_set():
            self._loop.fits(self._key)
            self._is_well = True
        return n_sent

    def _waiting(self) -> Any:
        return self._rows.filter(is_sent=False, send_error="").order_by("pk")

    def _tell(self, error: KafkaException | ConsoleError) -> None:
        first = self._waiting().first()
        if first is None or (not exactly_once.is_denied(error) and timezone.now() - first.at < LONG):
            return
        words = {"n": self._waiting().count(), "error": exactly_once.in_words(error)}
        message = _("Not in Kafka yet, and kept here: %(n)s. %(error)s") % words
        self._loop.set_aside(self._key, message, about=self._about)
        self._is_well = False

    def _send(self) -> int:
        n_sent = 0
        waiting = self._waiting()
        until = time.monotonic() + SENDS_FOR_S
        while (rows := list(waiting[: 1 if self._n_alone else BATCH])) and not self._stopped.is_set():
            if self._sender is None:
                self._sender = Sender(self._name, self.topic())
                # Rows that a process sent and could not mark: the bytes stay in them, their place is unknown.
                waiting.filter(pk__lt=self._sender.next_number()).update(is_sent=True)
                continue
            try:
                places = self._sender.send([self.outgoing(row) for row in rows], next_number=rows[-1].pk + 1)
            except KafkaException as error:
                if not exactly_once.is_never_taken(error):
                    raise
                self.close()
                if len(rows) > 1:
                    self._n_alone = len(rows)
                    continue  # find the one that is at fault
                self.refuse(rows[0], error)
                self._n_alone = 0  # the others go together again
            else:
                self.note(rows, places)
                n_sent += len(rows)
                self._n_alone = max(self._n_alone - 1, 0)
            if time.monotonic() >= until:
                break
        return n_sent

    def close(self) -> None:
        """Leave Kafka."""
        if self._sender is not None:
            self._sender.close()
            self._sender = None
