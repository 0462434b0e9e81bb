"""The passenger list: reading it, what must hold of it, and a generator for when there is none."""

import io
from collections.abc import Iterator

import numpy as np
import pandas as pd

from dags.recipes.common.checks import DataInvalid

COLUMNS = [
    "PassengerId", "Survived", "Pclass", "Name", "Sex", "Age", "SibSp", "Parch", "Ticket", "Fare", "Cabin",
    "Embarked",
]  # fmt: skip
MIN_ROWS = 100
GENERATED_ROWS = 891

_RANGES = {"Age": (0, 120), "SibSp": (0, 20), "Parch": (0, 20), "Fare": (0, 10_000)}
_CLOSED = {"Survived": {0, 1}, "Pclass": {1, 2, 3}, "Sex": {"male", "female"}, "Embarked": {"C", "Q", "S"}}
_MAY_BE_MISSING = {"Age", "Fare", "Cabin", "Embarked", "Ticket"}
_SHOWN = 5


def read(data: bytes) -> pd.DataFrame:
    """Raises DataInvalid when it is no CSV or lacks columns."""
    try:
        table = pd.read_csv(io.BytesIO(data))
    except (ValueError, UnicodeDecodeError) as error:
        raise DataInvalid(f"The file is no CSV table: {error}") from error
    if missing := [name for name in COLUMNS if name not in table.columns]:
        raise DataInvalid(
            f"The table lacks the columns {', '.join(missing)}; it has {', '.join(table.columns)}."
        )
    return table[COLUMNS]


def validate(table: pd.DataFrame) -> None:
    """Raises DataInvalid with all faults. table: a passenger list, or rows of the feature store."""
    if faults := list(_faults(table)):
        raise DataInvalid("The passenger list cannot be trained on:\n- " + "\n- ".join(faults))


def _faults(table: pd.DataFrame) -> Iterator[str]:
    if len(table) < MIN_ROWS:
        yield f"{len(table)} rows; at least {MIN_ROWS} are needed"
    for name in table.columns:
        if name not in _MAY_BE_MISSING and (missing := int(table[name].isna().sum())):
            yield f"{name} is missing in {missing} rows"
    duplicated = table["PassengerId"].dropna()
    duplicated = duplicated[duplicated.duplicated()]
    if len(duplicated):
        yield f"PassengerId is there more than once: {_listed(duplicated)}"
    for name, (low, high) in _RANGES.items():
        yield from _range_faults(table[name], low, high)
    for name, allowed in _CLOSED.items():
        unknown = table[name].dropna()
        unknown = unknown[~unknown.isin(allowed)]
        if len(unknown):
            known = ", ".join(str(value) for value in sorted(allowed, key=str))
            yield f"{name} holds {_listed(unknown)} ({len(unknown)} rows); known are {known}"
    if table["Survived"].nunique() < 2:
        yield "Survived holds a single value: there is nothing to learn"


def _range_faults(column: pd.Series, low: float, high: float) -> Iterator[str]:
    numbers = pd.to_numeric(column, errors="coerce")
    if (not_numbers := column[numbers.isna() & column.notna()]).size:
        yield f"{column.name} holds {_listed(not_numbers)}, which is no number ({len(not_numbers)} rows)"
    outside = numbers[numbers.notna() & ~numbers.between(low, high)]
    if len(outside):
        yield f"{column.name} is outside {low} to {high}: {_listed(outside)} ({len(outside)} rows)"


def _listed(values: pd.Series) -> str:
    shown = ", ".join(str(value) for value in values.unique()[:_SHOWN])
    return shown + (", …" if values.nunique() > _SHOWN else "")


def generate(seed: int, n_rows: int = GENERATED_ROWS) -> bytes:
    """A CSV with the columns of the real list and a signal like its own: sex, class and age decide most."""
    dice = np.random.default_rng(seed)
    pclass = dice.choice([1, 2, 3], n_rows, p=[0.24, 0.21, 0.55])
    is_female = dice.random(n_rows) < 0.35
    age = np.clip(dice.gamma(5.0, 6.0, n_rows) - 12 * (dice.random(n_rows) < 0.12), 0.5, 80).round(1)
    sibsp = np.minimum(dice.poisson(0.5, n_rows), 8)
    parch = np.minimum(dice.poisson(0.4, n_rows), 6)
    fare = (dice.lognormal(np.array([4.2, 2.9, 2.3])[pclass - 1], 0.6)).round(4)
    has_cabin = dice.random(n_rows) < np.array([0.8, 0.1, 0.03])[pclass - 1]
    odds = -1.9 + 3.1 * is_female + np.array([1.3, 0.5, -0.4])[pclass - 1] + 1.4 * (age < 12) - 0.015 * age
    survived = dice.random(n_rows) < 1 / (1 + np.exp(-odds))
    is_age_known, is_port_known = dice.random(n_rows) > 0.2, dice.random(n_rows) > 0.01
    title = np.where(is_female, np.where(age < 25, "Miss", "Mrs"), np.where(age < 13, "Master", "Mr"))
    numbers = np.arange(1, n_rows + 1)
    table = pd.DataFrame(
        {
            "PassengerId": numbers,
            "Survived": survived.astype(int),
            "Pclass": pclass,
            "Name": [
                f"Passenger {number}, {name}. Generated" for number, name in zip(numbers, title, strict=True)
            ],
            "Sex": np.where(is_female, "female", "male"),
            "Age": np.where(is_age_known, age, np.nan),
            "SibSp": sibsp,
            "Parch": parch,
            "Ticket": [f"G {number}" for number in numbers],
            "Fare": fare,
            "Cabin": np.where(has_cabin, "C1", None),
            "Embarked": np.where(is_port_known, dice.choice(list("CQS"), n_rows, p=[0.19, 0.09, 0.72]), None),
        }
    )
    return table.to_csv(index=False).encode()
