"""REST of pipelines and runs: answers, errors by field, unknown fields, logs by cursor."""

from datetime import timedelta

import pytest
from django.utils import timezone

from core.lib import redis as console_redis
from pipelines import log_copy, sync
from pipelines.log_lines import LogLine
from pipelines.models import Asset, Pipeline, Preset, Run, RunState
from tests.pipeline_rows import STARTED, make_backfill, make_pipeline, make_run, make_task
from tests.unit.pipelines.conftest import person

pytestmark = pytest.mark.django_db
DAG = "nightly.load-data"
RUNS = f"/api/v1/pipelines/{DAG}/runs"


def post(page, url, body):
    return page.post(url, body, content_type="application/json")


def test_an_asked_run_is_accepted_with_its_row(page):
    make_pipeline(DAG)
    answer = post(page, RUNS, {"conf": {"n_iter": 5}, "note": "n"})
    assert answer.status_code == 202
    body, run = answer.json(), Run.objects.get()
    assert body["id"] == run.pk
    assert body["dag_run_id"].startswith("console__")
    asked = {key: body[key] for key in ("dag_id", "state", "wish", "conf", "note", "requested_by")}
    assert asked == {
        "dag_id": DAG,
        "state": "requested",
        "wish": "start",
        "conf": {"n_iter": 5},
        "note": "n",
        "requested_by": "ana",
    }


def test_conf_that_breaks_the_schema_names_each_field(page):
    make_pipeline(DAG)
    answer = post(page, RUNS, {"conf": {"n_iter": 0, "scoring": "x"}})
    assert answer.status_code == 422
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["errors"] == [
        {"field": "conf.n_iter", "message": "Give 1 or more."},
        {"field": "conf.scoring", "message": "Give one of these: f1, accuracy."},
    ]


def test_unknown_fields_are_refused(page):
    make_pipeline(DAG)
    answer = post(page, RUNS, {"config": {}})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": "config", "message": "There is no such field."}]


def test_conf_has_to_be_an_object(page):
    make_pipeline(DAG)
    assert post(page, RUNS, {"conf": [1]}).json()["errors"][0]["field"] == "conf"


def test_an_unknown_pipeline_is_not_found(page):
    answer = post(page, "/api/v1/pipelines/no_such_dag/runs", {})
    assert answer.status_code == 404
    assert "no_such_dag" in answer.json()["detail"]


def test_a_viewer_may_not_trigger(client, viewer):
    make_pipeline(DAG)
    client.force_login(viewer)
    assert post(client, RUNS, {}).status_code == 403
    assert client.get(RUNS).status_code == 200


def test_a_pipeline_tells_its_settings_and_its_switch_can_be_moved(page):
    make_pipeline(DAG)
    body = page.get(f"/api/v1/pipelines/{DAG}").json()
    assert body["params"]["n_iter"]["schema"]["maximum"] == 100
    answer = page.patch(f"/api/v1/pipelines/{DAG}", {"is_paused": True}, content_type="application/json")
    assert (answer.status_code, answer.json()["is_paused"]) == (202, True)
    assert Pipeline.objects.get().wanted_is_paused is True


@pytest.mark.parametrize("n", [1, 50])
def test_lists_cost_the_same_for_fifty(page, django_assert_max_num_queries, n):
    for number in range(n):
        make_run(make_pipeline(f"dag_{number:02}").dag_id)
    for url in ("/api/v1/pipelines", "/api/v1/runs"):
        with django_assert_max_num_queries(6):
            assert len(page.get(url).json()["results"]) == n


def test_pages_of_runs_lead_on(page):
    for _ in range(3):
        make_run()
    first = page.get("/api/v1/runs?limit=2").json()
    second = page.get(first["next"]).json()
    assert [len(first["results"]), len(second["results"]), second["next"]] == [2, 1, None]


def test_cancel_and_clear_are_accepted_once(page):
    run = make_run(state=RunState.RUNNING)
    assert post(page, f"/api/v1/runs/{run.pk}/cancel", {}).status_code == 202
    ended = make_run(state=RunState.FAILED)
    refused = post(page, f"/api/v1/runs/{ended.pk}/clear", {"only_failed": True})
    assert (refused.status_code, refused.json()["detail"]) == (409, "None of its tasks failed.")
    make_task(ended, state="failed")
    assert post(page, f"/api/v1/runs/{ended.pk}/clear", {"only_failed": True}).json()["wish"] == "clear"
    assert post(page, f"/api/v1/runs/{ended.pk}/cancel", {}).status_code == 409


def test_tasks_and_log_by_cursor(page, airflow, real_redis):
    airflow.add_dag(DAG)
    airflow.as_user("ana", "user").trigger_run(DAG, dag_run_id="manual__1", conf={})
    airflow.move_on(DAG, "manual__1", "running", load="running")
    airflow.log_lines["manual__1", "load", 1] = [LogLine(None, "info", str(n)) for n in range(1200)]
    sync.sync_runs()
    sync.sync_tasks()
    run = Run.objects.get()
    url = f"/api/v1/runs/{run.pk}/tasks"
    assert page.get(url).json()["results"][0]["task_id"] == "load"
    assert page.get(f"{url}/load/log").json() == {
        "lines": [],
        "cursor": "0",
        "start": "0",
        "has_end": False,
        "is_complete": False,
        "n_missing_lines": 0,
    }
    sync.sync_logs()
    first = page.get(f"{url}/load/log").json()
    rest = page.get(f"{url}/load/log?cursor={first['cursor']}").json()
    assert [len(first["lines"]), len(rest["lines"])] == [1000, 200]
    assert rest["lines"][-1] == {"at": None, "level": "info", "message": "1199"}
    assert rest["is_complete"] is False


@pytest.mark.parametrize("query", ["cursor=x", "try=-1", "map_index=a", "from=1"])
def test_a_log_asked_in_a_wrong_way_says_how(page, query):
    task = make_task(make_run())
    answer = page.get(f"/api/v1/runs/{task.run_id}/tasks/search/log?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == query.partition("=")[0]


def test_a_try_that_never_was_is_not_found(page):
    task = make_task(make_run())
    assert page.get(f"/api/v1/runs/{task.run_id}/tasks/search/log?try=7").status_code == 404


# --- a call that comes again because nobody answered


def with_key(page, body, key="k1"):
    return page.post(RUNS, body, content_type="application/json", headers={"Idempotency-Key": key})


@pytest.fixture
def unanswered(page, real_redis):
    """A run whose call died before its answer was kept."""
    make_pipeline(DAG)
    made = with_key(page, {"conf": {"n_iter": 5}}).json()
    console_redis.client().flushall()
    return made


def test_the_same_call_finds_the_run_that_it_made(page, unanswered, sent):
    again = with_key(page, {"conf": {"n_iter": 5}})
    assert (again.status_code, again.json()["id"]) == (202, unanswered["id"])
    assert with_key(page, {"conf": {"n_iter": 5}}, key="k2").json()["id"] != unanswered["id"]
    assert Run.objects.count() == 2


def test_its_key_fits_no_other_settings(page, unanswered):
    assert with_key(page, {"conf": {"n_iter": 6}}).status_code == 422
    assert Run.objects.count() == 1


def test_its_key_fits_no_call_that_resumes_the_pipeline_too(page, unanswered):
    assert with_key(page, {"conf": {"n_iter": 5}, "unpause": True}).status_code == 422
    made = with_key(page, {"conf": {"n_iter": 5}, "unpause": True}, key="k2")
    console_redis.client().flushall()
    again = with_key(page, {"conf": {"n_iter": 5}, "unpause": True}, key="k2")
    assert (again.status_code, again.json()["id"]) == (202, made.json()["id"])


def test_what_became_of_its_run_makes_no_other_call_of_it(page, unanswered):
    Run.objects.update(note="Somebody wrote this.", conf={"n_iter": 7})
    again = with_key(page, {"conf": {"n_iter": 5}})
    assert (again.status_code, again.json()["id"]) == (202, unanswered["id"])


@pytest.mark.parametrize("name", ["logical_date", "run_after"])
def test_its_key_fits_no_other_time(page, real_redis, name):
    make_pipeline(DAG)
    first = with_key(page, {name: "2026-03-01T00:00:00Z"}).json()
    for body, status in (
        ({name: "2026-03-01T01:00:00+01:00"}, 202),
        ({name: "2026-03-02T00:00:00Z"}, 422),
        ({}, 422),
    ):
        console_redis.client().flushall()
        again = with_key(page, body)
        assert (again.status_code, again.json().get("id", first["id"])) == (status, first["id"])
    assert Run.objects.count() == 1


def test_its_key_fits_no_other_partition(page, real_redis):
    make_pipeline(DAG)
    body = {
        "partition_key": "es",
        "data_interval_start": "2026-03-01T00:00:00Z",
        "data_interval_end": "2026-03-02T00:00:00Z",
    }
    first = with_key(page, body).json()
    assert {name: first[name] for name in body} == body
    for change, status in (({}, 202), ({"partition_key": "pt"}, 422), ({"data_interval_end": None}, 422)):
        console_redis.client().flushall()
        assert with_key(page, {**body, **change}).status_code == status
    assert Run.objects.count() == 1


@pytest.mark.parametrize("name", ["logical_date", "run_after", "data_interval_start"])
def test_a_time_at_the_end_of_the_calendar_is_refused_at_its_field(page, name):
    make_pipeline(DAG)
    refused = page.post(RUNS, {name: "9999-12-31T23:59:59Z"}, content_type="application/json")
    assert refused.status_code == 422
    assert [fault["field"] for fault in refused.json()["errors"]] == [name]


def test_its_key_is_free_again_after_a_day(page, unanswered):
    Run.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert with_key(page, {"conf": {"n_iter": 5}}).json()["id"] != unanswered["id"]


def test_the_same_key_of_somebody_else_is_another_call(client, unanswered):
    client.force_login(person("eva", "engineer"))
    assert with_key(client, {"conf": {"n_iter": 5}}).json()["id"] != unanswered["id"]


# --- what pages show, for programs


def test_a_pipeline_tells_its_next_runs_and_how_it_stands(page):
    first = timezone.now().replace(hour=6, minute=0, second=0, microsecond=0) + timedelta(days=1)
    make_pipeline(DAG, schedule="0 6 * * *", next_run_at=first, ends_at=first + timedelta(days=1))
    make_pipeline("idle")
    make_run(DAG, state="failed")
    make_run(DAG, state="running")
    found = page.get(f"/api/v1/pipelines/{DAG}").json()
    assert (found["last_state"], found["n_running"], found["timezone"]) == ("running", 1, "UTC")
    assert [at[11:16] for at in found["next_runs"]] == ["06:00", "06:00"]
    assert found["ends_at"] is not None
    listed = page.get("/api/v1/pipelines").json()["results"]
    stands = {one["dag_id"]: (one["last_state"], one["n_running"]) for one in listed}
    assert stands == {DAG: ("running", 1), "idle": (None, 0)}


def test_the_durations_of_a_pipeline(page):
    make_pipeline(DAG)
    for seconds in (10, 20, 60):
        run = make_run(DAG, ended_at=STARTED + timedelta(seconds=seconds))
        make_task(run, "load", duration_s=float(seconds))
    found = page.get(f"/api/v1/pipelines/{DAG}/durations").json()
    assert (found["median_s"], [one["duration_s"] for one in found["runs"]]) == (20.0, [10.0, 20.0, 60.0])
    assert found["slowest_tasks"] == [{"task_id": "load", "mean_s": 30.0, "longest_s": 60.0, "n": 3}]
    assert page.get("/api/v1/pipelines/none/durations").status_code == 404


def test_the_runs_of_a_backfill(page):
    make_pipeline(DAG)
    backfill = make_backfill(DAG)
    mine = make_run(DAG, backfill=backfill)
    make_run(DAG)
    found = page.get(f"/api/v1/runs?backfill={backfill.pk}").json()["results"]
    assert [run["id"] for run in found] == [mine.pk]
    assert page.get("/api/v1/runs?backfill=x").status_code == 422


def test_the_assets_of_a_pipeline(page):
    for name, maker, taker in (("a", DAG, "other"), ("b", "other", DAG)):
        ends = {
            "producers": [{"dag_id": maker, "task_id": "t"}],
            "consumers": [{"dag_id": taker, "task_id": ""}],
        }
        Asset.objects.create(airflow_id=ord(name), name=name, uri=name, **ends)
    url = "/api/v1/assets"
    assert [one["name"] for one in page.get(f"{url}?producer={DAG}").json()["results"]] == ["a"]
    assert [one["name"] for one in page.get(f"{url}?consumer={DAG}").json()["results"]] == ["b"]


def test_one_preset(page):
    make_pipeline(DAG)
    preset = Preset.objects.create(dag_id=DAG, name="quick", conf={"n_iter": 1})
    assert page.get(f"/api/v1/presets/{preset.pk}").json()["conf"] == {"n_iter": 1}
    assert page.get(f"/api/v1/presets/{preset.pk + 1}").status_code == 404


def test_a_dry_run_of_switches_moves_none(page):
    make_pipeline(DAG)
    make_pipeline("off", is_paused=True)
    body = {"dag_ids": [DAG, "off", "none"], "is_paused": True, "dry_run": True}
    told = post(page, "/api/v1/pipeline-switches", body)
    assert told.status_code == 200
    assert told.json()["results"] == [
        {"dag_id": DAG, "error": ""},
        {"dag_id": "off", "error": "paused already"},
        {"dag_id": "none", "error": "Airflow no longer has it"},
    ]
    assert not Pipeline.objects.exclude(wanted_is_paused=None).exists()


def test_a_log_is_read_by_level_text_and_from_its_end(page):
    task = make_task(make_run(DAG), "search")
    row = log_copy.of_try(task.run, task, 1)
    levels = ("info", "warning", "error", "info")
    log_copy.write(row, [LogLine(None, level, f"line {n}") for n, level in enumerate(levels)])
    log_copy.finish(row)
    url = f"/api/v1/runs/{task.run_id}/tasks/search/log"

    def lines(query):
        return [one["message"] for one in page.get(f"{url}?{query}").json()["lines"]]

    assert lines("level=warning") == ["line 1", "line 2"]
    assert lines("q=LINE 2") == ["line 2"]
    assert lines("tail=2") == ["line 2", "line 3"]
    start = page.get(f"{url}?tail=2").json()["start"]
    assert lines(f"tail=1&before={start}") == ["line 1"]
    assert page.get(f"{url}?level=loud").status_code == 422
