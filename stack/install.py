"""What must be there before the stack can start: two environments from hashed locks, and jars.

Runs under any Python 3.11+ with nothing installed, hence standard library only. Each environment remembers
the hashes of the locks that it was made from, so that an up-to-date one costs no look at the network.

    python -m stack.bootstrap -m stack up           install what is missing, then run `python -m stack up`
    python -m stack.bootstrap --dev -m pytest       the same, with the tools for tests and checks
    python -m stack.bootstrap --check -m ...        the same, with what builds the site of docs/ too
    python -m stack.bootstrap --docs -m ...         what builds that site, without the tools
    python -m stack.bootstrap --bench -m stack ...  the same, with the peers that `make bench` needs
    python -m stack.bootstrap --load -m stack ...   the same, with Locust, which `make load` needs
    python -m stack.bootstrap --notebook -m ...     the same, then the notebooks' own Python, with JupyterLab
    python -m stack.bootstrap --as-is -m stack ...  install nothing
"""

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

from stack import config, jars, java
from stack.errors import StackError

LOCKS = config.REPO / "requirements"
MEMORY = "locks.json"
EXTRA = {
    "--check": ("docs",),
    "--docs": ("docs",),
    "--bench": ("bench", "bench-bentoml"),
    "--load": ("load",),
    "--notebook": ("notebook",),
}
WITH_TOOLS = ("--dev", "--check")
OPTIONS = ("--dev", *EXTRA, "--as-is")


def main(arguments: list[str]) -> NoReturn:
    """Install what the options ask for, then become the console's Python with the remaining arguments.

    With `--notebook` the Python is the notebooks' own: JupyterLab runs in it, and so do the notebooks.
    """
    option = arguments.pop(0) if arguments and arguments[0] in OPTIONS else ""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # without byte code every start is slow
    try:
        site = config.from_environment()
        if option != "--as-is":
            ensure(
                site.venv_dir,
                with_tools=option in WITH_TOOLS,
                with_traces=site.is_traced,
                extra=EXTRA.get(option, ()),
            )
        elif not site.console_python.exists():
            raise StackError("Nothing is installed yet: run `make up` first.")
    except StackError as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted; the next run goes on from here.")
    python = site.console_python
    if option == "--notebook":
        os.environ.setdefault("ATALAYA_URL", site.public_url)
        python = notebook_python(site.venv_dir)
    os.execv(python, [str(python), *arguments])  # noqa: S606 - no shell is wanted


def notebook_python(folder: Path) -> Path:
    """The Python that runs docs/notebooks; it is there once `make notebook` has run."""
    return folder / "notebook" / "bin" / "python"


def ensure(folder: Path, *, with_tools: bool, with_traces: bool = False, extra: Sequence[str] = ()) -> None:
    """Bring both environments and the jars up to date with the locks of this checkout.

    with_traces: what sends them to a collector. extra: others, which only one command needs.
    """
    java_program = java.find()
    _writable(folder)
    with _alone(folder):
        wanted_too = {"dev.txt": with_tools, "traces.txt": with_traces}
        console = ["console.txt", *(lock for lock, is_wanted in wanted_too.items() if is_wanted)]
        _environment(folder, "console", console)
        _environment(folder, "airflow", ["airflow.txt"])
        for name in extra:
            _environment(folder, name, [f"{name}.txt"])
        for wanted in jars.SETS:
            target = folder / wanted.name
            if not jars.is_complete(target, wanted):
                _say(f"{wanted.whose}: resolving (up to a minute, once)")
                jars.resolve(target, wanted, java_program=java_program, environment=folder / "console")


def _environment(folder: Path, name: str, locks: Sequence[str]) -> None:
    target = folder / name
    memory = target / MEMORY
    known: dict[str, str] = json.loads(memory.read_text()) if memory.exists() else {}
    locks = list(dict.fromkeys([*locks, *known]))  # the tools stay where they are once
    wanted = {lock: _sha256(LOCKS / lock) for lock in locks}
    if wanted.items() <= known.items() and (target / "bin" / "python").exists():
        return
    started_at = time.monotonic()
    _say(f"environment {name}: installing {', '.join(locks)}")
    uv = _uv(folder)
    memory.unlink(missing_ok=True)
    if not (target / "bin" / "python").exists():
        _run([sys.executable, "-m", "venv", "--clear", "--without-pip", target])
    command: list[str | Path] = [
        uv,
        "pip",
        "sync",
        "--python",
        target / "bin" / "python",
        "--require-hashes",
        "--compile-bytecode",
    ]
    command += ["--build-constraints", LOCKS / "build.txt"]
    _run([*command, *(LOCKS / lock for lock in locks)])
    memory.write_text(json.dumps(wanted))
    _say(f"environment {name}: ready in {time.monotonic() - started_at:.0f} s")


def _uv(folder: Path) -> Path:
    """uv in an environment of its own, by pip and with hashes; made again when its lock changed."""
    target = folder / "tools"
    uv, memory = target / "bin" / "uv", target / MEMORY
    wanted = json.dumps({"bootstrap.txt": _sha256(LOCKS / "bootstrap.txt")})
    if not (uv.exists() and memory.exists() and memory.read_text() == wanted):
        _say("uv: installing")
        try:
            _run([sys.executable, "-m", "venv", "--clear", target])
        except StackError as error:
            raise StackError(f"{error}\nOn Debian and Ubuntu the package python3-venv is missing.") from error
        pip: list[str | Path] = [
            target / "bin" / "python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        _run([*pip, "--require-hashes", "--requirement", LOCKS / "bootstrap.txt"])
        memory.write_text(wanted)
    return uv


def _run(command: Sequence[str | Path]) -> None:
    environment = {
        name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")
    }
    done = subprocess.run(command, env=environment)
    if done.returncode != 0:
        words = " ".join(map(str, command[:4]))
        raise StackError(
            f"Installing failed (exit status {done.returncode}): {words} …; its last lines say why."
        )


def _writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(
            f"Cannot write to {folder}: {error.strerror}. CONSOLE_VENV_DIR names another place."
        ) from error
    if not os.access(folder, os.W_OK):
        raise StackError(f"Cannot write to {folder}: no permission. CONSOLE_VENV_DIR names another place.")


@contextmanager
def _alone(folder: Path):  # type: ignore[no-untyped-def]
    """Two stacks that share what is installed take turns."""
    stream: IO[str]
    with (folder / ".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _say(text: str) -> None:
    print(text, flush=True)
