"""One champion of one model: loaded in a thread of its own, so that its failure or slowness is its own.

The thread stays as long as the champion serves from a process of its own: that one ends with the thread that
started it.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog
from django.db import connection
from django.utils.translation import gettext as _

from core.lib.aside import in_words
from predictions.serving import served
from predictions.serving.files import ModelFiles
from predictions.serving.original import GRACE_S
from predictions.serving.served import Served
from predictions.serving.snapshot import ChampionRef

log = structlog.get_logger(__name__)

FIRST_WAIT_S = 3.0
LONGEST_WAIT_S = 240.0
LOOK_EVERY_S = 1.0
# One that has served for so long did not fail at once: the waits begin anew.
STEADY_S = 60.0

Take = Callable[["Keeper", Served], bool]
Fail = Callable[["Keeper", str], None]


class Keeper:
    """Tries to load `ref` until it is released, with growing waits; hands it over with `take`.

    take: put it in its place; False when another version is wanted by now. fail: why it cannot be loaded.
    has_tried: set after the first try.
    """

    def __init__(self, ref: ChampionRef, files: ModelFiles, folder: Path, *, take: Take, fail: Fail) -> None:
        self.ref = ref
        self.is_here = files.are_here(ref)
        self.has_tried = threading.Event()
        self._files = files
        self._folder = folder
        self._take = take
        self._fail = fail
        self._is_over = threading.Event()
        self._is_urgent = threading.Event()
        name = f"champion-{ref.model}-v{ref.version}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def release(self) -> None:
        """It is not wanted any more. What it serves from ends a little later: somebody may wait for it."""
        self._is_over.set()

    def end(self, timeout_s: float) -> None:
        """Release it, and end at once."""
        self._is_urgent.set()
        self._is_over.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        wait_s = FIRST_WAIT_S
        while not self._is_over.is_set():
            found = self._placed()
            self.has_tried.set()
            if found is not None and not found.has_process:
                return  # in memory, and nobody's to watch
            if found is not None and self._has_lasted(found):
                wait_s = FIRST_WAIT_S
                continue
            self._is_over.wait(wait_s)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    def _placed(self) -> Served | None:
        """Loaded and in its place; None when it could not be loaded, or is not wanted any more."""
        try:
            found = served.load(self.ref, self._files, self._folder)
            if self._take(self, found):
                return found
            self._is_over.set()
            found.stop(grace_s=0)
        except BaseException as error:  # noqa: BLE001  (models and their libraries raise what they like)
            self._fail(self, in_words(error))
        finally:
            connection.close()
        return None

    def _has_lasted(self, found: Served) -> bool:
        """Stay by it until its process dies or it is released; whether it served for a while."""
        began = time.monotonic()
        while found.is_alive and not self._is_over.wait(LOOK_EVERY_S):
            pass
        has_lasted = time.monotonic() - began >= STEADY_S
        if self._is_over.is_set():
            self._is_urgent.wait(GRACE_S)
        else:
            self._fail(self, _("The process that it answers from has ended; it is started again."))
        try:
            found.stop(grace_s=0)
        except Exception:
            log.exception("serving.process_not_ended", model=self.ref.model, version=self.ref.version)
        return has_lasted
