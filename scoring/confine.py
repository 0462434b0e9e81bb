"""The first thing a sandboxed child runs: it gives up what it could do, then becomes the module asked for.

Where the kernel lets it, the child lives in name spaces of its own (no network, no other process to see) and
Landlock keeps it to its folder and to Python's own files. Where it does not, an audit hook refuses sockets
inside Python, and the result says so: that stops mistakes and plain pickles, not native code.
"""

import ctypes
import os
import resource
import runpy
import select
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from scoring import landlock

_CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38

_libc = ctypes.CDLL(None, use_errno=True)


class Limits(msgspec.Struct, frozen=True):
    """cpu_s: 0 is no limit (for a process that serves)."""

    memory_bytes: int
    cpu_s: int = 0
    file_bytes: int = 2 * 1024**3
    open_files: int = 512

    def to_argument(self) -> str:
        return msgspec.json.encode(self).decode()


def main(arguments: list[str]) -> int:
    """arguments: limits as JSON, file descriptor for the news, module, its arguments."""
    limits = msgspec.json.decode(arguments[0], type=Limits)
    news, argv = int(arguments[1]), arguments[2:]
    has_namespace = _leave_namespaces()
    child = os.fork()
    if child:
        os.close(news)
        return _watch(child)
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    has_landlock = landlock.restrict(readable=_readable(), listable=[_root()], writable=[Path.cwd()])
    network = "namespace" if has_namespace else "audit-hook"
    os.write(news, f"{network}, {'landlock' if has_landlock else 'files open'}".encode())
    os.close(news)
    _limit(limits)
    if not has_namespace:
        sys.addaudithook(_refuse_sockets)
    sys.argv = argv
    runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
    return 0


def _leave_namespaces() -> bool:
    """A user, network and process name space of our own; False where the kernel forbids it."""
    uid, gid = os.getuid(), os.getgid()
    if _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWPID) != 0:
        return False
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    return True


def _watch(child: int) -> int:
    """Wait for the child; end the group when standard input closes, for then nobody waits for us."""
    handle = os.pidfd_open(child)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.register(0, select.POLLIN | select.POLLHUP)
    ready = {descriptor for descriptor, _ in poll.poll()}
    if handle not in ready:
        os.killpg(0, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _limit(limits: Limits) -> None:
    wanted = {
        resource.RLIMIT_AS: limits.memory_bytes,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_CORE: 0,
    }
    if limits.cpu_s:
        wanted[resource.RLIMIT_CPU] = limits.cpu_s
    for kind, amount in wanted.items():
        hard = resource.getrlimit(kind)[1]
        amount = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
        resource.setrlimit(kind, (amount, amount))


def _root() -> Path:
    return Path(__file__).resolve().parent.parent


def _readable() -> list[Path]:
    """Python, its libraries and the system's; not /etc, /home or this project's settings and data."""
    system = ["/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime", "/etc/passwd"]
    devices = ["/dev/null", "/dev/urandom", "/dev/random", "/sys/devices", "/sys/bus", "/proc"]
    python = [sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parent.parent)]
    return [Path(path) for path in [*system, *devices, *python]] + [_root() / "scoring"]


def _refuse_sockets(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.__new__" and arguments[1] != socket.AF_UNIX:
        raise PermissionError("there is no network in here")


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        sys.exit(main(sys.argv[1:]))
