"""Each service stopped in turn: every page answers with what it has or with clear words, never a bare 500."""

from collections.abc import Iterator

import httpx
import pytest

from tests.api import signed_in
from tests.running_stack import RunningStack
from tests.second_path import SecondPath

PAGES = (
    "/",
    "/overview/health",
    "/health-dot",
    "/search?q=titanic",
    "/pipelines",
    "/pipelines/titanic_training",
    "/pipelines/titanic_training/graph",
    "/pipelines/titanic_training/runs",
    "/pipelines/titanic_training/details",
    "/pipelines/titanic_training/trigger",
    "/runs",
    "/runs/{run}",
    "/runs/{run}/tasks/search/log",
    "/models",
    "/models/titanic",
    "/models/titanic/versions/{version}",
    "/models/titanic/versions/{version}/metrics",
    "/models/titanic/versions/{version}/artifacts",
    "/models/titanic/versions/{version}/spec",
    "/models/titanic/versions/{version}/history",
    "/promotions",
    "/experiments",
    "/predict",
    "/predict/titanic",
    "/predict/titanic/mine",
    "/predictions",
    "/monitoring/drift",
    "/monitoring/drift/titanic",
    "/monitoring/drift/titanic/rules",
    "/streams",
    "/streams/taxi_trips",
    "/streams/taxi_trips/windows",
    "/streams/taxi_trips/dead-letters",
    "/topics",
    "/topics/predictions",
    "/topics/-/groups",
    "/replays",
    "/jobs",
    "/jobs/new",
    "/jobs/new/clean_trips",
    "/monitoring/alerts",
    "/monitoring/alerts/-/bell",
    "/account",
    "/account/tokens",
    "/system",
    "/system/users",
    "/system/tokens",
    "/system/audit",
    "/api/docs",
)
# A page may need PostgreSQL, and then says so; it needs nothing else.
STATUSES = {"postgres": {200, 503}}
# The inside of a box that only one service can fill: without it the box says so.
BOXES = {("kafka", "/topics/-/groups"): {503}}


@pytest.fixture(scope="module")
def visitor(stack: RunningStack) -> Iterator[httpx.Client]:
    """A signed-in browser without scripts, of somebody who may see everything."""
    with signed_in(stack, "away-admin", "admin") as client:
        client.follow_redirects = True
        yield client


@pytest.mark.parametrize(
    "part",
    ["airflow-api", "mlflow", "kafka", "redis", "watch", "worker", "recorder", "aggregator", "postgres"],
)
def test_every_page_answers_without(
    stack: RunningStack, second_path: SecondPath, visitor: httpx.Client, part: str
):
    names = {"run": second_path.run["id"], "version": second_path.version["version"]}
    with stack.without(part):
        for address in [*(page.format(**names) for page in PAGES), *second_path.addresses]:
            answer = visitor.get(address)
            expected = BOXES.get((part, address)) or STATUSES.get(part, {200})
            assert answer.status_code in expected, f"{address}: {answer.status_code}"
            assert "<h1" in answer.text or "<!DOCTYPE html>" not in answer.text, f"{address}: an empty page"
