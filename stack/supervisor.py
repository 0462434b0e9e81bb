"""supervisord, which restarts what dies and writes one log a part: its file, its start, and its RPC.

Its socket can stop parts and read logs. The mode of the socket keeps other accounts out, its password also
whoever runs as the same account and may not read the stack's secrets: the sandbox of the gate.
"""

import contextlib
import hashlib
import http.client
import os
import shlex
import subprocess
import tempfile
import time
import xmlrpc.client
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from supervisor.xmlrpc import SupervisorTransport

from core.lib.files import write_whole
from stack import base
from stack.config import REPO, Config
from stack.errors import StackError
from stack.parts import Part

UP = {"STARTING", "RUNNING"}
USER = "stack"
SOCKET_PATH_LIMIT = 100  # of 107 that the kernel allows, for the temporary name that supervisord binds first
GONE = (OSError, http.client.HTTPException, xmlrpc.client.Error)

HEAD = """\
[supervisord]
logfile={logs}/supervisord.log
logfile_maxbytes=5MB
logfile_backups=2
pidfile={run}/supervisord.pid
childlogdir={logs}
minfds=1024
umask=077
{user}
[unix_http_server]
file={socket}
chmod=0700
username={username}
password={{SHA}}{password_sha1}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

PROGRAM = """
[program:{name}]
command={command}
directory={repo}
autostart=false
autorestart={is_restarted}
startsecs={start_s}
startretries=30
stopsignal={stop_signal}
stopwaitsecs={stop_wait_s}
stopasgroup=false
killasgroup=true
redirect_stderr=true
stdout_logfile={logs}/{name}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=3
"""


@dataclass(frozen=True)
class State:
    """What the supervisor knows of one program."""

    is_up: bool
    pid: int
    started_at: float  # 0 for one that was never started
    description: str
    exit_status: int = 0  # of one that has ended


def write_file(config: Config, parts: Iterable[Part]) -> None:
    folders = {"logs": _quoted(config.logs_dir), "run": _quoted(config.run_dir), "repo": _quoted(REPO)}
    user = "user=root\n" if os.geteuid() == 0 else ""
    # Its hash: the secret itself is long and random, so nothing of it can be guessed from that.
    secret = config.secrets["supervisor"].encode()
    sha1 = hashlib.sha1(secret, usedforsecurity=False).hexdigest()  # the only one it knows
    access = {"socket": _quoted(socket_path(config)), "username": USER, "password_sha1": sha1}
    text = HEAD.format(user=user, **access, **folders)
    for part in parts:
        command = shlex.join([str(config.console_python), "-m", "stack.run", part.name]).replace("%", "%%")
        options = {
            "stop_signal": part.stop_signal,
            "stop_wait_s": part.stop_wait_s,
            "is_restarted": str(not part.is_errand).lower(),
            "start_s": 0 if part.is_errand else 1,
        }
        text += PROGRAM.format(name=part.name, command=command, **options, **folders)
    write_whole(_file(config), text)


def socket_path(config: Config) -> Path:
    """Its socket: in the stack's folder, or in the temporary one when that path is too long for a socket."""
    path = config.run_dir / "supervisor.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    name = hashlib.sha256(os.fsencode(config.var_dir)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"atalaya-{os.geteuid()}-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise StackError(f"{folder} belongs to somebody else.")
    return folder / "supervisor.sock"


def start(config: Config, *, patience_s: float = 15) -> None:
    """Start supervisord with no program running, and wait for its RPC."""
    command = [str(config.console_python), "-m", "supervisor.supervisord", "-c", str(_file(config))]
    environment = base.environment(CONSOLE_VAR_DIR=str(config.var_dir))
    done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True)
    deadline = time.monotonic() + patience_s
    while done.returncode == 0 and not is_running(config) and time.monotonic() < deadline:
        time.sleep(0.05)
    if not is_running(config):
        raise StackError(f"The supervisor did not start:\n{done.stdout}{done.stderr}")


def is_running(config: Config) -> bool:
    with contextlib.suppress(*GONE):
        return bool(call(config, "getState")["statename"] == "RUNNING")
    return False


def asks_for_no_password(config: Config) -> bool:
    """Whether the one that runs was started by a release whose supervisor had none."""
    with contextlib.suppress(*GONE):
        return bool(_call(config, None, "getState"))
    return False


def pid(config: Config) -> int | None:
    """Its process id, from its own answer."""
    with contextlib.suppress(*GONE):
        return int(call(config, "getPID"))
    return None


def states(config: Config) -> dict[str, State]:
    """What it knows of each program; nothing when it does not run."""
    with contextlib.suppress(*GONE):
        return {info["name"]: _state(info) for info in call(config, "getAllProcessInfo")}
    return {}


def start_program(config: Config, part: Part) -> None:
    """Start one program and do not wait; one that runs already is left alone."""
    if not (state := states(config).get(part.name)) or not state.is_up:
        call(config, "startProcess", part.name, False)


def shut_down(config: Config, *, last: Iterable[str]) -> None:
    """Stop all programs, those that others lean on last, then supervisord itself."""
    names = set(states(config))
    foundations = names & set(last)
    for wave in (names - foundations, foundations):
        stop(config, wave)
    number = pid(config)
    with contextlib.suppress(*GONE):
        call(config, "shutdown")
    if number is not None:
        with contextlib.suppress(psutil.Error):
            psutil.Process(number).wait(30)


def call(config: Config, method: str, *arguments: Any) -> Any:
    """One call of its RPC.

    Raises one of GONE when it does not answer, StackError when it has another password.
    """
    try:
        return _call(config, config.secrets["supervisor"], method, *arguments)
    except xmlrpc.client.ProtocolError as error:
        if error.errcode != http.HTTPStatus.UNAUTHORIZED:
            raise
        raise StackError(
            f"A supervisor runs in {config.var_dir} that was started with other secrets than those in "
            f"secrets.json there. Bring them back, or end it: its pid is in {config.run_dir}/supervisord.pid."
        ) from error


def stop(config: Config, names: set[str]) -> None:
    """Stop these programs at the same time, and wait until they are gone."""
    for name, state in states(config).items():
        if name in names and state.is_up:
            with contextlib.suppress(xmlrpc.client.Fault):  # it ended by itself in this very moment
                call(config, "stopProcess", name, False)
    while any(state.is_up for name, state in states(config).items() if name in names):
        time.sleep(0.1)


def _call(config: Config, password: str | None, method: str, *arguments: Any) -> Any:
    user = None if password is None else USER
    transport = SupervisorTransport(user, password, f"unix://{socket_path(config)}")
    with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as proxy:
        return getattr(proxy.supervisor, method)(*arguments)


def _state(info: dict[str, Any]) -> State:
    is_up = info["statename"] in (*UP, "STOPPING", "BACKOFF")
    words = info["spawnerr"] or info["description"]
    return State(is_up, info["pid"], float(info["start"]), words, info["exitstatus"])


def _file(config: Config) -> Path:
    return config.run_dir / "supervisord.conf"


def _quoted(path: Path) -> str:
    """supervisord expands %(…)s everywhere in its file."""
    return str(path).replace("%", "%%")
