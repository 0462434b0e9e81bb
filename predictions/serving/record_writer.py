"""Records on their way into Kafka: an answer waits here until the broker has acknowledged its rows."""

import time
from collections.abc import Sequence

from django.utils.translation import gettext as _

from core.lib import traces
from predictions.errors import NotRecorded, TooLarge
from predictions.serving import metrics
from predictions.serving.deliveries import DELIVERY_TIMEOUT_S, Deliveries, Fate, most_record_bytes
from predictions.serving.unanswered import Unanswered
from scoring.words import grouped


class RecordWriter:
    """Sends records and waits for their acknowledgement, for any event loop."""

    def __init__(self, deliveries: Deliveries, unanswered: Unanswered) -> None:
        self._deliveries = deliveries
        self._unanswered = unanswered
        self._most_bytes = most_record_bytes()

    def start(self) -> None:
        """Make ready to send; nothing has to be up yet."""
        self._deliveries.start()

    async def write(self, records: Sequence[bytes], ids: Sequence[str]) -> None:
        """Return once all records are safe. Raises TooLarge before anything is sent, NotRecorded.

        records: of the rows of one call, in order.
        """
        self._check(records)
        started = time.perf_counter()
        with traces.span("send predictions", kind="PRODUCER"):
            fate = await self._deliveries.send(records)
        if fate is Fate.NEVER_SENT:
            raise NotRecorded(
                _("This prediction could not be recorded, so it is not given. Try again soon."), ids=[]
            )
        if fate is Fate.NOT_CONFIRMED:
            await self._unanswered.add(ids)
            raise NotRecorded(
                _(
                    "The record of this prediction was not confirmed, so it is not given. Try again soon. "
                    "The ids named here may appear later, marked unanswered."
                ),
                ids=list(ids),
            )
        metrics.recorded(len(records), time.perf_counter() - started)

    def _check(self, records: Sequence[bytes]) -> None:
        """Raises TooLarge, for what no later try would record either."""
        for row, record in enumerate(records):
            if len(record) > self._most_bytes:
                message = _(
                    "The record of a row would hold %(n)s bytes, and at most %(most)s can be recorded: "
                    "send shorter texts."
                ) % {"n": grouped(len(record)), "most": grouped(self._most_bytes)}
                raise TooLarge(message, errors=[{"row": row, "field": None, "message": message}])

    def close(self, timeout_s: float = DELIVERY_TIMEOUT_S) -> None:
        """Wait for what is under way."""
        self._deliveries.close(timeout_s)
