"""What is cleared daily of pipelines, and what stays."""

import pytest

from pipelines import queries, tasks
from pipelines.models import PipelineSource
from tests.pipeline_rows import make_pipeline, make_run

pytestmark = pytest.mark.django_db


def versions(dag_id="etl"):
    return sorted(PipelineSource.objects.filter(dag_id=dag_id).values_list("version", flat=True))


@pytest.fixture
def sources(settings):
    """Ten versions of one pipeline, two of another."""
    settings.CONSOLE_SOURCES_KEEP = 3
    for version in range(1, 11):
        PipelineSource.objects.create(dag_id="etl", version=version, text=f"# {version}")
    for version in (1, 2):
        PipelineSource.objects.create(dag_id="other", version=version)


def test_the_newest_versions_of_each_pipeline_stay(sources):
    tasks.clear_old()
    assert versions() == [8, 9, 10]
    assert versions("other") == [1, 2]


def test_what_the_last_runs_ran_stays_and_is_not_read_again(sources, monkeypatch):
    monkeypatch.setattr(queries, "GRID", 2)
    for ran in ([2], [5, 6], [9]):
        make_run("etl", versions=ran)
    tasks.clear_old()
    assert versions() == [5, 6, 8, 9, 10]
    assert queries.versions_without_source("etl", 10) == []


def test_none_for_ever_keeps_all(sources, settings):
    settings.CONSOLE_SOURCES_KEEP = 0
    tasks.clear_old()
    assert len(versions()) == 10


def test_a_version_that_went_is_said_to_be_unknown(sources, page):
    make_pipeline("etl", version=10)
    tasks.clear_old()
    answer = page.get("/pipelines/etl/code?version=4")
    assert (answer.context["missing"], answer.context["source"].version) == (4, 10)
