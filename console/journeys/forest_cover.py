"""Forest cover: collect, train, judge, promote, predict."""

from collections.abc import Mapping
from typing import Any

from console.demo.errors import NotAsExpected
from console.journeys.traveller import Traveller

MODEL = USECASE = "forest_cover"
ROW = {
    "Elevation": 3_400, "Slope": 9, "Horizontal_Distance_To_Hydrology": 268,
    "Vertical_Distance_To_Hydrology": 46, "Horizontal_Distance_To_Roadways": 2_344, "Hillshade_9am": 212,
    "Hillshade_Noon": 223, "Horizontal_Distance_To_Fire_Points": 1_974, "Wilderness_Area": "Rawah",
    "Soil_Type": " C8771",
}  # fmt: skip
PONDEROSA = {**ROW, "Elevation": 2_150, "Wilderness_Area": "Cache", "Soil_Type": "C2703"}
COVER_TYPES = set(range(7))
SMALL = {"n_estimators": 30, "max_depth": 10, "n_iter": 1, "svc_rows": 500, "cv": 2}
GROUP = 1


def travel(traveller: Traveller) -> None:
    """From batches to answers. Small: one batch, and a quick training."""
    conf = {"group_number": GROUP, "batches": 1} if traveller.is_small else {"group_number": GROUP}
    traveller.run("forest_cover_load", conf)
    batches = traveller.ledger(USECASE, "batches")
    rows = sum(batch["rows_new"] for batch in batches)
    traveller.figure("collected", rows, f"rows of {len(batches)} batches")
    run = traveller.run("forest_cover_training", SMALL if traveller.is_small else {})
    version = traveller.version_of(MODEL, run)
    _judged(traveller, version)
    if version["state"] == "passed":
        traveller.promote(MODEL, version["version"])
    _answered(traveller)
    decision = traveller.ledger(USECASE, "decisions")[0]
    traveller.check(
        decision["dag_run_id"] == run["dag_run_id"],
        "the run's decision in the ledger",
        decision["dag_run_id"],
    )
    traveller.figure("decision", "goes live" if decision["is_yes"] else "stays", decision["reason"])


def _judged(traveller: Traveller, version: Mapping[str, Any]) -> None:
    metrics = version["gate"]["metrics"]
    for name in ("accuracy", "macro_f1"):
        candidate, baseline = metrics["candidate"][name], metrics["baseline"][name]
        traveller.figure(f"hold-out {name}", candidate, f"baseline {baseline:.4g}")
        traveller.check(candidate > baseline, f"{name} above the baseline's {baseline:.4g}", candidate)


def _answered(traveller: Traveller) -> None:
    """High above, low down, and a soil that no row had.

    Which cover a model names depends on the sample that its batches drew, so what is checked is that it
    names one, and that the elevation matters to it.
    """
    unknown = {**ROW, "Soil_Type": "C0000"}
    high, low, odd = traveller.predict(MODEL, [ROW, PONDEROSA, unknown])
    for answer in (high, low, odd):
        traveller.check(answer["value"] in COVER_TYPES, f"one of the covers {COVER_TYPES}", answer["value"])
    traveller.check(
        high["probabilities"] != low["probabilities"],
        "other probabilities at 2,150 m than at 3,400 m",
        low["probabilities"],
    )
    if high["warnings"] or not any("C0000" in words for words in odd["warnings"]):
        raise NotAsExpected("a warning for the unknown soil alone", f"{high['warnings']} {odd['warnings']}")
    traveller.figure("at 3,400 m", high["label"])
    traveller.figure("at 2,150 m", low["label"])
