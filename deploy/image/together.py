"""Run two programs in one container, which see each other's processes: `together.py ONE … -- OTHER …`.

When one ends, however, the other is told to end too, and the container with them: both are started again.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence

LOOKS_EVERY_S = 0.2
PATIENCE_S = 25.0


def main(words: Sequence[str]) -> int:
    """The exit status of the program that ended first."""
    place = list(words).index("--")
    programs = [subprocess.Popen(command) for command in (words[:place], words[place + 1 :])]

    def end(_number: int, _frame: object) -> None:
        for program in programs:
            program.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    status = _first(programs)
    end(signal.SIGTERM, None)
    deadline = time.monotonic() + PATIENCE_S
    for program in programs:
        try:
            program.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            program.kill()
    return status if status >= 0 else 128 - status


def _first(programs: Sequence[subprocess.Popen]) -> int:
    while True:
        for program in programs:
            if (status := program.poll()) is not None:
                return status
        time.sleep(LOOKS_EVERY_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
