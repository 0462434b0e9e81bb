"""Bring recorded predictions from Kafka into PostgreSQL until told to stop."""

import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from core.lib import heartbeat, lag, metrics_port
from predictions.recorder import Recorder


class Command(BaseCommand):
    help = "Record predictions: Kafka in, rows out. Stops cleanly at SIGTERM and SIGINT."

    def handle(self, *_args: Any, **_options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        recorder = Recorder(settings.CONSOLE_PREDICTIONS_TOPIC, stop)
        metrics_port.serve()
        end_heartbeat = heartbeat.keep(lag.RECORDER, behind=recorder.behind)
        try:
            recorder.run()
        finally:
            end_heartbeat()
