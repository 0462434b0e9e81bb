import ast
import json
import sys
from types import SimpleNamespace

import pytest

from stack import install, jars, java
from stack.config import REPO
from stack.errors import StackError

JARS = {"a-1.jar": "ab" * 32, "b-2.jar": "cd" * 32}


def test_bootstrap_parses_under_old_pythons():
    source = (REPO / "stack" / "bootstrap.py").read_text()
    ast.parse(source, feature_version=(3, 4))
    assert "import stack" not in source.split("if sys.version_info")[0]


def test_old_python_is_told_which_one_is_needed(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    source = (REPO / "stack" / "bootstrap.py").read_text()
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer; this is 3\.9"):
        exec(source, {"__name__": "__main__"})  # noqa: S102 - our own file


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_392"', 8),
        ('openjdk version "25" 2025-09-16', 25),
        ("no such thing", None),
    ],
)
def test_java_version_is_read(said: str, version: int | None):
    assert java.major(said) == version


def test_java_home_without_java_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(StackError, match=f"in JAVA_HOME \\({tmp_path}\\)"):
        java.find()


def test_environment_of_the_same_locks_is_left_alone(monkeypatch, tmp_path):
    commands = recorded(monkeypatch)
    write_lock(monkeypatch, tmp_path, "one")
    install._environment(tmp_path, "console", ["console.txt"])
    n_commands = len(commands)
    install._environment(tmp_path, "console", ["console.txt"])
    assert len(commands) == n_commands > 0


def test_environment_of_another_lock_is_made_anew(monkeypatch, tmp_path):
    commands = recorded(monkeypatch)
    write_lock(monkeypatch, tmp_path, "one")
    install._environment(tmp_path, "console", ["console.txt"])
    commands.clear()
    write_lock(monkeypatch, tmp_path, "two")
    install._environment(tmp_path, "console", ["console.txt"])
    assert any("--require-hashes" in command for command in commands)


def test_tools_stay_when_only_the_console_is_asked_for(monkeypatch, tmp_path):
    commands = recorded(monkeypatch)
    write_lock(monkeypatch, tmp_path, "one")
    install._environment(tmp_path, "console", ["console.txt", "dev.txt"])
    commands.clear()
    write_lock(monkeypatch, tmp_path, "two")
    install._environment(tmp_path, "console", ["console.txt"])
    assert str(tmp_path / "requirements" / "dev.txt") in commands[-1]


def test_interrupted_install_is_not_remembered_as_done(monkeypatch, tmp_path):
    recorded(monkeypatch)
    write_lock(monkeypatch, tmp_path, "one")
    install._environment(tmp_path, "console", ["console.txt"])
    write_lock(monkeypatch, tmp_path, "two")
    monkeypatch.setattr(install.subprocess, "run", lambda *_args, **_options: SimpleNamespace(returncode=1))
    with pytest.raises(StackError, match="Installing failed"):
        install._environment(tmp_path, "console", ["console.txt"])
    assert not (tmp_path / "console" / install.MEMORY).exists()


def test_faults_of_jars_are_all_named(tmp_path):
    (tmp_path / "a-1.jar").write_text("something else")
    (tmp_path / "c-3.jar").write_text("")
    assert jars.compare(tmp_path, JARS) == [
        "b-2.jar is missing",
        "c-3.jar is not in the list",
        "a-1.jar differs",
    ]


def test_list_of_jars_is_read_as_sha256sum_writes_it():
    assert jars.parse("".join(f"{digest}  {name}\n" for name, digest in JARS.items())) == JARS


def test_jars_of_another_list_are_not_complete(monkeypatch, tmp_path):
    (tmp_path / jars.MARK).write_text("an older list")
    assert not jars.is_complete(tmp_path, jars.KAFKA)
    (tmp_path / jars.MARK).write_text(jars.KAFKA.sums_file.read_text())
    assert jars.is_complete(tmp_path, jars.KAFKA)
    assert not jars.is_complete(tmp_path, jars.SPARK)


@pytest.mark.parametrize(
    ("options", "locks"),
    [
        ({"with_tools": False}, ["console.txt"]),
        ({"with_tools": True}, ["console.txt", "dev.txt"]),
        ({"with_tools": False, "with_traces": True}, ["console.txt", "traces.txt"]),
    ],
)
def test_the_consoles_environment_has_what_is_asked_for(monkeypatch, tmp_path, options, locks):
    made = {}
    monkeypatch.setattr(install.java, "find", lambda: "java")
    monkeypatch.setattr(install.jars, "is_complete", lambda *_given: True)
    monkeypatch.setattr(install, "_environment", lambda _folder, name, its: made.update({name: its}))
    install.ensure(tmp_path, **options)
    assert made == {"console": locks, "airflow": ["airflow.txt"]}


def recorded(monkeypatch) -> list[list[str]]:
    """Commands are noted instead of run; those that make an environment leave its Python behind."""
    commands: list[list[str]] = []

    def run(command, **_options):
        commands.append([str(word) for word in command])
        if "venv" in commands[-1]:
            (command[-1] / "bin").mkdir(parents=True)
            (command[-1] / "bin" / "python").touch()
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(install.subprocess, "run", run)
    return commands


def write_lock(monkeypatch, tmp_path, text: str) -> None:
    locks = tmp_path / "requirements"
    locks.mkdir(exist_ok=True)
    for name in ("console.txt", "dev.txt", "bootstrap.txt", "build.txt"):
        (locks / name).write_text(text)
    (tmp_path / "tools" / "bin").mkdir(parents=True, exist_ok=True)
    (tmp_path / "tools" / "bin" / "uv").touch()
    known = json.dumps({"bootstrap.txt": install._sha256(locks / "bootstrap.txt")})
    (tmp_path / "tools" / install.MEMORY).write_text(known)
    monkeypatch.setattr(install, "LOCKS", locks)
