"""`manage.py watch`: mirrors Airflow, MLflow and whatever else an app's `sync.py` polls."""

import asyncio
import logging
import os
import signal
from typing import Any

import structlog
from django.core.management.base import BaseCommand
from django.db import connections
from django.utils.module_loading import autodiscover_modules

from core.lib import metrics_port, watching
from core.lib.poll import POLLS

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    help = "Bring the services' news into rows: every app's polls in one process, until SIGTERM or SIGINT."

    def handle(self, **_options: Any) -> None:
        autodiscover_modules("sync")
        # A few threads for as long as the process lives: kept connections spare a sign-in for each poll.
        connections["default"].settings_dict["CONN_MAX_AGE"] = None
        metrics_port.serve()
        log.info("watch.started", polls=sorted(POLLS))
        is_clean = asyncio.run(_until_told(list(POLLS.values())))
        log.info("watch.stopped", is_clean=is_clean)
        if (
            not is_clean
        ):  # a call to a service hangs in a thread that nobody can interrupt, and nothing depends on it
            logging.shutdown()
            os._exit(0)


async def _until_told(polls: list[watching.Poll]) -> bool:
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    return await watching.watch(polls, stop)
