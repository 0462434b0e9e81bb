"""Train, gate, approve, predict by REST on real servers; what is recorded afterwards, and where."""

import json
import os

import httpx

from tests.api import Caller, ok, wait_for
from tests.first_path import PASSENGER, FirstPath
from tests.running_stack import RunningStack


def test_run_is_mirrored_with_its_tasks_and_their_logs(path: FirstPath):
    assert path.run["requested_by"] == path.scientist.name
    names = ["load", "validate", "split", "features", "search", "evaluate", "explain", "register", "gate"]

    def states() -> dict[str, str]:
        tasks = ok(path.scientist.get(f"/runs/{path.run['id']}/tasks"))["results"]
        return {task["task_id"]: task["state"] for task in tasks}

    wait_for("its tasks", lambda: states() == dict.fromkeys(names, "success"), timeout_s=30)

    def whole_log():
        log = ok(path.scientist.get(f"/runs/{path.run['id']}/tasks/load/log"))
        return log["lines"] if log["has_end"] else None

    lines = wait_for("log", whole_log, timeout_s=30)
    assert any("sha256" in line["message"] for line in lines)


def test_airflows_own_log_names_the_person(path: FirstPath, stack: RunningStack):
    query = "SELECT run_id || ' ' || triggering_user_name FROM dag_run"
    answer = stack.command("psql", "--database", "airflow", "--", "--tuples-only", "--command", query)
    assert f"{path.run['dag_run_id']} {path.scientist.name}" in answer.stdout, answer.stderr


def test_version_carries_its_evidence(path: FirstPath):
    version = path.version
    assert version["gate"]["state"] == "passed", version["gate"]
    assert {"baseline", "parity", "hash", "latency"} <= {check["name"] for check in version["gate"]["checks"]}
    assert version["missing_artefacts"] == []
    run = ok(path.scientist.get(f"/mlflow-runs/{version['run_id']}"))
    assert run["tags"]["dag_run_id"] == path.run["dag_run_id"]


def test_real_data_were_used_when_they_are_there(path: FirstPath):
    run = ok(path.scientist.get(f"/mlflow-runs/{path.version['run_id']}"))
    has_file = os.path.isfile(os.path.join(os.environ.get("CONSOLE_DATA_DIR", ""), "titanic_train.csv"))
    tags = run["tags"]  # a stack that is kept may have features already, which say what they were made of
    assert tags.get("features_from", tags["data_source"]) == ("file" if has_file else "synthetic")


def test_alias_in_mlflow_follows_the_ledger(path: FirstPath, stack: RunningStack):
    alias = {"name": "titanic", "alias": "champion"}

    def follows() -> bool:
        answer = client.get("/api/2.0/mlflow/registered-models/alias", params=alias)
        champion = ok(path.scientist.get("/models/titanic"))["champion"]
        return answer.json()["model_version"]["version"] == champion

    with stack.mlflow_client() as client:
        wait_for("the alias", follows, timeout_s=60)


def test_answer_of_web_and_of_serving_is_recorded_once(path: FirstPath, stack: RunningStack):
    for base in (stack.url, stack.serving_url):
        answer = wait_for(
            "champion in memory", lambda base=base: answered(base, path.predictor), timeout_s=30
        )
        (prediction,) = answer["predictions"]
        assert set(prediction["probabilities"]) == {"0", "1"}

        def recorded(id_=prediction["id"]):
            found = path.predictor.get(f"/predictions/{id_}")
            return found.json() if found.status_code == 200 else None

        row = wait_for("record", recorded, timeout_s=30)
        assert row["version"] == answer["version"]
        assert row["inputs"]["Sex"] == "male"


def test_a_row_is_answered_alike_by_each_protocol(path: FirstPath, stack: RunningStack):
    by = path.predictor
    for base in (stack.url, stack.serving_url):
        with httpx.Client(
            base_url=base, headers={"Authorization": f"Bearer {by.token}"}, timeout=10
        ) as client:
            fields = ok(client.get("/v2/models/titanic"))["inputs"]
            tensors = [
                {
                    "name": field["name"],
                    "shape": [1, 1],
                    "datatype": field["datatype"],
                    "data": [PASSENGER[field["name"]]],
                }
                for field in fields
                if field["name"] in PASSENGER
            ]
            calls = {
                "/api/v1/models/titanic/predict": {"rows": [PASSENGER]},
                "/api/v1/models/titanic/invocations": {"dataframe_records": [PASSENGER]},
                "/v2/models/titanic/infer": {"inputs": tensors},
            }
            answers = [client.post(address, json=body) for address, body in calls.items()]
        predict, invoked, inferred = map(ok, answers)
        value = predict["predictions"][0]["value"]
        assert invoked == {"predictions": [value]}
        assert inferred["outputs"][0]["data"] == [value]
        asked = {answer.headers["x-request-id"] for answer in answers}
        assert len(asked) == 3
        wait_for("three records", lambda asked=asked: asked <= request_ids(by, "male"), timeout_s=30)


def request_ids(by: Caller, sex: str) -> set[str]:
    """Of the caller's newest predictions, those for somebody of this sex."""
    found = ok(by.get("/predictions", params={"limit": 50}))["results"]
    return {row["request_id"] for row in found if row["inputs"]["Sex"] == sex}


def answered(base: str, by: Caller):
    answer = httpx.post(
        f"{base}/api/v1/models/titanic/predict",
        content=json.dumps({"rows": [PASSENGER]}),
        headers={"Authorization": f"Bearer {by.token}", "Content-Type": "application/json"},
        timeout=10,
    )
    return answer.json() if answer.status_code == 200 else None


def test_audit_names_everybody_who_took_part(path: FirstPath, stack: RunningStack):
    auditor = Caller(stack, "path-auditor", "admin")
    for action, caller in (("run.trigger", path.scientist), ("promotion.approve", path.approver)):
        named = {"action": action, "actor": caller.name}
        assert ok(auditor.get("/audit", params=named))["results"], action
