"""Each service stopped in turn: every page answers with what it has or with clear words, never a bare 500."""

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.running_stack import RunningStack
from tests.second_path import SecondPath

PASSWORD = "a-lantern-in-each-window"
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
    one_time = stack.manage("create_user", "away-admin", "--role", "admin").strip().splitlines()[-1]
    with httpx.Client(base_url=stack.url, timeout=30, follow_redirects=True) as client:
        page = post_form(client, "/sign-in", {"username": "away-admin", "password": one_time})
        fields = {"old_password": one_time, "new_password1": PASSWORD, "new_password2": PASSWORD}
        assert "Choose your password" in page.text
        assert post_form(client, "/account/password", fields).status_code == 200
        yield client


def post_form(client: httpx.Client, address: str, fields: dict[str, str]) -> httpx.Response:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', client.get(address).text)
    assert found, f"no form at {address}"
    return client.post(
        address, data={**fields, "csrfmiddlewaretoken": found[1]}, headers={"Referer": address}
    )


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
