"""What runs of `titanic_etl` and `titanic_training` may be told. Airflow parses it: standard library only."""

from dataclasses import dataclass

from dags.recipes.common.settings import Told

ETL_DAG_ID = "titanic_etl"
DAG_ID = "titanic_training"
USECASE = "titanic"
ENTITY = "titanic"  # in the feature store
KEY = "PassengerId"
MODEL = "titanic"
FILE_NAME = "titanic_train.csv"
URL = "https://raw.githubusercontent.com/datasciencedojo/datasets/master/titanic.csv"

ETL_SOURCES = ("auto", "file", "url", "synthetic")
SOURCES = ("auto", "features", "file", "url", "synthetic")
VERSION_PATTERN = "[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"  # of the feature store


@dataclass(frozen=True)
class EtlSettings(Told):
    """source: see `common.sources.load`. version: of the features, which has one schema for ever.

    replace: what was collected before goes, from the database and from this version of the features.
    """

    source: str = "auto"
    url: str = URL
    version: str = "1"
    expires_days: int = 30
    seed: int = 42
    replace: bool = False


@dataclass(frozen=True)
class Settings(Told):
    """source: `features`, or as `common.sources.load` has it; `auto` takes the first that is there.

    features_version: empty for the newest. n_iter: combinations tried. cv: folds.
    """

    source: str = "auto"
    url: str = URL
    features_version: str = ""
    n_iter: int = 10
    cv: int = 5
    seed: int = 42
    holdout_share: float = 0.2
