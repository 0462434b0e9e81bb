"""Predictions asked for by REST, judged on real servers: what stays is quiet, what moves alarms once."""

import io
import json
from typing import Any

import httpx
import pandas as pd
import pytest

from models_registry import artefacts, gateway
from tests.api import Caller, ok, wait_for
from tests.first_path import PASSENGER, FirstPath
from tests.running_stack import RunningStack

pytestmark = [pytest.mark.journey, pytest.mark.timeout(900)]

N = 500


@pytest.fixture
def reference(path: FirstPath, on_the_stack: RunningStack) -> pd.DataFrame:
    """The frozen reference of the champion, as MLflow has it."""
    mlflow = gateway.connect()
    root = mlflow.run_root(path.version["run_id"])
    content = mlflow.read_file(root, artefacts.REFERENCE, limit_bytes=artefacts.REFERENCE_LIMIT_BYTES)
    return pd.read_parquet(io.BytesIO(content))[list(PASSENGER)]


def test_rows_of_the_reference_are_quiet_and_shifted_rows_raise_one_alert(
    path: FirstPath, stack: RunningStack, reference: pd.DataFrame
):
    wait_for("the champion", lambda: is_served(stack, path), timeout_s=60)
    for is_watched in (False, True):  # so that a window begins here: other tests leave a part of one
        ok(path.scientist.patch("/models/titanic/drift/rules", {"is_watched": is_watched}))
    before = {one["id"] for one in windows(path)}
    n_findings = sum(one["n_findings"] for one in alerts(path))
    quiet = reference.sample(N, replace=True, random_state=1)
    wait_until_recorded(path, predict(stack, path.predictor, quiet))
    shifted = reference.sample(N, replace=True, random_state=2)
    shifted = shifted.assign(Age=shifted["Age"] + 15, Fare=shifted["Fare"] * 2)
    predict(stack, path.predictor, shifted)
    wait_for("both windows", lambda: len(new_ones(path, before)) >= 2, timeout_s=90)
    drifted, stable = new_ones(path, before)
    assert (stable["verdict"], stable["n"]) == ("stable", N), faults(stable)
    assert (drifted["verdict"], drifted["n"]) == ("drifted", N)
    assert {"Age", "Fare"} <= {one["name"] for one in drifted["columns"] if one["verdict"] == "drifted"}
    # Other tests ask for the same row again and again: what they raised may be open still, or settled.
    assert [one["state"] for one in alerts(path)].count("open") == 1
    assert sum(one["n_findings"] for one in alerts(path)) == n_findings + 1


def is_served(stack: RunningStack, path: FirstPath) -> bool:
    """Whether serving has the champion of the path, once those of other tests are gone."""
    headers = {"Authorization": f"Bearer {path.predictor.token}"}
    answer = httpx.get(f"{stack.serving_url}/v2/models/titanic", headers=headers, timeout=30)
    return answer.is_success and answer.json()["versions"] == [path.version["version"]]


def predict(stack: RunningStack, by: Caller, table: pd.DataFrame) -> list[str]:
    """Ids of the rows, asked for in one call."""
    answer = httpx.post(
        f"{stack.serving_url}/api/v1/models/titanic/predict",
        content=json.dumps({"rows": json.loads(table.to_json(orient="records"))}),
        headers={"Authorization": f"Bearer {by.token}", "Content-Type": "application/json"},
        timeout=30,
    )
    return [given["id"] for given in ok(answer)["predictions"]]


def wait_until_recorded(path: FirstPath, ids: list[str]) -> None:
    """All of them, so that none lies behind those that are asked for next."""
    query = {"all": "true", "limit": 200, "model": "titanic"}

    def recorded() -> bool:
        found, url = set(), "/predictions"
        page: dict[str, Any] = ok(path.scientist.get(url, params=query))
        while page["results"] and not set(ids) <= found:
            found |= {row["id"] for row in page["results"]}
            if not page["next"]:
                break
            page = ok(path.scientist.get(page["next"].partition("/api/v1")[2]))
        return set(ids) <= found

    wait_for("records", recorded, timeout_s=60)


def new_ones(path: FirstPath, before: set[int]) -> list[dict[str, Any]]:
    return [one for one in windows(path) if one["id"] not in before]


def windows(path: FirstPath) -> list[dict[str, Any]]:
    """A page of them, newest first."""
    found: list[dict[str, Any]] = ok(path.scientist.get("/models/titanic/drift"))["results"]
    return found


def alerts(path: FirstPath) -> list[dict[str, Any]]:
    """Of drift of this model, in whatever state."""
    found: list[dict[str, Any]] = ok(path.engineer.get("/alerts"))["results"]
    return [one for one in found if (one["rule"], one["subject"]) == ("drift", "titanic")]


def faults(window: dict[str, Any]) -> list[Any]:
    return [(one["name"], one["checks"]) for one in window["columns"] if one["verdict"] == "drifted"]
