"""Titanic: train, judge, promote, predict."""

from console.journeys.traveller import Traveller

MODEL = "titanic"
ROWS = [
    {"Pclass": 1, "Sex": "female", "Age": 29, "SibSp": 0, "Parch": 0, "Fare": 211.3, "Embarked": "S",
     "HasCabin": True, "Title": "Miss"},
    {"Pclass": 3, "Sex": "male", "Age": 22, "SibSp": 1, "Parch": 0, "Fare": 7.25, "Embarked": "S",
     "HasCabin": False, "Title": "Mr"},
]  # fmt: skip


def travel(traveller: Traveller) -> None:
    """From data to answers."""
    conf = {"n_iter": 2, "cv": 3} if traveller.is_small else {}
    run = traveller.run("titanic_training", conf)
    version = traveller.version_of(MODEL, run)
    metrics = version["gate"]["metrics"]
    for name in ("accuracy", "macro_f1"):
        candidate, baseline = metrics["candidate"][name], metrics["baseline"][name]
        traveller.figure(f"hold-out {name}", candidate, f"baseline {baseline:.4g}")
        traveller.check(candidate > baseline, f"{name} above the baseline's {baseline:.4g}", candidate)
    survived, died = traveller.predict(MODEL, ROWS, version=traveller.go_live(MODEL, version))
    traveller.check(
        (survived["value"], died["value"]) == (1, 0), "1 and 0", (survived["value"], died["value"])
    )
    (decision, *_) = traveller.ledger("titanic", "decisions")
    traveller.check(
        decision["dag_run_id"] == run["dag_run_id"],
        "the run's decision in the ledger",
        decision["dag_run_id"],
    )
    traveller.figure("decision", "goes live" if decision["is_yes"] else "stays", decision["reason"])
