"""How many retries were asked for is worked out for jobs that are there."""

from jobs.models import Job
from tests.migrating import migrate as migrate


def test_what_was_asked_for_is_what_is_left_and_what_was_used(migrate):
    migrate(("jobs", "0005_retries_asked_for"))
    for attempt, left in ((1, 0), (1, 3), (3, 1)):
        Job.objects.create(app="clean_trips", attempt=attempt, retries_left=left)
    migrate(("jobs", "0006_retries_of_jobs_there"))
    assert list(Job.objects.order_by("pk").values_list("retries", flat=True)) == [0, 3, 3]
