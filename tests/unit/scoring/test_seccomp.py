"""The filter of system calls, worked through by hand-made steps for both kinds of machine."""

import errno
import struct

import pytest

from scoring import seccomp

ALLOW, KILL = 0x7FFF0000, 0x80000000
EPERM, ENOSYS = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
PID = 4321
# Calls that must not be possible, by their numbers on (x86_64, aarch64).
REFUSED = {
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "execve": (59, 221),
    "execveat": (322, 281),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "mount": (165, 40),
    "unshare": (272, 97),
    "setns": (308, 268),
    "memfd_create": (319, 279),
    "shmget": (29, 194),
    "symlinkat": (266, 36),
    "linkat": (265, 37),
    "mknodat": (259, 33),
    "fchmodat": (268, 53),
    "fchownat": (260, 54),
    "utimensat": (280, 88),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    "setxattr": (188, 5),
    "truncate": (76, 45),
    "personality": (135, 92),
    "sched_setaffinity": (203, 122),
}
YOUNG = {
    "io_uring_setup": 425,
    "pidfd_open": 434,
    "clone3": 435,
    "pidfd_getfd": 438,
    "pidfd_send_signal": 424,
}


def outcome(machine, number, *arguments, architecture=None):
    """What the kernel would answer: the program is run as the kernel runs it."""
    words = [argument >> shift & 0xFFFFFFFF for argument in arguments for shift in (0, 32)]
    words += [0] * (12 - len(words))
    data = struct.pack("=IIQ12I", number, architecture or ARCHITECTURES[machine], 0, *words)
    steps = list(struct.iter_unpack("=HBBI", seccomp.program(machine, PID)))
    at = accumulator = 0
    while True:
        code, if_true, if_false, value = steps[at]
        at += 1
        match code:
            case 0x20:
                accumulator = struct.unpack_from("=I", data, value)[0]
            case 0x54:
                accumulator &= value
            case 0x15:
                at += if_true if accumulator == value else if_false
            case 0x35:
                at += if_true if accumulator >= value else if_false
            case 0x06:
                return value


@pytest.fixture(params=["x86_64", "aarch64"])
def machine(request):
    return request.param


def test_what_scoring_needs_is_allowed(machine):
    numbers = seccomp.numbers(machine)
    plain = numbers.keys() - {
        "clone",
        "tgkill",
        "prlimit64",
        "prctl",
        "fcntl",
        "ioctl",
        "sendto",
        "socketpair",
    }
    assert {name for name in plain if outcome(machine, numbers[name]) != ALLOW} == set()


def test_doors_are_shut(machine):
    column = list(ARCHITECTURES).index(machine)
    found = {name: outcome(machine, numbers[column]) for name, numbers in REFUSED.items()}
    assert found == dict.fromkeys(REFUSED, EPERM)
    assert {name: outcome(machine, number) for name, number in YOUNG.items()} == dict.fromkeys(YOUNG, ENOSYS)
    assert outcome(machine, 9999) == ENOSYS


@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("clone", (0x3D0F00,), ALLOW),  # as the C library starts a thread
        ("clone", (17,), EPERM),
        ("clone", (0x3D0F00 | 0x40000000,), EPERM),
        ("tgkill", (PID, 1, 6), ALLOW),
        ("tgkill", (PID + 1, 1, 6), EPERM),
        ("prlimit64", (0, 7), ALLOW),
        ("prlimit64", (PID, 7), EPERM),
        ("prctl", (15,), ALLOW),
        ("prctl", (1,), EPERM),
        ("fcntl", (3, 4), ALLOW),
        ("fcntl", (3, 8), EPERM),
        ("ioctl", (1, 0x5401), ALLOW),
        ("ioctl", (1, 0x5412), EPERM),
        ("sendto", (3, 1, 1, 0, 0, 0), ALLOW),
        ("sendto", (3, 1, 1, 0, 8, 16), EPERM),
        ("sendto", (3, 1, 1, 0, 1 << 40, 16), EPERM),
        ("socketpair", (1, 1 | 0o2004000, 0), ALLOW),
        ("socketpair", (1, 2, 0), EPERM),
        ("socketpair", (2, 1, 0), EPERM),
    ],
)
def test_some_are_allowed_with_some_arguments(machine, name, arguments, answer):
    assert outcome(machine, seccomp.numbers(machine)[name], *arguments) == answer


def test_another_architecture_or_abi_is_killed(machine):
    other = next(name for name in ARCHITECTURES if name != machine)
    assert outcome(machine, 0, architecture=ARCHITECTURES[other]) == KILL
    assert outcome(machine, 0x40000000 + 1) == KILL


def test_a_machine_of_another_kind_has_no_filter(monkeypatch):
    monkeypatch.setattr(seccomp.platform, "machine", lambda: "riscv64")
    assert not seccomp.install()
