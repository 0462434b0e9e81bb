"""Every measurement in turn: `python -m benchmarks`."""

import sys

from benchmarks import predict

if __name__ == "__main__":
    sys.exit(predict.main())
