"""Every measurement in turn: `python -m benchmarks`."""

import subprocess
import sys

from benchmarks import aggregator, airflow_rest, frames, predict, usecases

if __name__ == "__main__":
    # Pages of pipelines and of drift have a database of their own, which a process takes once.
    pages = [
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"]).returncode
        for name in ("pipelines", "drift")
    ]
    parts = (predict.main(), aggregator.main(), frames.main(), airflow_rest.main([]), usecases.main([]))
    sys.exit(max(*parts, *pages))
