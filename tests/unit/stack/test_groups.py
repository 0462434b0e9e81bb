import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from stack import catalogue, config, groups

PART = catalogue.PARTS["redis"]
SLEEP = "import time; time.sleep(60)"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); {SLEEP}"
STUBBORN = (
    "import signal; [signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)]; "
    f"print('deaf', flush=True); {SLEEP}"
)


@pytest.fixture
def site(tmp_path) -> config.Config:
    return config.from_environment({"CONSOLE_VAR_DIR": str(tmp_path)}, dotenv=tmp_path / ".env")


@pytest.fixture
def program(site):
    """Starts a program as the supervisor would, in a group of its own that is noted as the part's."""
    started = []

    def start(code: str) -> subprocess.Popen:
        process = subprocess.Popen([sys.executable, "-c", code], process_group=0, stdout=subprocess.PIPE)
        started.append(process)
        note(site, boot=groups._boot_id(), group=process.pid, session=os.getsid(process.pid))
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=10)


def test_children_are_found_when_their_parent_is_dead(site, program):
    parent = program(PARENT)
    wait_for(lambda: len(groups.members(site, PART)) == 2)
    (child,) = psutil.Process(parent.pid).children()
    parent.kill()
    parent.wait(10)
    assert [process.pid for process in groups.members(site, PART)] == [child.pid]
    assert groups.end(site, PART)
    assert groups.members(site, PART) == []
    assert not groups.end(site, PART)


@pytest.mark.parametrize("change", [{"boot": "an earlier one"}, {"session": 1}])
def test_group_number_of_somebody_else_is_left_alone(site, program, change: dict):
    process = program(SLEEP)
    known = {"boot": groups._boot_id(), "group": process.pid, "session": os.getsid(process.pid)}
    assert [found.pid for found in groups.members(site, PART)] == [process.pid]
    note(site, **known | change)
    assert groups.members(site, PART) == []


def test_process_that_hears_no_signal_is_killed(site, program, monkeypatch):
    monkeypatch.setattr(groups, "STEPS", tuple((number, 0.3) for number, _ in groups.STEPS))
    process = program(STUBBORN)
    assert process.stdout.readline() == b"deaf\n"
    assert groups.end(site, PART)
    assert process.wait(10) == -9


def note(site: config.Config, **values: object) -> None:
    path = site.run_dir / "groups" / "redis.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


def wait_for(condition, timeout_s: float = 15) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
