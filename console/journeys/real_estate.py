"""House prices: batch after batch is judged; some are trained on, some of what was trained goes live."""

from typing import Any

from console.demo.errors import CannotBegin
from console.journeys.traveller import Traveller

DAG_ID, MODEL = "real_estate_monitor", "real_estate"
GROUPS = range(1, 11)
# The second batch of the small journey waits: it is told that more rows are needed than have come.
SMALL = ({"n_iter": 1}, {"n_iter": 1, "min_new_rows": 5_000}, {"n_iter": 1})
MOST_RUNS = 40
HOUSE = {
    "state": "Massachusetts", "city": "Agawam", "zip_prefix": "010", "bed": 3, "bath": 2, "house_size": 1800,
    "acre_lot": 0.3,
}  # fmt: skip


def travel(traveller: Traveller) -> None:
    """Both days until the service has given all; three batches of one day where a sample is enough."""
    group = _free_group(traveller)
    if traveller.is_small:
        for conf in SMALL:
            _batch(traveller, {"group": group, "day": "Wednesday", **conf})
    else:
        for day in ("Tuesday", "Wednesday"):
            for _ in range(MOST_RUNS):
                if "has given all" in _batch(traveller, {"group": group, "day": day}):
                    break
    _check(traveller, group)


def _batch(traveller: Traveller, conf: dict[str, Any]) -> str:
    """One run; what it trained goes live when it passed. Why it trained, or did not."""
    run = traveller.run(DAG_ID, conf)
    found = {
        row["kind"]: row
        for row in traveller.ledger("real_estate", "decisions")
        if row["dag_run_id"] == run["dag_run_id"]
    }
    traveller.check("train" in found, "a decision whether to train", sorted(found))
    reason: str = found["train"]["reason"]
    traveller.figure("decision", "trained" if found["train"]["is_yes"] else "not trained", reason)
    if judged := found.get("promote"):
        word = "may go live" if judged["is_yes"] else "does not go live"
        traveller.figure(f"{MODEL} v{judged['version']}", word, judged["reason"])
        if judged["is_yes"]:
            traveller.approve_asked(MODEL, str(judged["version"]))
    return reason


def _check(traveller: Traveller, group: int) -> None:
    decisions = traveller.ledger("real_estate", "decisions")
    trained = [row["is_yes"] for row in decisions if row["kind"] == "train"]
    traveller.check(True in trained, "a batch that was worth training on", trained)
    traveller.check(False in trained, "a batch that was not", trained)
    batches = traveller.ledger("real_estate", "batches")
    mine = [row for row in batches if row["key"].startswith(f"group {group} ")]
    sums = {name: sum(row[f"rows_{name}"] for row in mine) for name in ("in", "new", "duplicate", "rejected")}
    for name, value in sums.items():
        traveller.figure(f"rows {name}", value)
    traveller.check(sums["rejected"] > 0, "rows that were rejected with their reasons", sums)
    if not traveller.is_small:
        reasons = [row["reason"] for row in traveller.engineer.every(_rejected_of(mine[0]))]
        is_cut = any("The row is cut" in reason for reason in reasons)
        traveller.check(is_cut, "the broken last row among those rejected", reasons)
    champion = traveller.scientist.get(f"/models/{MODEL}")["champion"]
    traveller.check(champion is not None, "a champion", champion)
    metrics = traveller.scientist.get(f"/models/{MODEL}/versions/{champion}")["gate"]["metrics"]
    for name in ("mae", "rmse", "r2"):
        baseline = metrics["baseline"].get(name)
        note = f"v{champion}, baseline {baseline:,.4g}" if baseline is not None else f"v{champion}"
        traveller.figure(f"hold-out {name}", metrics["candidate"][name], note)
    (answer,) = traveller.predict(MODEL, [HOUSE])
    traveller.check(10_000 < answer["value"] < 5_000_000, "the price of a house", answer["value"])
    traveller.figure("a house in Agawam", float(answer["value"]), "USD")


def _rejected_of(batch: dict[str, Any]) -> str:
    return f"/usecases/real_estate/batches/{batch['id']}/rejected"


def _free_group(traveller: Traveller) -> int:
    """One that nobody has asked the service for."""
    used = {
        row["key"].split()[1] for row in traveller.ledger("real_estate", "batches") if "group" in row["facts"]
    }
    for group in GROUPS:
        if str(group) not in used:
            return group
    raise CannotBegin("All ten groups of the data service have been collected; `make reset` starts anew.")
