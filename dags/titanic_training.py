"""Train the Titanic model.

Takes the passenger list (a file, a public address, or generated rows), holds out a share of it for ever,
searches for a random forest by cross-validation, measures it on the hold-out beside the majority baseline,
explains it, registers it in MLflow as `titanic`, and asks the console's gate to judge it.
"""

import os
from datetime import timedelta

from airflow.sdk import Param, dag, task

from dags.recipes.titanic.params import DAG_ID, SOURCES, Settings

DEFAULTS = Settings()
RUN = "{{ run_id }}"
SETTINGS = "{{ params | tojson }}"
REQUESTED_BY = "{{ dag_run.triggering_user_name or '' }}"

# the console's environment, which has what Airflow's has not: numpy, scikit-learn, MLflow
IN_CONSOLE = {"python": os.environ["ATALAYA_PYTHON"], "expect_airflow": False, "expect_pendulum": False}


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
            description="auto takes the file if it is there, else the address, else generated rows.",
        ),
        "url": Param(
            DEFAULTS.url,
            type="string",
            pattern="^https://",
            maxLength=500,
            title="Address",
            description="Of a CSV with the columns of the passenger list.",
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
    @task.external_python(**IN_CONSOLE)
    def load(run, settings):
        import json

        from dags.recipes.titanic import steps

        return steps.load(run, json.loads(settings))

    @task.external_python(**IN_CONSOLE)
    def validate(run):
        from dags.recipes.titanic import steps

        return steps.validate(run)

    @task.external_python(**IN_CONSOLE)
    def split(run, settings):
        import json

        from dags.recipes.titanic import steps

        return steps.split(run, json.loads(settings))

    @task.external_python(**IN_CONSOLE)
    def features(run):
        from dags.recipes.titanic import steps

        return steps.make_features(run)

    @task.external_python(**IN_CONSOLE)
    def search(run, settings):
        import json

        from dags.recipes.titanic import steps

        return steps.search(run, json.loads(settings))

    @task.external_python(**IN_CONSOLE)
    def evaluate(run):
        from dags.recipes.titanic import steps

        return steps.evaluate(run)

    @task.external_python(**IN_CONSOLE)
    def explain(run, settings):
        import json

        from dags.recipes.titanic import steps

        return steps.explain_model(run, json.loads(settings))

    @task.external_python(**IN_CONSOLE)
    def register(run, settings, requested_by):
        import json

        from dags.recipes.titanic import steps

        return steps.register(run, json.loads(settings), requested_by)

    @task.external_python(**IN_CONSOLE)
    def gate(run, registered):
        from dags.recipes.titanic import steps

        return steps.gate(run, registered["version"])

    measured = [evaluate(RUN), explain(RUN, SETTINGS)]
    registered = register(RUN, SETTINGS, REQUESTED_BY)
    searched = search(RUN, SETTINGS)
    load(RUN, SETTINGS) >> validate(RUN) >> split(RUN, SETTINGS) >> features(RUN) >> searched
    searched >> measured >> registered
    gate(RUN, registered)


titanic_training()
