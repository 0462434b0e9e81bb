"""Titanic: load, look features up, train from them, judge, promote, predict."""

import math
from itertools import islice
from typing import Any

from console.journeys.traveller import Traveller

MODEL = ENTITY = USECASE = "titanic"
ROWS = [
    {"Pclass": 1, "Sex": "female", "Age": 29, "SibSp": 0, "Parch": 0, "Fare": 211.3, "Embarked": "S",
     "HasCabin": True, "Title": "Miss"},
    {"Pclass": 3, "Sex": "male", "Age": 22, "SibSp": 1, "Parch": 0, "Fare": 7.25, "Embarked": "S",
     "HasCabin": False, "Title": "Mr"},
]  # fmt: skip
ODD = ROWS[0] | {"Fare": 9_000}  # more than anybody paid
LOOKED_UP = 5


def travel(traveller: Traveller) -> None:
    """From data to answers."""
    _load(traveller)
    conf = {"n_iter": 2, "cv": 3} if traveller.is_small else {}
    run = traveller.run("titanic_training", conf | {"source": "features"})
    version = traveller.version_of(MODEL, run)
    _is_from_the_store(traveller, version)
    metrics = version["gate"]["metrics"]
    for name in ("accuracy", "macro_f1"):
        candidate, baseline = metrics["candidate"][name], metrics["baseline"][name]
        traveller.figure(f"hold-out {name}", candidate, f"baseline {baseline:.4g}")
        traveller.check(candidate > baseline, f"{name} above the baseline's {baseline:.4g}", candidate)
    _predict(traveller, traveller.go_live(MODEL, version))
    (decision, *_) = traveller.ledger(USECASE, "decisions")
    traveller.check(
        decision["dag_run_id"] == run["dag_run_id"],
        "the run's decision in the ledger",
        decision["dag_run_id"],
    )
    traveller.figure("decision", "goes live" if decision["is_yes"] else "stays", decision["reason"])


def _load(traveller: Traveller) -> None:
    """The list into the database, each row's features into the store."""
    run = traveller.run("titanic_etl", {"replace": True})
    (batch, *_) = traveller.ledger(USECASE, "batches")
    rows_in, rejected = batch["rows_in"], batch["rows_rejected"]
    traveller.figure("passengers", rows_in, f"{batch['data_source']}, {rejected} rejected")
    kept = batch["rows_new"] + batch["rows_duplicate"] + rejected
    traveller.check(rows_in == kept > 0, "every row new, there before or rejected", batch)
    found = (_features(traveller, id_) for id_ in range(1, 100))
    there = list(islice((row for row in found if row is not None), LOOKED_UP))
    traveller.check(len(there) == LOOKED_UP, f"features of {LOOKED_UP} passengers below 100", len(there))
    for row in there:
        values = row["values"]
        family = values["SibSp"] + values["Parch"] + 1
        traveller.check(values["FamilySize"] == family, f"a family of {family}", values)
        if values["Fare"] is not None:
            product = values["Pclass"] * values["Fare"]
            traveller.check(math.isclose(values["PclassFare"], product), f"class x fare {product:g}", values)
    traveller.figure("features", f"version {there[0]['version']}", f"expire {there[0]['expires_at'][:10]}")
    traveller.check(
        _features(traveller, "no such passenger/ñ") is None, "nothing under a made-up id", "a row"
    )
    traveller.figure("loaded by", run["dag_run_id"])


def _features(traveller: Traveller, id_: object) -> dict[str, Any] | None:
    found: dict[str, Any] | None = traveller.engineer.find(f"/features/{ENTITY}/{id_}")
    return found


def _is_from_the_store(traveller: Traveller, version: dict[str, Any]) -> None:
    tags = traveller.scientist.get(f"/mlflow-runs/{version['run_id']}")["tags"]
    told = tags.get("data_via"), tags.get("features_version")
    traveller.check(told == ("features", "1"), "a model trained on version 1 of the features", told)
    traveller.figure("trained on", f"features version {told[1]}", f"from {tags.get('features_from')}")


def _predict(traveller: Traveller, version: str) -> None:
    """Two plain rows, and one that is an outlier and no drift."""
    survived, died, odd = traveller.predict(MODEL, [*ROWS, ODD], version=version)
    answers = (survived["value"], died["value"])
    traveller.check(answers == (1, 0), "1 and 0", answers)
    traveller.check(survived["warnings"] == [], "no warning about a plain row", survived["warnings"])
    told = " ".join(odd["warnings"])
    is_named = "Fare is 9000, an outlier: outside the range seen in training" in told and "drift" not in told
    traveller.check(is_named, "a fare of 9000 to be called an outlier", odd["warnings"])
    traveller.figure("outlier", odd["label"], told)
