"""Ids of predictions that were refused to the caller although their records may yet arrive.

They are kept in small files until Kafka has taken a marker for them; the recorder then marks the rows.
"""

import asyncio
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import orjson
import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

from core.lib import kafka
from core.lib.files import write_whole

log = structlog.get_logger(__name__)

KIND = "unanswered"
N_IDS_PER_MARKER = 500
MOST_FILES = 2_000  # are sent at once
MOST_KEPT = 10_000  # files, of all processes that share the folder: hours without Kafka
MOST_GATHERED = 100_000  # ids that wait for the disk
ADD_TIMEOUT_S = 2.0
SEND_TIMEOUT_S = 5


class Unanswered:
    """A folder of files of ids; any process may send what another left behind.

    Ids of calls that are refused while a file is written go into the next one together.
    """

    def __init__(self, folder: Path, topic: str) -> None:
        self._folder = folder
        self._topic = topic
        self._lock = threading.Lock()
        self._gathered: list[str] = []
        self._next_file: Future[None] | None = None
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="unanswered")

    async def add(self, ids: Sequence[str]) -> None:
        """Return once they are on the disk, or have been logged because they could not be kept."""
        with self._lock:
            if len(self._gathered) + len(ids) > MOST_GATHERED:
                reason = f"{MOST_GATHERED} wait for the disk already"
                log.error("predictions.unanswered_not_kept", n_ids=len(ids), reason=reason)
                return
            self._gathered += ids
            if self._next_file is None:
                self._next_file = self._writer.submit(self._write)
            written = self._next_file
        try:
            async with asyncio.timeout(ADD_TIMEOUT_S):
                await asyncio.shield(asyncio.wrap_future(written))  # others wait for it too
        except TimeoutError:
            log.error("predictions.unanswered_not_kept_yet", n_ids=len(ids), reason="the disk is slow")

    def _write(self) -> None:
        with self._lock:
            ids, self._gathered, self._next_file = self._gathered, [], None
        try:
            if sum(1 for _path in self._folder.glob("*.ids")) >= MOST_KEPT:
                reason = f"{MOST_KEPT} files are kept already"
                log.error("predictions.unanswered_not_kept", n_ids=len(ids), reason=reason)
                return
            write_whole(self._folder / f"{uuid.uuid4().hex}.ids", "\n".join(ids).encode())
        except OSError as error:
            log.error("predictions.unanswered_not_kept", n_ids=len(ids), reason=str(error))

    def send(self) -> int:
        """Hand markers to Kafka and forget what it has taken; returns how many ids went."""
        paths = sorted(self._folder.glob("*.ids"))[:MOST_FILES]
        ids = [id_ for path in paths for id_ in _ids(path)]
        if not ids or not self._deliver(ids):
            return 0
        for path in paths:
            path.unlink(missing_ok=True)
        return len(ids)

    def _deliver(self, ids: list[str]) -> bool:
        failures: list[object] = []
        limits = {"delivery.timeout.ms": SEND_TIMEOUT_S * 1000, **kafka.quiet(log)}
        producer = Producer(kafka.producer_config(**limits))

        def note(error: KafkaError | None, _message: object) -> None:
            if error is not None:
                failures.append(error)

        try:
            for start in range(0, len(ids), N_IDS_PER_MARKER):
                marker = orjson.dumps({"kind": KIND, "ids": ids[start : start + N_IDS_PER_MARKER]})
                producer.produce(self._topic, marker, on_delivery=note)
            n_left = producer.flush(SEND_TIMEOUT_S + 1)
        except (BufferError, KafkaException) as error:
            log.warning("predictions.markers_not_sent", error=str(error))
            return False
        return n_left == 0 and not failures


def _ids(path: Path) -> list[str]:
    """None of a file that another process has sent meanwhile."""
    try:
        return path.read_text(encoding="ascii").split()
    except FileNotFoundError:
        return []
