"""The engineer has Spark clean the month of trips; what is kept and what is dropped make up the whole."""

from typing import Any

from console.demo import inputs
from console.demo.errors import NotAsExpected
from console.demo.scene import Scene, check, is_since

APPLICATION = "clean_trips"
ENDS_WITHIN_S = 300
ENDED_BADLY = {"failed", "cancelled", "lost"}


def play(scene: Scene) -> str:
    scene.begin()
    asked = _ask(scene)
    scene.step.keep(job_id=asked["id"])
    job = scene.wait("the end of the job", lambda: _ended(scene), timeout_s=ENDS_WITHIN_S)
    result = job["result"]
    n_dropped = sum(result["dropped"].values())
    check(result["rows_in"] == inputs.trips().n_rows, f"{inputs.trips().n_rows} rows read", result["rows_in"])
    check(
        result["rows_in"] == result["rows_kept"] + n_dropped,
        "rows kept and dropped to make up the whole",
        {name: result[name] for name in ("rows_in", "rows_kept", "dropped")},
    )
    return (
        f"job {job['id']}: {APPLICATION} kept {result['rows_kept']:,} of {result['rows_in']:,} trips and "
        f"dropped {n_dropped:,}"
    )


def is_there(scene: Scene) -> bool:
    job = scene.engineer.find(f"/jobs/{scene.facts['job_id']}")
    return job is not None and job["state"] == "succeeded"


def _ask(scene: Scene) -> dict[str, Any]:
    if there := _asked_before(scene):
        return there
    body = {"app": APPLICATION, "params": {"source": inputs.trips().path}}
    asked: dict[str, Any] = scene.engineer.post(
        "/jobs", body, key=scene.key("job"), found=lambda: _asked_before(scene)
    )
    scene.say(f"asked for job {asked['id']}")
    return asked


def _asked_before(scene: Scene) -> dict[str, Any] | None:
    """One of this attempt whose answer was lost."""
    for job in scene.engineer.get("/jobs")["results"]:
        is_ours = (job["app"], job["requested_by"]) == (APPLICATION, scene.engineer.name)
        if is_ours and is_since(job["requested_at"], scene.begun_at):
            return dict(job)
    return None


def _ended(scene: Scene) -> dict[str, Any] | None:
    job: dict[str, Any] = scene.engineer.get(f"/jobs/{scene.facts['job_id']}")
    if job["state"] in ENDED_BADLY:
        raise NotAsExpected("the job to succeed", f"{job['state']}: {job['error']} (job {job['id']})")
    return job if job["state"] == "succeeded" else None
