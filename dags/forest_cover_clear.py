"""Remove all forest cover that was collected: batches, rows, and those rejected. Decisions and models stay.

A run tells what there is; it removes it only when that is confirmed, and keeps the reason as a decision.
"""

from datetime import timedelta

from airflow.sdk import Param, dag

from dags.recipes.forest_cover.params import CLEAR, address
from dags.steps import RUN, step


@dag(
    dag_id=CLEAR,
    schedule=None,
    catchup=False,
    is_paused_upon_creation=False,
    max_active_runs=1,
    tags=["forest_cover", "data"],
    doc_md=__doc__,
    default_args={
        "retries": 1,
        "retry_delay": timedelta(seconds=5),
        "execution_timeout": timedelta(minutes=10),
    },
    params={
        "confirm": Param(
            False,
            type="boolean",
            title="Really remove",
            description="Else the run only tells what it would remove.",
        ),
        "reason": Param(
            type="string",
            minLength=3,
            maxLength=500,
            title="Reason",
            description="Why the data go; it is kept.",
        ),
        "restart_service": Param(
            False,
            type="boolean",
            title="Restart the service",
            description="Have the service begin with its first batch again, for all groups.",
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
def forest_cover_clear():
    step("forest_cover.collecting:clear")(RUN, step("forest_cover.collecting:preview")(RUN))


forest_cover_clear()
