"""Load the Titanic's passenger list into the database, and its features into the feature store.

Takes the list (a file, a public address, or generated rows), sets apart each row that does not fit with its
reasons, writes the others into the database of the use cases, keyed by PassengerId, and their features into
the feature store on Redis, from which `titanic_training` learns. A list that comes again adds nothing.
"""

from datetime import timedelta

from airflow.sdk import Asset, Param, dag

from dags.recipes.titanic.params import ETL_DAG_ID, ETL_SOURCES, VERSION_PATTERN, EtlSettings
from dags.steps import RUN, step

DEFAULTS = EtlSettings()
FEATURES = Asset(name="titanic_features", uri="features://titanic")


@dag(
    dag_id=ETL_DAG_ID,
    schedule=None,
    catchup=False,
    is_paused_upon_creation=False,  # nothing runs without being asked
    max_active_runs=1,  # an entity of the feature store has one writer at a time
    tags=["titanic", "ingestion"],
    doc_md=__doc__,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(seconds=5),
        "retry_exponential_backoff": 2,
        "execution_timeout": timedelta(minutes=5),
    },
    params={
        "source": Param(
            DEFAULTS.source,
            type="string",
            enum=list(ETL_SOURCES),
            title="Data",
            description="auto takes the file if it is there, else the address, else generated rows.",
        ),
        "url": Param(
            DEFAULTS.url,
            type="string",
            pattern="^https://",
            maxLength=2000,
            title="Address",
            description="Of a CSV with the columns of the passenger list. For an object in a bucket, its"
            " presigned https address: what follows the question mark is kept out of ledger and logs.",
        ),
        "version": Param(
            DEFAULTS.version,
            type="string",
            pattern=f"^{VERSION_PATTERN}$",
            title="Version of the features",
            description="Each version has one schema for ever; another schema needs another version.",
        ),
        "expires_days": Param(
            DEFAULTS.expires_days,
            type="integer",
            minimum=1,
            maximum=3650,
            title="Days until features expire",
            description="Counted from this run; the next one begins them anew.",
        ),
        "seed": Param(
            DEFAULTS.seed,
            type="integer",
            minimum=0,
            maximum=2**31 - 1,
            title="Seed",
            description="Of generated rows.",
        ),
    },
)
def titanic_etl():
    extract, check, store = (step(f"titanic.etl:{name}")(RUN) for name in ("extract", "check", "store"))
    extract >> check >> store >> step("titanic.etl:write_features", outlets=[FEATURES])(RUN)


titanic_etl()
