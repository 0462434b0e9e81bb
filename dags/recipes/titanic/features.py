"""From the passenger list to the fields of the spec, and the spec itself."""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from dags.recipes.common.checks import records
from dags.recipes.common.feature_store import Kind
from dags.recipes.titanic.params import KEY
from scoring.features import Featurizer
from scoring.spec import Spec
from scoring.spec_reading import read_spec

FIELDS = ["Pclass", "Sex", "Age", "SibSp", "Parch", "Fare", "Embarked", "HasCabin", "Title"]
PORTS = {"C": "Cherbourg", "Q": "Queenstown", "S": "Southampton"}
SEEN = ["Age", "SibSp", "Parch", "Fare"]

_TITLES = {
    "Mr": "Mr",
    "Miss": "Miss",
    "Mrs": "Mrs",
    "Master": "Master",
    "Mlle": "Miss",
    "Ms": "Miss",
    "Mme": "Mrs",
}


# What the feature store keeps of a passenger: the fields, what is derived of them, and what became of them.
SCHEMA: Mapping[str, Kind] = {
    "Pclass": "integer", "Sex": "text", "Age": "number", "SibSp": "integer", "Parch": "integer",
    "Fare": "number", "Embarked": "text", "HasCabin": "boolean", "Title": "text", "FamilySize": "integer",
    "IsAlone": "boolean", "PclassFare": "number", "AgeFare": "number", "Survived": "integer",
}  # fmt: skip


def fields(passengers: pd.DataFrame) -> pd.DataFrame:
    """The fields, with `label` (1 survived) and the key `PassengerId` beside them.

    passengers: a passenger list, or rows of the feature store, which have the fields already.
    """
    table = passengers
    if "Name" in table:
        table = table.assign(HasCabin=table["Cabin"].notna(), Title=table["Name"].map(title))
    table = table.assign(
        Age=table["Age"].astype("float64"),
        Fare=table["Fare"].astype("float64"),
        label=table["Survived"].astype("int64"),
    )
    return table[[KEY, *FIELDS, "label"]].reset_index(drop=True)


def stored(passengers: pd.DataFrame) -> pd.DataFrame:
    """Rows of SCHEMA with their PassengerId. Derived values are worked out as a serving model does."""
    rows = fields(passengers).rename(columns={"label": "Survived"})
    featurizer = Featurizer(read_spec(json.dumps(_spec({}))))
    found = pd.DataFrame([featurizer.one(row) for row in records(rows)], columns=featurizer.spec.columns)
    as_kept = {"integer": "int64", "boolean": "bool", "number": "float64"}
    derived = {one.name: found[one.name].astype(as_kept[SCHEMA[one.name]]) for one in featurizer.spec.derived}
    return rows.assign(**derived)[[KEY, *SCHEMA]]


def title(name: str) -> str:
    """How a passenger is addressed: "Braund, Mr. Owen Harris" is Mr; rare titles are Other."""
    _, _, after = name.partition(",")
    return _TITLES.get(after.partition(".")[0].strip(), "Other")


def spec(train: pd.DataFrame) -> Spec:
    """train: rows of `fields`; the ranges that they span become the seen ranges."""
    there = [name for name in SEEN if train[name].notna().any()]
    seen = {name: [float(train[name].min()), float(train[name].max())] for name in there}
    return read_spec(json.dumps(_spec(seen)))


def _spec(seen: dict[str, list[float]]) -> dict[str, Any]:
    return {
        "task": "classification",
        "title": "Would this passenger have survived?",
        "entity": "passenger",
        "description": "Survival on the Titanic, from the passenger list of 1912.",
        "fields": _fields(seen),
        "derived": [
            {"name": "FamilySize", "expression": "SibSp + Parch + 1"},
            {"name": "IsAlone", "expression": "SibSp + Parch == 0"},
            {"name": "PclassFare", "expression": "Pclass * Fare"},
            {"name": "AgeFare", "expression": "Age * Fare"},
        ],
        "slices": ["Sex", "Pclass"],
        "output": {"labels": [_label(0, "Did not survive"), _label(1, "Survived")]},
        "primary_metric": "accuracy",
        "example": {
            "Pclass": 3, "Sex": "male", "Age": 22, "SibSp": 1, "Parch": 0, "Fare": 7.25, "Embarked": "S",
            "HasCabin": False, "Title": "Mr",
        },
    }  # fmt: skip


def _fields(seen: dict[str, list[float]]) -> list[dict[str, Any]]:
    person, ticket, family = "Passenger", "Ticket", "Family on board"
    optional = {"required": False, "nullable": True}
    return [
        {"name": "Pclass", "type": "integer", "label": "Class", "group": ticket,
         "choices": {"values": [_label(1, "1st"), _label(2, "2nd"), _label(3, "3rd")]}},
        {"name": "Sex", "type": "text", "label": "Sex", "group": person,
         "choices": {"values": [_label("male", "Male"), _label("female", "Female")]}},
        {"name": "Age", "type": "number", "label": "Age", "unit": "years", "group": person, **optional,
         "help": "Fractions for children under one year. Leave it out when it is not known.",
         "min": 0, "max": 120, "seen": seen.get("Age")},
        {"name": "SibSp", "type": "integer", "label": "Siblings and spouses", "group": family,
         "help": "How many of them travelled along.", "min": 0, "max": 20, "seen": seen.get("SibSp")},
        {"name": "Parch", "type": "integer", "label": "Parents and children", "group": family,
         "help": "How many of them travelled along.", "min": 0, "max": 20, "seen": seen.get("Parch")},
        {"name": "Fare", "type": "number", "label": "Fare", "unit": "£", "group": ticket, **optional,
         "help": "Price of the ticket in pounds of 1912.", "min": 0, "max": 10_000, "seen": seen.get("Fare")},
        {"name": "Embarked", "type": "text", "label": "Embarked at", "group": ticket, **optional,
         "choices": {"values": [_label(code, port) for code, port in PORTS.items()]}},
        {"name": "HasCabin", "type": "boolean", "label": "Cabin known", "group": ticket,
         "help": "Whether the list names a cabin."},
        {"name": "Title", "type": "text", "label": "Title", "group": person,
         "help": "How the list addresses the passenger; Master is a boy.",
         "choices": {"values": [_label(value, value) for value in ("Mr", "Miss", "Mrs", "Master", "Other")]}},
    ]  # fmt: skip


def _label(value: int | str, label: str) -> dict[str, int | str]:
    return {"value": value, "label": label}
