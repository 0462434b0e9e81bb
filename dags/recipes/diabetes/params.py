"""What runs of `diabetes_data` and `diabetes_training` may be told. Imported while Airflow parses them."""

from dataclasses import dataclass

from dags.recipes.common.settings import Told

DATA_DAG_ID = "diabetes_data"
TRAINING_DAG_ID = "diabetes_training"
USECASE = MODEL = "diabetes"
FILE_NAME = "dataset_diabetes.zip"
URL = "https://archive.ics.uci.edu/static/public/296/diabetes+130-us+hospitals+for+years+1999-2008.zip"
ASSET = "diabetes_rows"  # what the one leaves and the other learns from

SOURCES = ("auto", "file", "url", "synthetic")
# ranked by the hash of their encounter, so many of the rows come before the cut
CUTS = {"train": 0.70, "validation": 0.85, "test": 1.0}
SPLIT_SEED = 42


@dataclass(frozen=True)
class DataSettings(Told):
    """source: see `common.sources.load`. n_generated: rows, where they are generated.

    replace: what was collected before goes, and training starts anew.
    """

    source: str = "auto"
    url: str = URL
    n_generated: int = 20_000
    seed: int = 42
    replace: bool = False


@dataclass(frozen=True)
class TrainingSettings(Told):
    """batch_size: rows that a run adds to those taken before. restart: begin at the first row again."""

    batch_size: int = 15_000
    restart: bool = False
    n_trees: int = 100
    seed: int = 42
