"""Reading a job's log by byte cursors: what the driver wrote so far, whole characters, a piece at a time."""

from typing import NamedTuple

from django.utils.translation import gettext as _

from core.lib.errors import NotFound
from jobs import log_file
from jobs.models import Job

LARGEST_PIECE_BYTES = 64 * 1024
LONGEST_CHARACTER = 4


class Piece(NamedTuple):
    """Text from a byte on, the byte of what follows, and whether nothing will follow it."""

    text: str
    next_cursor: int
    is_end: bool


class Tail(NamedTuple):
    """Lines, and the byte at which they start."""

    text: str
    start: int


def attempt_of(job: Job, attempt: int | None) -> int:
    """The try whose log is asked for, by default the newest. Raises NotFound for one that never was."""
    if attempt is None:
        return job.attempt
    if not 1 <= attempt <= job.attempt:
        raise NotFound(_("The job has no try %(n)d; it had %(all)d.") % {"n": attempt, "all": job.attempt})
    return attempt


def tail(job: Job, *, before: int | None = None, attempt: int | None = None) -> Tail:
    """The last lines that fit 64 KiB: of all that is there, or of what stands before a byte.

    Of a line that is longer its end. Raises NotFound as `attempt_of`.
    """
    try:
        found = log_file.before_byte(job.folder_of(attempt_of(job, attempt)).log, before, LARGEST_PIECE_BYTES)
    except FileNotFoundError:
        return Tail("", 0)
    if found.is_note:
        return Tail(found.content.decode(), found.start)
    content, start = found.content, found.start
    n_skipped = content.find(b"\n") + 1 if start else 0
    if n_skipped == len(content):  # one line, and its beginning stands before
        n_skipped = _half_character(content) if start else 0
    content = content[n_skipped:]
    return Tail((content if found.is_torn else _whole(content)).decode(errors="replace"), start + n_skipped)


def read(job: Job, cursor: int = 0, *, attempt: int | None = None) -> Piece:
    """At most 64 KiB from this byte on; nothing for a job that has not started.

    `job` has been read before the log is: what ended by then writes no more.
    Raises NotFound when the log was cleared, and as `attempt_of`.
    """
    number = attempt_of(job, attempt)
    is_over = job.has_ended or number < job.attempt
    if job.cleared_at is not None:
        raise NotFound(_("The log of this job was cleared on %(day)s.") % {"day": job.cleared_at.date()})
    try:
        found = log_file.from_byte(job.folder_of(number).log, cursor, LARGEST_PIECE_BYTES)
    except FileNotFoundError:
        return Piece("", 0, is_over)
    is_end = is_over and found.is_last
    content = found.content if is_end or found.is_torn else _whole(found.content)
    n_later = len(found.content) - len(content)
    return Piece(content.decode(errors="replace"), found.end - n_later, is_end)


def _half_character(content: bytes) -> int:
    """How many bytes at its start belong to a character that begins before."""
    return next((n for n, byte in enumerate(content[:LONGEST_CHARACTER]) if byte & 0xC0 != 0x80), 0)


def _whole(content: bytes) -> bytes:
    """Without the character at its end of which a part is still to come."""
    for n_bytes in range(1, min(LONGEST_CHARACTER, len(content) + 1)):
        byte = content[-n_bytes]
        if byte >= 0xC0:  # the first of a character: how many belong to it?
            wanted = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return content[:-n_bytes] if wanted > n_bytes else content
        if byte < 0x80:
            break
    return content
