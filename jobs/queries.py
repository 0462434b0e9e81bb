"""Reads of jobs."""

import uuid
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from console.lib.errors import NotFound
from jobs import admission
from jobs.models import ENDED, Job, JobState

n_before = admission.n_before


def recent_jobs(*, state: str = "", app: str = "") -> QuerySet[Job]:
    """Newest first."""
    wanted = {name: value for name, value in {"state": state, "app": app}.items() if value}
    return Job.objects.select_related("requested_by", "cancel_asked_by").filter(**wanted).order_by("-pk")


def open_jobs() -> QuerySet[Job]:
    """Those that have not ended, newest first."""
    return recent_jobs().exclude(state__in=ENDED)


def job(job_id: Any) -> Job:
    """Raises NotFound."""
    try:
        found = recent_jobs().filter(pk=uuid.UUID(str(job_id))).first()
    except ValueError:
        found = None
    if found is None:
        raise NotFound(_("There is no job %(id)s.") % {"id": str(job_id)[:50]})
    return found


def n_queued() -> int:
    """How many wait for a place."""
    return Job.objects.filter(state=JobState.QUEUED).count()
