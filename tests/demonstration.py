"""A demonstration on a running stack, in which parts are killed one after another at seeded moments."""

import contextlib
import json
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import psutil

from stack import demonstration, groups, spark_jobs
from stack.catalogue import PARTS
from tests.running_stack import RunningStack

# Which step each kill waits for; the driver of the Spark job lives in one only.
STEPS = ("train", "train", "train", "predict", "stream", "stream", "spark", "spark", "drift")
DRIVER = "driver"
VICTIMS = ("web", "serving", "worker", "watch", "recorder", "aggregator", "kafka", "postgres", "redis")
MOST_WALKS = 5
WALK_S = 600
LOOKS_EVERY_S = 0.2


@dataclass
class Walks:
    """What became of it. ends: state and last words of each walk; killed: in which order."""

    stack: RunningStack
    log_from: int = 0  # where its words begin in the log
    ends: list[tuple[str, str]] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)

    def rows(self, sql: str) -> list[list[str]]:
        """Rows of the console's database, every value as text."""
        options = ("--tuples-only", "--no-align", "--field-separator", "\t", "--command", sql)
        done = self.stack.command("psql", "--", *options)
        assert done.returncode == 0, done.stderr
        return [line.split("\t") for line in done.stdout.splitlines() if line]

    def number(self, sql: str) -> int:
        return int(self.rows(sql)[0][0])

    def facts(self, step: str) -> dict[str, Any]:
        """What the demonstration itself remembers of a step."""
        found: dict[str, Any] = json.loads(
            self.rows(f"SELECT facts FROM demo_step WHERE name = '{step}'")[0][0]
        )
        return found


def walk_with_kills(stack: RunningStack, dice: random.Random) -> Walks:
    """Walk, again when a walk says that a step is to be repeated, until it is done and all were killed."""
    walks = Walks(stack, log_from=len(_log(stack)))
    over = threading.Event()
    killer = threading.Thread(target=_kill, args=(walks, dice, over), daemon=True)
    killer.start()
    while not walks.ends or (walks.ends[-1][0] != "done" and len(walks.ends) < MOST_WALKS):
        walks.ends.append(_walk(stack))
    over.set()
    killer.join(120)
    stack.wait_until_healthy()
    return walks


def _walk(stack: RunningStack) -> tuple[str, str]:
    demonstration.start(stack.config)
    deadline = time.monotonic() + WALK_S
    while (about := demonstration.standing(stack.config)) is None or about.state == "running":
        assert time.monotonic() < deadline, f"it still runs after {WALK_S} s: {about}"
        time.sleep(0.5)
    return about.state, about.words


def _kill(walks: Walks, dice: random.Random, over: threading.Event) -> None:
    victims = list(zip(STEPS, dice.sample(VICTIMS, len(VICTIMS)), strict=True))
    # First of its step: a part that is killed before may take as long to be back as the job takes.
    victims.insert([step for step, _name in victims].index("spark"), ("spark", DRIVER))
    for step, name in victims:
        while not over.is_set() and not _has_begun(walks, step):
            time.sleep(LOOKS_EVERY_S)
        time.sleep(dice.uniform(0.0, 3.0))
        if over.is_set():
            return
        if name == DRIVER:
            if not _kill_driver(walks.stack, over):
                return
        else:
            groups.kill(walks.stack.config, PARTS[name])
            walks.stack.wait_until_healthy([name])
        walks.killed.append(name)


def _has_begun(walks: Walks, step: str) -> bool:
    return f"  {step:<8} …" in _log(walks.stack)[walks.log_from :]


def _log(stack: RunningStack) -> str:
    log = stack.config.logs_dir / f"{demonstration.NAME}.log"
    return log.read_text() if log.exists() else ""


def _kill_driver(stack: RunningStack, over: threading.Event) -> bool:
    """The JVM alone, if there was one: its launcher lives and notes how it ended."""
    while not over.is_set():
        found = [process for process in spark_jobs.processes(stack.config) if _is_driver(process)]
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if found:
            return True
        time.sleep(LOOKS_EVERY_S)
    return False


def _is_driver(process: psutil.Process) -> bool:
    """Not the JVM before it, which only puts the command line together."""
    try:
        return process.name() == "java" and "org.apache.spark.launcher.Main" not in process.cmdline()
    except psutil.NoSuchProcess:
        return False
