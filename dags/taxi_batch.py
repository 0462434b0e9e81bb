"""Clean a month of taxi trips with Spark, group the trips, and work out the tables that the console draws.

Takes a file (or a folder of files) of New York taxi records, or generates trips with the same columns. The
console runs the Spark jobs `clean_trips`, `trip_clusters` and `trip_analyses`; while one works, no place of
Airflow's is held. The ledger keeps how many trips there were and why others were dropped.
"""

from airflow.sdk import Asset, Param, dag

from dags.recipes.taxi.params import BATCH_DAG_ID, DEFAULTS, SOURCES
from dags.steps import RUN, by_hand, choice, job_ends, seed, step, whole

CLEAN_TRIPS = Asset("atalaya://taxi/clean_trips")
PARAMS = {
    "source": choice("auto", SOURCES, "Data", "auto takes the file if it is there, else generated trips."),
    "file": Param(
        "",
        type="string",
        maxLength=500,
        title="File",
        description="Parquet, or a folder of it, in CONSOLE_DATA_DIR; empty: January 2024, green.",
    ),
    "k": whole(4, 2, 20, "Groups of trips", "For k-means."),
    "seed": seed(DEFAULTS["seed"], "Of every draw."),
}


@dag(**by_hand(BATCH_DAG_ID, __doc__, tags=["taxi", "spark"], params=PARAMS, retries=2))
def taxi_batch():
    chosen = step("taxi.batch:choose")(RUN)
    cleaned = job_ends("cleaned", BATCH_DAG_ID)(step("taxi.batch:clean")(RUN, chosen))
    clustered = job_ends("clustered", BATCH_DAG_ID)(step("taxi.batch:cluster")(RUN, cleaned))
    analysed = job_ends("analysed", BATCH_DAG_ID)(step("taxi.batch:analyse")(RUN, cleaned))
    step("taxi.batch:note", outlets=[CLEAN_TRIPS])(RUN, chosen, cleaned, [clustered, analysed])


taxi_batch()
