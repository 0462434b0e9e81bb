"""A drifted window with its alert, and a Spark job that ended: what the pages about them show."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.api import ok, wait_for
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

    @property
    def addresses(self) -> list[str]:
        """Of the pages and fragments that show these rows alone."""
        window, job = f"/monitoring/drift/titanic/{self.window['id']}", f"/jobs/{self.job['id']}"
        alert = f"/monitoring/alerts/{self.alert['id']}"
        return [window, f"{window}/evidence", alert, job, f"{job}/log", f"{job}/log/text"]


def walk(stack: RunningStack, path: FirstPath) -> SecondPath:
    """What earlier tests have left is taken as it is."""
    job_id = next((job["id"] for job in _jobs(path, "succeeded")), None) or _submit(stack, path)
    if not _drifted(path):
        _predict_shifted(stack, path)
    window = wait_for("a drifted window", lambda: _drifted(path), timeout_s=90)
    alert = wait_for("its alert", lambda: _alert(path), timeout_s=30)
    job = wait_for("the job", lambda: _ended(path, job_id), timeout_s=180)
    return SecondPath(**vars(path), window=window, alert=alert, job=job)


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
