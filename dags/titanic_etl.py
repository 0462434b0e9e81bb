"""Load the Titanic's passenger list into the database, and its features into the feature store.

Takes the list (a file, a public address, or generated rows), sets apart each row that does not fit with its
reasons, writes the others into the database of the use cases, keyed by PassengerId, and their features into
the feature store on Redis, from which `titanic_training` learns. A list that comes again adds nothing;
one that tells otherwise of passengers who are there, or mixes invented with real ones, is refused unless the
run is told to replace them.
"""

from airflow.sdk import Asset, Param, dag

from dags.recipes.titanic.params import ETL_DAG_ID, ETL_SOURCES, VERSION_PATTERN, EtlSettings
from dags.steps import RUN, address, by_hand, choice, seed, step, whole

DEFAULTS = EtlSettings()
FEATURES = Asset(name="titanic_features", uri="features://titanic")
PARAMS = {
    "source": choice(
        DEFAULTS.source,
        ETL_SOURCES,
        "Data",
        "auto takes the file if it is there, else the address, else generated rows.",
    ),
    "url": address(
        DEFAULTS.url,
        "Of a CSV with the columns of the passenger list. For an object in a bucket, its presigned https"
        " address: what follows the question mark is kept out of ledger and logs.",
        longest=2000,
    ),
    "version": Param(
        DEFAULTS.version,
        type="string",
        pattern=f"^{VERSION_PATTERN}$",
        title="Version of the features",
        description="Each version has one schema for ever; another schema needs another version.",
    ),
    "expires_days": whole(
        DEFAULTS.expires_days,
        1,
        3650,
        "Days until features expire",
        "Counted from this run; the next one begins them anew.",
    ),
    "seed": seed(DEFAULTS.seed, "Of generated rows."),
    "replace": Param(
        DEFAULTS.replace,
        type="boolean",
        title="Replace",
        description="What was collected before goes, from the database and this version of the features.",
    ),
}


# One run at once: an entity of the feature store has one writer at a time.
@dag(**by_hand(ETL_DAG_ID, __doc__, tags=["titanic", "ingestion"], params=PARAMS, retries=2, minutes=5))
def titanic_etl():
    extract, check, store = (step(f"titanic.etl:{name}")(RUN) for name in ("extract", "check", "store"))
    extract >> check >> store >> step("titanic.etl:write_features", outlets=[FEATURES])(RUN)


titanic_etl()
