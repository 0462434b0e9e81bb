"""A filter of system calls: the kernel allows what a scoring process needs, and refuses all else for ever.

So there is no socket, no other process, no signal to another, no link or device to be made and no mode or
owner to be changed, from Python and from native code, in every thread. Linux on x86_64 and aarch64.
Source: Documentation/userspace-api/seccomp_filter.rst of the kernel; numbers from its asm/unistd_64.h and
asm-generic/unistd.h.
"""

import ctypes
import errno
import os
import platform
import struct
from typing import NamedTuple

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_JUMP_EQUAL, _JUMP_GREATER_OR_EQUAL = 0x15, 0x35
_AT_NUMBER, _AT_ARCHITECTURE, _AT_ARGUMENTS = 0, 4, 16
_OTHER_ABI = 0x40000000  # x86_64 knows each call twice: x32 counts from here
# Calls from here on are young: told that the kernel has none, the C library takes the older ones.
_YOUNG = 424

# name:number on x86_64:number on aarch64
_ALLOWED = """
# files
read:0:63 write:1:64 readv:19:65 writev:20:66 pread64:17:67 pwrite64:18:68 preadv:295:69 pwritev:296:70
lseek:8:62 open:2: openat:257:56 openat2:437:437 close:3:57 close_range:436:436 stat:4: fstat:5:80 lstat:6:
newfstatat:262:79 statx:332:291 access:21: faccessat:269:48 faccessat2:439:439 readlink:89:
readlinkat:267:78 getcwd:79:17 chdir:80:49 fchdir:81:50 getdents64:217:61 flock:73:32
fsync:74:82 fdatasync:75:83 ftruncate:77:46 fallocate:285:47 fadvise64:221:223 rename:82:
renameat:264:38 renameat2:316:276 mkdir:83: mkdirat:258:34 rmdir:84: unlink:87: unlinkat:263:35 umask:95:166
statfs:137:43 fstatfs:138:44 dup:32:23 dup2:33: dup3:292:24 pipe:22: pipe2:293:59 copy_file_range:326:285
sendfile:40:71
# memory
mmap:9:222 munmap:11:215 mprotect:10:226 mremap:25:216 madvise:28:233 brk:12:214 msync:26:227 mincore:27:232
# signals to oneself, threads
rt_sigaction:13:134 rt_sigprocmask:14:135 rt_sigreturn:15:139 rt_sigsuspend:130:133 rt_sigtimedwait:128:137
sigaltstack:131:132 restart_syscall:219:128 pause:34: exit:60:93 exit_group:231:94 futex:202:98
set_robust_list:273:99 get_robust_list:274:100 set_tid_address:218:96 rseq:334:293 membarrier:324:283
wait4:61:260 waitid:247:95 sched_yield:24:124 sched_getaffinity:204:123 sched_getparam:143:121
sched_getscheduler:145:120 sched_get_priority_max:146:125 sched_get_priority_min:147:126
# who and when
getpid:39:172 getppid:110:173 gettid:186:178 getuid:102:174 geteuid:107:175 getgid:104:176 getegid:108:177
getgroups:115:158 getresuid:118:148 getresgid:120:150 getpgrp:111: getpgid:121:155 getsid:124:156
clock_gettime:228:113 clock_getres:229:114 clock_nanosleep:230:115 nanosleep:35:101 gettimeofday:96:169
time:201: times:100:153 setitimer:38:103 getitimer:36:102 timerfd_create:283:85 timerfd_settime:286:86
timerfd_gettime:287:87 uname:63:160 sysinfo:99:179 getrusage:98:165 getrandom:318:278 getcpu:309:168
getrlimit:97:163 getpriority:140:141 capget:125:90 arch_prctl:158:
# waiting
poll:7: ppoll:271:73 select:23: pselect6:270:72 epoll_create1:291:20 epoll_ctl:233:21 epoll_wait:232:
epoll_pwait:281:22 epoll_pwait2:441:441 eventfd2:290:19
# on sockets that it was given
listen:50:201 accept:43:202 accept4:288:242 recvfrom:45:207 recvmsg:47:212 sendmsg:46:211 shutdown:48:210
getsockopt:55:209 setsockopt:54:208 getsockname:51:204 getpeername:52:205
# only with the arguments of `_CHECKS`
clone:56:220 tgkill:234:131 prlimit64:302:261 prctl:157:167 fcntl:72:25 ioctl:16:29 sendto:44:206
socketpair:53:199
"""
_MACHINES = {"x86_64": (0xC000003E, 1), "aarch64": (0xC00000B7, 2)}

_CLONE_THREAD, _CLONE_NEW = 0x00010000, 0x7E020000
_AF_UNIX, _SOCK_STREAM, _SOCK_TYPE = 1, 1, 0xF
_OWN_NAME, _NAME_OF, _NAME_MEMORY = 15, 16, 0x53564D41
_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # is it a terminal, how large; bytes there; flags
_FCNTLS = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030)  # copies, flags, locks; nobody to be signalled

_libc = ctypes.CDLL(None, use_errno=True)


class _Check(NamedTuple):
    """A word of the arguments that, masked, must be one of these. word: two an argument, the low first."""

    word: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF


def _checks(pid: int) -> dict[str, list[_Check]]:
    """Calls that are allowed with some arguments only. pid: of the process that the filter is for."""
    return {
        "clone": [_Check(0, (_CLONE_THREAD,), _CLONE_THREAD | _CLONE_NEW)],  # threads, no processes
        "tgkill": [_Check(0, (pid,))],
        "prlimit64": [_Check(0, (0,))],
        "prctl": [_Check(0, (_OWN_NAME, _NAME_OF, _NAME_MEMORY))],
        "fcntl": [_Check(2, _FCNTLS)],
        "ioctl": [_Check(2, _IOCTLS)],
        "sendto": [_Check(8, (0,)), _Check(9, (0,))],  # to whom it is connected, no address
        # asyncio wakes itself through a pair. A stream of a pair cannot be sent elsewhere; datagrams could.
        "socketpair": [_Check(0, (_AF_UNIX,)), _Check(2, (_SOCK_STREAM,), _SOCK_TYPE)],
    }


def install() -> bool:
    """Filter this process and all its threads from now on; False where the kernel or the machine cannot.

    Needs PR_SET_NO_NEW_PRIVS beforehand.
    """
    if platform.machine() not in _MACHINES:
        return False
    code = program(platform.machine(), os.getpid())
    instructions = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(code) // 8, ctypes.addressof(instructions))
    return bool(_libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, header, 0, 0) == 0)


def program(machine: str, pid: int) -> bytes:
    """The filter in the machine language of the kernel: eight bytes an instruction."""
    architecture, _column = _MACHINES[machine]
    checks = _checks(pid)
    code = [
        _step(_LOAD, _AT_ARCHITECTURE),
        _step(_JUMP_EQUAL, architecture, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _AT_NUMBER),
        _step(_JUMP_GREATER_OR_EQUAL, _OTHER_ABI, 0, 1),
        _step(_RETURN, _KILL),
    ]
    for name, number in numbers(machine).items():
        block = _block(checks.get(name, []))
        code += [_step(_JUMP_EQUAL, number, 0, len(block)), *block]
    code += [
        _step(_JUMP_GREATER_OR_EQUAL, _YOUNG, 0, 1),
        _step(_RETURN, _ERRNO | errno.ENOSYS),
        _step(_RETURN, _ERRNO | errno.EPERM),
    ]
    return b"".join(code)


def numbers(machine: str) -> dict[str, int]:
    """The allowed calls that this kind of machine has."""
    column = _MACHINES[machine][1]
    lines = [line for line in _ALLOWED.splitlines() if not line.startswith("#")]
    entries = [entry.split(":") for line in lines for entry in line.split()]
    return {entry[0]: int(entry[column]) for entry in entries if entry[column]}


def _block(checks: list[_Check]) -> list[bytes]:
    """Allow when every check holds, else refuse."""
    code = []
    for check in checks:
        code += [_step(_LOAD, _AT_ARGUMENTS + 4 * check.word), _step(_AND, check.mask)]
        last = len(check.values) - 1
        code += [_step(_JUMP_EQUAL, value, last - at + 1, 0) for at, value in enumerate(check.values)]
        code.append(_step(_RETURN, _ERRNO | errno.EPERM))
    return [*code, _step(_RETURN, _ALLOW)]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
