"""The serving machinery of this process: engine, callers, record writer, refresher; made once."""

import asyncio
import gc
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from django.conf import settings

from predictions.serving import metrics
from predictions.serving.callers import Callers
from predictions.serving.deliveries import Deliveries
from predictions.serving.engine import Engine
from predictions.serving.record_writer import RecordWriter
from predictions.serving.refresh import Refresher
from predictions.serving.sources import ConsoleSource, Source
from predictions.serving.unanswered import Unanswered
from scoring import sandbox


class Service:
    """Everything that answers a prediction."""

    def __init__(self, folder: Path, source: Source, topic: str) -> None:
        self.callers = Callers(settings.CONSOLE_SERVING_MAX_STALE_S)
        unanswered = Unanswered(folder / "unanswered", topic)
        self.deliveries = Deliveries(topic)
        self.writer = RecordWriter(self.deliveries, unanswered)
        self.engine = Engine(self.writer, max_in_flight=settings.CONSOLE_SERVING_MAX_IN_FLIGHT)
        self.refresher = Refresher(self.engine, self.callers, source, folder, unanswered)
        self._isolation = ""
        self._is_started = False
        self._starting = Lock()

    def readiness(self) -> dict[str, Any]:
        """For /readyz: what answers, what does not and why. Ready means that the live tokens are known."""
        return {
            "is_ready": not self.callers.is_too_old,
            "models": {name: found.ref.version for name, found in sorted(self.engine.served.items())},
            "not_loaded": self.refresher.problems,
            "state_age_s": round(min(self.callers.age_s, 1e9), 1),
            "source": "failing" if self.refresher.source_error else "ok",
            "sandbox": self._isolation,
        }

    async def start(self) -> None:
        """Take over what disk knows and keep up from then on."""
        await asyncio.to_thread(self.ensure_started)
        gc.collect()
        # What is loaded by now is not looked through again: every few thousand calls that held up all of
        # them, for 50 to 250 ms.
        gc.freeze()

    def ensure_started(self) -> None:
        """For processes without an ASGI lifespan; does nothing the second time."""
        with self._starting:
            if not self._is_started:
                self._isolation = sandbox.isolation()
                self.writer.start()
                self.refresher.start()
                self._is_started = True

    async def stop(self) -> None:
        """Wait for records under way, then end the threads."""
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        with self._starting:
            if self._is_started:
                self.refresher.stop()
                self.writer.close()
                metrics.write(self.engine.in_flight)
                self._is_started = False


@cache
def service() -> Service:
    """This process's own."""
    folder = settings.CONSOLE_VAR_DIR / "serving"
    return Service(folder, ConsoleSource(), settings.CONSOLE_PREDICTIONS_TOPIC)


def started() -> Service:
    """The same, at work: what Django's views use. Under ASGI the lifespan has started it already."""
    found = service()
    found.ensure_started()
    return found
