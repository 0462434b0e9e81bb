"""What the commands print."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from stack import demonstration, groups, health, supervisor
from stack.config import Config
from stack.health import Standing
from stack.parts import Part

READY_TARGET_S = 45
MEMORY_TARGET_GIB = 3
CPU_TARGET = 0.25
GIB = 1 << 30
MIB = 1 << 20


def healthy(standing: Standing) -> None:
    print(f"  {standing.part:<22} healthy after {standing.uptime_s:4.1f} s", flush=True)


def ready(config: Config, parts: Sequence[Part], *, took_s: float, told: str) -> None:
    print(f"\nAtalaya is up: {config.public_url}")
    if told.strip():
        print(f"\n{told.strip()}\n")
    print(f"ready in {took_s:.1f} s (target on 2 cores: {READY_TARGET_S} s)")
    memory = total_memory_bytes(config, parts) / GIB
    print(f"memory   {memory:.2f} GiB proportional set size (target: {MEMORY_TARGET_GIB} GiB)")
    print("idle load: `make measure`; parts: `make status`; stop: `make down`", flush=True)


def already_up(config: Config, parts: Sequence[Part]) -> None:
    print(f"Nothing to do: all {len(parts)} parts are up and healthy. {config.public_url}", flush=True)


def table(standings: Iterable[Standing]) -> str:
    """The lines of `make status`."""
    rows = [["part", "health", "pid", "port", "memory", "uptime", ""]]
    rows += [_row(standing) for standing in standings]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    lines = (
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[6]])
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def as_json(config: Config, standings: Iterable[Standing], about: demonstration.About | None) -> str:
    found = {
        "url": config.public_url,
        "parts": [asdict(standing) for standing in standings],
        "demonstration": asdict(about) if about is not None else None,
    }
    return json.dumps(found, indent=1)


def total_memory_bytes(config: Config, parts: Iterable[Part]) -> int:
    return health.memory_bytes(processes(config, parts))


def processes(config: Config, parts: Iterable[Part]) -> list[health.psutil.Process]:
    """Every process of these parts and of the supervisor, each once."""
    found = {process.pid: process for part in parts for process in groups.members(config, part)}
    number = supervisor.pid(config)
    if number is not None:
        found.setdefault(number, health.psutil.Process(number))
    return list(found.values())


def _row(standing: Standing) -> list[str]:
    memory = f"{standing.memory_bytes / MIB:.0f} MiB" if standing.memory_bytes else ""
    uptime = _uptime(standing.uptime_s) if standing.pid else ""
    pid, port = (str(number) if number else "" for number in (standing.pid, standing.port))
    return [standing.part, standing.health, pid, port, memory, uptime, standing.reason[:100]]


def _uptime(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {rest:02}s"
