"""How many retries were asked for is worked out for jobs that are there."""

from core.lib.ids import uuid7
from tests.migrating import migrate as migrate


def test_what_was_asked_for_is_what_is_left_and_what_was_used(migrate):
    before = migrate(("jobs", "0005_retries_asked_for")).get_model("jobs", "Job").objects
    for attempt, left in ((1, 0), (1, 3), (3, 1)):
        before.create(pk=uuid7(), app="clean_trips", attempt=attempt, retries_left=left)
    after = migrate(("jobs", "0006_retries_of_jobs_there")).get_model("jobs", "Job").objects
    assert list(after.order_by("pk").values_list("retries", flat=True)) == [0, 3, 3]
