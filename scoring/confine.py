"""The first thing a sandboxed child runs: it gives up what it could do, then becomes the module asked for.

Three layers, each where the kernel has it. Name spaces of its own: no network, no other process or shared
memory to see. Landlock: no files but its folder and Python's own. A filter of system calls: no socket, no
process, no signal. The last two shut every door that is known, so without one of them an original is refused
unless the caller allows a weak sandbox; the news say what is in force.
"""

import ctypes
import os
import resource
import runpy
import select
import signal
import struct
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from scoring import landlock, seccomp

_CLONE_NEWIPC, _CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET = 0x08000000, 0x10000000, 0x20000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CAPABILITY_VERSION_3 = 0x20080522
_LOOK_EVERY_MS = 500
REFUSED = (
    "This machine's kernel cannot shut the sandbox ({layers}): it needs Landlock (Linux 5.13) and seccomp on"
    " x86_64 or aarch64. Set CONSOLE_ALLOW_WEAK_SANDBOX=1 only where every model's author is trusted."
)

_libc = ctypes.CDLL(None, use_errno=True)


class Limits(msgspec.Struct, frozen=True):
    """cpu_s: 0 is no limit (for a process that serves). threads: all of them, the libraries' own too."""

    memory_bytes: int
    cpu_s: int = 0
    file_bytes: int = 2 * 1024**3
    open_files: int = 512
    threads: int = 1024
    weak_is_allowed: bool = False

    def to_argument(self) -> str:
        return msgspec.json.encode(self).decode()


def is_strong(isolation: str) -> bool:
    """Whether sockets, processes and files outside are out of reach. isolation: the news of a child."""
    return {"landlock", "seccomp"} <= set(isolation.split(", "))


def main(arguments: list[str]) -> int:
    """arguments: limits as JSON, descriptor for the news, module (none: only the news), its arguments."""
    limits = msgspec.json.decode(arguments[0], type=Limits)
    news, argv = int(arguments[1]), arguments[2:]
    has_namespace = _leave_namespaces()
    child = os.fork()
    if child:
        os.close(news)
        return _watch(child, limits.threads)
    _limit(limits, has_namespace)
    isolation = _confine(has_namespace)
    os.write(news, isolation.encode())
    os.close(news)
    if not argv:
        return 0
    if not is_strong(isolation) and not limits.weak_is_allowed:
        sys.exit(REFUSED.format(layers=isolation or "nothing is in force"))
    sys.argv = argv
    runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
    return 0


def _confine(has_namespace: bool) -> str:
    """The layers that are in force, such as "namespace, landlock, seccomp"."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    has_landlock = landlock.restrict(readable=_readable(), writable=[Path.cwd()])
    _drop_capabilities()
    layers = {"namespace": has_namespace, "landlock": has_landlock, "seccomp": seccomp.install()}
    return ", ".join(name for name, is_in_force in layers.items() if is_in_force)


def _leave_namespaces() -> bool:
    """Name spaces of our own; False where the kernel forbids them."""
    uid, gid = os.getuid(), os.getgid()
    if _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWPID | _CLONE_NEWIPC) != 0:
        return False
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    return True


def _drop_capabilities() -> None:
    """Root, of the machine or of its own name space, becomes a user like any other."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    if _libc.capset(header, bytes(24)) != 0:
        raise OSError(ctypes.get_errno(), "cannot drop capabilities")


def _watch(child: int, most_threads: int) -> int:
    """Wait for the child; end the group when it has too many threads, or when standard input closes.

    The input is held by who waits for us. Threads are counted because the kernel sets root no limit.
    """
    handle = os.pidfd_open(child)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.register(0, select.POLLIN | select.POLLHUP)
    while not (ready := {descriptor for descriptor, _ in poll.poll(_LOOK_EVERY_MS)}):
        if _n_threads(child) > most_threads:
            break
    if handle not in ready:
        os.killpg(0, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _n_threads(child: int) -> int:
    try:
        stat = Path(f"/proc/{child}/stat").read_text()
    except ProcessLookupError:
        return 0
    return int(stat.rpartition(")")[2].split()[17])


def _limit(limits: Limits, has_namespace: bool) -> None:
    wanted = {
        resource.RLIMIT_AS: limits.memory_bytes,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_CORE: 0,
    }
    if limits.cpu_s:
        wanted[resource.RLIMIT_CPU] = limits.cpu_s
    if has_namespace:  # else all processes of this user would count
        wanted[resource.RLIMIT_NPROC] = limits.threads
    for kind, amount in wanted.items():
        hard = resource.getrlimit(kind)[1]
        amount = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
        resource.setrlimit(kind, (amount, amount))


def _readable() -> list[Path]:
    """Python, its libraries and the system's; not /etc, /home, other processes or this project's data."""
    system = ["/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime", "/etc/passwd"]
    devices = ["/dev/null", "/dev/urandom", "/dev/random", "/sys/devices", "/sys/bus"]
    facts = ["/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/vm", "/proc/sys/kernel"]
    python = [sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parent.parent)]
    scoring = str(Path(__file__).resolve().parent)
    return [Path(path) for path in [*system, *devices, *facts, *python, scoring]]


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        sys.exit(main(sys.argv[1:]))
