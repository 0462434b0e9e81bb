"""The loop behind `manage.py watch`: every poll at its own pace, none beside itself, none can stop another.

A poll that fails is asked again after twice as long each time, half a minute at most. What happened to it
lands in `SyncState`: changes at once, "all is well" every few seconds, so that an idle console writes little.
"""

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog
from django.db import Error, InterfaceError, OperationalError, close_old_connections

from core.lib import aside, heartbeat, live, metrics
from core.lib.errors import ConsoleError
from core.lib.models import SyncState
from core.lib.poll import Poll

log = structlog.get_logger(__name__)

LONGEST_WAIT_S = 30.0
NOTED_EVERY_S = 5.0
GRACE_S = 3.0
LONGEST_ERROR = 2000


@dataclass
class Watched:
    """One poll and how it went lately."""

    poll: Poll
    n_failures: int = 0
    is_noted_well: bool | None = None
    noted_at: float = field(default=-NOTED_EVERY_S)

    def run_once(self) -> float:
        """Run the poll and note the outcome; returns the seconds until the next time. For a thread."""
        started = time.monotonic()
        error = self._outcome()
        seconds = time.monotonic() - started
        metrics.POLL_SECONDS.labels(self.poll.name, "failed" if error else "ok").observe(seconds)
        self.n_failures = self.n_failures + 1 if error else 0
        self._note(error)
        close_old_connections()
        if not error:
            return max(0.0, self.poll.every_s - seconds)
        return min(self.poll.every_s * 2**self.n_failures, LONGEST_WAIT_S)

    def _outcome(self) -> str:
        """The error in words; empty when all went well."""
        try:
            self.poll.run()
        except ConsoleError as error:
            if self.n_failures == 0:
                log.warning("poll.failed", poll=self.poll.name, error=error.message)
            return error.message or str(error.title)
        except (OperationalError, InterfaceError) as error:
            if self.n_failures == 0:
                log.warning("poll.no_database", poll=self.poll.name, error=str(error))
            return f"{type(error).__name__}: {error}"
        except Exception as error:
            log.exception("poll.broken", poll=self.poll.name)
            return f"{type(error).__name__}: {error}"
        return ""

    def _note(self, error: str) -> None:
        is_change = self.is_noted_well is not (not error)
        if not is_change and (time.monotonic() - self.noted_at < NOTED_EVERY_S):
            return
        try:
            if error:
                SyncState.failed(self.poll.name, self.poll.service, aside.clean(error, LONGEST_ERROR))
            else:
                SyncState.succeeded(self.poll.name, self.poll.service)
        except Error as database_error:
            log.warning("poll.not_noted", poll=self.poll.name, error=str(database_error))
            return
        self.noted_at = time.monotonic()
        if is_change:
            log.info("poll.changed", poll=self.poll.name, is_well=not error)
            live.publish("health")
        self.is_noted_well = not error


async def watch(polls: list[Poll], stop: asyncio.Event) -> bool:
    """Run the polls until `stop` is set; False when one was still running after the grace time."""
    executor = ThreadPoolExecutor(max_workers=len(polls) + 1, thread_name_prefix="poll")
    tasks = [asyncio.create_task(_repeat(Watched(poll), executor, stop)) for poll in polls]
    tasks.append(asyncio.create_task(_beat(executor, stop)))
    told = asyncio.create_task(stop.wait())
    done, _running = await asyncio.wait([told, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in done - {told}:
        task.result()  # a loop that ended by itself is broken: better be restarted than go on without it
    _done, late = await asyncio.wait(tasks, timeout=GRACE_S)
    executor.shutdown(wait=False, cancel_futures=True)
    return not late


async def _repeat(watched: Watched, executor: ThreadPoolExecutor, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        await _pause(await loop.run_in_executor(executor, watched.run_once), stop)


async def _beat(executor: ThreadPoolExecutor, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        await loop.run_in_executor(executor, heartbeat.try_beat, "watch")
        await _pause(heartbeat.EVERY_S, stop)


async def _pause(seconds: float, stop: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
