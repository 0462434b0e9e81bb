"""The engineer runs the training pipeline and waits until Airflow has ended it well."""

from typing import Any

from console.demo import inputs
from console.demo.errors import NotAsExpected
from console.demo.scene import Scene

PIPELINE = "titanic_training"
SETTINGS = {"n_iter": 4, "cv": 3, "seed": inputs.SEED}  # a small search, so that it is over soon
KNOWN_WITHIN_S = 120  # a new Airflow has read its files by then
ENDS_WITHIN_S = 420
ENDED_BADLY = {"refused", "failed", "cancelled", "lost"}


def play(scene: Scene) -> str:
    scene.wait(
        f"the pipeline {PIPELINE}",
        lambda: scene.engineer.find(f"/pipelines/{PIPELINE}"),
        timeout_s=KNOWN_WITHIN_S,
    )
    asked = _ask(scene)
    scene.step.keep(run_id=asked["id"], dag_run_id=asked["dag_run_id"])
    run = scene.wait("the end of the run", lambda: _ended(scene), timeout_s=ENDS_WITHIN_S)
    n_tasks = _check_tasks(scene)
    return (
        f"run {run['id']} of {PIPELINE}: {n_tasks} tasks succeeded in {run['duration_s']:.0f} s; "
        f"passengers: {inputs.passengers_source()}"
    )


def is_there(scene: Scene) -> bool:
    run = scene.engineer.find(f"/runs/{scene.facts['run_id']}")
    return run is not None and run["state"] == "success"


def _ask(scene: Scene) -> dict[str, Any]:
    """The note names this very attempt: by it the run is found when its answer was lost."""
    if there := _asked_before(scene):
        return there
    conf = {**SETTINGS, "source": inputs.passengers_source()}
    asked: dict[str, Any] = scene.engineer.post(
        f"/pipelines/{PIPELINE}/runs",
        {"conf": conf, "note": _note(scene)},
        key=scene.key("run"),
        found=lambda: _asked_before(scene),
    )
    scene.say(f"asked for run {asked['id']} of {PIPELINE}")
    return asked


def _asked_before(scene: Scene) -> dict[str, Any] | None:
    runs = scene.engineer.get(f"/pipelines/{PIPELINE}/runs", limit=20)["results"]
    return next((run for run in runs if run["note"] == _note(scene)), None)


def _note(scene: Scene) -> str:
    return f"demonstration {scene.step.demonstration_id}, attempt {scene.step.attempt}"


def _ended(scene: Scene) -> dict[str, Any] | None:
    run: dict[str, Any] = scene.engineer.get(f"/runs/{scene.facts['run_id']}")
    if run["state"] in ENDED_BADLY:
        raise NotAsExpected(
            "the run to end with success",
            f"{run['state']}: {run['delivery_error'] or 'the logs of its tasks say why'} (run {run['id']})",
        )
    return run if run["state"] == "success" else None


def _check_tasks(scene: Scene) -> int:
    def states() -> dict[str, str] | None:
        tasks = scene.engineer.get(f"/runs/{scene.facts['run_id']}/tasks")["results"]
        found = {task["task_id"]: task["state"] for task in tasks}
        return found if found and set(found.values()) == {"success"} else None

    return len(scene.wait("success of every task", states, timeout_s=30))
