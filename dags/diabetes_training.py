"""Train the readmission model, one batch further.

Each run takes the next batch of rows and learns from all rows taken so far: logistic regression, random
forest and extra trees compete on the validation part. The best is measured on the test part, explained,
registered in MLflow as `diabetes`, and judged by the console's gate. When all rows were taken, it says so
and trains no more.
"""

from airflow.sdk import Asset, Param, dag, task

from dags.recipes.diabetes.params import ASSET, TRAINING_DAG_ID, TrainingSettings
from dags.steps import RUN, by_hand, seed, step, train, whole

DEFAULTS = TrainingSettings()
PARAMS = {
    "batch_size": whole(
        DEFAULTS.batch_size, 100, 100_000, "Rows of a batch", "Added to those that earlier runs have taken."
    ),
    "restart": Param(
        DEFAULTS.restart,
        type="boolean",
        title="Begin again",
        description="Forget what earlier runs have taken, and start at the first row.",
    ),
    "n_trees": whole(DEFAULTS.n_trees, 5, 300, "Trees", "Of the forest and of the extra trees."),
    "seed": seed(DEFAULTS.seed),
}


@task.short_circuit
def goes_on(batch):  # in Airflow's own Python; the tasks after it are skipped where there is nothing new
    return batch["goes_on"]


@dag(**by_hand(TRAINING_DAG_ID, __doc__, tags=["diabetes", "training"], params=PARAMS, minutes=30))
def diabetes_training():
    batch = step("diabetes.training:TRAINING.next_batch", inlets=[Asset(ASSET)])(RUN)
    train("diabetes.training:TRAINING", after=goes_on(batch))


diabetes_training()
