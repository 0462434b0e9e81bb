"""From a click to Airflow in one trace: by the row, so that what is sent again goes on with it too."""

import pytest

from core.lib import traces
from pipelines import gateway, tasks
from pipelines.models import Run
from tests.pipeline_rows import make_pipeline
from tests.tracing import *  # noqa: F403
from tests.tracing import PARENT, TRACE

DAG = "titanic_training"


@pytest.fixture
def pipeline(db, airflow):
    pipeline = make_pipeline()
    airflow.add_dag(DAG, pipeline.param_list)
    return pipeline


def click(page) -> Run:
    """Trigger a run, as a caller does that has a trace of its own."""
    body = {"content_type": "application/json", "headers": {"traceparent": PARENT}}
    answer = page.post(f"/api/v1/pipelines/{DAG}/runs", {"conf": {}}, **body)
    assert answer.status_code == 202
    return Run.objects.get()


def test_a_click_its_row_and_its_delivery_are_one_trace(page, pipeline, spans):
    run = click(page)
    assert run.trace_id == TRACE
    tasks.deliver_run(str(run.pk))
    answered, started = spans.all
    assert answered.name == "POST /api/v1/pipelines/<str:dag_id>/runs"
    assert answered.attributes["http.response.status_code"] == 202
    assert (started.name, started.attributes["atalaya.dag_run_id"]) == ("start run", run.dag_run_id)
    assert spans.trace_ids == {TRACE}
    assert spans.parent_of("start run") == run.traceparent.split("-")[2] == spans.id_of(answered.name)


def headers_to_airflow() -> dict[str, str]:
    found: dict[str, str] = gateway.connect("ana", "user")._runs.api_client.default_headers
    return found


def test_airflow_gets_the_trace_with_the_call(spans):
    with traces.span("start run", parent=PARENT):
        told = headers_to_airflow()
    assert traces.trace_id(told["traceparent"]) == TRACE


def test_airflow_is_told_nothing_where_traces_are_off():
    assert "traceparent" not in headers_to_airflow()


def test_a_row_holds_nothing_where_traces_are_off(page, pipeline):
    assert click(page).traceparent == ""


def test_the_page_of_the_run_names_its_trace(page, pipeline, spans):
    run = click(page)
    assert TRACE in page.get(run.get_absolute_url()).content.decode()


def test_what_machines_ask_every_few_seconds_makes_no_spans(client, spans):
    client.get("/livez")
    assert spans.names == []
