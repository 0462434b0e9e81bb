"""Collect forest cover, batch by batch, from the service that gives a group a new one every few minutes.

Each batch is waited for without holding a slot, taken once however often it is asked for, and kept with all
its rows: those that do not fit are set apart with their reasons. It ends early, and well, when the service
says that it has given all; it fails when there is nothing at all to learn from.
"""

from airflow.sdk import Asset, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from dags.recipes.forest_cover import params as forest_cover
from dags.recipes.forest_cover.params import LOAD, MOST_BATCHES, N_GROUPS
from dags.steps import RUN, address, by_hand, step, whole

ROWS = Asset("forest_cover_rows")
PARAMS = {
    "group_number": whole(
        1,
        1,
        N_GROUPS,
        "Group",
        "Each group gets rows of its own; the last one's are missing at the service.",
    ),
    "batches": whole(
        MOST_BATCHES,
        1,
        MOST_BATCHES,
        "Batches wanted",
        "New ones, beyond those that were taken before.",
    ),
    "address": address(forest_cover.address(), "Of the service.", pattern="^https?://"),
}


# One run at once: two would take each other's batches.
@dag(**by_hand(LOAD, __doc__, tags=["forest_cover", "data"], params=PARAMS, retries=2, minutes=10))
def forest_cover_load():
    @task.sensor(mode="reschedule", poke_interval=20, timeout=2 * 3600)
    def wait(number, before, params=None):
        from dags.recipes.forest_cover.waiting import has_news

        if number > params["batches"] or before["is_over"]:
            raise AirflowSkipException("No more batches are wanted, or there are none.")
        return has_news(params["address"], params["group_number"], before["taken"])

    told = step("forest_cover.collecting:look")(RUN)
    report = step("forest_cover.collecting:report", trigger_rule="none_failed", outlets=[ROWS])(RUN)
    for number in range(1, MOST_BATCHES + 1):
        ready = wait.override(task_id=f"wait_{number}")(number, told)
        told = step("forest_cover.collecting:take", task_id=f"take_{number}")(RUN, told)
        ready >> told
    told >> report


forest_cover_load()
