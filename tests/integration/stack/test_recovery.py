"""Parts die, and the stack comes back with all that it knew. `make soak` does each case ten times."""

import contextlib
import os
import random
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from stack import catalogue, groups, spark_jobs, supervisor
from stack.parts import Part
from tests import api
from tests.api import Caller
from tests.integration import real_jobs
from tests.integration.stack.notes import read_everywhere, write_everywhere
from tests.running_stack import RunningStack

pytestmark = [pytest.mark.journey, pytest.mark.timeout(900)]

ROUNDS = range(int(os.environ.get("CONSOLE_KILL_ROUNDS", "1")))
SEED = 20260101
N_WAVES = 2  # each part dies once


@pytest.fixture(params=ROUNDS, ids=lambda number: f"round{number}")
def dice(request) -> random.Random:
    return random.Random(SEED + request.param)


class AJob(NamedTuple):
    engineer: Caller
    job_id: str


@pytest.fixture
def note(stack: RunningStack) -> str:
    """Left in every server."""
    text = f"note-{uuid.uuid4().hex[:12]}"
    write_everywhere(stack, text)
    return text


@pytest.mark.parametrize("wave", range(N_WAVES))
def test_parts_come_back_when_killed(stack: RunningStack, dice: random.Random, wave: int):
    """A few at a time, whole or the parent alone, whose children must not go on beside new ones."""
    names = dice.sample(list(catalogue.PARTS), len(catalogue.PARTS))[wave::N_WAVES]
    before = {name: processes(stack, catalogue.PARTS[name]) for name in names}
    found = stack.status()
    leaders = {name: psutil.Process(found[name].pid) for name in names}
    for name in names:
        for victim in before[name] if dice.random() < 0.5 else [leaders[name]]:
            with contextlib.suppress(psutil.NoSuchProcess):  # short-lived children end by themselves
                victim.kill()
    wait_for(lambda: not [name for name in names if any(process.is_running() for process in before[name])])
    stack.wait_until_healthy()
    assert not {
        name for name, part in stack.status().items() if name in names and part.pid == leaders[name].pid
    }


@pytest.fixture
def a_job(stack: RunningStack) -> Iterator[AJob]:
    """Who asked for one, and its id: its driver is there."""
    name = f"recovery-{uuid.uuid4().hex[:12]}"  # the stack may be kept from an earlier run
    engineer = Caller(stack, name, "engineer")
    source = Path(stack.env["CONSOLE_OUTPUT_DIR"]) / f"{name}.parquet"
    real_jobs.write_trips(source)
    job_id = real_jobs.submit(engineer, source)
    api.wait_for("driver", lambda: real_jobs.driver(stack, job_id), timeout_s=60)
    yield AJob(engineer, job_id)
    source.unlink()


def test_everything_killed_at_once_keeps_all_data_and_the_job_that_runs(
    stack: RunningStack, dice: random.Random, note: str, a_job: AJob
):
    engineer, job_id = a_job
    kill_everything(stack, dice)
    stack.up()
    assert read_everywhere(stack, note) == {"postgres", "redis", "kafka", "mlflow"}
    job = real_jobs.wait_until(engineer, job_id, "succeeded", "failed", "lost")
    assert (job["state"], job["error"]) == ("succeeded", "")
    assert real_jobs.whole_log(engineer, job_id).count("Submitted application") == 1
    assert real_jobs.left(stack, job_id) == []


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


def test_nobody_is_left_after_down_and_the_job_that_ran_is_lost(stack: RunningStack, a_job: AJob):
    engineer, job_id = a_job
    java = real_jobs.driver(stack, job_id)
    assert java is not None
    java.send_signal(signal.SIGSTOP)  # it must not end by itself meanwhile
    members = [process for part in catalogue.PARTS.values() for process in processes(stack, part)]
    stack.down()
    try:
        left = [process.cmdline() for process in members if process.is_running()]
        assert left == []
        assert belonging_to(stack) == []
        assert spark_jobs.processes(stack.config) == []
    finally:
        stack.up()
    job = real_jobs.wait_until(engineer, job_id, "lost", timeout_s=90)
    assert job["error"] == "It was ended from outside: the stack was stopped."


def processes(stack: RunningStack, part: Part) -> list[psutil.Process]:
    return groups.members(stack.config, part)


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
