"""Every measurement in turn: `python -m benchmarks`."""

import sys

from benchmarks import aggregator, frames, predict, usecases

if __name__ == "__main__":
    sys.exit(max(predict.main(), aggregator.main(), frames.main(), usecases.main([])))
