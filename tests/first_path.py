"""Train, gate, request, approve, by REST and on real servers: what later tests need to have happened."""

from dataclasses import dataclass
from typing import Any

import httpx

from tests.api import Caller, ok, wait_for
from tests.running_stack import RunningStack

# Small, so that it is over soon; the search itself is the real one.
SETTINGS = {"n_iter": 2, "cv": 3, "seed": 42}
PASSENGER = {
    "Pclass": 3,
    "Sex": "male",
    "Age": 22,
    "SibSp": 1,
    "Parch": 0,
    "Fare": 7.25,
    "Embarked": "S",
    "HasCabin": False,
    "Title": "Mr",
}


@dataclass(frozen=True)
class FirstPath:
    """Who took part, and what came of it."""

    engineer: Caller
    scientist: Caller
    approver: Caller
    predictor: Caller
    run: dict[str, Any]
    version: dict[str, Any]
    promotion: dict[str, Any]


def walk(stack: RunningStack) -> FirstPath:
    """One trained version of `titanic`, made champion by two people."""
    engineer = Caller(stack, "path-engineer", "engineer")
    scientist = Caller(stack, "path-scientist", "scientist")
    approver = Caller(stack, "path-approver", "approver")
    predictor = Caller(stack, "path-predictor", "predictor")
    run = train(scientist)
    version = judged_version(scientist, run)
    promotion = promote(scientist, approver, version)
    wait_for("champion", lambda: is_served(stack, predictor, version), timeout_s=60)
    return FirstPath(engineer, scientist, approver, predictor, run, version, promotion)


def is_served(stack: RunningStack, by: Caller, version: dict[str, Any]) -> bool:
    """Whether web and serving both answer with it; neither is told to."""
    headers = {"Authorization": f"Bearer {by.token}"}
    try:
        answers = [
            httpx.post(
                f"{url}/api/v1/models/titanic/predict",
                json={"rows": [PASSENGER]},
                headers=headers,
                timeout=30,
            )
            for url in (stack.url, stack.serving_url)
        ]
    except httpx.TransportError:
        return False
    return all(
        answer.status_code == 200 and answer.json()["version"] == version["version"] for answer in answers
    )


def train(by: Caller) -> dict[str, Any]:
    """Trigger the pipeline and wait until it ended well."""
    wait_for("pipeline", lambda: by.get("/pipelines/titanic_training").status_code == 200, timeout_s=90)
    run = ok(by.post("/pipelines/titanic_training/runs", {"conf": SETTINGS, "note": "first path"}), 202)

    def ended() -> Any:
        found = ok(by.get(f"/runs/{run['id']}"))
        assert found["state"] not in {"failed", "refused", "cancelled"}, found
        return found if found["state"] == "success" else None

    return wait_for("training", ended, timeout_s=240)


def judged_version(by: Caller, run: dict[str, Any]) -> dict[str, Any]:
    """The version that this run registered, once its gate has a verdict."""

    def judged() -> Any:
        for version in ok(by.get("/models/titanic/versions"))["results"]:
            whole = ok(by.get(f"/models/titanic/versions/{version['version']}"))
            is_judged = whole["gate"] and whole["gate"]["state"] in {"passed", "failed", "error"}
            if whole["dag_run_id"] == run["dag_run_id"] and is_judged:
                return whole
        return None

    return wait_for("verdict", judged, timeout_s=120)


def promote(scientist: Caller, approver: Caller, version: dict[str, Any]) -> dict[str, Any]:
    """Asked for by one, approved by the other, written to MLflow as an alias."""
    path = f"/models/titanic/versions/{version['version']}/promotions"
    asked = ok(scientist.post(path, {"reason": "the first model"}), 202)
    ok(approver.post(f"/promotions/{asked['id']}/approve", {"reason": "better than the baseline"}))

    def delivered() -> Any:
        found = ok(approver.get(f"/promotions/{asked['id']}"))
        return found if found["delivered_at"] else None

    return wait_for("alias", delivered, timeout_s=60)
