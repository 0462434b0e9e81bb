"""Load the hospital stays of diabetics.

Takes the archive (a file, a public address, or generated rows), reads the table in it with bounds, sets apart
rows that do not fit, and splits the rest into 70, 15 and 15 of a hundred by a hash of each encounter. Raw,
rejected and clean rows are written in one transaction; the same archive again adds nothing.
"""

from airflow.sdk import Asset, Param, dag

from dags.recipes.diabetes.params import ASSET, DATA_DAG_ID, SOURCES, DataSettings
from dags.steps import RUN, address, by_hand, choice, seed, step, whole

DEFAULTS = DataSettings()
PARAMS = {
    "source": choice(
        DEFAULTS.source,
        SOURCES,
        "Data",
        "auto takes the file if it is there, else the address, else generated rows.",
    ),
    "url": address(DEFAULTS.url, "Of a zip with the table of stays."),
    "n_generated": whole(
        DEFAULTS.n_generated,
        200,
        110_000,
        "Rows to generate",
        "Where there is neither file nor address.",
    ),
    "seed": seed(DEFAULTS.seed, "Of the generated rows."),
    "replace": Param(
        DEFAULTS.replace,
        type="boolean",
        title="Replace",
        description="What was collected before goes, and training begins again.",
    ),
}


@dag(**by_hand(DATA_DAG_ID, __doc__, tags=["diabetes", "data"], params=PARAMS, retries=2, minutes=15))
def diabetes_data():
    fetch, clean, split = (step(f"diabetes.collect:{name}")(RUN) for name in ("fetch", "clean", "split"))
    fetch >> clean >> split >> step("diabetes.collect:store", outlets=[Asset(ASSET)])(RUN)


diabetes_data()
