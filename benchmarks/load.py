"""Load by wrk: kept connections that send the same request again once its answer is complete.

wrk costs the machine little beside the servers; a generator in Python would take a core from those that
answer much, and none from those that answer little.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from typing import Any, NamedTuple

# wrk's own way to send a body, and to say what came back in numbers. Times are in microseconds.
SCRIPT = """
wrk.method, wrk.path, wrk.body = "POST", %(path)s, %(body)s
wrk.headers["Authorization"], wrk.headers["Content-Type"] = %(authorization)s, "application/json"
function done(summary, latency)
   local errors = summary.errors
   io.write(string.format("FOUND %%d %%d %%f %%f %%d\\n", summary.requests, summary.duration,
      latency:percentile(50), latency:percentile(99),
      errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
"""


class Load(NamedTuple):
    """What came back. p50_ms, p99_ms: of the answers' times. n_failed: other statuses than 2xx, and none."""

    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float  # of the server and all its threads, for each answer: what a busy machine changes least
    n_failed: int


def program() -> str:
    """wrk, or the end of the program with how to get it."""
    found = shutil.which("wrk")
    if found is None:
        sys.exit("The load comes from wrk, which is not on the PATH: `apt-get install wrk`.")
    return found


def run(url: str, path: str, document: Any, key: str, *, connections: int, seconds: int) -> tuple[Load, int]:
    """Keep `connections` busy for so long; the load, without the server's time, and the number of answers."""
    values = {"path": path, "body": json.dumps(document), "authorization": f"Bearer {key}"}
    script = SCRIPT % {name: json.dumps(value) for name, value in values.items()}
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command = [program(), "-t1", f"-c{connections}", f"-d{seconds}s", "-s", file.name, url]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    line = next(line for line in output.splitlines() if line.startswith("FOUND "))
    n, duration_us, p50_us, p99_us, n_failed = (float(word) for word in line.split()[1:])
    found = Load(n / duration_us * 1e6, p50_us / 1e3, p99_us / 1e3, 0.0, int(n_failed))
    return found, int(n)
