"""What a run of `titanic_training` may be told. Imported while Airflow parses: standard library only."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

DAG_ID = "titanic_training"
MODEL = "titanic"
FILE_NAME = "titanic_train.csv"
URL = "https://raw.githubusercontent.com/datasciencedojo/datasets/master/titanic.csv"

SOURCES = ("auto", "file", "url", "synthetic")


@dataclass(frozen=True)
class Settings:
    """source: see `common.sources.load`. n_iter: combinations tried. cv: folds."""

    source: str = "auto"
    url: str = URL
    n_iter: int = 10
    cv: int = 5
    seed: int = 42
    holdout_share: float = 0.2

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> "Settings":
        """params: of a DAG run, already checked against their schema; others are ignored."""
        return cls(**{field.name: params[field.name] for field in fields(cls) if field.name in params})
