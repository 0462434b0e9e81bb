"""Writing the demonstration's own rows while PostgreSQL may be away for a while."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from django.db import InterfaceError, OperationalError, connection

PATIENCE_S: Final = 120.0
PAUSE_S: Final = 1.0

T = TypeVar("T")


def patiently(work: Callable[[], T], *, patience_s: float = PATIENCE_S) -> T:
    """What `work` returns; while the database does not answer it is tried again, so it must bear that."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return work()
        except (OperationalError, InterfaceError):
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_S)
