"""Every measurement in turn: `python -m benchmarks`."""

import subprocess
import sys

from benchmarks import aggregator, frames, predict, usecases

if __name__ == "__main__":
    # Pages of pipelines have a database of their own, which a process takes once.
    pages = subprocess.run([sys.executable, "-m", "benchmarks.pipelines"]).returncode
    sys.exit(max(predict.main(), aggregator.main(), frames.main(), usecases.main([]), pages))
