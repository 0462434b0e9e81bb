"""Load the hospital stays of diabetics.

Takes the archive (a file, a public address, or generated rows), reads the table in it with bounds, sets apart
rows that do not fit, and splits the rest into 70, 15 and 15 of a hundred by a hash of each encounter. Raw,
rejected and clean rows are written in one transaction; the same archive again adds nothing.
"""

from datetime import timedelta

from airflow.sdk import Asset, Param, dag

from dags.recipes.diabetes.params import ASSET, DATA_DAG_ID, SOURCES, DataSettings
from dags.steps import RUN, step

DEFAULTS = DataSettings()


@dag(
    dag_id=DATA_DAG_ID,
    schedule=None,
    catchup=False,
    is_paused_upon_creation=False,  # nothing runs without being asked
    max_active_runs=1,
    tags=["diabetes", "data"],
    doc_md=__doc__,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(seconds=10),
        "retry_exponential_backoff": 2,
        "execution_timeout": timedelta(minutes=15),
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
            description="Of a zip with the table of stays.",
        ),
        "n_generated": Param(
            DEFAULTS.n_generated,
            type="integer",
            minimum=200,
            maximum=110_000,
            title="Rows to generate",
            description="Where there is neither file nor address.",
        ),
        "seed": Param(
            DEFAULTS.seed,
            type="integer",
            minimum=0,
            maximum=2**31 - 1,
            title="Seed",
            description="Of the generated rows.",
        ),
        "replace": Param(
            DEFAULTS.replace,
            type="boolean",
            title="Replace",
            description="What was collected before goes, and training begins again.",
        ),
    },
)
def diabetes_data():
    fetch, clean, split = (step(f"diabetes.collect:{name}")(RUN) for name in ("fetch", "clean", "split"))
    fetch >> clean >> split >> step("diabetes.collect:store", outlets=[Asset(ASSET)])(RUN)


diabetes_data()
