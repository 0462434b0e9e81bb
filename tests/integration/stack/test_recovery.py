"""Parts die, and the stack comes back with all that it knew. `make soak` does each case ten times."""

import contextlib
import os
import random
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from stack import catalogue, groups, supervisor
from stack.parts import Part
from tests import api
from tests.api import Caller
from tests.integration import real_jobs
from tests.integration.stack.notes import read_everywhere, write_everywhere
from tests.running_stack import RunningStack

ROUNDS = range(int(os.environ.get("CONSOLE_KILL_ROUNDS", "1")))
SEED = 20260101
N_WAVES = 3  # each part dies once


@pytest.fixture(params=ROUNDS, ids=lambda number: f"round{number}")
def dice(request) -> random.Random:
    return random.Random(SEED + request.param)


@pytest.mark.parametrize("wave", range(N_WAVES))
def test_parts_come_back_when_killed(stack: RunningStack, dice: random.Random, wave: int):
    """A few at a time, whole or the parent alone, whose children must not go on beside new ones."""
    names = dice.sample(list(catalogue.PARTS), len(catalogue.PARTS))[wave::N_WAVES]
    before = {name: processes(stack, catalogue.PARTS[name]) for name in names}
    leaders = {name: leader(stack, name) for name in names}
    for name in names:
        for victim in before[name] if dice.random() < 0.5 else [leaders[name]]:
            with contextlib.suppress(psutil.NoSuchProcess):  # short-lived children end by themselves
                victim.kill()
    wait_for(lambda: not [name for name in names if any(process.is_running() for process in before[name])])
    stack.wait_until_healthy()
    assert not {
        name for name, part in stack.status().items() if name in names and part.pid == leaders[name].pid
    }


def test_everything_killed_at_once_keeps_all_data_and_the_job_that_runs(
    stack: RunningStack, dice: random.Random
):
    note = f"note-{uuid.uuid4().hex[:12]}"  # the stack may be kept from an earlier run
    engineer = Caller(stack, note, "engineer")
    source = Path(stack.env["CONSOLE_OUTPUT_DIR"]) / f"{note}.parquet"
    real_jobs.write_trips(source)
    write_everywhere(stack, note)
    job_id = real_jobs.submit(engineer, source)
    api.wait_for("driver", lambda: real_jobs.driver(stack, job_id), timeout_s=60)
    kill_everything(stack, dice)
    stack.up()
    assert read_everywhere(stack, note) == {"postgres", "redis", "kafka", "mlflow"}
    job = real_jobs.wait_until(engineer, job_id, "succeeded", "failed", "lost")
    assert (job["state"], job["error"]) == ("succeeded", "")
    assert real_jobs.whole_log(engineer, job_id).count("Submitted application") == 1
    assert real_jobs.left(stack, job_id) == []
    source.unlink()


def kill_everything(stack: RunningStack, dice: random.Random) -> None:
    """The supervisor and all parts; what is detached from them goes on."""
    victims = [process for part in catalogue.PARTS.values() for process in processes(stack, part)]
    victims.append(psutil.Process(supervisor.pid(stack.config)))
    dice.shuffle(victims)
    for victim in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.send_signal(signal.SIGSTOP)  # nobody restarts anybody while they die
    for victim in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()


def test_supervisor_killed_alone_starts_no_second_set(stack: RunningStack, dice: random.Random):
    before = {part.name: processes(stack, part) for part in catalogue.PARTS.values()}
    psutil.Process(supervisor.pid(stack.config)).kill()
    time.sleep(dice.random())
    stack.up()
    alive = {name: [p.pid for p in found if p.is_running()] for name, found in before.items()}
    assert not any(alive.values()), alive


def test_nobody_is_left_after_down(stack: RunningStack):
    members = [process for part in catalogue.PARTS.values() for process in processes(stack, part)]
    stack.down()
    try:
        left = [process.cmdline() for process in members if process.is_running()]
        assert left == []
        assert belonging_to(stack) == []
    finally:
        stack.up()


def processes(stack: RunningStack, part: Part) -> list[psutil.Process]:
    return groups.members(stack.config, part)


def leader(stack: RunningStack, name: str) -> psutil.Process:
    return psutil.Process(stack.status()[name].pid)


def belonging_to(stack: RunningStack) -> list[list[str]]:
    """Command lines of whatever works in the stack's folder or listens in its block of ports."""
    folder, found = str(stack.config.var_dir), []
    block = range(stack.config.port_base, stack.config.port_base + 100)
    for process in psutil.process_iter():
        try:
            listens = any(
                c.status == "LISTEN" and c.laddr.port in block for c in process.net_connections("tcp")
            )
            if listens or process.cwd().startswith(folder):
                found.append(process.cmdline())
        except psutil.Error:
            continue
    return found


def wait_for(condition: Callable[[], bool], *, timeout_s: float = 90) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.3)
