"""The states of runs and of tasks, and which of them belong together. No database."""

from typing import Final

from django.db import models
from django.utils.translation import gettext_lazy as _


class RunState(models.TextChoices):
    """Our own states and those of Airflow 3.3; others, of a newer Airflow, are kept as they come."""

    REQUESTED = "requested", _("requested")
    REFUSED = "refused", _("refused")
    QUEUED = "queued", _("queued")
    RUNNING = "running", _("running")
    SUCCESS = "success", _("success")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")
    LOST = "lost", _("lost")  # deleted in Airflow before it ended


ENDED: Final = (RunState.REFUSED, RunState.SUCCESS, RunState.FAILED, RunState.CANCELLED, RunState.LOST)
NEVER_THERE: Final = (RunState.REFUSED, RunState.LOST)  # no run of Airflow's stands behind these
ENDED_WELL_OR_NOT: Final = (RunState.SUCCESS, RunState.FAILED)
TIMED: Final = (*ENDED_WELL_OR_NOT, RunState.CANCELLED)  # ended, with a start and an end of their own
NOT_BEGUN: Final = (RunState.REQUESTED, RunState.QUEUED)
UNDER_WAY: Final = (*NOT_BEGUN, RunState.RUNNING)

# What made a run, in Airflow's words and ours.
TYPES: Final = {
    "scheduled": _("by schedule"),
    "manual": _("by hand"),
    "backfill": _("by a backfill"),
    "asset_triggered": _("by an asset"),
    "asset_materialization": _("to make an asset"),
    "operator_triggered": _("by another pipeline"),
}
BY_DATE: Final = ("scheduled", "backfill")  # each for a date of its own: none of them stands for another

# Of tasks. After the first the task is over, and after the second a try writes no more; Airflow has no others
# in release 3.3.
TASK_OVER: Final = ("success", "failed", "skipped", "upstream_failed", "removed")
TASK_ENDED: Final = (*TASK_OVER, "up_for_retry")
TASK_FAILED: Final = ("failed", "upstream_failed")  # by itself, or by one before it: what "only failed" means
NEVER_RAN: Final = frozenset({"skipped", "upstream_failed", "removed"})  # some get a start all the same
TASK_UNDER_WAY: Final = (  # what a clear stops or takes back
    "running",
    "restarting",
    "queued",
    "scheduled",
    "deferred",
    "up_for_reschedule",
    "awaiting_input",
)
MARKS: Final = ("success", "failed", "skipped")  # what one may be marked as; a run as the first two
