"""The OS account that PostgreSQL runs as when the stack is started by root.

PostgreSQL refuses to run as root, so root lends it a system account, made on first use. An ordinary user
needs none of this: `owner()` is None and everything runs as that user.

The account must be able to walk to the server's binaries and to its data. Where a parent folder keeps others
out (a checkout below a home folder of mode 0700), `postgres` keeps a copy of the binaries, and the data, in
`refuge()` instead; `make reset` removes that folder with the rest. The account itself stays: several stacks
may share it.
"""

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

from stack.errors import StackError

NAME = "atalaya-db"
REFUGES = Path("/var/lib/atalaya")


def owner() -> pwd.struct_passwd | None:
    """The account to run PostgreSQL as; None when the present user will do."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        return _create()


def popen_options(account: pwd.struct_passwd | None) -> dict[str, Any]:
    """Arguments that make subprocess run a program as this account."""
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def can_reach(path: Path, account: pwd.struct_passwd | None) -> bool:
    """Whether the account may walk through each existing folder above `path`; the present user always may."""
    folders = (folder for folder in path.resolve().parents if folder.exists())
    return account is None or all(_may_enter(folder.stat(), account) for folder in folders)


def hand_over(folder: Path, account: pwd.struct_passwd | None) -> None:
    """Give a folder with all that it holds to the account."""
    if account is not None:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)


def refuge(var_dir: Path) -> Path:
    """The folder outside `var_dir` that the account can reach, one for each stack."""
    return REFUGES / hashlib.sha256(os.fsencode(var_dir.resolve())).hexdigest()[:12]


def _may_enter(folder: os.stat_result, account: pwd.struct_passwd) -> bool:
    if folder.st_uid == account.pw_uid:
        return bool(folder.st_mode & stat.S_IXUSR)
    if folder.st_gid == account.pw_gid:
        return bool(folder.st_mode & stat.S_IXGRP)
    return bool(folder.st_mode & stat.S_IXOTH)


def _create() -> pwd.struct_passwd:
    useradd = shutil.which("useradd") or shutil.which("useradd", path="/usr/sbin:/sbin")
    if useradd is None:
        raise StackError(
            f"PostgreSQL does not run as root and there is no `useradd` to make an account for it. "
            f"Create a system account named {NAME}, or run this as an ordinary user."
        )
    command = [useradd, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    made = subprocess.run([*command, "--home-dir", "/nonexistent", NAME], capture_output=True, text=True)
    if made.returncode not in (0, 9):  # 9: another stack made it a moment ago
        raise StackError(f"Could not make the account {NAME} for PostgreSQL: {made.stderr.strip()}")
    return pwd.getpwnam(NAME)
