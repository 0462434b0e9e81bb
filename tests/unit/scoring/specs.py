"""Specs for tests: plain functions, small enough to check by eye."""

import json
from typing import Any

from scoring.spec import Spec
from scoring.spec_reading import read_spec


def titanic_plain(**changes: Any) -> dict[str, Any]:
    plain = {
        "task": "classification",
        "title": "Would this passenger have survived?",
        "entity": "passenger",
        "fields": [
            {"name": "Pclass", "type": "integer", "choices": {"values": [{"value": n} for n in (1, 2, 3)]}},
            {"name": "Sex", "type": "text", "choices": {"values": [{"value": "male"}, {"value": "female"}]}},
            {"name": "Age", "type": "number", "required": False, "nullable": True, "min": 0, "max": 120,
             "seen": [0.42, 80]},
            {"name": "SibSp", "type": "integer", "min": 0, "max": 20, "seen": [0, 8]},
            {"name": "Parch", "type": "integer", "min": 0, "max": 20, "seen": [0, 6]},
            {"name": "Fare", "type": "number", "required": False, "nullable": True, "min": 0,
             "seen": [0, 512.3292]},
            {"name": "Embarked", "type": "text", "required": False, "nullable": True,
             "choices": {"values": [{"value": v} for v in "CQS"]}},
            {"name": "HasCabin", "type": "boolean"},
            {"name": "Title", "type": "text",
             "choices": {"values": [{"value": v} for v in ("Mr", "Miss", "Mrs", "Master", "Other")]}},
        ],
        "derived": [
            {"name": "FamilySize", "expression": "SibSp + Parch + 1"},
            {"name": "IsAlone", "expression": "SibSp + Parch == 0"},
            {"name": "PclassFare", "expression": "Pclass * Fare"},
            {"name": "AgeFare", "expression": "Age * Fare"},
        ],
        "slices": ["Sex", "Pclass"],
        "output": {"labels": [{"value": 0, "label": "Did not survive"}, {"value": 1, "label": "Survived"}]},
        "primary_metric": "accuracy",
        "example": titanic_row(),
    }  # fmt: skip
    return plain | changes


def titanic_row(**changes: Any) -> dict[str, Any]:
    row = {"Pclass": 3, "Sex": "male", "Age": 22, "SibSp": 1, "Parch": 0, "Fare": 7.25, "Embarked": "S",
           "HasCabin": False, "Title": "Mr"}  # fmt: skip
    return row | changes


def titanic(**changes: Any) -> Spec:
    return read_spec(json.dumps(titanic_plain(**changes)))


def house_plain(**changes: Any) -> dict[str, Any]:
    plain = {
        "task": "regression",
        "fields": [
            {"name": "rooms", "type": "integer", "min": 0, "max": 50, "seen": [1, 12]},
            {"name": "area", "type": "number", "unit": "m²", "min": 0, "seen": [20, 400]},
            {"name": "town", "type": "text", "choices": {"values": [{"value": "Ávila"}, {"value": "Lugo"}],
                                                          "open": True}},
        ],
        "derived": [{"name": "area_per_room", "expression": "area / rooms"}],
        "slices": ["town"],
        "output": {"unit": "EUR", "usual_error": 1000},
        "primary_metric": "mae",
    }  # fmt: skip
    return plain | changes


def house(**changes: Any) -> Spec:
    return read_spec(json.dumps(house_plain(**changes)))
