"""Train the model of taxi tips on the clean trips of the newest month, and have the console's gate judge it.

A forest of shallow trees over what the meter knows at the end of a trip, measured on held-out trips beside
the mean tip. Its usual error is the sigma of the anomaly rule on the stream of trips.
"""

from datetime import timedelta

from airflow.sdk import Param, dag

from dags.recipes.taxi.params import DEFAULTS, TRAINING_DAG_ID
from dags.steps import RUN, step


@dag(
    dag_id=TRAINING_DAG_ID,
    schedule=None,
    catchup=False,
    is_paused_upon_creation=False,
    max_active_runs=1,
    tags=["taxi", "training"],
    doc_md=__doc__,
    default_args={
        "retries": 1,
        "retry_delay": timedelta(seconds=10),
        "execution_timeout": timedelta(minutes=20),
    },
    params={
        "n_estimators": Param(
            DEFAULTS["n_estimators"], type="integer", minimum=1, maximum=300, title="Trees"
        ),
        "max_depth": Param(DEFAULTS["max_depth"], type="integer", minimum=1, maximum=20, title="Depth"),
        "max_rows": Param(
            DEFAULTS["max_rows"],
            type="integer",
            minimum=500,
            maximum=200_000,
            title="Trips at most",
            description="More than these are drawn from with the seed.",
        ),
        "seed": Param(DEFAULTS["seed"], type="integer", minimum=0, maximum=2**31 - 1, title="Seed"),
        "holdout_share": Param(
            DEFAULTS["holdout_share"],
            type="number",
            minimum=0.1,
            maximum=0.4,
            title="Share held out",
            description="Of the trips, chosen by a hash of all that is known of them: never trained on.",
        ),
    },
)
def taxi_training():
    run = {
        name: step(f"taxi.training:TRAINING.{name}")
        for name in (
            "load",
            "validate",
            "split",
            "features",
            "search",
            "evaluate",
            "explain",
            "register",
            "gate",
        )
    }
    searched = run["search"](RUN)
    registered = run["register"](RUN)
    run["load"](RUN) >> run["validate"](RUN) >> run["split"](RUN) >> run["features"](RUN) >> searched
    searched >> [run["evaluate"](RUN), run["explain"](RUN)] >> registered
    run["gate"](RUN, registered)


taxi_training()
