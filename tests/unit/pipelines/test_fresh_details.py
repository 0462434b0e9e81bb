"""A changed pipeline is read at once: by its version, and when somebody is about to run it."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from core.lib.errors import Unauthorized, Unavailable
from core.lib.models import SetAside, SyncState
from pipelines import details, queries, sync
from pipelines.models import Pipeline, PipelineSource, Run

pytestmark = pytest.mark.django_db
DAG = "etl"
FORM = f"/pipelines/{DAG}/trigger"


def one_of(*choices):
    return [{"name": "size", "value": choices[0], "schema": {"enum": list(choices)}, "description": ""}]


@pytest.fixture
def dags(airflow):
    """One DAG among thirty, all of them read some time ago; the details read since count from here."""
    for number in range(29):
        airflow.add_dag(f"dag{number:02}")
    airflow.add_dag(DAG, one_of("small", "large"))
    for _round in range(2):
        sync.sync_pipelines()
    grow_old()
    Pipeline.objects.filter(pk=DAG).update(details_at=timezone.now() - timedelta(seconds=6))
    airflow.calls.clear()
    return airflow


def grow_old():
    Pipeline.objects.update(details_at=timezone.now() - timedelta(hours=1))


def ran(airflow, dag_id=DAG):
    airflow.as_user("ana", "user").trigger_run(dag_id, dag_run_id="manual__1", conf={})


def choices():
    return Pipeline.objects.get(pk=DAG).params["size"]["schema"]["enum"]


def test_a_new_version_is_read_in_the_next_round(dags):
    ran(dags)
    dags.change_dag(DAG, one_of("small", "large", "huge"))
    sync.sync_pipelines()
    assert choices() == ["small", "large", "huge"]
    assert dags.calls.count("newest_versions") == 1
    dags.calls.clear()
    sync.sync_pipelines()
    assert dags.calls.count("dag_details") == sync.DETAILS_IN_TURN


def test_new_versions_of_a_round_are_bounded_and_none_is_left_out(dags, monkeypatch):
    monkeypatch.setattr(sync, "DETAILS_AT_ONCE", 3)
    for number in range(5):
        ran(dags, f"dag{number:02}")
        dags.change_dag(f"dag{number:02}", [])
    sync.sync_pipelines()
    assert dags.calls.count("dag_details") == 3 + sync.DETAILS_IN_TURN - 2  # two of the three had their turn
    sync.sync_pipelines()
    assert Pipeline.objects.filter(version=2).count() == 5


def test_where_versions_cannot_be_told_pipelines_are_read_in_turn(dags, monkeypatch):
    def refuse():
        raise Unavailable("made up")

    monkeypatch.setattr(dags, "newest_versions", refuse)
    sync.sync_pipelines()
    assert dags.calls.count("dag_details") == sync.DETAILS_IN_TURN


def test_one_that_cannot_be_read_keeps_no_other_from_it(dags, monkeypatch):
    for dag_id in ("dag28", DAG):
        ran(dags, dag_id)
        dags.change_dag(dag_id, one_of("new"))
    read = dags.dag_tasks
    monkeypatch.setattr(dags, "dag_tasks", lambda dag_id: None if dag_id == "dag28" else read(dag_id))
    sync.sync_pipelines()
    assert choices() == ["new"]
    assert SetAside.objects.get().about == "dag28"


def test_the_form_shows_a_value_that_came_before_it_was_opened(dags, page):
    dags.change_dag(DAG, one_of("small", "huge"))  # in place: nothing ran this version
    assert "huge" in page.get(FORM).content.decode()
    assert PipelineSource.objects.get(dag_id=DAG).text.endswith("change 1")


def test_the_form_takes_a_value_that_came_after_it_was_drawn(dags, page):
    dags.change_dag(DAG, one_of("small", "huge"))
    answer = page.post(FORM, {"conf-size": '"huge"', "base": "{}"})
    assert answer.status_code == 302, answer.content.decode()
    assert Run.objects.get().conf["size"] == "huge"


def test_rest_takes_a_value_that_the_row_does_not_know_yet(dags, page):
    dags.change_dag(DAG, one_of("small", "huge"))
    path = f"/api/v1/pipelines/{DAG}/runs"
    assert page.post(path, {"conf": {"size": "huge"}}, content_type="application/json").status_code == 202
    refused = page.post(path, {"conf": {"size": "none"}}, content_type="application/json")
    assert refused.status_code == 422
    assert dags.calls.count("dag_details") == 1


def test_many_readers_cost_airflow_one_look(dags, page):
    for _reader in range(20):
        page.get(FORM)
    assert dags.calls.count("dag_details") == 1


def test_two_readers_of_the_same_moment_cost_one_look(dags):
    first, second = queries.pipeline(DAG), queries.pipeline(DAG)
    details.freshen(first)
    details.freshen(second)
    assert dags.calls.count("dag_details") == 1


def test_the_form_opens_while_airflow_is_away(dags, page):
    dags.is_away = True
    assert page.get(FORM).status_code == 200
    assert dags.calls == ["dag_details"]
    SyncState.failed("pipelines.sync.sync_pipelines", "airflow", "Airflow is not answering.")
    grow_old()
    assert page.get(FORM).status_code == 200
    assert dags.calls == ["dag_details"]


def test_a_slow_answer_to_a_reader_is_no_fault_of_the_pipeline(dags, page, monkeypatch):
    def late(_dag_id):
        raise Unavailable("Airflow is not answering.")

    monkeypatch.setattr(dags, "dag_tasks", late)
    assert page.get(FORM).status_code == 200
    assert not SetAside.objects.exists()


def test_the_form_opens_while_airflow_lets_nobody_in(dags, page, monkeypatch):
    def refused():
        raise Unauthorized("The password is wrong.")

    monkeypatch.setattr("pipelines.gateway.connect", refused)
    assert page.get(FORM).status_code == 200


def test_new_parameters_show_though_the_code_cannot_be_had(dags, page, monkeypatch):
    def late(_dag_id, _version):
        raise Unavailable("Airflow is not answering.")

    dags.change_dag(DAG, one_of("small", "huge"))
    monkeypatch.setattr(dags, "dag_source", late)
    assert "huge" in page.get(FORM).content.decode()


def in_turn(dags):
    """The watcher has come to it again, with nothing known to have changed."""
    details.sync(dags, Pipeline.objects.get(pk=DAG))


def test_a_task_that_moved_to_another_group_is_seen_without_a_new_version(dags):
    dags.groups = {"load": ["sources"]}
    in_turn(dags)
    assert Pipeline.objects.get(pk=DAG).tasks[0]["groups"] == ["sources"]


def test_what_was_told_of_a_graph_holds_while_airflow_hides_it(dags):
    dags.groups = {"load": ["sources"]}
    in_turn(dags)
    dags.groups, dags.hides_structure = {}, True
    in_turn(dags)
    assert Pipeline.objects.get(pk=DAG).tasks[0]["groups"] == ["sources"]
    assert "dag_groups" not in dags.calls


def test_a_task_of_a_mapped_group_is_mapped_though_the_list_of_tasks_denies_it(dags, page, monkeypatch):
    [load] = dags.dag_tasks(DAG)
    drawn = replace(load, groups=["each"], role="", is_mapped=True)
    monkeypatch.setattr(dags, "drawn_tasks", lambda _dag_id, _version=None: [drawn])
    in_turn(dags)
    assert Pipeline.objects.get(pk=DAG).tasks[0]["is_mapped"]
    Pipeline.objects.filter(pk=DAG).update(details_at=timezone.now() - timedelta(seconds=6))
    page.get(FORM)  # reads it anew, without the graph
    assert dags.calls.count("dag_details") >= 2
    assert Pipeline.objects.get(pk=DAG).tasks[0]["is_mapped"]
