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
RUN_ID = "{{ run_id }}"
PARAMS = "{{ params | tojson }}"
REQUESTED_BY = "{{ (dag_run.conf or {}).get('requested_by', '') }}"

in_console = task.external_python(
    python=os.environ["ATALAYA_PYTHON"], expect_airflow=False, expect_pendulum=False
)


@dag(
    dag_id=DAG_ID,
    schedule=None,
    catchup=False,
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
        "n_iter": Param(DEFAULTS.n_iter, type="integer", minimum=1, maximum=50, title="Forests to try"),
        "cv": Param(DEFAULTS.cv, type="integer", minimum=2, maximum=10, title="Folds"),
        "seed": Param(DEFAULTS.seed, type="integer", minimum=0, maximum=2**31 - 1, title="Seed"),
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
    @in_console
    def load(run_id, params):
        import json

        from dags.recipes.titanic import steps

        return steps.load(run_id, json.loads(params))

    @in_console
    def validate(run_id):
        from dags.recipes.titanic import steps

        return steps.validate(run_id)

    @in_console
    def split(run_id, params):
        import json

        from dags.recipes.titanic import steps

        return steps.split(run_id, json.loads(params))

    @in_console
    def features(run_id):
        from dags.recipes.titanic import steps

        return steps.make_features(run_id)

    @in_console
    def search(run_id, params):
        import json

        from dags.recipes.titanic import steps

        return steps.search(run_id, json.loads(params))

    @in_console
    def evaluate(run_id):
        from dags.recipes.titanic import steps

        return steps.evaluate(run_id)

    @in_console
    def explain(run_id, params):
        import json

        from dags.recipes.titanic import steps

        return steps.explain_model(run_id, json.loads(params))

    @in_console
    def register(run_id, params, requested_by):
        import json

        from dags.recipes.titanic import steps

        return steps.register(run_id, json.loads(params), requested_by)

    @in_console
    def gate(run_id, registered):
        from dags.recipes.titanic import steps

        return steps.gate(run_id, registered["version"])

    measured = [evaluate(RUN_ID), explain(RUN_ID, PARAMS)]
    registered = register(RUN_ID, PARAMS, REQUESTED_BY)
    searched = search(RUN_ID, PARAMS)
    load(RUN_ID, PARAMS) >> validate(RUN_ID) >> split(RUN_ID, PARAMS) >> features(RUN_ID) >> searched
    searched >> measured >> registered
    gate(RUN_ID, registered)


titanic_training()
