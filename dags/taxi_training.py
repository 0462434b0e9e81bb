"""Train the model of taxi tips on the clean trips of the newest month, and have the console's gate judge it.

A forest of shallow trees over what the meter knows at the end of a trip, measured on held-out trips beside
the mean tip. Its usual error is the sigma of the anomaly rule on the stream of trips.
"""

from airflow.sdk import dag

from dags.recipes.taxi.params import DEFAULTS, TRAINING_DAG_ID
from dags.steps import by_hand, seed, share_held_out, train, whole

PARAMS = {
    "n_estimators": whole(DEFAULTS["n_estimators"], 1, 300, "Trees", "Of the forest."),
    "max_depth": whole(
        DEFAULTS["max_depth"], 1, 20, "Depth", "Of each tree at most; shallow ones answer quickly."
    ),
    "max_rows": whole(
        DEFAULTS["max_rows"], 500, 200_000, "Trips at most", "More than these are drawn from with the seed."
    ),
    "seed": seed(DEFAULTS["seed"]),
    "holdout_share": share_held_out(
        DEFAULTS["holdout_share"], "Of the trips, chosen by a hash of all that is known of them"
    ),
}


@dag(**by_hand(TRAINING_DAG_ID, __doc__, tags=["taxi", "training"], params=PARAMS))
def taxi_training():
    train("taxi.training:TRAINING")


taxi_training()
