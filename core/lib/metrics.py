"""Every Prometheus metric of the project. A label has a fixed set of values.

Several processes share files in PROMETHEUS_MULTIPROC_DIR (`make up` empties it); `exposition` adds them up.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog
from django.db import DatabaseError

_DIRECTORY = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")


def _forget_the_gone(folder: Path) -> None:
    """Take away the live gauges of processes that are gone, and of an earlier one with this one's number.

    A container that starts again in place finds its folder as it was. What was counted stays: it only grows.
    """
    for path in folder.glob("gauge_live*_*.db"):
        number = path.stem.rpartition("_")[2]
        if number == str(os.getpid()) or not _is_there(int(number)):
            path.unlink(missing_ok=True)


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if _DIRECTORY:  # the library decides at import, and wants the folder then
    Path(_DIRECTORY).mkdir(parents=True, exist_ok=True)
    _forget_the_gone(Path(_DIRECTORY))

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest  # noqa: E402
from prometheus_client.core import GaugeMetricFamily, Metric  # noqa: E402
from prometheus_client.multiprocess import MultiProcessCollector  # noqa: E402
from prometheus_client.registry import Collector  # noqa: E402

from core.lib import lag, tallies  # noqa: E402
from core.lib.redis import RedisError  # noqa: E402
from core.lib.tallies import TalliedCounter, TalliedHistogram  # noqa: E402

log = structlog.get_logger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS", "other")

# --- pages and REST
HTTP_SECONDS = Histogram(
    "console_http_answer_seconds",
    "Time from the first middleware to the answer, by view.",
    ["view", "method", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
CSP_REPORTS = Counter(
    "console_csp_report", "Violations of the Content-Security-Policy that browsers reported."
)
IDEMPOTENT = Counter(
    "console_idempotency_decide", "Calls that carried an Idempotency-Key, by outcome.", ["outcome"]
)

# --- live pages
SOCKETS = Gauge("console_socket_open_count", "Open live sockets.", multiprocess_mode="livesum")
SOCKET_MESSAGES = Counter("console_socket_send_messages", "Messages sent to live sockets.")
SOCKET_DROPPED = Counter(
    "console_socket_drop_messages", "Messages that a newer one of the same topic replaced: a slow socket."
)
LIVE_LOST = Counter("console_live_lose_messages", "Live messages not sent because Redis was away.")

# --- worker, watch
TASK_SECONDS = Histogram(
    "console_task_run_seconds",
    "Time a task ran, by outcome.",
    ["task", "outcome"],
    buckets=(0.01, 0.05, 0.25, 1, 5, 30, 120, 600),
)
TASKS_NOT_SENT = Counter("console_task_lose_messages", "Tasks left to the sweep because the broker was away.")
OUTBOX_SWEPT = Counter("console_outbox_sweep_rows", "Unfinished rows that the sweep sent again.")
POLL_SECONDS = Histogram(
    "console_poll_run_seconds",
    "Time a poll of a service took, by outcome.",
    ["poll", "outcome"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60),
)

# --- notifications of alerts
NOTIFICATIONS = Counter(
    "console_notification_try_messages",
    "Tries to deliver a notification, by how they ended.",
    ["kind", "outcome"],
)

# --- predictions
PREDICT_SECONDS = TalliedHistogram(
    "console_predict_answer_seconds",
    "Time to answer a predict call, from its last byte to the answer's first.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
PREDICT_ANSWERS = TalliedCounter(
    "console_predict_answer_calls", "Answers to predict calls, by status.", ["status"]
)
PREDICT_ROWS = TalliedCounter("console_predict_score_rows", "Rows scored.")
PREDICT_IN_FLIGHT = Gauge(
    "console_predict_flight_rows",
    "Rows that are being answered: scored, or waiting for Kafka.",
    multiprocess_mode="livesum",
)
KAFKA_PRODUCE_SECONDS = TalliedHistogram(
    "console_kafka_produce_seconds",
    "Time from handing a record to the producer to its acknowledgement.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2, 10),
)
BATCH_ROWS = Counter(
    "console_batch_answer_rows", "Rows of files that were predicted or set aside.", ["outcome"]
)
BATCHES_ENDED = Counter("console_batch_end_batches", "Files of rows that ended, by how.", ["state"])
RECORDER_ROWS = Counter("console_recorder_write_rows", "Prediction rows written by the recorder.")
RECORDER_BAD = Counter(
    "console_recorder_skip_messages", "Messages on the topic that are no prediction record."
)

# --- streams
STREAM_EVENTS = Counter("console_stream_count_events", "Events counted into windows.")
STREAM_DEAD = Counter("console_stream_refuse_messages", "Messages that fit no window: dead letters.")
STREAM_WRITE_SECONDS = Histogram(
    "console_stream_write_seconds",
    "Time to write changed windows and offsets.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
STREAM_ANOMALIES = Counter("console_stream_find_anomalies", "Events above the limit of an anomaly rule.")
STREAM_UNJUDGED = Counter(
    "console_stream_pass_over_events", "Accepted events that an anomaly rule did not judge."
)
REPLAY_LINES = Counter("console_replay_send_lines", "Lines of files sent to topics.")

# --- Spark jobs
JOBS_ENDED = Counter("console_job_end_jobs", "Spark jobs that ended, by how.", ["state"])

PREDICT_STATUSES = (
    *("200", "400", "401", "403", "404", "408", "409", "413", "415", "422", "429", "500", "503"),
)
for _status in PREDICT_STATUSES:
    PREDICT_ANSWERS.labels(_status)
for _outcome in ("first", "replayed", "refused", "unavailable"):
    IDEMPOTENT.labels(_outcome)
for _kind in ("webhook", "email"):
    for _outcome in ("delivered", "not_delivered"):
        NOTIFICATIONS.labels(_kind, _outcome)
for _state in ("succeeded", "failed", "cancelled", "lost"):
    JOBS_ENDED.labels(_state)
for _state in ("succeeded", "failed", "cancelled"):
    BATCHES_ENDED.labels(_state)
for _outcome in ("predicted", "refused"):
    BATCH_ROWS.labels(_outcome)


def observe_http(view: str, method: str, status: int, seconds: float) -> None:
    """Count one answer of Django's."""
    known = method if method in METHODS else "other"
    HTTP_SECONDS.labels(view, known, f"{status // 100}xx").observe(seconds)


@dataclass(frozen=True)
class Asked(Collector):
    """A gauge that is counted when somebody asks; left out while what it asks is away or makes no sense.

    count: the value for each tuple of label values, in the order of `labels`.
    """

    name: str
    words: str
    labels: tuple[str, ...]
    count: Callable[[], Mapping[tuple[str, ...], float]]

    def describe(self) -> Iterable[Metric]:
        """Nothing is asked when it is registered."""
        return [self._empty()]

    def collect(self) -> Iterable[Metric]:
        gauge = self._empty()
        try:
            for values, number in sorted(self.count().items()):
                gauge.add_metric(values, float(number))
        except (DatabaseError, RedisError):
            return
        except Exception:  # the others are told all the same
            log.exception("metrics.not_counted", name=self.name)
            return
        yield gauge

    def _empty(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(self.name, self.words, labels=self.labels)


def _set_aside() -> dict[tuple[str, ...], float]:
    from core.lib import aside  # models load later than metrics

    return {(name,): n for name, n in aside.numbers().items()}


def _told() -> dict[str, lag.Behind]:
    told = {part: lag.of(part) for part in lag.PARTS}
    return {part: one for part, one in told.items() if one is not None}


def _behind() -> dict[tuple[str, ...], float]:
    # a sum of some would look well while a stream stands still
    return {(part,): one.n_messages for part, one in _told().items() if not one.n_stuck}


def _stuck() -> dict[tuple[str, ...], float]:
    return {(part,): one.n_stuck for part, one in _told().items()}


def _oldest() -> dict[tuple[str, ...], float]:
    times = {part: one.oldest_at for part, one in _told().items()}
    return {(part,): max(0.0, time.time() - at) for part, at in times.items() if at is not None}


# Of rows, and of the parts that follow Kafka as they told it themselves.
ASKED = (
    Asked(
        "console_items_set_aside",
        "Items of services that did not fit, by the loop that set them aside.",
        ("loop",),
        _set_aside,
    ),
    Asked("console_part_wait_messages", "Messages not taken yet.", ("part",), _behind),
    Asked("console_part_wait_seconds", "Age of the oldest of them.", ("part",), _oldest),
    Asked("console_part_stuck_count", "Streams or partitions that take no message now.", ("part",), _stuck),
)


def exposition(asked: Iterable[Collector] = ()) -> bytes:
    """All metrics as Prometheus reads them, of every process where they share a folder, and what is `asked`.

    What is asked waits for the database and for services: not for the process that only predicts.
    """
    waiting = CollectorRegistry()
    for one in asked:
        waiting.register(one)
    return generate_latest(counted()) + generate_latest(waiting)


def counted() -> CollectorRegistry:
    """What was counted until now, by every process where they share a folder."""
    tallies.flush()
    if not _DIRECTORY:
        return REGISTRY
    _forget_dead_processes(Path(_DIRECTORY))
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=_DIRECTORY)
    return registry


def _forget_dead_processes(folder: Path) -> None:
    """What a process that is gone had open is open no more; its counters stay."""
    for file in folder.glob("gauge_live*.db"):
        pid = file.stem.rpartition("_")[2]
        if not Path(f"/proc/{pid}").exists():
            file.unlink(missing_ok=True)
