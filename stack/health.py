"""How the parts are: supervised, alive, answering; with what they use of the machine."""

import contextlib
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from http.client import HTTPException

import psutil
import psycopg2

from stack import catalogue, groups, supervisor
from stack.config import Config
from stack.errors import StackError
from stack.parts import Part

NOT_WORKING = (OSError, HTTPException, psycopg2.Error, StackError, KeyError, ValueError)


@dataclass(frozen=True)
class Standing:
    """How one part is; `reason` is empty when it is healthy."""

    part: str
    health: str  # healthy, starting, unhealthy, stopped
    reason: str
    pid: int | None
    port: int | None
    memory_bytes: int
    uptime_s: float


def standings(config: Config, parts: Iterable[Part]) -> list[Standing]:
    """How these parts are now, all asked at the same time; without what they take of memory."""
    states = supervisor.states(config)
    with ThreadPoolExecutor(max_workers=16) as pool:
        return list(pool.map(lambda part: _standing(config, part, states.get(part.name)), parts))


def with_memory(config: Config, standing: Standing) -> Standing:
    """The same with what it takes of memory, which is dear to find out."""
    if standing.pid is None:
        return standing
    (part,) = catalogue.find(standing.part)
    return replace(standing, memory_bytes=memory_bytes(groups.members(config, part)))


def reason_unhealthy(config: Config, part: Part, *, started_at: float) -> str:
    """Why the part does not work, in a few words; empty when it does."""
    try:
        part.health(config, started_at)
    except NOT_WORKING as error:
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def memory_bytes(processes: Iterable[psutil.Process]) -> int:
    """Proportional set size: what several processes share counts once. 0 for what may not be looked at."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error, OSError):
            total += process.memory_full_info().pss
    return total


def cpu_s(processes: Iterable[psutil.Process]) -> float:
    """Processor time that these processes have used so far."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _standing(config: Config, part: Part, state: supervisor.State | None) -> Standing:
    port = config.port(part.port) if part.port else None
    if state is None or not state.is_up:
        words = state.description if state else ""
        return Standing(part.name, "stopped", words or "not started", None, port, 0, 0.0)
    reason = reason_unhealthy(config, part, started_at=state.started_at)
    health = "healthy" if not reason else ("starting" if time.time() - state.started_at < 60 else "unhealthy")
    return Standing(part.name, health, reason, state.pid, port, 0, max(0.0, time.time() - state.started_at))
