"""Known vulnerabilities of what the locks name, by `pip-audit`; exit status 3 where nobody can be asked.

A machine without the database (no way out, a mirror that keeps none) is no fault of the code: one look-up
tells, and the rest is left out. So does time: a check that waits for minutes is switched off by people.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from stack.config import REPO

LOCKS = ("console", "airflow")
ASKED_FIRST = "django=="
LONGEST_S = 60.0
NOT_LOOKED_UP = 3
AUDIT = ["-m", "pip_audit", "--format", "json", "--no-deps", "--disable-pip", "--timeout", "5"]


class NotLookedUp(Exception):
    """Why nobody knows, in words."""


def main() -> int:
    give_up_at = time.monotonic() + LONGEST_S
    try:
        _ask_first(give_up_at)
        found = [one for lock in LOCKS for one in _audited(REPO / "requirements" / f"{lock}.txt", give_up_at)]
    except NotLookedUp as error:
        print(f"Not looked up: {error}.")
        return NOT_LOOKED_UP
    faulty = [one for one in found if one["vulns"]]
    for one in faulty:
        print(f"{one['name']} {one['version']}: {', '.join(map(_words, one['vulns']))}")
    return 1 if faulty else 0


def _ask_first(give_up_at: float) -> None:
    """Look one package up that every installation has. Raises NotLookedUp."""
    lines = (REPO / "requirements" / f"{LOCKS[0]}.txt").read_text().splitlines()
    first = next(line for line in lines if line.startswith(ASKED_FIRST)).rstrip(" \\")
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder) / "one.txt"
        lock.write_text(f"{first}\n")
        if not _audited(lock, give_up_at):
            raise NotLookedUp("the database of vulnerabilities cannot be reached from here")


def _audited(lock: Path, give_up_at: float) -> list[dict[str, Any]]:
    """What the database knows about each package of the lock; those it does not know are left out."""
    try:
        done = subprocess.run(
            [sys.executable, *AUDIT, "--requirement", lock],
            capture_output=True,
            text=True,
            timeout=max(give_up_at - time.monotonic(), 1),
        )
        packages = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired as error:
        raise NotLookedUp(f"no answer within {LONGEST_S:.0f} s") from error
    except ValueError as error:  # it could not ask at all
        raise NotLookedUp((done.stderr.strip().splitlines() or ["no answer"])[-1]) from error
    return [one for one in packages if "vulns" in one]


def _words(vulnerability: dict[str, Any]) -> str:
    fixed = ", ".join(vulnerability["fix_versions"]) or "no version yet"
    return f"{vulnerability['id']} (fixed in {fixed})"


if __name__ == "__main__":
    sys.exit(main())
