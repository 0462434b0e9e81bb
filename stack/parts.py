"""What a part of the stack is: a program, how one tells that it works, and what it needs first."""

import pwd
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from stack.config import Config


@dataclass(frozen=True)
class Program:
    """A command line with exactly the environment that it sees."""

    argv: list[str]
    environment: Mapping[str, str]
    folder: Path
    account: pwd.struct_passwd | None = None  # None: the present user


def _no_processes(_config: Config) -> list[psutil.Process]:
    return []


def _nothing(_config: Config) -> None:
    return None


@dataclass(frozen=True)
class Part:
    """One supervised program of the stack.

    health: returns when the part works; raises when not, with a reason. Its second argument is when the
    process started (unix time), for parts that prove their life by a heartbeat: an older one is of an
    earlier life.
    needs: parts that must answer before this one's program is started.
    processes: what belongs to the part beyond its process group.
    is_errand: whether it ends by itself, and is not started again.
    """

    name: str
    program: Callable[[Config], Program]
    health: Callable[[Config, float], None]
    needs: tuple[str, ...] = ()
    port: str | None = None
    processes: Callable[[Config], list[psutil.Process]] = _no_processes
    before_start: Callable[[Config], None] = _nothing
    stop_signal: str = "TERM"
    stop_wait_s: int = 15
    is_errand: bool = False
