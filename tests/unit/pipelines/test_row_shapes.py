"""Rows over REST: written quickly just as their fields would, and read without what none of them shows."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.serializers import ModelSerializer

from pipelines import listing, run_serializers, serializers, task_serializers
from pipelines.models import ImportFault, Pipeline, Run, RunState, Wish
from tests.pipeline_rows import STARTED, make_pipeline, make_question, make_run, make_task

pytestmark = pytest.mark.django_db
DAG = "titanic_training"


def asked_now(person):
    """As the click's half has it: never read from the database."""
    return Run(
        dag_id=DAG,
        dag_run_id="console__1",
        state=RunState.REQUESTED,
        wish=Wish.START,
        conf={"n": 1, "none": None, "deep": {"a": [1.5]}},
        requested_by=person,
        run_after=STARTED + timedelta(microseconds=1),
    )


def listed(**values):
    """As the list reads it."""
    return listing.with_last_run(Pipeline.objects.all()).get(pk=make_pipeline(**values).pk)


ROWS = {
    "a pipeline": (
        serializers.PipelineSerializer,
        lambda _person: listed(tags=["x"], gone_at=STARTED),
    ),
    "all of a pipeline": (serializers.PipelineDetailSerializer, lambda _person: listed(version=3)),
    "a run": (
        run_serializers.RunSerializer,
        lambda person: make_run(requested_by=person, ended_at=STARTED + timedelta(seconds=1.25)),
    ),
    "a run of nobody here": (
        run_serializers.RunSerializer,
        lambda _person: make_run(conf={}, versions=[1, 2]),
    ),
    "a run that was just asked for": (run_serializers.RunSerializer, asked_now),
    "a task": (
        task_serializers.TaskInstanceSerializer,
        lambda _person: make_task(make_run(), map_index=2, duration_s=3, ended_at=STARTED),
    ),
    "a file": (serializers.ImportFaultSerializer, lambda _person: ImportFault(filename="a.py", at=STARTED)),
    "a question": (
        task_serializers.InputRequestSerializer,
        lambda person: make_question(make_run(), answered_by=person),
    ),
}


@pytest.mark.parametrize("zone", ["UTC", "Europe/Madrid"])
@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_what_its_fields_write(name, zone, scientist):
    shape, make = ROWS[name]
    row = make(scientist)
    with timezone.override(zone):
        quick = shape(row).data
        assert list(quick.items()) == list(ModelSerializer.to_representation(shape(row), row).items())
        assert {key: type(value) for key, value in quick.items()} == {
            key: type(value) for key, value in ModelSerializer.to_representation(shape(row), row).items()
        }


@pytest.mark.parametrize("url", ["/api/v1/runs", f"/api/v1/pipelines/{DAG}/runs", "/api/v1/pipelines"])
def test_a_list_reads_no_graph_and_no_password(page, scientist, url):
    make_pipeline()
    make_run(requested_by=scientist)
    with CaptureQueriesContext(connection) as asked:
        [row] = page.get(url).json()["results"]
    assert row["dag_id"] == DAG
    of_rows = [query["sql"] for query in asked if "pipelines_" in query["sql"]]
    assert [sql for sql in of_rows if '"tasks"' in sql or '"password"' in sql] == []


def test_runs_of_an_unknown_pipeline_are_not_found(page):
    make_run("gone_from_here")
    answer = page.get("/api/v1/pipelines/gone_from_here/runs")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "There is no pipeline “gone_from_here”."
