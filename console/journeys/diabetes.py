"""Readmission of diabetics: load twice, train twice, judge, promote, predict, and a short load test."""

import uuid
from typing import Any

from console.journeys.traveller import Traveller

NAME = MODEL = "diabetes"
SMALL_DATA = {"source": "synthetic", "n_generated": 2_000}
SMALL_TRAINING = {"batch_size": 700, "n_trees": 10}
LOAD_TEST = {"users": 40, "spawn_rate": 20, "seconds": 25, "stated_p95_ms": 250}
LOAD_TEST_WITHIN_S = 180


def travel(traveller: Traveller) -> None:
    """From the archive to a champion under load."""
    _load(traveller)
    training = SMALL_TRAINING if traveller.is_small else {}
    _train(traveller, {**training, "restart": True})
    version = _train(traveller, training)
    spec = traveller.scientist.get(f"/models/{MODEL}/spec")
    (answer,) = traveller.predict(MODEL, [spec["example"]])
    traveller.check(answer["value"] in ("<30", ">30", "NO"), "one of three outcomes", answer["value"])
    traveller.figure("prediction", answer["label"], f"the newest version is v{version}")
    if not traveller.is_small:
        _test_under_load(traveller)


def _load(traveller: Traveller) -> None:
    """The same archive twice: the second time adds nothing."""
    conf: dict[str, Any] = dict(SMALL_DATA) if traveller.is_small else {}
    sources = {batch["data_source"] for batch in traveller.ledger(NAME, "batches")}
    conf["replace"] = bool(sources - {"synthetic"} if traveller.is_small else sources & {"synthetic"})
    traveller.run("diabetes_data", conf)
    (batch, *others) = traveller.ledger(NAME, "batches")
    parts = ", ".join(f"{part} {batch['facts'][part]:,}" for part in ("train", "validation", "test"))
    traveller.figure("rows", batch["rows_new"], f"{batch['data_source']}: {parts}")
    traveller.run("diabetes_data", conf | {"replace": False})
    n_now = len(traveller.ledger(NAME, "batches"))
    traveller.check(n_now == 1 + len(others), "no second batch from the same archive", n_now)


def _train(traveller: Traveller, conf: dict[str, Any]) -> str:
    """One batch further; what passes goes live. The version's number."""
    run = traveller.run("diabetes_training", conf)
    version = traveller.version_of(MODEL, run)
    number, figures = str(version["version"]), version["gate"]["metrics"]
    candidate, baseline = figures["candidate"]["accuracy"], figures["baseline"]["accuracy"]
    traveller.figure(f"hold-out accuracy of v{number}", candidate, f"majority {baseline:.4g}")
    traveller.check(candidate > baseline, f"an accuracy above the majority's {baseline:.4g}", candidate)
    decided = {
        one["kind"]: one
        for one in traveller.ledger(NAME, "decisions")
        if one["dag_run_id"] == run["dag_run_id"]
    }
    traveller.figure("batch", decided["train"]["reason"])
    traveller.figure(
        "decision", "may go live" if decided["promote"]["is_yes"] else "stays", decided["promote"]["reason"]
    )
    if version["state"] == "passed":
        traveller.promote(MODEL, number)
    return number


def _test_under_load(traveller: Traveller) -> None:
    path = f"/usecases/{NAME}/load-tests"
    asked = traveller.engineer.post(path, LOAD_TEST, key=uuid.uuid4().hex)

    def ended() -> dict[str, Any] | None:
        found = next((one for one in traveller.ledger(NAME, "load-tests") if one["id"] == asked["id"]), None)
        return found if found is not None and found["state"] in ("done", "failed") else None

    test = traveller.wait("the end of the load test", ended, timeout_s=LOAD_TEST_WITHIN_S)
    if test["state"] == "failed":
        traveller.check("not installed" in test["error"], "a load test", test["error"])
        traveller.figure("load test", "left out", test["error"])
        return
    within = f"p95 within {test['stated_p95_ms']} ms"
    traveller.figure("users under load", test["max_users_within_p95"], f"of {test['users']}: {within}")
    traveller.figure(
        "requests", test["requests"], f"{test['rps']:.0f} a second, p95 {test['p95']:.3g} ms at the end"
    )
    traveller.check(test["failures"] == 0, "no failed request", test["failures"])
