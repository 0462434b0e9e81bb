"""Train the Titanic model.

Takes the passengers (from the feature store, a file, a public address, or generated rows), holds out a share
of them for ever, searches for a random forest by cross-validation, measures it on the hold-out beside the
majority baseline, explains it, registers it in MLflow as `titanic`, and asks the console's gate to judge it.
"""

from airflow.sdk import Param, dag

from dags.recipes.titanic.params import DAG_ID, SOURCES, VERSION_PATTERN, Settings
from dags.steps import address, by_hand, choice, seed, share_held_out, train, whole

DEFAULTS = Settings()
PARAMS = {
    "source": choice(
        DEFAULTS.source,
        SOURCES,
        "Data",
        "auto takes the feature store if titanic_etl has filled it, else the file if it is there, else the"
        " address, else generated rows.",
    ),
    "url": address(DEFAULTS.url, "Of a CSV with the columns of the passenger list."),
    "features_version": Param(
        DEFAULTS.features_version,
        type="string",
        pattern=f"^({VERSION_PATTERN})?$",
        title="Version of the features",
        description="In the feature store; empty takes the newest.",
    ),
    "n_iter": whole(
        DEFAULTS.n_iter,
        1,
        50,
        "Forests to try",
        "Combinations of the grid, drawn with the seed and compared by cross-validation.",
    ),
    "cv": whole(DEFAULTS.cv, 2, 10, "Folds", "Of the cross-validation."),
    "seed": seed(DEFAULTS.seed),
    "holdout_share": share_held_out(DEFAULTS.holdout_share, "Of the rows, chosen by a hash of PassengerId"),
}


@dag(**by_hand(DAG_ID, __doc__, tags=["titanic", "training"], params=PARAMS, at_once=2))
def titanic_training():
    train("titanic.training:TRAINING", retries=3)  # a feature store that is away may be back in a minute


titanic_training()
