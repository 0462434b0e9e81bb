"""Each page, wide and on a phone, light and dark: neither axe-core nor the browser finds a fault."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.looking import look
from tests.browser.visitors import People
from tests.second_path import SecondPath

Address = Callable[[SecondPath], str]
PAGES: dict[str, Address] = {
    "overview": lambda _path: "/",
    "search": lambda _path: "/search?q=titanic",
    "pipelines": lambda _path: "/pipelines",
    "pipeline": lambda _path: "/pipelines/titanic_training",
    "pipeline-graph": lambda _path: "/pipelines/titanic_training/graph",
    "pipeline-runs": lambda _path: "/pipelines/titanic_training/runs",
    "pipeline-details": lambda _path: "/pipelines/titanic_training/details",
    "trigger": lambda _path: "/pipelines/titanic_training/trigger",
    "runs": lambda _path: "/runs",
    "run": lambda path: f"/runs/{path.run['id']}",
    "task-log": lambda path: f"/runs/{path.run['id']}/tasks/search/log",
    "models": lambda _path: "/models",
    "model": lambda _path: "/models/titanic",
    "evidence": lambda path: f"/models/titanic/versions/{path.version['version']}",
    "version-metrics": lambda path: f"/models/titanic/versions/{path.version['version']}/metrics",
    "version-artifacts": lambda path: f"/models/titanic/versions/{path.version['version']}/artifacts",
    "version-spec": lambda path: f"/models/titanic/versions/{path.version['version']}/spec",
    "version-history": lambda path: f"/models/titanic/versions/{path.version['version']}/history",
    "promotions": lambda _path: "/promotions",
    "experiments": lambda _path: "/experiments",
    "mlflow-run": lambda path: f"/mlflow-runs/{path.version['run_id']}",
    "predict": lambda _path: "/predict",
    "predict-form": lambda _path: "/predict/titanic",
    "my-predictions": lambda _path: "/predict/titanic/mine",
    "all-predictions": lambda _path: "/predictions",
    "drift": lambda _path: "/monitoring/drift",
    "drift-model": lambda _path: "/monitoring/drift/titanic",
    "drift-window": lambda path: f"/monitoring/drift/titanic/{path.window['id']}",
    "drift-rules": lambda _path: "/monitoring/drift/titanic/rules",
    "streams": lambda _path: "/streams",
    "stream": lambda _path: "/streams/predictions",
    "stream-windows": lambda _path: "/streams/predictions/windows",
    "dead-letters": lambda _path: "/streams/taxi_trips/dead-letters",
    "stream-definition": lambda _path: "/streams/taxi_trips/definition",
    "stream-new": lambda _path: "/streams/-/new",
    "topics": lambda _path: "/topics",
    "topic": lambda _path: "/topics/predictions",
    "replays": lambda _path: "/replays",
    "alerts": lambda _path: "/monitoring/alerts",
    "alert": lambda path: f"/monitoring/alerts/{path.alert['id']}",
    "jobs": lambda _path: "/jobs",
    "job-applications": lambda _path: "/jobs/new",
    "job-schedules": lambda _path: "/jobs/schedules",
    "job-new": lambda _path: "/jobs/new/clean_trips",
    "job-ended": lambda path: f"/jobs/{path.job['id']}",
    "job-log": lambda path: f"/jobs/{path.job['id']}/log",
    "account": lambda _path: "/account",
    "tokens": lambda _path: "/account/tokens",
    "password": lambda _path: "/account/password",
    "system": lambda _path: "/system",
    "services": lambda _path: "/system/services",
    "roles": lambda _path: "/system/roles",
    "users": lambda _path: "/system/users",
    "user-new": lambda _path: "/system/users/new",
    "all-tokens": lambda _path: "/system/tokens",
    "audit": lambda _path: "/system/audit",
    "api-docs": lambda _path: "/api/docs",
}


@pytest.mark.parametrize("name", PAGES)
def test_page_is_accessible_wide_and_narrow_light_and_dark(
    people: People, second_path: SecondPath, name: str
):
    page = people.visitor("all-seeing", "admin", "scientist", "engineer").page()
    answer = page.goto(PAGES[name](second_path))
    assert answer is not None
    assert answer.status == 200
    look(page, name)
    page.context.close()


def test_unknown_address_shows_the_way_on(people: People):
    visitor = people.visitor("all-seeing", "admin", "scientist", "engineer")
    visitor.complaints.expected_statuses.add(404)
    page = visitor.page()
    page.goto("/no-such-page")
    expect(page.get_by_role("heading", name=re.compile("not found", re.IGNORECASE))).to_be_visible()
    expect(page.get_by_role("link", name="Overview").first).to_be_visible()
