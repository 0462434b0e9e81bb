"""Metrics of what happens thousands of times a second: counted in memory, written by `flush`.

Processes share their metrics through files, and each write to one costs more than a microsecond; an
observation is two of them. Whoever counts here calls `flush` every few seconds.
"""

from bisect import bisect_left
from threading import Lock

from prometheus_client import Counter, Histogram

_tallied: list["TalliedCounter | TalliedHistogram"] = []


def flush() -> None:
    """Write what was counted since the last call, of every metric."""
    for metric in _tallied:
        metric.flush()


class TalliedCounter(Counter):
    """A counter whose increments are added up until `flush`."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._tally, self._tally_lock = 0.0, Lock()
        _tallied.append(self)

    def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:
        """Exemplars are not kept."""
        with self._tally_lock:
            self._tally += amount

    def flush(self) -> None:
        with self._tally_lock:
            tally, self._tally = self._tally, 0.0
        if tally:
            super().inc(tally)


class TalliedHistogram(Histogram):
    """A histogram whose observations are added up until `flush`."""

    _upper_bounds: list[float]

    def _metric_init(self) -> None:
        super()._metric_init()
        self._tally_lock = Lock()
        self._total, self._counts = 0.0, [0] * len(self._upper_bounds)
        _tallied.append(self)

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        """Exemplars are not kept."""
        with self._tally_lock:
            self._total += amount
            self._counts[bisect_left(self._upper_bounds, amount)] += 1

    def flush(self) -> None:
        with self._tally_lock:
            total, self._total = self._total, 0.0
            counts, self._counts = self._counts, [0] * len(self._upper_bounds)
        if not any(counts):
            return
        self._sum.inc(total)
        for bucket, n in zip(self._buckets, counts, strict=True):
            if n:
                bucket.inc(n)
