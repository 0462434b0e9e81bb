"""The lists of pages that tests on real servers go through name every route that answers a GET."""

import re

import pytest
from django.urls import resolve

from core.lib.ids import uuid7
from tests import pages, populated
from tests.unit.console.test_odd_values import ROUTES, Caller, path_of

# Of what a stack has nothing after both paths, or what is no page to look at.
ELSEWHERE = {
    "access:sign-in": "signed in, it leads on",
    "audit:for-object": "is for every object",
    "console:api-schema": "a document; `api/docs` shows it",
    "console:livez": "for machines",
    "models:run-artifact": "a file",
    "models:run-metric": "asks for the name of a metric",
    "models:run-preview": "asks for the path of a file",
    "pipelines:airflow": "leads to Airflow",
    "pipelines:backfill-detail": "no schedule, no backfill: `test_examples.py`",
    "pipelines:input-detail": "no task asks: `test_examples.py`",
    "pipelines:pipeline-in-airflow": "leads to Airflow",
    "pipelines:run-by-dag-run": "leads to a run",
    "pipelines:run-in-airflow": "leads to Airflow",
    "pipelines:run-mark-preview": "asks for a state",
    "predict:why-recorded": "asks for a version that is served",
    "usecases:batch-detail": "batches are made by the journeys",
}


@pytest.fixture
def world(db, monkeypatch, settings, tmp_path):
    return populated.rows(populated.fakes(monkeypatch, settings, tmp_path))


@pytest.mark.django_db(databases=["default", "usecases"])
def test_each_is_in_a_list_or_has_a_reason(world):
    caller = Caller(world)
    answered = {
        name
        for name, arguments, method in ROUTES
        if method == "GET" and not name.startswith(("api:", "v2:"))
        if caller.call("GET", path_of(world, name, arguments)).status_code != 405
    }
    known = {route_of(page) for page in (*pages.PAGES, *pages.FRAGMENTS)} | ELSEWHERE.keys()
    assert (answered - known, known - answered) == (set(), set())


def route_of(page: str) -> str:
    numbers = dict.fromkeys(re.findall(r"{(\w+)}", page), "1")
    uuids = dict.fromkeys(("job", "file", "prediction"), str(uuid7()))
    return resolve(page.format(**numbers | uuids).partition("?")[0]).view_name
