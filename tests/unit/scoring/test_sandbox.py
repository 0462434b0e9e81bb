"""What a sandboxed child can reach and do: tried from inside it."""

import os
import socket
import sys
import time
from pathlib import Path

import pytest

from scoring import sandbox

MiB = 1024 * 1024


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a Python text as a module in the sandbox."""
    plain = sandbox._environment

    def environment(cwd: Path) -> dict[str, str]:
        found = plain(cwd)
        return found | {"PYTHONPATH": found["PYTHONPATH"] + os.pathsep + str(cwd)}

    monkeypatch.setattr(sandbox, "_environment", environment)

    def start(text: str, *arguments: str, timeout_s: float = 30, memory_bytes: int = 1024 * MiB):
        (tmp_path / "child.py").write_text(text)
        return sandbox.run(
            ["child", *arguments], cwd=tmp_path, timeout_s=timeout_s, memory_bytes=memory_bytes
        )

    return start


def test_child_s_words_and_exit_status_come_back(run):
    finished = run("import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)")
    assert (finished.returncode, finished.stdout, finished.timed_out) == (7, "out\n", False)
    assert finished.stderr.endswith("err\n")
    assert finished.isolation.split(", ")[0] in ("namespace", "audit-hook")


def test_secrets_of_the_environment_are_out_of_reach(run, monkeypatch):
    monkeypatch.setenv("CONSOLE_SECRET_KEY", "a-real-secret")
    finished = run("import os; print(dict(os.environ))")
    assert "a-real-secret" not in finished.stdout
    assert "CONSOLE" not in finished.stdout


def test_network_is_out_of_reach(run):
    with socket.create_server(("127.0.0.1", 0)) as server:
        finished = run(
            "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 3)",
            str(server.getsockname()[1]),
        )
    assert finished.returncode == 1
    assert "Network is unreachable" in finished.stderr or "there is no network" in finished.stderr


def test_files_outside_its_folder_are_out_of_reach(run, tmp_path, tmp_path_factory):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.txt"
    secret.write_text("hidden")
    finished = run("import sys; print(open(sys.argv[1]).read())", str(secret))
    if "landlock" not in finished.isolation:
        assert "files open" in finished.isolation  # said, where the kernel cannot
        return
    assert "Permission denied" in finished.stderr
    assert "hidden" not in finished.stdout
    run("open('mine.txt', 'w').write('kept')")
    assert (tmp_path / "mine.txt").read_text() == "kept"


def test_environment_of_this_process_is_out_of_reach(run):
    finished = run(
        "import sys; print(len(open(f'/proc/{sys.argv[1]}/environ', 'rb').read()))", str(os.getpid())
    )
    if "landlock" in finished.isolation:
        assert "Permission denied" in finished.stderr


def test_child_that_hangs_is_killed_with_all_it_started(run, tmp_path):
    text = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1); open(\"late\", \"w\")'])\n"
        "time.sleep(60)"
    )
    finished = run(text, timeout_s=0.7)
    assert finished.timed_out
    assert finished.seconds < 5
    time.sleep(1.2)
    assert not (tmp_path / "late").exists()


def test_child_that_asks_for_too_much_memory_fails(run):
    finished = run("x = bytearray(600 * 1024 * 1024)", memory_bytes=300 * MiB)
    assert finished.returncode == 1
    assert "MemoryError" in finished.stderr


def test_child_that_crashes_is_told_by_its_status(run):
    finished = run("import ctypes; ctypes.string_at(0)")
    assert finished.returncode == 128 + 11


def test_endless_output_is_cut(run):
    finished = run("import sys\nfor _ in range(40): sys.stdout.write('x' * 1024 * 1024)")
    assert len(finished.stdout) == sandbox.KEPT_OUTPUT_BYTES


def test_sandbox_uses_this_interpreter(run):
    assert run("import sys; print(sys.executable)").stdout.strip() == sys.executable
