"""The use cases on all their data: seconds and peak memory of each, and what a DAG file costs to import.

`python -m benchmarks.usecases [NAME …]`, on the running stack. Memory is the proportional set size of every
process of the stack and of its Spark jobs, looked at every 5 s: its peak, and how much that is above what
the stack held before.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

from benchmarks.environments import REPO, peer_environment, peer_program
from stack import catalogue, config, health, report, spark_jobs

NAMES = ("titanic", "forest_cover", "real_estate", "diabetes", "taxi")
LOOKS_EVERY_S = 5
IMPORTS = 5
# Airflow itself is there already when it reads a DAG file.
IMPORT = """
import importlib.util, sys, time
import airflow.sdk
spec = importlib.util.spec_from_file_location("parsed", sys.argv[1])
module = importlib.util.module_from_spec(spec)
began = time.process_time()
spec.loader.exec_module(module)
print(time.process_time() - began)
"""


class Memory:
    """What the stack's processes hold together, in bytes, looked at until `stop`."""

    def __init__(self) -> None:
        self._config = config.from_environment()
        self.before = self.peak = self._now()
        self._stopped = threading.Event()
        self._looks = threading.Thread(target=self._look, daemon=True)
        self._looks.start()

    def stop(self) -> None:
        self._stopped.set()
        self._looks.join()

    def _look(self) -> None:
        while not self._stopped.wait(LOOKS_EVERY_S):
            self.peak = max(self.peak, self._now())

    def _now(self) -> int:
        parts = report.processes(self._config, catalogue.parts_of(self._config))
        return health.memory_bytes({*parts, *spark_jobs.processes(self._config)})


def journey(name: str, *, is_small: bool) -> bool:
    """Prints its figures and what it cost; False when it did not end as it should."""
    memory, began = Memory(), time.perf_counter()
    command = [sys.executable, "-m", "stack", "manage", "run_usecase", name, *["--small"] * is_small]
    done = subprocess.run(command, cwd=REPO, stdout=subprocess.PIPE, text=True)
    took_s = time.perf_counter() - began
    memory.stop()
    told = f"{took_s:,.0f} s, peak memory {memory.peak / report.GIB:.2f} GiB"
    print(f"{name}: {told}, {(memory.peak - memory.before) / report.GIB:.2f} above before")
    print("".join(f"  {line}\n" for line in done.stdout.splitlines()), flush=True)
    return done.returncode == 0


def import_ms(file: Path) -> float:
    """Processor time, the median of some imports, each in a process of its own; byte code is there."""
    with tempfile.TemporaryDirectory() as home:
        environment = peer_environment(
            HOME=home, AIRFLOW_HOME=home, PYTHONPATH=str(REPO), ATALAYA_PYTHON=sys.executable
        )
        python = str(peer_program("python", "airflow"))
        took_s = [
            float(
                subprocess.run(
                    [python, "-c", IMPORT, str(file)],
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout.splitlines()[-1]
            )
            for _turn in range(IMPORTS)
        ]
    return 1000 * median(took_s)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all without one")
    parser.add_argument("--small", action="store_true", help="on samples")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no use case {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    for file in sorted((REPO / "dags").glob("*.py")):
        if file.stem not in ("__init__", "steps"):
            print(f"import of {file.stem:<24} {import_ms(file):6.1f} ms of processor", flush=True)
    ended = [journey(name, is_small=options.small) for name in options.names or NAMES]
    return 0 if all(ended) else 1


if __name__ == "__main__":
    sys.exit(main())
