"""`make up` that cannot work: it says why, ends with a status that is not 0, and leaves nothing running."""

import os
import socket
import stat
import sys
from collections.abc import Iterator

import pytest

from tests import running_stack
from tests.running_stack import RunningStack, environment

PORT_BASE = running_stack.PORT_BASE + 100


@pytest.fixture
def other(tmp_path) -> Iterator[RunningStack]:
    """A second stack, of which nothing runs yet."""
    values = {"CONSOLE_PORT_BASE": str(PORT_BASE), "CONSOLE_VAR_DIR": str(tmp_path / "a stack")}
    yield RunningStack(environment(**values))
    RunningStack(environment(**values)).command("reset")


def test_taken_port_is_named_with_its_holder(other: RunningStack):
    with socket.create_server(("127.0.0.1", PORT_BASE + 12)):
        done = other.command("up")
    assert done.returncode == 1
    assert f"port {PORT_BASE + 12} (kafka) is held by pid {os.getpid()}" in done.stderr
    assert nothing_runs()


def test_folder_that_cannot_be_made_is_named(other: RunningStack, tmp_path):
    (tmp_path / "file").write_text("")
    other.environ["CONSOLE_VAR_DIR"] = str(tmp_path / "file" / "var")
    done = other.command("up")
    assert done.returncode == 1
    assert "Cannot write to" in done.stderr
    assert "CONSOLE_VAR_DIR" in done.stderr


def test_part_that_stays_ill_is_named_with_the_end_of_its_log(other: RunningStack):
    """203.0.113.1 is an address that no machine has."""
    other.environ |= {"COURSE_API_BIND": "203.0.113.1", "CONSOLE_START_TIMEOUT_S": "25"}
    done = other.command("up", "--only", "postgres,redis,course-api")
    assert done.returncode == 1
    assert "redis                  healthy" in done.stdout
    assert "course-api did not become healthy" in done.stderr
    assert "The last lines of" in done.stderr
    assert nothing_runs()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (None, "there is none on the PATH"),
        ('openjdk version "1.8.0_392"', "is Java 8; 17 is needed"),
        ('openjdk version "11.0.2" 2019-01-15', "is Java 11; 17 is needed"),
    ],
)
def test_java_that_does_not_do_is_named(other: RunningStack, tmp_path, said: str | None, message: str):
    folder = tmp_path / "bin"
    folder.mkdir()
    if said:
        (folder / "java").write_text(f"#!/bin/sh\necho '{said}' >&2\n")
        (folder / "java").chmod(stat.S_IRWXU)
    other.environ |= {"PATH": str(folder)}
    other.environ.pop("JAVA_HOME", None)
    done = other._run([sys.executable, "-m", "stack.bootstrap", "-m", "stack", "up"], timeout_s=30)
    assert done.returncode == 1
    assert message in done.stderr


def test_ports_of_a_running_stack_are_not_changed_beneath_it(stack: RunningStack):
    done = RunningStack({**stack.environ, "CONSOLE_PORT_BASE": str(PORT_BASE)}).command("up")
    assert done.returncode == 1
    assert f"runs on ports from {stack.config.port_base}" in done.stderr


def nothing_runs() -> bool:
    ports = range(PORT_BASE, PORT_BASE + 20)
    return not any(answers(port) for port in ports)


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
