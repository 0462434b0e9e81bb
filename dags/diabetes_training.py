"""Train the readmission model, one batch further.

Each run takes the next batch of rows and learns from all rows taken so far: logistic regression, random
forest and extra trees compete on the validation part. The best is measured on the test part, explained,
registered in MLflow as `diabetes`, and judged by the console's gate. When all rows were taken, it says so
and trains no more.
"""

from datetime import timedelta

from airflow.sdk import Asset, Param, dag, task

from dags.recipes.diabetes.params import ASSET, TRAINING_DAG_ID, TrainingSettings
from dags.steps import RUN, step

DEFAULTS = TrainingSettings()


@task.short_circuit
def goes_on(batch):  # in Airflow's own Python; the tasks after it are skipped where there is nothing new
    return batch["goes_on"]


@dag(
    dag_id=TRAINING_DAG_ID,
    schedule=None,
    catchup=False,
    is_paused_upon_creation=False,  # nothing runs without being asked
    max_active_runs=1,
    tags=["diabetes", "training"],
    doc_md=__doc__,
    default_args={
        "retries": 1,
        "retry_delay": timedelta(seconds=10),
        "retry_exponential_backoff": 2,
        "execution_timeout": timedelta(minutes=30),
    },
    params={
        "batch_size": Param(
            DEFAULTS.batch_size,
            type="integer",
            minimum=100,
            maximum=100_000,
            title="Rows of a batch",
            description="Added to those that earlier runs have taken.",
        ),
        "restart": Param(
            DEFAULTS.restart,
            type="boolean",
            title="Begin again",
            description="Forget what earlier runs have taken, and start at the first row.",
        ),
        "n_trees": Param(
            DEFAULTS.n_trees,
            type="integer",
            minimum=5,
            maximum=300,
            title="Trees",
            description="Of the forest and of the extra trees.",
        ),
        "seed": Param(
            DEFAULTS.seed,
            type="integer",
            minimum=0,
            maximum=2**31 - 1,
            title="Seed",
            description="Of every draw: the same seed and data give the same model.",
        ),
    },
)
def diabetes_training():
    batch = step("diabetes.training:TRAINING.next_batch", inlets=[Asset(ASSET)])(RUN)
    steps = ("load", "validate", "split", "features", "search", "evaluate", "explain", "register", "gate")
    run = {name: step(f"diabetes.training:TRAINING.{name}") for name in steps}
    searched, registered = run["search"](RUN), run["register"](RUN)
    (
        goes_on(batch)
        >> run["load"](RUN)
        >> run["validate"](RUN)
        >> run["split"](RUN)
        >> run["features"](RUN)
        >> searched
    )
    searched >> [run["evaluate"](RUN), run["explain"](RUN)] >> registered
    run["gate"](RUN, registered)


diabetes_training()
