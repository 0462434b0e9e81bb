"""From clean listings to the fields of the spec, and the spec itself."""

import json
from typing import Any

import pandas as pd

from dags.recipes.common.fitting import spec_choices
from scoring.spec import Spec
from scoring.spec_reading import read_spec

FIELDS = ["state", "city", "zip_prefix", "bed", "bath", "house_size", "acre_lot", "sold_year"]
NUMBERS = ["bed", "bath", "house_size", "acre_lot", "sold_year"]
GATE = [{"metric": "mae", "better_by": 0.03}, {"metric": "rmse", "not_worse_by": 0.01}]


def fields(listings: pd.DataFrame) -> pd.DataFrame:
    """The fields, with `label` (the price in USD) and the key `house` beside them."""
    table = listings[["house", "state", "city"]].astype(object)
    table["zip_prefix"] = listings["zip_code"].astype(str).str[:3]
    for name in NUMBERS:
        table[name] = listings[name].astype("float64")
    table["label"] = listings["price"].astype("float64")
    return table[["house", *FIELDS, "label"]].reset_index(drop=True)


def spec(train: pd.DataFrame) -> Spec:
    """train: rows of `fields`; the ranges that they span become the seen ranges."""
    ranges = train[NUMBERS].agg(["min", "max"])
    seen = {name: ranges[name].tolist() for name in NUMBERS if ranges[name].notna().all()}
    known = {
        name: [{"value": value} for value in spec_choices(train[name])]
        for name in ("state", "city", "zip_prefix")
    }
    return read_spec(json.dumps(_spec(seen, known)))


def _spec(seen: dict[str, list[float]], known: dict[str, list[dict[str, str]]]) -> dict[str, Any]:
    return {
        "task": "regression",
        "title": "What would this property be listed for?",
        "entity": "property",
        "description": "The asking price of houses and of land in the USA, from collected listings.",
        "fields": _fields(seen, known),
        "derived": [
            {"name": "is_land", "expression": "is_missing(house_size)"},
            {"name": "is_sold_before", "expression": "is_missing(sold_year) == 0"},
            {"name": "size_per_bed", "expression": "house_size / bed"},
            {"name": "baths_per_bed", "expression": "bath / bed"},
            {"name": "built_share", "expression": "house_size / (acre_lot * 43560)"},
        ],
        "slices": ["state"],
        "gate": GATE,
        "output": {"unit": "USD"},
        "primary_metric": "mae",
        "example": {
            "state": "Massachusetts", "city": "Agawam", "zip_prefix": "010", "bed": 3, "bath": 2,
            "house_size": 1800, "acre_lot": 0.3, "sold_year": 2015,
        },
    }  # fmt: skip


def _fields(seen: dict[str, list[float]], known: dict[str, list[dict[str, str]]]) -> list[dict[str, Any]]:
    place, inside, outside, past = "Place", "House", "Land", "Past"
    optional = {"required": False, "nullable": True}
    found = [
        {"name": "state", "type": "text", "label": "State or territory", "group": place,
         "choices": {"values": known["state"], "open": True}},
        {"name": "city", "type": "text", "label": "City", "group": place,
         "choices": {"values": known["city"], "open": True}},
        {"name": "zip_prefix", "type": "text", "label": "ZIP code, first three digits", "group": place,
         "help": "With its zeros: 006 for 00601.", "choices": {"values": known["zip_prefix"], "open": True}},
        {"name": "bed", "type": "integer", "label": "Bedrooms", "group": inside, **optional,
         "min": 0, "max": 50},
        {"name": "bath", "type": "number", "label": "Bathrooms", "group": inside, **optional,
         "min": 0, "max": 50},
        {"name": "house_size", "type": "number", "label": "Living space", "unit": "sq ft", "group": inside,
         **optional, "help": "Leave it out, with bedrooms and bathrooms, for land alone.",
         "min": 100, "max": 100_000},
        {"name": "acre_lot", "type": "number", "label": "Lot", "unit": "acres", "group": outside, **optional,
         "min": 0, "max": 10_000},
        {"name": "sold_year", "type": "integer", "label": "Last sold in", "unit": "year", "group": past,
         **optional, "help": "Leave it out when it was never sold.", "min": 1800, "max": 2100},
    ]  # fmt: skip
    return [field | ({"seen": seen[field["name"]]} if field["name"] in seen else {}) for field in found]
