"""What the gate made of the version that the run registered: the pipeline itself has asked for it."""

from typing import Any

from console.demo.errors import NotAsExpected
from console.demo.scene import Scene, check

MODEL = "titanic"
JUDGED_WITHIN_S = 240
NEEDED = {"baseline", "schema", "hash", "latency"}


def play(scene: Scene) -> str:
    version = scene.wait("a verdict of the gate", lambda: _judged(scene), timeout_s=JUDGED_WITHIN_S)
    gate = version["gate"]
    check(gate["state"] == "passed", "the version to pass its gate", f"{gate['state']}: {gate['reason']}")
    verdicts = {found["name"]: found["verdict"] for found in gate["checks"]}
    check(verdicts.keys() >= NEEDED, f"checks of {', '.join(sorted(NEEDED))}", sorted(verdicts))
    check("failed" not in verdicts.values(), "no check to fail", verdicts)
    scene.step.keep(model=MODEL, version=version["version"])
    score = version["metrics"][version["primary_metric"]]
    return (
        f"{MODEL} version {version['version']} passed {len(verdicts)} checks on {gate['holdout_rows']} rows "
        f"held out: {version['primary_metric']} {score:.4f}, served as {version['serve_as']}"
    )


def is_there(scene: Scene) -> bool:
    return scene.scientist.find(f"/models/{MODEL}/versions/{scene.facts['version']}") is not None


def _judged(scene: Scene) -> dict[str, Any] | None:
    """The version of our run, once its gate has come to an end."""
    dag_run_id = scene.of("train")["dag_run_id"]
    if scene.scientist.find(f"/models/{MODEL}") is None:
        return None
    versions = scene.scientist.get(f"/models/{MODEL}/versions")["results"]
    ours = next((row for row in versions if row["dag_run_id"] == dag_run_id), None)
    if ours is None:
        return None
    version: dict[str, Any] = scene.scientist.get(f"/models/{MODEL}/versions/{ours['version']}")
    gate = version["gate"]
    if gate and gate["state"] == "error":
        raise NotAsExpected("a verdict of the gate", f"an error: {gate['reason']}")
    return version if gate and gate["state"] in {"passed", "failed"} else None
