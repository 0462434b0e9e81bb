"""Which logs somebody watches, and how their copies grow.

Each read of a log on a page or over REST renews a presence mark in Redis. While a try runs, the watcher asks
Airflow for what is new since its token. The log of a try that has ended is copied by a worker, line by line,
and again until nothing new comes: Airflow tells the end first, and then callbacks, listeners and mails write
into the same log; only after that is it taken to where others read it.
"""

import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice

import structlog
from django.db.models import Sum
from django.db.models.functions import Least
from django.utils import timezone

from core.lib import live
from core.lib import redis as console_redis
from core.lib.errors import InvalidRequest, NotFound
from core.lib.times import moment
from pipelines import loops, spool
from pipelines.log_lines import LogLine
from pipelines.models import Run, TaskInstance, TaskLog

log = structlog.get_logger(__name__)

WATCHED = "pipelines:watched-logs"  # a sorted set: the log's id, scored by when its presence ends
WATCHED_S = 15
KEPT_BYTES = 64 * 1024 * 1024  # of the end of a log, and up to half of that again
ALL_BYTES = 1024 * 1024 * 1024
UNREAD_FOR = timedelta(days=1)
AT_ONCE = 500  # lines, and not many more than so many characters
AT_ONCE_CHARACTERS = 4_000_000
TOLD_EVERY_S = 1.0
READ_NOTED_EVERY = timedelta(minutes=1)
WRITES_ON_FOR = timedelta(minutes=1)  # a try, after its end
IS_OLD_AFTER = timedelta(minutes=10)  # then one look is enough
LOOKED_AT_FOR = READ_NOTED_EVERY * 3  # after somebody last read it
FIRST_LOOK, LAST_LOOK = timedelta(seconds=5), timedelta(minutes=1)
MOST_LOOKS = 20  # at the log of one try that has ended


def of_try(run: Run, task: TaskInstance, try_number: int) -> TaskLog:
    """The copy's row, made at the first look; the caller is noted as watching."""
    row, _is_new = TaskLog.objects.get_or_create(
        run=run,
        task_id=task.task_id,
        map_index=task.map_index,
        try_number=try_number,
        defaults={"next_attempt_at": None},
    )
    if row.size_bytes and not _is_sound(row):
        anew = {"size_bytes": 0, "n_lines": 0, "token": "", "is_complete": False, "is_cut": False}
        TaskLog.objects.filter(pk=row.pk).update(**anew, has_end=False, delivery_attempts=0)
        row.refresh_from_db()
    if timezone.now() - row.read_at > READ_NOTED_EVERY:
        TaskLog.objects.filter(pk=row.pk).update(read_at=timezone.now())
    if not row.is_complete:
        _mark_watched(row)
    return row


def _is_sound(row: TaskLog) -> bool:
    """Whether its file is there, and lacks no end: copies of an earlier release were cut there."""
    return spool.path_of(row.pk).is_file() and not (row.is_cut and spool.cut_of(row.pk) == spool.NOT_CUT)


def _mark_watched(row: TaskLog) -> None:
    try:
        console_redis.client().zadd(WATCHED, {str(row.pk): time.time() + WATCHED_S})
    except console_redis.RedisError as error:
        log.warning("log.watch_not_noted", log=row.pk, error=str(error))


def watched() -> list[TaskLog]:
    """Copies that somebody looks at and that are not whole yet."""
    now = time.time()
    try:
        client = console_redis.client()
        ids = [int(str(id_)) for id_ in client.zrangebyscore(WATCHED, now, "+inf")]
        if not ids:
            return []
        client.zremrangebyscore(WATCHED, 0, now)
    except console_redis.RedisError as error:
        log.warning("log.watched_unknown", error=str(error))
        return []
    return list(TaskLog.objects.filter(pk__in=ids, is_complete=False).select_related("run"))


def _task_of(row: TaskLog) -> TaskInstance | None:
    return TaskInstance.objects.filter(
        run_id=row.run_id, task_id=row.task_id, map_index=row.map_index
    ).first()


def has_ended(row: TaskLog) -> bool:
    """Whether this try is over, by the mirrored task."""
    task = _task_of(row)
    return task is None or task.try_number > row.try_number or task.has_ended


def ended_at(row: TaskLog) -> datetime | None:
    """When this try ended, by the mirrored task; None where that is not known, and so long ago."""
    task = _task_of(row)
    if task is None:
        return None
    if task.try_number == row.try_number:
        return task.ended_at
    tries = {one["try_number"]: one["ended_at"] for one in task.earlier_tries}
    return moment(tries.get(row.try_number))


def want_copy(row: TaskLog) -> bool:
    """Let a worker copy the log of an ended try, unless one is at it; True when it has to be sent to one."""
    due = TaskLog.objects.filter(pk=row.pk, is_complete=False, next_attempt_at=None)
    return bool(due.update(next_attempt_at=timezone.now()))


def copy(row: TaskLog, lines: Iterable[LogLine]) -> int | None:
    """Append what the copy lacks, some hundred lines at a time; how many lines there are in all.

    None when the copy is not ours.

    Watchers hear of it now and then only: what they look at is its end, which comes last. A copy that takes
    longer than its lease stays with this worker as long as it goes on.
    """
    rest = iter(lines)
    position = sum(1 for _known in islice(rest, row.n_lines))
    told_at = 0.0
    for some in _batches(rest):
        if not _append(row, some, position=position):
            return None
        position += len(some)
        if time.monotonic() - told_at > TOLD_EVERY_S:
            told_at = time.monotonic()
            if row.next_attempt_at is not None and not row.renew():
                return None
            tell(row)
    return position


def _batches(lines: Iterable[LogLine]) -> Iterator[list[LogLine]]:
    some: list[LogLine] = []
    n_characters = 0
    for line in lines:
        some.append(line)
        n_characters += len(line.message)
        if len(some) == AT_ONCE or n_characters >= AT_ONCE_CHARACTERS:
            yield some
            some, n_characters = [], 0
    if some:
        yield some


def finish(row: TaskLog, error: str = "") -> None:
    """Nothing more will come of this try."""
    done = {"is_complete": True, "has_end": True, "next_attempt_at": None, "delivery_error": error}
    TaskLog.objects.filter(pk=row.pk).update(**done)
    tell(row)


def note_end(row: TaskLog, *, looked_at: datetime, has_more: bool) -> None:
    """A copy came to the end of the log of an ended try, as it was at `looked_at`: look again, or be done.

    has_more: whether there were lines that the copy lacked.
    """
    ended = ended_at(row)
    since = looked_at - ended if ended else IS_OLD_AFTER
    is_tired = row.delivery_attempts >= MOST_LOOKS  # the clock of its worker may be ahead of ours
    if is_tired or since >= IS_OLD_AFTER or (since > WRITES_ON_FOR and not has_more):
        finish(row)
        return
    wait = min(max(since, FIRST_LOOK), LAST_LOOK)
    again = {"has_end": True, "next_attempt_at": timezone.now() + wait, "delivery_error": ""}
    TaskLog.objects.filter(pk=row.pk).update(**again)
    tell(row)


def note_missing(row: TaskLog, words: str) -> None:
    """Airflow cannot read the log of an ended try, or not yet: tried again while somebody looks at it, and
    else when the next one does. One that was copied while it ran, and is gone since, keeps what is here.
    """
    ended = ended_at(row)
    if row.n_lines and (ended is None or timezone.now() - ended >= IS_OLD_AFTER):
        finish(row, words)
        return
    row.mark_retry(words)
    if timezone.now() - row.read_at > LOOKED_AT_FOR:
        TaskLog.objects.filter(pk=row.pk).update(next_attempt_at=None)
    tell(row)


def follow(row: TaskLog) -> None:
    """Append what Airflow has beyond the copy. A try that Airflow does not know yet is no error."""
    from pipelines import gateway

    try:
        page = gateway.connect().log_page(
            row.run.dag_id,
            row.run.dag_run_id,
            row.task_id,
            try_number=row.try_number,
            map_index=row.map_index,
            token=row.token,
        )
    except NotFound:
        return
    except InvalidRequest:  # a token of an Airflow with another secret: from the start, without what we have
        TaskLog.objects.filter(pk=row.pk).update(token="")
        return
    # Without a token the answer starts at the first line.
    fresh = page.lines if row.token else page.lines[row.n_lines :]
    if fresh or page.token != row.token:
        write(row, fresh, token=page.token)


def write(row: TaskLog, lines: Iterable[LogLine], *, token: str = "") -> None:
    """Append to the copy and tell its watchers; what another writer appended meanwhile is left out."""
    _append(row, lines, token=token)
    tell(row)


def _append(row: TaskLog, lines: Iterable[LogLine], *, position: int | None = None, token: str = "") -> bool:
    """position: how many lines of the log stand before these; those of the copy as the caller knows it.

    What another writer appended meanwhile is left out. False where lines between are missing: the copy was
    begun anew.
    """
    fresh = list(lines)
    position = row.n_lines if position is None else position
    with spool.writing(row.pk) as copied:
        row.refresh_from_db(fields=["n_lines", "size_bytes"])
        if row.n_lines < position:
            return False
        fresh = fresh[row.n_lines - position :]
        if copied.size_bytes != row.size_bytes:  # a writer died between file and row
            copied.truncate(row.size_bytes)
        row.size_bytes = spool.append(copied, fresh)
        row.n_lines += len(fresh)
        row.token = token
        row.save(update_fields=["size_bytes", "n_lines", "token"])
        if row.size_bytes - copied.cut.n_bytes > KEPT_BYTES * 3 // 2:
            row.is_cut = spool.cut_head(row.pk, copied, keep_bytes=KEPT_BYTES) or row.is_cut
            row.save(update_fields=["is_cut"])
    return True


def tell(row: TaskLog) -> None:
    """Pages that show this log fetch it again."""
    for topic in row.topics:
        live.publish(topic, [row.pk])


def remove_unread() -> None:
    """Copies that nobody read for a day go, and the longest unread while all together are too large."""
    loops.OLD_LOGS.each(TaskLog.objects.filter(read_at__lt=timezone.now() - UNREAD_FOR), remove, key=str)
    kept = Least("size_bytes", KEPT_BYTES * 3 // 2)
    too_many = (TaskLog.objects.aggregate(n=Sum(kept))["n"] or 0) - ALL_BYTES
    for row in TaskLog.objects.annotate(kept_bytes=kept).order_by("read_at").iterator():
        if too_many <= 0:
            return
        too_many -= row.kept_bytes
        with loops.OLD_LOGS.item(row):
            remove(row)


def remove(row: TaskLog) -> None:
    """Delete the copy; it is made anew when somebody asks."""
    spool.remove(row.pk)
    row.delete()
