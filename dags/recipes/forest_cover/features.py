"""From rows of forest to the fields of the spec, and the spec itself."""

import json
from typing import Any

import pandas as pd

from dags.recipes.common.fitting import spec_choices
from dags.recipes.forest_cover.data import COLUMNS, TARGET, TEXTS
from scoring.spec import Spec
from scoring.spec_reading import read_spec

FIELDS = [name for name in COLUMNS if name != TARGET]
NUMBERS = [name for name in FIELDS if name not in TEXTS]
COVERS = {  # as the course's file numbers them
    0: "Spruce and fir",
    1: "Lodgepole pine",
    2: "Ponderosa pine",
    3: "Cottonwood and willow",
    4: "Aspen",
    5: "Douglas fir",
    6: "Krummholz",
}
_PLACE, _DISTANCE, _SHADE = "Place", "Distances", "Shade"


def fields(table: pd.DataFrame) -> pd.DataFrame:
    """The fields, with `label` beside them."""
    return table[FIELDS].assign(label=table[TARGET].astype("int64"))


def spec(train: pd.DataFrame) -> Spec:
    """train: rows of `fields`; what they span and hold becomes what the model has seen."""
    return read_spec(json.dumps(_spec(train)))


def _spec(train: pd.DataFrame) -> dict[str, Any]:
    typical = train[NUMBERS].median()
    return {
        "task": "classification",
        "title": "What grows on this piece of forest?",
        "entity": "piece of forest",
        "description": "Cover of 30 by 30 m of the Roosevelt National Forest, from maps.",
        "fields": _fields(train),
        "slices": ["Wilderness_Area"],
        "output": {
            "labels": [
                {"value": value, "label": COVERS[value]} for value in sorted(set(train["label"].tolist()))
            ]
        },
        "primary_metric": "accuracy",
        "example": {name: int(typical[name]) for name in NUMBERS}
        | {name: train[name].mode().iloc[0] for name in TEXTS},
    }


def _fields(train: pd.DataFrame) -> list[dict[str, Any]]:
    hydrology, roadways, fire = (
        f"Horizontal_Distance_To_{name}" for name in ("Hydrology", "Roadways", "Fire_Points")
    )
    vertical = "Vertical_Distance_To_Hydrology"
    shade = "0 is dark, 254 full light, at the summer solstice."
    described = [
        {"name": "Elevation", "label": "Elevation", "unit": "m", "group": _PLACE, "min": -500, "max": 9_000},
        {"name": "Slope", "label": "Slope", "unit": "°", "group": _PLACE, "min": 0, "max": 90},
        {"name": hydrology, "label": "To water", "unit": "m", "group": _DISTANCE, "min": 0, "max": 100_000},
        {"name": vertical, "label": "Above water", "unit": "m", "group": _DISTANCE, "min": -5_000,
         "max": 5_000, "help": "Below it when negative."},
        {"name": roadways, "label": "To a road", "unit": "m", "group": _DISTANCE, "min": 0, "max": 100_000},
        {"name": "Hillshade_9am", "label": "Light at 9", "group": _SHADE, "min": 0, "max": 255,
         "help": shade},
        {"name": "Hillshade_Noon", "label": "Light at noon", "group": _SHADE, "min": 0, "max": 255,
         "help": shade},
        {"name": fire, "label": "To a place where fires began", "unit": "m", "group": _DISTANCE, "min": 0,
         "max": 100_000},
    ]  # fmt: skip
    numbers = [
        {**field, "type": "integer", "seen": [int(column.min()), int(column.max())]}
        for field in described
        for column in [train[field["name"]]]
    ]
    return [
        *numbers,
        _text(train, "Wilderness_Area", "Wilderness area"),
        _text(train, "Soil_Type", "Soil type", help="Code of the soil survey, such as C7745."),
    ]


def _text(train: pd.DataFrame, name: str, label: str, **more: str) -> dict[str, Any]:
    """Open: a soil that no row had is answered with a warning."""
    known = [{"value": value} for value in sorted(spec_choices(train[name]))]
    choices = {"values": known, "open": True}
    return {"name": name, "type": "text", "label": label, "group": _PLACE, "choices": choices, **more}
