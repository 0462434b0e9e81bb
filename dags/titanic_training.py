"""Train the Titanic model.

Takes the passengers (from the feature store, a file, a public address, or generated rows), holds out a share
of them for ever, searches for a random forest by cross-validation, measures it on the hold-out beside the
majority baseline, explains it, registers it in MLflow as `titanic`, and asks the console's gate to judge it.
"""

from datetime import timedelta

from airflow.sdk import Param, dag

from dags.recipes.titanic.params import DAG_ID, SOURCES, VERSION_PATTERN, Settings
from dags.steps import RUN, step

DEFAULTS = Settings()


@dag(
    dag_id=DAG_ID,
    schedule=None,
    catchup=False,
    is_paused_upon_creation=False,  # nothing runs without being asked
    max_active_runs=2,
    tags=["titanic", "training"],
    doc_md=__doc__,
    default_args={
        "retries": 1,
        "retry_delay": timedelta(seconds=10),
        "execution_timeout": timedelta(minutes=20),
    },
    params={
        "source": Param(
            DEFAULTS.source,
            type="string",
            enum=list(SOURCES),
            title="Data",
            description="auto takes the feature store if titanic_etl has filled it, else the file if it is"
            " there, else the address, else generated rows.",
        ),
        "url": Param(
            DEFAULTS.url,
            type="string",
            pattern="^https://",
            maxLength=500,
            title="Address",
            description="Of a CSV with the columns of the passenger list.",
        ),
        "features_version": Param(
            DEFAULTS.features_version,
            type="string",
            pattern=f"^({VERSION_PATTERN})?$",
            title="Version of the features",
            description="In the feature store; empty takes the newest.",
        ),
        "n_iter": Param(
            DEFAULTS.n_iter,
            type="integer",
            minimum=1,
            maximum=50,
            title="Forests to try",
            description="Combinations of the grid, drawn with the seed and compared by cross-validation.",
        ),
        "cv": Param(
            DEFAULTS.cv,
            type="integer",
            minimum=2,
            maximum=10,
            title="Folds",
            description="Of the cross-validation.",
        ),
        "seed": Param(
            DEFAULTS.seed,
            type="integer",
            minimum=0,
            maximum=2**31 - 1,
            title="Seed",
            description="Of every draw: the same seed and data give the same model.",
        ),
        "holdout_share": Param(
            DEFAULTS.holdout_share,
            type="number",
            minimum=0.1,
            maximum=0.4,
            title="Share held out",
            description="Of the rows, chosen by a hash of PassengerId: never trained on.",
        ),
    },
)
def titanic_training():
    run = {
        name: step(f"titanic.training:TRAINING.{name}")
        for name in (
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
    # a feature store that is away may be back in a minute
    backoff = {"retries": 3, "retry_delay": timedelta(seconds=5), "retry_exponential_backoff": 2}
    loaded = step("titanic.training:TRAINING.load", **backoff)(RUN)
    searched = run["search"](RUN)
    registered = run["register"](RUN)
    loaded >> run["validate"](RUN) >> run["split"](RUN) >> run["features"](RUN) >> searched
    searched >> [run["evaluate"](RUN), run["explain"](RUN)] >> registered
    run["gate"](RUN, registered)


titanic_training()
