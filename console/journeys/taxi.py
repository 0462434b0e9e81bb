"""Taxi: a month through Spark, the model of tips, trips through the stream."""

import uuid
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any, Final

from console.demo import inputs
from console.demo.scene import is_since
from console.journeys.traveller import Traveller

MODEL: Final = "taxi_tip"
STREAM: Final = "taxi_trips"
RATE: Final = 500  # trips a second
COUNTED_WITHIN_S: Final = 240
MARGIN: Final = timedelta(minutes=5)  # of windows that began before
TRIP: Final = {
    "vendor_id": 2,
    "passenger_count": 1,
    "trip_distance": 2.4,
    "payment_type": 1,
    "fare_amount": 14.2,
}


def travel(traveller: Traveller) -> None:
    """From the month's records to tips that are answered and trips that are counted."""
    _batch(traveller)
    _training(traveller)
    _stream(traveller)


def _batch(traveller: Traveller) -> None:
    traveller.run("taxi_batch", {"source": "synthetic"} if traveller.is_small else {})
    batch = traveller.ledger("taxi", "batches")[0]
    traveller.check(
        batch["rows_in"] == batch["rows_new"] + batch["rows_rejected"],
        "rows kept and dropped to make up all",
        batch,
    )
    traveller.figure("trips in", batch["rows_in"], batch["data_source"])
    traveller.figure("trips kept", batch["rows_new"])
    for reason, n in batch["facts"]["dropped"].items():
        traveller.figure(f"dropped: {reason}", n)
    for job_id in batch["facts"]["jobs"]:
        job = traveller.engineer.get(f"/jobs/{job_id}")
        traveller.check(job["state"] == "succeeded", f"job {job['app']} to succeed", job["state"])
        traveller.figure(job["app"], f"{job['duration_s']:.0f} s", _told(job["result"]))


def _told(result: dict[str, Any]) -> str:
    """Of the numbers that a job tells, those that sum it up."""
    names = ("rows_in", "rows_kept", "k", "silhouette")
    return ", ".join(
        f"{name} {result[name]:,.4g}" for name in names if isinstance(result.get(name), int | float)
    )


def _training(traveller: Traveller) -> None:
    conf = {"n_estimators": 10, "max_rows": 4_000} if traveller.is_small else {}
    run = traveller.run("taxi_training", conf)
    version = traveller.version_of(MODEL, run)
    metrics = version["gate"]["metrics"]
    for name in ("mae", "rmse"):
        candidate, baseline = metrics["candidate"][name], metrics["baseline"][name]
        traveller.figure(f"hold-out {name} ($)", candidate, f"mean tip {baseline:.4g}")
        traveller.check(candidate < baseline, f"{name} below the mean's {baseline:.4g}", candidate)
    (answer,) = traveller.predict(MODEL, [TRIP], version=traveller.go_live(MODEL, version))
    traveller.figure("a tip", float(answer["value"]), f"of a fare of {TRIP['fare_amount']} $, paid by card")
    traveller.check(
        0 < answer["value"] < TRIP["fare_amount"], "a tip between nothing and the fare", answer["value"]
    )


def _stream(traveller: Traveller) -> None:
    """Trips of the month's beginning are sent; windows and dead letters rise by as many at least."""
    since = (datetime.now(UTC) - MARGIN).isoformat()
    before = _n_counted(traveller, since)
    body = {"source": inputs.trickle().path, "topic": STREAM, "rate": RATE}
    replay = traveller.engineer.post("/replays", body, key=uuid.uuid4().hex)
    ended = traveller.wait(
        "the end of the replay",
        lambda: _ended(traveller.engineer.get(f"/replays/{replay['id']}")),
        timeout_s=COUNTED_WITHIN_S,
    )
    traveller.check(ended["state"] == "done", "the replay to end well", ended["error"] or ended["state"])
    n_events = ended["n_sent"] - ended["n_skipped"]
    n = traveller.wait(
        f"{n_events:,} trips to be counted",
        lambda: _at_least(n_events, _n_counted(traveller, since) - before),
        timeout_s=COUNTED_WITHIN_S,
    )
    traveller.figure("trips streamed", n_events, f"{n:,} more in windows and dead letters")


def _at_least(wanted: int, n: int) -> int | None:
    return n if n >= wanted else None


def _n_counted(traveller: Traveller, since: str) -> int:
    windows = traveller.engineer.every(f"/streams/{STREAM}/windows", since=since)
    dead = traveller.engineer.every(f"/streams/{STREAM}/dead-letters")  # newest first, page by page
    n_dead = sum(1 for _one in takewhile(lambda letter: is_since(letter["at"], since), dead))
    return sum(window["count"] for window in windows) + n_dead


def _ended(replay: dict[str, Any]) -> dict[str, Any] | None:
    return replay if replay["state"] in ("done", "failed", "stopped") else None
