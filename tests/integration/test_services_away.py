"""Each service stopped in turn: every page answers with what it has or with clear words, never a bare 500."""

from collections.abc import Iterator

import httpx
import pytest

from tests.api import signed_in
from tests.pages import FRAGMENTS, PAGES
from tests.running_stack import RunningStack
from tests.second_path import SecondPath

# A page may need PostgreSQL, and then says so; it needs nothing else.
STATUSES = {"postgres": {200, 503}}
# What one service alone knows, or does: a box, or the page of an act, which says so.
ONLY_IT = {
    "kafka": {
        "/consumer-groups/delete?group={group}",
        "/consumer-groups/offsets?group={group}",
        "/topics/-/groups",
        "/topics/predictions/messages",
        "/topics/predictions/settings",
        "/topics/taxi_trips/purge",
    },
    "mlflow": {"/mlflow-runs/{mlflow_run}/artifacts", "/mlflow-runs/{mlflow_run}/pictures"},
    "redis": {"/usecases/titanic/features"},
}


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
    differences = []
    with stack.without(part):
        for page in (*PAGES, *FRAGMENTS):
            answer = visitor.get(second_path.address(page))
            expected = {503} if page in ONLY_IT.get(part, ()) else STATUSES.get(part, {200})
            if answer.status_code not in expected:
                differences.append(f"{page}: {answer.status_code}")
            if "<!DOCTYPE html>" in answer.text and "<h1" not in answer.text:
                differences.append(f"{page}: an empty page")
    assert differences == []
