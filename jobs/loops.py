"""The loops over jobs and what their processes leave; each sets aside what does not fit."""

from datetime import timedelta

from django.utils.translation import gettext_lazy as _

from core.lib.aside import Loop

SOON = timedelta(seconds=10)

ENDS = Loop("jobs.ends", _("Jobs that may have ended"), thing="job", longest_retry=SOON)
SCHEDULES = Loop(
    "jobs.schedules", _("Jobs that come again by themselves"), thing="schedule", longest_retry=SOON
)
PROGRESS = Loop("jobs.progress", _("How far jobs are"), thing="job", longest_retry=SOON)
OLD_FOLDERS = Loop("jobs.old-folders", _("Folders of old jobs"), thing="job")
