"""Collect forest cover, batch by batch, from the service that gives a group a new one every few minutes.

Each batch is waited for without holding a slot, taken once however often it is asked for, and kept with all
its rows: those that do not fit are set apart with their reasons. It ends early, and well, when the service
says that it has given all; it fails when there is nothing at all to learn from.
"""

from datetime import timedelta

from airflow.sdk import Asset, Param, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from dags.recipes.forest_cover.params import LOAD, MOST_BATCHES, N_GROUPS, address
from dags.steps import RUN, step

ROWS = Asset("forest_cover_rows")


@dag(
    dag_id=LOAD,
    schedule=None,
    catchup=False,
    is_paused_upon_creation=False,
    max_active_runs=1,  # two runs would take each other's batches
    tags=["forest_cover", "data"],
    doc_md=__doc__,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(seconds=5),
        "retry_exponential_backoff": 2,
        "max_retry_delay": timedelta(minutes=2),
        "execution_timeout": timedelta(minutes=10),
    },
    params={
        "group_number": Param(
            1,
            type="integer",
            minimum=1,
            maximum=N_GROUPS,
            title="Group",
            description="Each group gets rows of its own; the last one's are missing at the service.",
        ),
        "batches": Param(
            MOST_BATCHES,
            type="integer",
            minimum=1,
            maximum=MOST_BATCHES,
            title="Batches wanted",
            description="New ones, beyond those that were taken before.",
        ),
        "address": Param(
            address(),
            type="string",
            pattern="^https?://",
            maxLength=500,
            title="Address",
            description="Of the service.",
        ),
    },
)
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
