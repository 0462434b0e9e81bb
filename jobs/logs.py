"""Reading a job's log by byte cursors: what the driver wrote so far, whole characters, a piece at a time."""

import os
from typing import NamedTuple

from django.utils.translation import gettext as _

from core.lib.errors import NotFound
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
        with job.folder_of(attempt_of(job, attempt)).log.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            end = size if before is None else min(before, size)
            start = max(0, end - LARGEST_PIECE_BYTES)
            stream.seek(start)
            content = stream.read(end - start)
    except FileNotFoundError:
        return Tail("", 0)
    n_skipped = content.find(b"\n") + 1 if start else 0
    if n_skipped == len(content):  # one line, and its beginning stands before
        n_skipped = _half_character(content) if start else 0
    return Tail(_whole(content[n_skipped:]).decode(errors="replace"), start + n_skipped)


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
        with job.folder_of(number).log.open("rb") as stream:
            stream.seek(cursor)
            content = stream.read(LARGEST_PIECE_BYTES)
            is_end = is_over and not stream.read(1)
    except FileNotFoundError:
        return Piece("", 0, is_over)
    if not is_end:
        content = _whole(content)
    return Piece(content.decode(errors="replace"), cursor + len(content), is_end)


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
