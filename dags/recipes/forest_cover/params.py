"""What the runs of forest cover may be told. Imported while Airflow parses: standard library only."""

import os
from dataclasses import dataclass

from dags.recipes.common.settings import Told

USECASE = MODEL = "forest_cover"
LOAD, CLEAR, TRAINING = "forest_cover_load", "forest_cover_clear", "forest_cover_training"
FILE_NAME = "covertype_course_variant.csv"
N_GROUPS = MOST_BATCHES = 10
TOLD_AS = "served from"  # the fact of a batch: what the service said of its own data
SOURCES = ("collected", "file", "synthetic")


def address() -> str:
    """Of the service; Airflow's environment says it."""
    return os.environ.get("ATALAYA_COURSE_API") or "http://127.0.0.1:8017"


@dataclass(frozen=True)
class Settings(Told):
    """Of the training. source: rows that were collected, the whole file, or generated ones.

    n_estimators, max_depth: of the forest. n_iter: combinations of the support vector machine that are tried,
    on at most svc_rows rows: its time grows with their square. cv: folds.
    """

    source: str = "collected"
    n_estimators: int = 120
    max_depth: int = 15
    n_iter: int = 4
    svc_rows: int = 3_000
    cv: int = 3
    seed: int = 42
    holdout_share: float = 0.3
