"""Reading a task's log: what is copied so far, and seeing to it that the rest comes."""

from dataclasses import dataclass
from functools import cached_property

from django.utils.translation import gettext as _

from core.lib.errors import NotFound
from pipelines import log_copy, queries, spool, tasks
from pipelines.models import Run, TaskInstance, TaskLog
from pipelines.spool import Cut, Piece, Wanted


@dataclass(frozen=True)
class LogView:
    """The log of one try; without a copy when the task has not started."""

    task: TaskInstance
    try_number: int
    copy: TaskLog | None

    @property
    def has_ended(self) -> bool:
        """Whether this try is over; its callbacks may write on for a while."""
        return self.task.has_ended or self.try_number < self.task.try_number

    @property
    def tries(self) -> range:
        """The tries to choose from; empty while there is one at most."""
        return range(1, self.task.try_number + 1) if self.task.try_number > 1 else range(0)

    @property
    def size_bytes(self) -> int:
        """Of the copy so far."""
        return self.copy.size_bytes if self.copy else 0

    @property
    def has_end(self) -> bool:
        """Whether the last lines here are those that stood at the end of the log after the try ended."""
        return self.copy.has_end or self.copy.is_complete if self.copy else self.task.has_ended

    @property
    def is_complete(self) -> bool:
        """Nothing more will come; also for a task that ended without a try."""
        return self.copy.is_complete if self.copy else self.task.has_ended

    @cached_property
    def cut(self) -> Cut:
        """What the copy no longer has of the log's head; Airflow has it."""
        return spool.cut_of(self.copy.pk) if self.copy else spool.NOT_CUT

    def read(self, start: int, *, limit: int) -> Piece:
        """Lines from an offset on."""
        if self.copy is None:
            return Piece([], 0, 0)
        return spool.read(self.copy.pk, start=start, size_bytes=self.size_bytes, limit=limit)

    def tail(self, *, limit: int, before: int | None = None, wanted: Wanted = spool.ALL) -> Piece:
        """The last lines, or the last of those wanted."""
        if self.copy is None:
            return Piece([], 0, 0)
        size_bytes = self.size_bytes
        return spool.tail(self.copy.pk, size_bytes=size_bytes, limit=limit, before=before, wanted=wanted)

    def first_fault(self) -> int | None:
        """Where the first line kept at the level of an error begins; None where there is none so far."""
        return None if self.copy is None else spool.first_fault(self.copy.pk, size_bytes=self.size_bytes)


def open_log(run: Run, task_id: str, *, map_index: int = -1, try_number: int | None = None) -> LogView:
    """The log of a try, the latest unless told; the caller counts as watching it for some seconds.

    Raises NotFound for an unknown task or try.
    """
    task = queries.task_instance(run, task_id, map_index)
    number = task.try_number if try_number is None else try_number
    if not 0 <= number <= task.try_number:
        message = _("The task “%(task)s” has had %(n)s tries; there is no try %(number)s.")
        raise NotFound(message % {"task": task, "n": task.try_number, "number": number})
    if number == 0:
        return LogView(task, 0, None)
    row = log_copy.of_try(run, task, number)
    view = LogView(task, number, row)
    if view.has_ended and log_copy.want_copy(row):
        tasks.copy_log.delay_on_commit(str(row.pk))
    return view
