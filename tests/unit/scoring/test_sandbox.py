"""What a sandboxed child can reach and do: tried from inside, by Python, native code and a pickle."""

import os
import platform
import select
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import cloudpickle
import pytest

from scoring import sandbox
from tests.unit.scoring import fitted, specs

MiB = 1024 * 1024
IS_STRONG = sandbox.is_strong(sandbox.isolation())
by_numbers = pytest.mark.skipif(
    platform.machine() != "x86_64" or not IS_STRONG, reason="the numbers are those of x86_64"
)
needs_strong = pytest.mark.skipif(not IS_STRONG, reason="the kernel has no Landlock or no seccomp")
# What attacks share: `call` is a system call past the C library's own checks, by number.
NATIVE = """
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    answer = libc.syscall(*arguments)
    return "done" if answer >= 0 else errno.errorcode[ctypes.get_errno()]
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a Python text as a module in the sandbox."""
    plain = sandbox._environment
    folder = tmp_path / "child"
    folder.mkdir()

    def environment(cwd: Path) -> dict[str, str]:
        found = plain(cwd)
        return found | {"PYTHONPATH": found["PYTHONPATH"] + os.pathsep + str(cwd)}

    monkeypatch.setattr(sandbox, "_environment", environment)

    def start(
        text: str, *arguments: object, timeout_s: float = 60, memory_bytes: int = 1024 * MiB, **options
    ):
        (folder / "child.py").write_text(text)
        return sandbox.run(
            ["child", *map(str, arguments)],
            cwd=folder,
            timeout_s=timeout_s,
            memory_bytes=memory_bytes,
            **options,
        )

    return start


@pytest.fixture
def tries(run):
    """Runs each line as an attack of its own; what came of each: "done", or how it was refused."""

    def start(lines: list[str], *arguments: object) -> list[str]:
        text = NATIVE + (
            f"for line in {lines!r}:\n"
            "    try:\n"
            "        print(eval(line) if line.startswith('call') else exec(line) or 'done')\n"
            "    except OSError as error:\n"
            "        print(errno.errorcode[error.errno])\n"
        )
        finished = run(text, *arguments)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout.split()

    return start


@pytest.fixture
def servers(tmp_path):
    """Real servers of every kind, and whether anything has come to one of them."""
    found = {
        "tcp": socket.create_server(("127.0.0.1", 0)),
        "udp": socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        "path": socket.socket(socket.AF_UNIX),
        "path-datagram": socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
        "abstract": socket.socket(socket.AF_UNIX),
    }
    found["udp"].bind(("127.0.0.1", 0))
    found["path"].bind(str(tmp_path / "s"))
    found["path-datagram"].bind(str(tmp_path / "d"))
    found["abstract"].bind(f"\0atalaya-{os.getpid()}")
    for name in ("path", "abstract"):
        found[name].listen()
    yield found, lambda: select.select(found.values(), [], [], 0)[0] != []
    for server in found.values():
        server.close()


@pytest.fixture
def neighbour():
    """Another process of this user."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def test_child_s_words_and_exit_status_come_back(run):
    finished = run("import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)")
    assert (finished.returncode, finished.stdout, finished.timed_out) == (7, "out\n", False)
    assert finished.stderr.endswith("err\n")
    assert finished.isolation == sandbox.isolation()


def test_secrets_of_the_environment_are_out_of_reach(run, monkeypatch):
    monkeypatch.setenv("CONSOLE_SECRET_KEY", "a-real-secret")
    finished = run("import os; print(dict(os.environ))")
    assert "a-real-secret" not in finished.stdout
    assert "CONSOLE" not in finished.stdout


CONNECTIONS = {
    "tcp": "import socket; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 3)",
    "udp": "import socket; socket.socket(2, 2).sendto(b'x', ('127.0.0.1', int(sys.argv[2])))",
    "path": "import socket; socket.socket(1).connect(sys.argv[3])",
    "path-datagram": "import socket; socket.socket(1, 2).sendto(b'x', sys.argv[4])",
    "abstract": r"import socket; socket.socket(1).connect('\0' + sys.argv[5])",
    "netlink": "import socket; socket.socket(16, 3, 0)",
    "pair of datagrams": "import socket; socket.socketpair(1, 2)[0].sendto(b'x', sys.argv[4])",
    "raw packets": "import socket; socket.socket(17, 3, 0)",
}


@needs_strong
def test_no_socket_can_be_made(tries, servers, tmp_path):
    sockets, has_come = servers
    ports = [sockets[name].getsockname()[1] for name in ("tcp", "udp")]
    paths = [tmp_path / "s", tmp_path / "d", f"atalaya-{os.getpid()}"]
    assert tries(list(CONNECTIONS.values()), *ports, *paths) == ["EPERM"] * len(CONNECTIONS)
    assert not has_come()


@needs_strong
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK, 40])
def test_no_socket_can_be_made_by_native_code(run, family):
    text = NATIVE + (
        "import threading\n"
        "def attack():\n"
        "    for kind in (1, 2, 3):\n"
        "        assert libc.socket(int(sys.argv[1]), kind, 0) == -1\n"
        "        assert ctypes.get_errno() == errno.EPERM\n"
        "    print('refused')\n"
        "attack()\n"
        "thread = threading.Thread(target=attack)\n"
        "thread.start(); thread.join()\n"
    )
    finished = run(text, int(family))
    assert (finished.stdout, finished.stderr) == ("refused\nrefused\n", "")


@needs_strong
def test_a_pair_of_streams_reaches_only_its_other_end(run, servers, tmp_path):
    text = (
        "import socket, sys\n"
        "near, far = socket.socketpair()\n"
        "near.send(b'x'); print(far.recv(1))\n"
        "for act in (near.connect, near.bind, lambda path: near.sendto(b'x', path)):\n"
        "    try:\n"
        "        act(sys.argv[1]); print('done')\n"
        "    except OSError as error:\n"
        "        print(error.errno)\n"
        "try:\n"
        "    near.sendmsg([b'x'], [], 0, sys.argv[1]); print('done')\n"
        "except OSError as error:\n"
        "    print(error.strerror)\n"
    )
    finished = run(text, tmp_path / "s")
    assert finished.stdout == "b'x'\n1\n1\n1\nTransport endpoint is already connected\n"
    assert not servers[1]()


class Attack:
    """Its pickle runs a text when it is loaded."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __reduce__(self):
        return exec, (self.text,)


@needs_strong
@pytest.mark.parametrize(
    "attack",
    [
        "import socket; s = socket.socket(1); s.connect({path!r}); raise ValueError(s.recv(99).decode())",
        "raise ValueError(open({secret!r}).read())",
        "import os; os.symlink({secret!r}, 'model.onnx'); raise ValueError('linked')",
        "import os; raise ValueError(os.fork())",
        "import ctypes; raise ValueError(ctypes.CDLL(None, use_errno=True).socket(1, 1, 0))",
    ],
)
def test_a_pickle_that_attacks_gets_nothing_through_the_reason(tmp_path, servers, attack):
    (tmp_path / "secret").write_text("hidden")
    job = tmp_path / "job"
    spec, rows = specs.titanic(), fitted.passengers()
    fitted.job(job, spec, rows, fitted.pipeline(spec, rows))
    text = attack.format(path=str(tmp_path / "s"), secret=str(tmp_path / "secret"))
    (job / "model" / "model.pkl").write_bytes(cloudpickle.dumps(Attack(text)))
    finished = sandbox.run(["scoring.compile", str(job)], cwd=job, timeout_s=120)
    assert finished.returncode == 1
    reason = finished.stderr.splitlines()[-1]
    assert reason.startswith("The model does not load: PermissionError") or reason.endswith("ValueError: -1")
    assert not servers[1]()
    assert not (job / "model.onnx").exists()


def test_files_outside_its_folder_are_out_of_reach(run, tmp_path, tmp_path_factory):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.txt"
    secret.write_text("hidden")
    finished = run("import sys; print(open(sys.argv[1]).read())", secret, weak_is_allowed=True)
    if "landlock" not in finished.isolation:
        return  # said, where the kernel cannot
    assert "Permission denied" in finished.stderr
    assert "hidden" not in finished.stdout
    run("open('mine.txt', 'w').write('kept')")
    assert (tmp_path / "child" / "mine.txt").read_text() == "kept"


WRITES = [
    "open(sys.argv[1], 'w')",
    "open(sys.argv[1], 'a')",
    "os.truncate(sys.argv[1], 0)",
    "os.unlink(sys.argv[1])",
    "os.rename(sys.argv[1], 'mine')",
    "os.chmod(sys.argv[1], 0)",
    "os.chown(sys.argv[1], 0, 0)",
    "os.utime(sys.argv[1])",
    "os.setxattr(sys.argv[1], 'user.x', b'x')",
    "os.mkdir(sys.argv[1] + '.folder')",
    "os.rmdir(os.path.dirname(sys.argv[1]))",
    "open('/dev/shm/atalaya', 'w')",
    "open('/proc/self/oom_score_adj', 'w')",
    "os.link('child.py', 'link')",
    "os.link(sys.argv[1], 'link')",
    "os.symlink(sys.argv[1], 'link')",
    "os.mkfifo('pipe')",
    "os.mknod('device', 0o020666, 0x0103)",
    "os.open(sys.argv[1], os.O_RDONLY | os.O_TRUNC)",
    "os.listdir(os.path.dirname(sys.argv[1]))",
    "os.listdir(os.path.dirname(os.path.dirname(os.path.dirname(os.__file__))) + '/../..')",
    "os.chroot('.')",
]


@needs_strong
def test_nothing_is_written_or_listed_outside_its_folder_and_no_link_left_in_it(tries, tmp_path):
    (tmp_path / "target").write_text("kept")
    before = (tmp_path / "target").stat()
    outcomes = dict(zip(WRITES, tries(WRITES, tmp_path / "target"), strict=True))
    assert {line: one for line, one in outcomes.items() if one not in ("EPERM", "EACCES", "EXDEV")} == {}
    assert (tmp_path / "target").read_text() == "kept"
    after = (tmp_path / "target").stat()
    assert (after.st_mode, after.st_mtime_ns, after.st_nlink) == (before.st_mode, before.st_mtime_ns, 1)
    assert not {"link", "pipe", "device"} & {path.name for path in (tmp_path / "child").iterdir()}


@needs_strong
def test_proc_of_others_is_out_of_reach(tries, neighbour):
    files = ["environ", "cmdline", "maps", "mem", "status", "stat", "fd", "cwd/x", "root/etc/shadow"]
    lines = [f"os.open('/proc/{pid}/{name}', 0)" for name in files for pid in (neighbour.pid, os.getpid())]
    assert set(tries(lines)) == {"EACCES"}
    assert tries(["os.listdir('/proc')"]) == ["EACCES"]
    assert tries(["open('/proc/self/maps').read()"]) == ["done"]


@by_numbers
def test_no_signal_and_no_debugger_reaches_others(tries, neighbour):
    lines = [
        f"os.kill({pid}, {number})" for pid in (neighbour.pid, os.getpid(), -1, 0, 1) for number in (0, 15)
    ]
    lines += [
        f"os.pidfd_open({neighbour.pid})",
        f"os.setpriority(0, {neighbour.pid}, 19)",
        f"import fcntl; fcntl.fcntl(0, fcntl.F_SETOWN, {neighbour.pid})",
        f"import resource; resource.prlimit({neighbour.pid}, resource.RLIMIT_CPU, (1, 1))",
        "os.setsid()",
        "os.setpgid(0, 0)",
        f"call(101, 16, {neighbour.pid}, 0, 0)",  # ptrace, attach; the number is that of x86_64
        f"call(310, {neighbour.pid}, 0, 0, 0, 0, 0)",
        "call(157, 1, 0, 0, 0, 0)",  # not to end with its parent
    ]
    outcomes = tries(lines)
    assert {line: outcome for line, outcome in zip(lines, outcomes, strict=True) if outcome[0] != "E"} == {}
    assert set(outcomes) <= {"EPERM", "ENOSYS"}
    assert neighbour.poll() is None


KERNEL_DOORS = {
    "io_uring_setup": 425,
    "bpf": 321,
    "keyctl": 250,
    "add_key": 248,
    "userfaultfd": 323,
    "perf_event_open": 298,
    "mount": 165,
    "umount2": 166,
    "pivot_root": 155,
    "unshare": 272,
    "setns": 308,
    "clone3": 435,
    "pidfd_getfd": 438,
    "open_by_handle_at": 304,
    "memfd_create": 319,
    "shmget": 29,
    "msgget": 68,
    "semget": 64,
    "mq_open": 240,
    "fanotify_init": 300,
    "execveat": 322,
    "execve": 59,
    "fork": 57,
    "vfork": 58,
    "personality": 135,
    "kexec_load": 246,
    "init_module": 175,
    "reboot": 169,
    "process_madvise": 440,
    "move_pages": 279,
    "open_tree": 428,
    "fsopen": 430,
    "mknod": 133,
    "bind": 49,
    "connect": 42,
}


@by_numbers
def test_doors_of_the_kernel_are_shut(tries):
    lines = [f"call({number}, 0, 0, 0, 0, 0, 0)" for number in KERNEL_DOORS.values()]
    outcomes = dict(zip(KERNEL_DOORS, tries(lines), strict=True))
    assert {name: outcome for name, outcome in outcomes.items() if outcome not in ("EPERM", "ENOSYS")} == {}


@by_numbers
def test_a_call_of_another_abi_ends_the_child(run):
    finished = run(NATIVE + "call(0x40000000 + 41, 2, 1, 0)")  # x32's socket
    assert finished.returncode == 128 + 31


@by_numbers
def test_no_process_can_be_started(tries):
    starts = [
        "os.fork()",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "import subprocess; subprocess.run(['/bin/true'])",
        "os.execv('/bin/true', ['true'])",
        "call(56, 17, 0, 0, 0, 0)",  # clone with SIGCHLD, as fork is
        "call(56, 0x10000 | 0x40000000 | 0x900, 0, 0, 0, 0)",  # a thread in a name space of its own
    ]
    assert tries(starts) == ["EPERM"] * len(starts)


@needs_strong
def test_too_many_threads_end_the_child(run):
    text = (
        "import threading, time\n"
        "threading.stack_size(32768)\n"
        "try:\n"
        "    for _ in range(5000): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "except RuntimeError: pass\n"
        "print(threading.active_count(), flush=True)\n"
        "time.sleep(60)\n"
    )
    finished = run(text, memory_bytes=4096 * MiB, timeout_s=40)
    assert finished.seconds < 35
    assert not finished.timed_out or int(finished.stdout) <= 1024


def test_child_that_hangs_is_killed(run):
    finished = run("import time; time.sleep(60)", timeout_s=0.7)
    assert finished.timed_out
    assert finished.seconds < 10


def test_child_that_asks_for_too_much_memory_fails(run):
    finished = run("x = bytearray(600 * 1024 * 1024)", memory_bytes=300 * MiB)
    assert finished.returncode == 1
    assert "MemoryError" in finished.stderr


@needs_strong
def test_memory_cannot_be_had_by_another_way(tries):
    ways = [
        "import mmap; mmap.mmap(-1, 2 ** 31)",
        "os.memfd_create('x')",
        "import multiprocessing.shared_memory as m; m.SharedMemory(create=True, size=10)",
    ]
    assert "done" not in tries(ways)


def test_child_that_crashes_is_told_by_its_status(run):
    finished = run("import ctypes; ctypes.string_at(0)")
    assert finished.returncode == 128 + 11


def test_endless_output_is_cut(run):
    finished = run("import sys\nfor _ in range(40): sys.stdout.write('x' * 1024 * 1024)")
    assert len(finished.stdout) == sandbox.KEPT_OUTPUT_BYTES


def test_sandbox_uses_this_interpreter(run):
    assert run("import sys; print(sys.executable)").stdout.strip() == sys.executable


def test_threads_are_allowed(run):
    text = (
        "import threading\nt = threading.Thread(target=print, args=('from a thread',))\nt.start(); t.join()"
    )
    assert run(text).stdout == "from a thread\n"


WITHOUT = """
import sys
from scoring import confine, landlock, seccomp
{layer} = lambda **_: False
sys.exit(confine.main(sys.argv[1:]))
"""


@needs_strong
@pytest.mark.parametrize(
    ("layer", "is_refused"),
    [("landlock.restrict", True), ("seccomp.install", True), ("confine._leave_namespaces", False)],
)
def test_a_kernel_that_cannot_shut_the_doors_is_refused_unless_allowed(
    run, tmp_path, monkeypatch, layer, is_refused
):
    (tmp_path / "child" / "without.py").write_text(WITHOUT.format(layer=layer))
    monkeypatch.setattr(sandbox, "CONFINE", "without")
    refused = run("print('runs')")
    assert (refused.returncode, refused.stdout) == ((1, "") if is_refused else (0, "runs\n"))
    assert ("CONSOLE_ALLOW_WEAK_SANDBOX=1" in refused.stderr) == is_refused
    allowed = run("print('runs')", weak_is_allowed=True)
    assert (allowed.stdout, sandbox.is_strong(allowed.isolation)) == ("runs\n", not is_refused)


def test_isolation_is_asked_once():
    started = time.monotonic()
    assert sandbox.isolation() == sandbox.isolation()
    assert time.monotonic() - started < 0.1


def test_child_ends_with_who_started_it(tmp_path):
    """Its standard input closes: also when the parent was killed."""
    with (tmp_path / "news").open("w+b") as news:
        process = sandbox.start(
            ["asyncio"],  # a module that waits for input, which never comes
            cwd=tmp_path,
            limits=sandbox.Limits(memory_bytes=1024 * MiB, weak_is_allowed=True),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            news=news,
        )
        threading.Timer(0.5, process.stdin.close).start()
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        assert process.poll() is not None
        sandbox.end(process)
