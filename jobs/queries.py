"""Reads of jobs."""

from typing import Any

from django.db.models import Count, Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.urls import reverse
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.lib import edge, topics
from core.lib.errors import NotFound
from core.lib.hits import Hit
from jobs import admission, applications, gateway, supplies
from jobs.models import ENDED, Job, JobSchedule, JobState

n_before = admission.n_before

HITS = 8
SHORTEST_ID = 4


def recent_jobs(*, state: str = "", app: str = "") -> QuerySet[Job]:
    """Newest first."""
    wanted = {name: value for name, value in {"state": state, "app": app}.items() if value}
    return Job.objects.select_related("requested_by", "cancel_asked_by").filter(**wanted).order_by("-pk")


def job(job_id: Any) -> Job:
    """Raises NotFound."""
    id_ = edge.uuid_or_none(str(job_id))
    found = recent_jobs().filter(pk=id_).first() if id_ is not None else None
    if found is None:
        raise NotFound(_("There is no job %(id)s.") % {"id": str(job_id)[:50]})
    return found


def targets() -> list[gateway.Target]:
    """Where jobs may run; the first is what is taken when nobody says."""
    return list(gateway.targets().values())


def schedules() -> QuerySet[JobSchedule]:
    """Newest first."""
    return JobSchedule.objects.select_related("requested_by", "last_job").order_by("-pk")


def schedule(pk: int) -> JobSchedule:
    """Raises NotFound."""
    found = schedules().filter(pk=pk).first()
    if found is None:
        raise NotFound(_("There is no schedule %(id)s.") % {"id": pk})
    return found


def open_states() -> dict[str, int]:
    """How many jobs are in each state that is not an end."""
    rows = Job.objects.exclude(state__in=ENDED).order_by().values_list("state").annotate(n=Count("pk"))
    return {**{state: 0 for state in JobState.values if state not in ENDED}, **dict(rows)}


def n_queued() -> int:
    """How many wait for a place."""
    return Job.objects.filter(state=JobState.QUEUED).count()


def side_topics() -> list[topics.Topic]:
    """Those of dead letters, which the console makes beside topics that jobs read.

    Where Kafka takes no dot in the name, it has a dash, which may be anybody's: that one keeps its days.
    """
    apps = [one.name for one in applications.all() if "kafka" in one.needs]
    read = Job.objects.filter(app__in=apps).values_list("params__topic", flat=True).order_by().distinct()
    names = {topics.side_topic_name(topic, supplies.DEAD) for topic in read}
    return [topics.Topic(name, kept=topics.SIDE) for name in names]


def use_of_topic(name: str) -> str:
    """For what a job that has not ended needs the topic, in a sentence; empty where none does."""
    apps = [one.name for one in applications.all() if "kafka" in one.needs]
    for job in Job.objects.filter(app__in=apps).exclude(state__in=ENDED):
        read = str(job.params.get("topic", ""))
        dead = {topics.side_topic_name(read, supplies.DEAD, mark) for mark in (".", "-")}
        if name in {read, str(job.params.get("sink_topic", "")), *dead}:
            words = {"app": job.app, "topic": name}
            return _("A job of %(app)s reads or writes “%(topic)s”: cancel it first.") % words
    return ""


def search(text: str, user: User) -> list[Hit]:
    """Applications that the user may submit by name, jobs by their application or the start of their id."""
    wanted = text.casefold()
    offered = applications.all() if policy.allows(user, "jobs.run") else ()
    hits = [
        Hit(one.title, reverse("jobs:job-submit", args=[one.name]), _("application"), "jobs")
        for one in offered
        if wanted in one.title.casefold() or wanted in one.name
    ]
    if len(text) >= SHORTEST_ID:
        by_id = Job.objects.annotate(text=Cast("id", TextField()))
        found = by_id.filter(Q(text__startswith=wanted) | Q(app__icontains=text)).order_by("-pk")
        hits += [
            Hit(
                f"{job.app} {str(job.pk)[:13]}…", reverse("jobs:job-detail", args=[job.pk]), _("job"), "clock"
            )
            for job in found[:3]
        ]
    return hits[:HITS]
