"""How a job ended, from what its processes left: the state, and the error in its own words."""

import re
import signal
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from jobs import results
from jobs.folders import Folder
from jobs.models import Job, JobState

LONGEST_ERROR = 2000
SHOWN_LINES = 5
REFUSED = "SourceRefused:"  # what applications raise for their parameters
TRACEBACK = "Traceback (most recent call last):"
# Lines of Spark's own log, which go on after a traceback.
LOG_LINE = re.compile(r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d |Exception ignored ")


@dataclass(frozen=True)
class Outcome:
    """What the row of an ended job says. may_retry: whether another try might end otherwise."""

    state: JobState
    error: str = ""
    result: dict[str, Any] | None = None
    exit_code: int | None = None
    may_retry: bool = False


def outcome(job: Job, folder: Folder) -> Outcome:
    """For a folder that nobody works in any more. Who ended well has succeeded, told to end or not."""
    end = folder.end or {}
    code: int | None = end.get("code")
    refusal = ""
    if code == 0:
        is_stopped = (
            job.is_streaming and job.cancel_asked_at is not None
        )  # as it was told to, between batches
        state = JobState.CANCELLED if is_stopped else JobState.SUCCEEDED
        try:
            return Outcome(state, result=results.read(folder), exit_code=0)
        except results.ResultRefused as refused:
            refusal = str(refused)
    if job.cancel_asked_at is not None:
        return Outcome(JobState.CANCELLED, exit_code=code)
    if end.get("is_late"):
        return Outcome(JobState.FAILED, _late_error(), exit_code=code)
    if end.get("is_stopped"):
        words = _("It was ended from outside: the stack was stopped.")
        return Outcome(JobState.LOST, words, exit_code=code, may_retry=True)
    if not end:
        return Outcome(JobState.LOST, _("Its launcher was killed, or the machine stopped."), may_retry=True)
    words = refusal or end.get("error") or _driver_error(code, folder.log_tail())
    may_retry = not refusal and REFUSED not in words  # the same parameters would be refused again
    return Outcome(
        JobState.FAILED, words.replace("\x00", "")[:LONGEST_ERROR], exit_code=code, may_retry=may_retry
    )


def _late_error() -> str:
    return _("It ran longer than a job may, %(n)s hours (CONSOLE_JOBS_LONGEST_HOURS), and was ended.") % {
        "n": settings.CONSOLE_JOBS_LONGEST_HOURS
    }


def _driver_error(code: int | None, log_tail: str) -> str:
    if code is not None and code < 0:
        name = next((known.name for known in signal.Signals if known == -code), str(-code))
        return _("The driver was killed (%(signal)s).") % {"signal": name}
    return error_in(log_tail) or _("The driver ended with exit status %(code)s.") % {"code": code}


def error_in(log_tail: str) -> str:
    """The last Python exception as Python words it, else the last lines of the log."""
    before, mark, after = log_tail.rpartition(TRACEBACK)
    lines = after.splitlines() if mark else []
    words = [line for line in lines if line.strip() and not line.startswith((" ", "\t"))]
    said = [line for line in words if not LOG_LINE.match(line)][:SHOWN_LINES]
    if not said:
        said = [line for line in (before + after).splitlines() if line.strip()][-SHOWN_LINES:]
    return "\n".join(said)
