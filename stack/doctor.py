"""`make doctor`: what is wrong with this stack, and what to do; with what the console finds itself.

Each check stands for itself: one that fails or takes too long is its own line. The console's checks
(`console/doctor.py`) run in a process of theirs, which gets a time limit.
"""

import hashlib
import json
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import asdict, dataclass
from threading import Thread
from typing import Any, TypeVar

from stack import catalogue, console_parts, health, java, ports, postgres, supervisor, up
from stack.config import REPO, Config
from stack.errors import StackError

TIMEOUT_S = 10.0
CONSOLE_TIMEOUT_S = 30.0
MIB = 1 << 20
T = TypeVar("T")
LOCKS = {"console": "console.txt", "airflow": "airflow.txt"}


@dataclass(frozen=True)
class Finding:
    """What a check found. advice: what to do; empty where all is well."""

    name: str
    label: str
    is_well: bool
    words: str
    advice: str = ""


class Wrong(Exception):
    """What is wrong, and what to do about it."""

    def __init__(self, words: str, advice: str) -> None:
        super().__init__(words)
        self.words, self.advice = words, advice


def findings(config: Config) -> list[Finding]:
    """All checks at once, the stack's own first."""
    own = {name: _begun(check, config) for name, (_label, check) in CHECKS.items()}
    asked = _begun(_console, config)
    wait(own.values(), timeout=TIMEOUT_S)
    found = [_finding(name, CHECKS[name][0], future) for name, future in own.items()]
    wait([asked], timeout=CONSOLE_TIMEOUT_S + 5)
    if asked.done() and asked.exception() is None:
        return found + [one for one in asked.result() if one.name not in CHECKS]
    return [*found, _finding("console", "Console", asked)]


def in_lines(found: Sequence[Finding]) -> str:
    """As people read it, what is wrong last, where a terminal shows it."""
    lines = []
    for finding in sorted(found, key=lambda finding: not finding.is_well):
        lines.append(f"{'ok' if finding.is_well else 'WRONG':<6} {finding.label}: {finding.words}")
        lines += [f"       {finding.advice}"] if finding.advice else []
    n_wrong = sum(not finding.is_well for finding in found)
    lines.append(f"\n{n_wrong} of {len(found)} checks found something." if n_wrong else "\nAll is well.")
    return "\n".join(lines)


def as_json(found: Sequence[Finding]) -> str:
    return json.dumps([asdict(finding) for finding in found], indent=1)


def _begun(check: Callable[[Config], T], config: Config) -> "Future[T]":
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(check(config))
        except Exception as error:  # noqa: BLE001  one check's failure is its own line
            outcome.set_exception(error)

    Thread(target=run, daemon=True).start()
    return outcome


def _finding(name: str, label: str, future: "Future[Any]") -> Finding:
    if not future.done():
        return Finding(name, label, False, "No answer in time.", "See whether what it asks is up.")
    error = future.exception()
    if error is None:
        return Finding(name, label, True, str(future.result()))
    if isinstance(error, Wrong):
        return Finding(name, label, False, error.words, error.advice)
    return Finding(
        name, label, False, f"It could not be looked at: {error}", "See whether what it asks is up."
    )


def _parts(config: Config) -> str:
    if not supervisor.is_running(config):
        raise Wrong("The stack does not run.", "`make up` starts it.")
    found = health.standings(config, catalogue.parts_of(config))
    ill = [f"{one.part}: {one.reason or one.health}" for one in found if one.health != "healthy"]
    if ill:
        raise Wrong("; ".join(ill), "`make logs PART=…` says why; `make up` starts what is down.")
    return f"all {len(found)} healthy"


def _ports(config: Config) -> str:
    """Whether a part that is down finds its port taken, by whom."""
    states = supervisor.states(config)
    down = [
        part
        for part in catalogue.parts_of(config)
        if part.port and not ((state := states.get(part.name)) and state.is_up)
    ]
    taken = [
        f"port {config.port(part.port)} ({part.name}) {ports.holder(config.port(part.port))}"
        for part in down
        if part.port and not ports.is_free(config.port(part.port))
    ]
    if taken:
        raise Wrong("; ".join(taken), "Stop what uses them, or choose another block: CONSOLE_PORT_BASE.")
    last = config.port_base + 99
    return f"{config.port_base} to {last}, none taken by others"


def _disk(config: Config) -> str:
    free = {folder: shutil.disk_usage(folder).free for folder in (config.var_dir, postgres.data_dir(config))}
    folder = min(free, key=lambda one: free[one])
    if free[folder] < 2 * up.LEAST_FREE_BYTES:
        raise Wrong(
            f"{free[folder] // MIB} MiB are left for {folder}.",
            "Make room: PostgreSQL and Kafka stop when there is none.",
        )
    return f"{free[folder] // MIB} MiB free for {folder}"


def _whole(config: Config) -> str:
    if (config.var_dir / up.RESTORING).exists():
        raise Wrong(
            "A restore into this folder was cut off: what is there is not whole.",
            "`make reset`, then restore again.",
        )
    return str(config.var_dir)


def _installed(config: Config) -> str:
    old = []
    for name, lock in LOCKS.items():
        memory = config.venv_dir / name / "locks.json"
        known = json.loads(memory.read_text()) if memory.exists() else {}
        if known.get(lock) != hashlib.sha256((REPO / "requirements" / lock).read_bytes()).hexdigest():
            old.append(name)
    if old:
        raise Wrong(f"Not as this release locks it: {', '.join(old)}", "`make up` installs what is missing.")
    python = ".".join(map(str, sys.version_info[:3]))
    return f"as locked; Python {python}, {java.find()}"


def _secrets(config: Config) -> str:
    names = (
        "secrets.json",
        "console.env",
        "run/stack.json",
        "airflow/passwords.json",
        "airflow/console_tokens.json",
    )
    files = [config.var_dir / name for name in names]
    loose = [str(path) for path in files if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077]
    if loose:
        raise Wrong(
            f"Others may read {', '.join(loose)}.", "`chmod 600` them; change what is in them if need be."
        )
    return "read by their owner alone"


def _console(config: Config) -> list[Finding]:
    """What the console finds of itself."""
    command = [str(config.console_python), "manage.py", "doctor", "--json"]
    try:
        done = subprocess.run(
            command,
            cwd=REPO,
            env=console_parts.environment(config),
            capture_output=True,
            text=True,
            timeout=CONSOLE_TIMEOUT_S,
        )
        return [Finding(**one) for one in json.loads(done.stdout)]
    except subprocess.TimeoutExpired as error:
        raise StackError(f"`manage.py doctor` took more than {CONSOLE_TIMEOUT_S:.0f} s.") from error
    except ValueError as error:
        raise StackError((done.stderr.strip().splitlines() or ["it said nothing"])[-1]) from error


CHECKS: dict[str, tuple[str, Callable[[Config], str]]] = {
    "parts": ("Parts", _parts),
    "ports": ("Ports", _ports),
    "disk": ("Disk", _disk),
    "folder": ("Folder", _whole),
    "installed": ("Installed", _installed),
    "secrets": ("Files with secrets", _secrets),
}
