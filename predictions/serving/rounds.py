"""A thread that does one thing again and again; nothing that it meets ends it."""

import threading
from collections.abc import Callable

import structlog
from django.db import connection

log = structlog.get_logger(__name__)


class Rounds:
    """Calls `turn` at the start, when woken, and every so many seconds besides."""

    def __init__(self, name: str, every_s: float, turn: Callable[[], object]) -> None:
        self._name = name
        self._every_s = every_s
        self._turn = turn
        self._is_due = threading.Event()
        self._thread: threading.Thread | None = None
        self.is_ending = False
        self.has_turned = threading.Event()

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Turn at once; when it is turning, once more after that."""
        self._is_due.set()

    def stop(self) -> None:
        """Do not turn again; `join` waits for the turn under way."""
        self.is_ending = True
        self._is_due.set()

    def join(self, timeout_s: float) -> None:
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self.is_ending:
            self._is_due.clear()
            self._turn_once()
            self.has_turned.set()
            self._is_due.wait(self._every_s)

    def _turn_once(self) -> None:
        try:
            try:
                self._turn()
            finally:
                connection.close()
        except BaseException:  # a thread has nobody above it; what it keeps current goes on
            log.exception("serving.round_broken", rounds=self._name)
