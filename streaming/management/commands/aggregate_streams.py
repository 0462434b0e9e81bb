"""Count the events of every stream into windows until told to stop."""

import gc
import signal
import threading
from typing import Any

import structlog
from django.core.management.base import BaseCommand
from django.db import DatabaseError, InterfaceError, connection

from core.lib import heartbeat, lag
from core.lib.lag import Behind
from streaming.aggregator import Runner
from streaming.models import Stream

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
STOP_WAIT_S = 10.0


class Command(BaseCommand):
    help = "Count streams: Kafka in, windows and live frames out. Stops cleanly at SIGTERM and SIGINT."

    def handle(self, *_args: Any, **_options: Any) -> None:
        gc.collect()
        gc.freeze()  # what Django loaded is not looked through again for every batch
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        runners: dict[int, Runner] = {}
        end_heartbeat = heartbeat.keep(lag.AGGREGATOR, behind=lambda: _behind(runners))
        try:
            while not stop.is_set():
                _follow(runners)
                stop.wait(LOOK_EVERY_S)
        finally:
            for runner in runners.values():
                runner.stop()
            for runner in runners.values():
                runner.join(STOP_WAIT_S)
            end_heartbeat()


def _behind(runners: dict[int, Runner]) -> dict[str, Behind]:
    """By stream; one that has just begun tells nothing, one that failed that it is stuck."""
    found = {runner.stream_name: runner.behind for runner in list(runners.values())}
    return {name: behind for name, behind in found.items() if behind is not None}


def _follow(runners: dict[int, Runner]) -> None:
    """Start a thread for each stream that has none; one whose stream was deleted ends by itself."""
    for stream_id in [stream_id for stream_id, runner in runners.items() if not runner.is_alive()]:
        del runners[stream_id]
    try:
        streams = list(Stream.objects.values_list("pk", "name"))
    except (DatabaseError, InterfaceError) as error:
        log.warning("aggregator.waits", error=str(error))
        connection.close()
        return
    for stream_id, name in streams:
        if stream_id not in runners:
            runners[stream_id] = Runner(stream_id, name)
            runners[stream_id].start()
