"""Clean a month of taxi trips with Spark, group the trips, and work out the tables that the console draws.

Takes a file (or a folder of files) of New York taxi records, or generates trips with the same columns. The
console runs the Spark jobs `clean_trips`, `trip_clusters` and `trip_analyses`; while one works, no place of
Airflow's is held. The ledger keeps how many trips there were and why others were dropped.
"""

from datetime import timedelta

from airflow.sdk import Asset, Param, dag

from dags.recipes.taxi.params import BATCH_DAG_ID, DEFAULTS, SOURCES
from dags.steps import RUN, job_ends, step

CLEAN_TRIPS = Asset("atalaya://taxi/clean_trips")


@dag(
    dag_id=BATCH_DAG_ID,
    schedule=None,
    catchup=False,
    is_paused_upon_creation=False,
    max_active_runs=1,
    tags=["taxi", "spark"],
    doc_md=__doc__,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(seconds=10),
        "retry_exponential_backoff": 2,
        "execution_timeout": timedelta(minutes=20),
    },
    params={
        "source": Param(
            "auto",
            type="string",
            enum=list(SOURCES),
            title="Data",
            description="auto takes the file if it is there, else generated trips.",
        ),
        "file": Param(
            "",
            type="string",
            maxLength=500,
            title="File",
            description="Parquet, or a folder of it, in CONSOLE_DATA_DIR; empty: January 2024, green.",
        ),
        "k": Param(
            4, type="integer", minimum=2, maximum=20, title="Groups of trips", description="For k-means."
        ),
        "seed": Param(
            DEFAULTS["seed"],
            type="integer",
            minimum=0,
            maximum=2**31 - 1,
            title="Seed",
            description="Of every draw.",
        ),
    },
)
def taxi_batch():
    chosen = step("taxi.batch:choose")(RUN)
    cleaned = job_ends("cleaned", BATCH_DAG_ID)(step("taxi.batch:clean")(RUN, chosen))
    clustered = job_ends("clustered", BATCH_DAG_ID)(step("taxi.batch:cluster")(RUN, cleaned))
    analysed = job_ends("analysed", BATCH_DAG_ID)(step("taxi.batch:analyse")(RUN, cleaned))
    step("taxi.batch:note", outlets=[CLEAN_TRIPS])(RUN, chosen, cleaned, [clustered, analysed])


taxi_batch()
