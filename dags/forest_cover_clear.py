"""Remove all forest cover that was collected: batches, rows, and those rejected. Decisions and models stay.

A run tells what there is; it removes it only when that is confirmed, and keeps the reason as a decision.
"""

from airflow.sdk import Param, dag

from dags.recipes.forest_cover import params as forest_cover
from dags.recipes.forest_cover.params import CLEAR
from dags.steps import RUN, address, by_hand, step

PARAMS = {
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
    "address": address(forest_cover.address(), "Of the service.", pattern="^https?://"),
}


@dag(**by_hand(CLEAR, __doc__, tags=["forest_cover", "data"], params=PARAMS, minutes=10))
def forest_cover_clear():
    step("forest_cover.collecting:clear")(RUN, step("forest_cover.collecting:preview")(RUN))


forest_cover_clear()
