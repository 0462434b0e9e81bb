"""Running a paused pipeline and resuming it in one go."""

import pytest

from core.audit.models import AuditEntry
from pipelines import actions, tasks
from pipelines.models import Pipeline, Run
from tests.pipeline_rows import make_pipeline

pytestmark = pytest.mark.django_db
DAG = "nightly"
URL = f"/pipelines/{DAG}/trigger"
REST = f"/api/v1/pipelines/{DAG}/runs"


@pytest.fixture
def paused(airflow):
    airflow.add_dag(DAG)
    return make_pipeline(DAG, param_list=[], is_paused=True)


def actions_taken():
    return set(AuditEntry.objects.exclude(action="session.sign_in").values_list("action", flat=True))


def test_the_form_of_a_paused_pipeline_can_resume_it(page, paused, airflow, sent):
    assert 'name="unpause"' in page.get(URL).text
    assert page.post(URL, {"unpause": "1", "base": "{}"}).status_code == 302
    pipeline = Pipeline.objects.get()
    assert (pipeline.shows_paused, pipeline.wanted_by.username) == (False, "ana")
    assert actions_taken() == {"run.trigger", "pipeline.resume"}
    tasks.deliver_pause(DAG)
    assert airflow.dags()[0].is_paused is False


def test_without_that_it_stays_paused(page, paused):
    page.post(URL, {"base": "{}"})
    assert Run.objects.count() == 1
    assert Pipeline.objects.get().shows_paused


def test_a_form_that_comes_back_keeps_what_was_ticked(page, paused):
    Pipeline.objects.update(
        param_list=[{"name": "n", "value": 1, "schema": {"type": "integer"}, "description": ""}]
    )
    answer = page.post(URL, {"unpause": "1", "conf-n": "x", "base": "{}"})
    assert answer.status_code == 422
    assert 'value="1"\n        checked' in answer.text
    assert Pipeline.objects.get().shows_paused


def test_an_active_pipeline_has_no_such_box_and_takes_the_word(page, paused, scientist):
    Pipeline.objects.update(is_paused=False)
    assert 'name="unpause"' not in page.get(URL).text
    actions.trigger_run(DAG, conf={}, by=scientist, unpause=True)
    assert actions_taken() == {"run.trigger"}


def test_rest_resumes_it_where_it_is_told_to(page, paused):
    assert page.post(REST, {"unpause": False}, content_type="application/json").status_code == 202
    assert Pipeline.objects.get().shows_paused
    assert page.post(REST, {"unpause": True}, content_type="application/json").status_code == 202
    assert not Pipeline.objects.get().shows_paused


def test_a_run_that_is_refused_resumes_nothing(page, paused):
    body = {"unpause": True, "note": "x", "dag_run_id": "scheduled__1"}
    assert page.post(REST, body, content_type="application/json").status_code == 422
    assert Pipeline.objects.get().shows_paused
