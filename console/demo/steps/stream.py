"""The engineer replays a month of taxi trips into a topic; every event is in a window, or among the dead.

A second, slow replay goes on for some minutes afterwards, so that there is something to watch.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from console.demo import inputs
from console.demo.errors import NotAsExpected
from console.demo.scene import Scene, check, is_since

STREAM = "taxi_trips"
RATE = 4_000
TRICKLE_RATE = 10  # for ten minutes
SENT_WITHIN_S = 240
COUNTED_WITHIN_S = 120
MARGIN = timedelta(seconds=30)  # before the first event: windows are longer than nothing


def play(scene: Scene) -> str:
    source = inputs.trips()
    scene.begin()
    if "since" not in scene.facts:
        since = (datetime.now(UTC) - MARGIN).isoformat()
        scene.step.keep(since=since, n_before=_n_counted(scene, since))
    replay = _replay(scene, source.path, RATE, "replay_id")
    sent = scene.wait("the end of the replay", lambda: _ended(scene, replay["id"]), timeout_s=SENT_WITHIN_S)
    n_events = sent["n_sent"] - sent["n_skipped"]
    check(sent["n_sent"] == source.n_rows, f"{source.n_rows} lines sent", sent["n_sent"])
    if "n_events" not in scene.facts:
        _check_counted(scene, n_events)
    scene.step.keep(n_events=n_events, n_rows=source.n_rows, source=source.path)
    trickle = _replay(scene, inputs.trickle().path, TRICKLE_RATE, "trickle_id")
    return (
        f"replay {replay['id']}: {n_events:,} events of {source.origin}, each counted once in the windows of "
        f"{STREAM}; replay {trickle['id']} goes on for a while"
    )


def is_there(scene: Scene) -> bool:
    return scene.engineer.find(f"/replays/{scene.facts['replay_id']}") is not None


def _replay(scene: Scene, source: str, rate: float, name: str) -> dict[str, Any]:
    """The replay that this step remembers under `name`, else a new one."""
    body = {"source": source, "rate": rate, "topic": STREAM}
    if name not in scene.facts:
        asked = _asked_before(scene, body) or scene.engineer.post(
            "/replays", body, key=scene.key(name), found=lambda: _asked_before(scene, body)
        )
        scene.step.keep(**{name: asked["id"]})
    found: dict[str, Any] = scene.engineer.get(f"/replays/{scene.facts[name]}")
    return found


def _asked_before(scene: Scene, body: dict[str, Any]) -> dict[str, Any] | None:
    """One of this attempt whose answer was lost."""
    for replay in scene.engineer.get("/replays")["results"]:
        is_ours = replay["requested_by"] == scene.engineer.name and is_since(
            replay["requested_at"], scene.begun_at
        )
        if is_ours and (replay["source"], replay["rate"]) == (body["source"], body["rate"]):
            return dict(replay)
    return None


def _ended(scene: Scene, replay_id: int) -> dict[str, Any] | None:
    replay: dict[str, Any] = scene.engineer.get(f"/replays/{replay_id}")
    if replay["state"] in {"failed", "stopped"}:
        raise NotAsExpected("the replay to end well", f"{replay['state']}: {replay['error']}")
    return replay if replay["state"] == "done" else None


def _check_counted(scene: Scene, n_events: int) -> None:
    """Windows and dead letters together rise by what was sent, and by no more."""
    wanted = scene.facts["n_before"] + n_events

    def n_now() -> int:
        return _n_counted(scene, scene.facts["since"])

    scene.wait(f"{wanted:,} events counted", lambda: n_now() >= wanted, timeout_s=COUNTED_WITHIN_S)
    check(n_now() == wanted, f"{wanted:,} events counted", f"{n_now():,}")


def _n_counted(scene: Scene, since: str) -> int:
    windows = scene.engineer.every(f"/streams/{STREAM}/windows", since=since)
    dead = scene.engineer.every(f"/streams/{STREAM}/dead-letters")
    return sum(window["count"] for window in windows) + sum(is_since(letter["at"], since) for letter in dead)
