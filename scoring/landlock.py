"""Landlock: a process gives up all files but some, with no privilege needed (Linux 5.13 and later).

Source: Documentation/userspace-api/landlock.rst of the kernel.
"""

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
_VERSION_FLAG, _PATH_BENEATH = 1, 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
# Devices, sockets, pipes and links by name: who reads the folder afterwards would be led elsewhere by them.
_MAKE_SPECIAL = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12
_TRUNCATE, _IOCTL = 1 << 14, 1 << 15
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_KNOWN_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_TCP = 0b11  # neither bind nor connect; version 4
_SCOPE_ALL = 0b11  # abstract sockets and signals do not leave; version 6

_libc = ctypes.CDLL(None, use_errno=True)


def restrict(*, readable: Iterable[Path], writable: Iterable[Path]) -> bool:
    """Keep this process, and all it starts, to these paths for ever. False where the kernel has no Landlock.

    writable: plain files and folders may be made in it. Paths that do not exist are passed over.
    Needs PR_SET_NO_NEW_PRIVS beforehand.
    """
    version = _libc.syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    if version < 1:
        return False
    handled = _KNOWN_BY_VERSION.get(version, (1 << 16) - 1)
    attributes = struct.pack("=QQQ", handled, _TCP, _SCOPE_ALL)  # cut to what the version knows
    size = {1: 8, 2: 8, 3: 8, 4: 16, 5: 16}.get(version, 24)
    ruleset = _libc.syscall(_CREATE_RULESET, attributes, size, 0)
    if ruleset < 0:
        return False
    for paths, access in (
        (readable, _READ),
        (writable, handled & ~_MAKE_SPECIAL),
        ([Path("/dev/null")], _WRITE_FILE),
    ):
        for path in paths:
            _allow(ruleset, path, access & handled)
    is_restricted = bool(_libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    os.close(ruleset)
    return is_restricted


def _allow(ruleset: int, path: Path, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        rule = struct.pack("=Qi", access if path.is_dir() else access & _ON_FILES, descriptor)
        if _libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0) != 0:
            raise OSError(ctypes.get_errno(), f"cannot confine {path}")
    finally:
        os.close(descriptor)
