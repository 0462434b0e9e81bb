"""What began a run that an asset started, and which changes start a pipeline."""

from datetime import UTC, datetime, timedelta

import pytest

from pipelines import asset_events, conditions, dag_answers
from pipelines.models import Asset, AssetEvent
from tests.pipeline_rows import make_pipeline, make_run

pytestmark = pytest.mark.django_db
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event(number, asset_id, *, triggering, minutes):
    return AssetEvent.objects.create(
        airflow_id=number,
        asset_airflow_id=asset_id,
        at=AT + timedelta(minutes=minutes),
        dag_id="maker",
        dag_run_id="m1",
        task_id="make",
        began=[
            {"dag_id": "other", "dag_run_id": "t1", "triggering": True},
            {"dag_id": "taker", "dag_run_id": "t1", "triggering": triggering},
        ],
    )


@pytest.fixture
def taken():
    """A run that two assets started, one of which is gone since."""
    Asset.objects.create(airflow_id=5, name="raw_orders", uri="s3://raw")
    event(1, 6, triggering=False, minutes=0)
    event(2, 5, triggering=True, minutes=1)
    return make_run("taker", dag_run_id="t1", run_type="asset_triggered")


def test_a_run_shows_what_began_it_with_the_run_that_made_that(page, taken):
    maker = make_run("maker", dag_run_id="m1")
    text = page.get(f"/runs/{taken.pk}").text
    assert "Begun by" in text
    assert f'href="/assets/{Asset.objects.get().pk}"' in text
    assert text.count(f'href="/runs/{maker.pk}"') == 2
    assert text.count("an asset that is gone") == text.count("taken along") == 1
    found = page.get(f"/api/v1/runs/{taken.pk}/asset-events").json()["results"]
    assert [(one["asset"], one["triggering"], one["event"]["run_id"]) for one in found] == [
        ("raw_orders", True, maker.pk),
        (None, False, maker.pk),
    ]


def test_what_began_other_runs_is_not_shown(page, taken):
    same_id = make_run("third", dag_run_id="t1", run_type="asset_triggered")
    by_hand = make_run("taker", dag_run_id="t2", run_type="manual")
    for run in (same_id, by_hand):
        assert page.get(f"/api/v1/runs/{run.pk}/asset-events").json()["results"] == []
        assert "Begun by" not in page.get(f"/runs/{run.pk}").text
    assert len(asset_events.of_run(taken)) == 2


def asset(name):
    return {"asset": {"uri": f"s3://{name}", "name": name, "group": "asset"}}


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        (None, ""),
        (asset("raw"), "raw"),
        ({"all": [asset("a"), asset("b")]}, "a and b"),
        ({"any": [asset("a"), {"all": [asset("b"), asset("c")]}]}, "a or (b and c)"),
        ({"any": [{"all": [asset("a")]}, {"alias": {"name": "n", "group": ""}}]}, "a or n"),
        ({"all": [{"asset_ref": {"name": "later"}}, {"odd": 1}]}, "later"),
        (["odd"], ""),
    ],
)
def test_a_condition_is_said_in_words(expression, words):
    assert conditions.in_words(expression) == words


def test_the_facts_of_a_pipeline_and_rest_have_its_condition(page):
    expression = {"all": [asset("a"), asset("b")]}
    make_pipeline("taker", asset_expression=expression)
    text = page.get("/pipelines/taker/details").text
    assert "Starts when these changed" in text
    assert "a and b" in text
    assert page.get("/api/v1/pipelines/taker").json()["asset_expression"] == expression
    assert dag_answers.dag_details({"asset_expression": expression}).asset_expression == expression
