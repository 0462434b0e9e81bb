"""What the supervisor runs for each part: `python -m stack.run PART`, which becomes the part's own program.

Before that it ends what an earlier life of the part left behind (a parent that was killed leaves its
children, which keep the port or go on working), and waits for the parts that this one needs.
"""

import os
import sys
import time
from pathlib import Path
from typing import NoReturn

from stack import catalogue, config, groups
from stack.config import Config
from stack.errors import StackError
from stack.health import reason_unhealthy
from stack.parts import Part

SAYS_AGAIN_S = 30.0


def main(name: str) -> NoReturn:
    var_dir = Path(os.environ["CONSOLE_VAR_DIR"])
    site = config.load(var_dir)
    if site is None:
        raise StackError(f"There is no stack in {var_dir}.")
    (part,) = catalogue.find(name)
    if groups.end(site, part):
        print(f"stack: ended what was left of an earlier {name}", flush=True)
    groups.remember(site, part)
    for need in catalogue.find(*part.needs):
        _wait(site, need)
    part.before_start(site)
    become(site, part)


def become(site: Config, part: Part) -> NoReturn:
    """Replace this process by the part's program, as the account that it is meant for."""
    program = part.program(site)
    os.chdir(program.folder)
    if program.account is not None:
        os.setgroups([])
        os.setgid(program.account.pw_gid)
        os.setuid(program.account.pw_uid)
    os.execve(program.argv[0], program.argv, program.environment)  # noqa: S606 - no shell is wanted


def _wait(site: Config, need: Part) -> None:
    said_at = time.monotonic()
    while reason := reason_unhealthy(site, need, started_at=0):
        if time.monotonic() - said_at > SAYS_AGAIN_S:
            print(f"stack: waiting for {need.name}: {reason}", flush=True)
            said_at = time.monotonic()
        time.sleep(0.3)


if __name__ == "__main__":
    main(sys.argv[1])
