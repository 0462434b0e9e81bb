"""Count the events of every stream into windows until told to stop."""

import gc
import signal
import threading
from typing import Any

import structlog
from django.core.management.base import BaseCommand
from django.db import DatabaseError, InterfaceError, connection

from core.lib import heartbeat, lag, metrics_port
from core.lib.lag import Behind
from streaming.aggregator import Runner
from streaming.models import Stream
from streaming.rules import RuleRunner

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
STOP_WAIT_S = 10.0


class Command(BaseCommand):
    help = (
        "Count streams, and judge their events by anomaly rules: Kafka in, rows and live frames out. "
        "Stops cleanly at SIGTERM and SIGINT."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        gc.collect()
        gc.freeze()  # what Django loaded is not looked through again for every batch
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        runners: dict[int, Runner] = {}
        rules: dict[int, Runner] = {}
        metrics_port.serve()
        end_heartbeat = heartbeat.keep(lag.AGGREGATOR, behind=lambda: _behind(runners))
        try:
            while not stop.is_set():
                _follow(runners, rules)
                stop.wait(LOOK_EVERY_S)
        finally:
            for runner in (*runners.values(), *rules.values()):
                runner.stop()
            for runner in (*runners.values(), *rules.values()):
                runner.join(STOP_WAIT_S)
            end_heartbeat()


def _behind(runners: dict[int, Runner]) -> dict[str, Behind]:
    """By stream; one that has just begun tells nothing, one that failed that it is stuck."""
    found = {runner.stream_name: runner.behind for runner in list(runners.values())}
    return {name: behind for name, behind in found.items() if behind is not None}


def _follow(runners: dict[int, Runner], rules: dict[int, Runner]) -> None:
    """Start a thread for each stream and each rule that has none; what is no longer there ends by itself."""
    for threads in (runners, rules):
        for stream_id in [stream_id for stream_id, runner in threads.items() if not runner.is_alive()]:
            del threads[stream_id]
    try:
        streams = list(Stream.objects.values_list("pk", "name", "definition__anomaly_rule"))
    except (DatabaseError, InterfaceError) as error:
        log.warning("aggregator.waits", error=str(error))
        connection.close()
        return
    for stream_id, name, rule in streams:
        if stream_id not in runners:
            runners[stream_id] = Runner(stream_id, name)
            runners[stream_id].start()
        if rule and stream_id not in rules:
            rules[stream_id] = RuleRunner(stream_id, name)
            rules[stream_id].start()
