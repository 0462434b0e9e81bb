"""Which processes belong to a part, also when the one that started them is dead.

Each program leads a process group of its own, noted in `run/groups` together with the machine's boot id and
the session that it was started in: a group number alone may by now be somebody else's.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from core.lib.files import write_whole
from stack.config import Config
from stack.parts import Part

STEPS = ((signal.SIGINT, 4.0), (signal.SIGTERM, 6.0), (signal.SIGKILL, 5.0))


def remember(config: Config, part: Part) -> None:
    """Note the present process group as that of the part."""
    note = {"boot": _boot_id(), "group": os.getpgid(0), "session": os.getsid(0)}
    write_whole(_note(config, part), json.dumps(note))


def members(config: Config, part: Part) -> list[psutil.Process]:
    """The living processes of the part with all that they started, whether or not their leader lives."""
    found = {process.pid: process for process in (*_group(config, part), *part.processes(config))}
    for process in list(found.values()):
        with contextlib.suppress(psutil.Error):
            found.update({child.pid: child for child in process.children(recursive=True)})
    return list(found.values())


def end(config: Config, part: Part) -> bool:
    """End every process that the part left behind, gently first; answers whether there were any."""
    there_were = end_found(lambda: members(config, part))
    _note(config, part).unlink(missing_ok=True)
    return there_were


def end_found(find: Callable[[], list[psutil.Process]]) -> bool:
    """End what `find` finds until it finds nothing, gently first; answers whether there was anything."""
    there_were = False
    for step, patience_s in STEPS:
        left = [process for process in find() if process.pid != os.getpid()]
        if not left:
            break
        there_were = True
        _send(left, step)
        _wait(left, patience_s)
    return there_were


def end_all(config: Config, parts: Iterable[Part]) -> list[str]:
    """The same for many parts at the same time; answers the names of those that had left something."""
    parts = list(parts)
    with ThreadPoolExecutor(max_workers=len(parts) or 1) as pool:
        had_some = pool.map(lambda part: end(config, part), parts)
    return [part.name for part, there_were in zip(parts, had_some, strict=True) if there_were]


def kill(config: Config, part: Part) -> int:
    """kill -9 every process of the part at once; answers how many there were."""
    found = members(config, part)
    _send(found, signal.SIGKILL)
    return len(found)


def _group(config: Config, part: Part) -> list[psutil.Process]:
    try:
        note = json.loads(_note(config, part).read_text())
    except FileNotFoundError:
        return []
    if note["boot"] != _boot_id():
        return []
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.Error):
            in_group = os.getpgid(process.pid) == note["group"] and os.getsid(process.pid) == note["session"]
            if in_group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _note(config: Config, part: Part) -> Path:
    folder = config.run_dir / "groups"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{part.name}.json"


def _send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _wait(processes: Iterable[psutil.Process], patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while any(_lives(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.1)


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
