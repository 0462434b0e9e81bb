"""The Spark job of the demonstration again, on the standalone master and worker of the profile `spark`."""

import json
import time

import httpx

from tests.containers import project
from tests.containers.across import ADDRESS, TLS, new_user
from tests.containers.project import say

CONF = {"spark.driver.host": "watch", "spark.driver.bindAddress": "0.0.0.0", "spark.cores.max": "1"}
TARGETS = json.dumps(
    {"cluster": {"master": "spark://spark-master:7077", "at_once": 2, "conf": CONF}}
)  # as deploy/compose.env.example has it
APP = "clean_trips"
PATIENCE_S = 240.0


def check() -> None:
    """What it says must be what the local driver said."""
    headers = {"Authorization": f"Bearer {new_user('cluster')['token']}"}
    with httpx.Client(base_url=f"{ADDRESS}/api/v1", verify=TLS, headers=headers, timeout=30) as caller:
        (before, *_) = caller.get("/jobs", params={"app": APP, "state": "succeeded"}).json()["results"]
        body = {"app": APP, "params": before["params"], "target": "cluster"}
        asked = caller.post("/jobs", json=body)
        assert asked.status_code in (201, 202), asked.text
        job = _ended(caller, asked.json()["id"])
        assert job["state"] == "succeeded", job["error"]
        wanted, result = (caller.get(f"/jobs/{one['id']}").json()["result"] for one in (before, job))
        counts = ("rows_in", "rows_kept", "dropped")
        assert [result[name] for name in counts] == [wanted[name] for name in counts], result
    executors = project.log(project.container("spark-worker")).count("Asked to launch executor")
    assert executors, "the worker was asked for nothing"
    say(
        f"Spark's cluster: {result['rows_kept']:,} of {result['rows_in']:,} rows kept, as by the local driver"
    )


def _ended(caller: httpx.Client, job_id: str) -> dict:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        job = caller.get(f"/jobs/{job_id}").json()
        if job["state"] in ("succeeded", "failed", "cancelled", "lost"):
            return job
        assert time.monotonic() < deadline, f"job {job_id} is {job['state']} after {PATIENCE_S:.0f} s"
        time.sleep(2)
