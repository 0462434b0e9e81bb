"""A drifted window with its alert, a Spark job that ended, and one of most else that has a page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.api import Caller, ok, wait_for
from tests.first_path import PASSENGER, FirstPath
from tests.running_stack import RunningStack
from tests.unit.jobs.spark_apps.made_trips import table, write

N = 500  # a window


@dataclass(frozen=True)
class SecondPath(FirstPath):
    """What came of it, after all that came of the first."""

    window: dict[str, Any]
    alert: dict[str, Any]
    job: dict[str, Any]
    others: dict[str, Any]

    def address(self, page: str) -> str:
        """Of one of `pages`, with the ids of this stack."""
        rows = {"run": self.run, "window": self.window, "alert": self.alert, "job": self.job}
        ids = {name: row["id"] for name, row in rows.items()} | self.others
        version, mlflow_run = self.version["version"], self.version["run_id"]
        dag_run = quote(self.run["dag_run_id"])
        return page.format(**ids, version=version, mlflow_run=mlflow_run, dag_run=dag_run)


def walk(stack: RunningStack, path: FirstPath) -> SecondPath:
    """What earlier tests have left is taken as it is."""
    job_id = next((job["id"] for job in _jobs(path, "succeeded")), None) or _submit(stack, path)
    if not _drifted(path):
        _predict_shifted(stack, path)
    window = wait_for("a drifted window", lambda: _drifted(path), timeout_s=90)
    alert = wait_for("its alert", lambda: _alert(path), timeout_s=30)
    job = wait_for("the job", lambda: _ended(path, job_id), timeout_s=180)
    return SecondPath(**vars(path), window=window, alert=alert, job=job, others=_others(stack, path))


def _others(stack: RunningStack, path: FirstPath) -> dict[str, Any]:
    """Ids of what no path came by: made for it, or the first that is there."""
    admin = Caller(stack, "path-admin", "admin")
    rule = ok(path.engineer.post("/alert-rules", {"kind": "failed", "pattern": "titanic_*"}), 201)
    channel = {"kind": "webhook", "name": "second path", "url": "https://host.example/", "is_active": False}
    group = "second-path"
    at = ConsumerGroupTopicPartitions(group, [TopicPartition("taxi_trips", 0, 0)])
    kafka = AdminClient(stack.kafka_config)  # answers as long as it is held
    kafka.alter_consumer_group_offsets([at])[group].result(timeout=30)
    rows = ",".join(PASSENGER) + "\n" + ",".join(map(str, PASSENGER.values()))
    answer = httpx.post(
        f"{stack.url}/api/v1/models/titanic/batches",
        files={"file": ("people.csv", rows)},
        headers={"Authorization": f"Bearer {path.predictor.token}"},
        timeout=30,
    )
    file = f"/models/titanic/batches/{ok(answer, 202)['id']}"
    wait_for("the file", lambda: ok(path.predictor.get(file))["ended_at"], timeout_s=60)

    def first(path: str) -> dict[str, Any]:
        found: dict[str, Any] = ok(admin.get(path))["results"][0]
        return found

    return {
        "asset": first("/assets")["id"],
        "rule": rule["id"],
        "channel": ok(admin.post("/channels", channel), 201)["id"],
        "group": group,
        "file": file.rpartition("/")[2],
        "experiment": ok(admin.get(f"/mlflow-runs/{path.version['run_id']}"))["experiment_id"],
        "prediction": first("/predictions?all=true")["id"],
        "user": first("/users")["id"],
        "entry": first("/audit")["id"],
    }


def _jobs(path: FirstPath, state: str) -> list[dict[str, Any]]:
    return [job for job in ok(path.engineer.get("/jobs"))["results"] if job["state"] == state]


def _submit(stack: RunningStack, path: FirstPath) -> str:
    trips = table({}, {"trip_distance": 0.0}, {"tip_amount": 14.0})
    source = write(Path(stack.env["CONSOLE_OUTPUT_DIR"]) / "second-path" / "month.parquet", trips)
    body = {"app": "clean_trips", "params": {"source": str(source)}}
    return str(ok(path.engineer.post("/jobs", body), 202)["id"])


def _ended(path: FirstPath, job_id: str) -> dict[str, Any] | None:
    job: dict[str, Any] = ok(path.engineer.get(f"/jobs/{job_id}"))
    assert job["state"] not in {"failed", "cancelled", "lost"}, job
    return job if job["state"] == "succeeded" else None


def _predict_shifted(stack: RunningStack, path: FirstPath) -> None:
    """Older people who paid more than those that the model has seen."""
    rows = [{**PASSENGER, "Age": 55 + n % 20, "Fare": 150 + n % 100, "Pclass": 1 + n % 2} for n in range(N)]
    body = {"rows": rows}
    headers = {"Authorization": f"Bearer {path.predictor.token}"}
    url = f"{stack.serving_url}/api/v1/models/titanic/predict"

    def are_answered() -> bool:
        return httpx.post(url, json=body, headers=headers, timeout=30).is_success

    wait_for("the champion to be served", are_answered, timeout_s=60)


def _drifted(path: FirstPath) -> dict[str, Any] | None:
    windows = ok(path.scientist.get("/models/titanic/drift"))["results"]
    return next((window for window in windows if window["verdict"] == "drifted"), None)


def _alert(path: FirstPath) -> dict[str, Any] | None:
    query = {"rule": "drift", "subject": "titanic"}
    return next(iter(ok(path.engineer.get("/alerts", params=query))["results"]), None)
