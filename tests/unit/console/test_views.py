"""Search, reports of browsers, the API's page."""

import json
import time
from datetime import timedelta

import pytest
from django.db import DataError, OperationalError
from django.test import Client
from django.utils import timezone

from console import csp_reports, dashboard, openapi, openapi_shapes
from core.access.models import User
from core.alerts.models import Channel
from core.lib import env, metrics
from core.lib.errors import Unavailable
from core.lib.redis import RedisError
from jobs.models import Job
from models_registry.models import Experiment, MlflowRun
from pipelines.models import AlertRule, Asset, Backfill
from pipelines.queries import recent_runs
from predictions.batch_models import PredictionBatch
from streaming import queries as streaming
from streaming.models import Stream
from tests.people import make_token, make_user, signed_in
from tests.pipeline_rows import make_pipeline, make_run
from tests.registry import make_version


def test_search_finds_pages_by_part_of_their_name(admin_page):
    response = admin_page.get("/search?q=tOke", headers={"HX-Request": "true"})
    assert "API tokens" in response.text
    assert "<html" not in response.text


def test_search_is_a_page_without_htmx(admin_page):
    assert "<html" in admin_page.get("/search?q=users").text


def test_search_does_not_find_what_one_may_not_open(db):
    client = Client()
    client.force_login(User.objects.create_user("nobody_special"))
    text = client.get("/search?q=s", headers={"HX-Request": "true"}).text
    assert "Users" not in text
    assert "API tokens" in text


@pytest.mark.parametrize(
    ("words", "address"),
    [
        ("questions", "/runs/questions"),
        ("backfills", "/backfills"),
        ("assets", "/assets"),
        ("import err", "/import-errors"),
        ("alert rules", "/alert-rules"),
        ("schedules", "/jobs/schedules"),
        ("use cases", "/usecases"),
        ("notifications", "/monitoring/notifications"),
        ("doctor", "/system/doctor"),
        ("services", "/system/services"),
        ("roles", "/system/roles"),
        ("account", "/account"),
        ("everybody", "/system/tokens"),
        ("sign-in", "/system/sign-in"),
        ("system", "/system"),
    ],
)
@pytest.mark.django_db(databases=["default", "usecases"])
def test_pages_are_found_by_their_words(admin_page, words, address):
    assert f'href="{address}"' in admin_page.get("/search", {"q": words}, headers={"HX-Request": "true"}).text
    assert admin_page.get(address).status_code == 200


def test_search_for_nothing_finds_nothing(admin_page):
    assert "palette-hit" not in admin_page.get("/search?q=+", headers={"HX-Request": "true"}).text


def test_search_does_not_repeat_markup(admin_page):
    text = admin_page.get("/search?q=<script>alert(1)</script>").text
    assert "<script>alert" not in text


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("run {run}", "/runs/{run}"),
        ("{run}", "/runs/{run}"),
        ("titanic v3", "/models/titanic/versions/3"),
        ("TITANIC 3", "/models/titanic/versions/3"),
        ("orders_s", "/streams/orders_stream"),
        ("orders_topic", "/topics/orders_topic"),
        ("clean_tr", "/jobs/{job}"),
        ("{job}", "/jobs/{job}"),
        ("bea", "/system/users/{bea}"),
        ("real est", "/usecases/real_estate"),
        ("{batch}", "/predict/titanic/files/{batch}"),
        ("people.c", "/predict/titanic/files/{batch}"),
        ("order_read", "/consumer-groups?group=order_readers"),
        ("c0ffee00", "/mlflow-runs/c0ffee0011"),
        ("tall bird", "/mlflow-runs/c0ffee0011"),
        ("s3://lake", "/assets/{asset}"),
        ("backfill {backfill}", "/backfills/{backfill}"),
        ("nightly", "/backfills/{backfill}"),
        ("nightly_*", "/alert-rules/{rule}"),
        ("on call", "/monitoring/notifications/{channel}"),
        ("report scr", "/system/tokens?words=report+script"),
    ],
)
def test_search_finds_things_of_every_kind(admin_page, monkeypatch, text, url):
    root = User.objects.get(username="root")
    known = {
        "run": make_run().pk,
        "job": Job.objects.create(app="clean_trips", params={}, requested_by=root).pk,
        "bea": User.objects.create_user("bea").pk,
    }
    make_version(3)
    known |= {
        "batch": PredictionBatch.objects.create(
            model="titanic", requested_by=root, username="root", file_name="people.csv", format="csv",
            sha256="", size_bytes=1,
        ).pk,
        "asset": Asset.objects.create(airflow_id=7, name="trips", uri="s3://lake/trips").pk,
        "backfill": Backfill.objects.create(
            dag_id="nightly_load", from_date=timezone.now(), to_date=timezone.now()
        ).pk,
        "rule": AlertRule.objects.create(kind="failed", pattern="nightly_*").pk,
        "channel": Channel.objects.create(name="On call", kind="webhook").pk,
    }  # fmt: skip
    make_token(make_user("tom"), name="report script")
    experiment = Experiment.objects.create(experiment_id="1", name="birds")
    MlflowRun.objects.create(run_id="c0ffee0011", experiment=experiment, name="tall bird", status="FINISHED")
    names = streaming.Names(time.monotonic(), ["orders_topic"], ["order_readers"])
    monkeypatch.setattr(streaming, "_remembered", names)
    Stream.objects.create(name="orders_stream", topic="orders_topic", definition={})
    found = admin_page.get("/search", {"q": text.format(**known)}, headers={"HX-Request": "true"}).text
    assert f'href="{url.format(**known)}"' in found


def test_search_finds_ones_own_tokens_and_files_alone(db):
    ana, bo = make_user("ana", "predictor"), make_user("bo", "predictor")
    for user in (ana, bo):
        make_token(user, name=f"script of {user}")
        PredictionBatch.objects.create(
            model="titanic", requested_by=user, file_name=f"script_{user}.csv", size_bytes=1
        )
    text = signed_in(ana).get("/search?q=script", headers={"HX-Request": "true"}).text
    assert ("script of ana" in text, "script_ana.csv" in text) == (True, True)
    assert ("script of bo" in text, "script_bo.csv" in text) == (False, False)


def test_streams_are_found_without_kafka(admin_page, monkeypatch):
    monkeypatch.setattr(streaming, "_remembered", streaming.Names(float("-inf"), [], []))
    Stream.objects.create(name="orders_stream", topic="orders_topic", definition={})
    found = admin_page.get("/search?q=orders_topic", headers={"HX-Request": "true"}).text
    assert 'href="/topics/orders_topic"' in found


def test_only_who_may_see_people_finds_them(db):
    User.objects.create_user("bea")
    client = Client()
    client.force_login(make_user("vic", "viewer"))
    assert "palette-hit" not in client.get("/search?q=bea", headers={"HX-Request": "true"}).text


def test_provider_that_fails_takes_no_other_along(admin_page, monkeypatch):
    def fail(text, user):
        Job.objects.create(app=None)  # which the database refuses

    monkeypatch.setattr(dashboard, "PROVIDERS", (("see", fail), *dashboard.PROVIDERS))
    User.objects.create_user("bea")
    assert "/system/users/" in admin_page.get("/search?q=bea", headers={"HX-Request": "true"}).text


@pytest.mark.parametrize("page", ["/", "/search?q=bea"])
def test_without_a_database_nothing_is_left_out(admin_page, monkeypatch, page):
    def fail(*_args, **_kwargs):
        raise OperationalError("connection refused")

    monkeypatch.setattr(dashboard, "PROVIDERS", (("see", fail),))
    monkeypatch.setattr("jobs.queries.recent_jobs", fail)
    assert admin_page.get(page).status_code == 503


# --- the overview


def test_administrators_find_grafana_from_the_overview(admin_page, settings):
    assert "Grafana" not in admin_page.get("/").text
    settings.CONSOLE_GRAFANA_URL = "https://grafana.example.org"
    assert 'href="https://grafana.example.org"' in admin_page.get("/").text


@pytest.mark.django_db
def test_who_may_not_see_services_has_no_link_to_grafana(client, settings):
    settings.CONSOLE_GRAFANA_URL = "https://grafana.example.org"
    client.force_login(make_user("vera", "viewer"))
    page = client.get("/")
    assert page.status_code == 200
    assert "Grafana" not in page.text


@pytest.mark.django_db
def test_the_boxes_are_drawn_with_the_page(client):
    client.force_login(make_user("ana", "engineer"))
    run = make_run(state="failed")
    page = client.get("/").text
    assert f'href="/runs/{run.pk}"' in page
    assert "skeleton" not in page
    assert "load, live:runs" not in page


@pytest.mark.django_db
@pytest.mark.parametrize(
    "error",
    [Unavailable("MLflow is not answering."), KeyError("a bug"), RedisError("gone"), DataError("odd")],
)
def test_a_box_that_cannot_be_drawn_asks_again_and_keeps_no_other(client, monkeypatch, error):
    def away(*_args, **_kwargs):
        raise error

    monkeypatch.setattr("pipelines.queries.recent_runs", away)
    client.force_login(make_user("ana", "engineer"))
    page = client.get("/").text
    assert 'hx-trigger="load, live:runs from:body"' in page
    assert "No job yet" in page


@pytest.mark.django_db
def test_my_failure_stays_before_the_runs_of_others(client):
    ana, bea = make_user("ana", "engineer"), make_user("bea", "engineer")
    mine = make_run(state="failed", requested_by=ana)
    mended = make_run("other", state="failed", requested_by=ana)
    make_run("other", state="success", requested_by=bea, ended_at=timezone.now())
    for _ in range(10):
        make_run(state="queued", requested_by=bea)
    assert recent_runs(ana)[0] == mine
    assert mended not in recent_runs(ana)
    assert len(recent_runs(ana)) == 8
    assert mine not in recent_runs(bea)


@pytest.mark.django_db
def test_my_failures_stay_however_old_until_they_are_made_good(client):
    ana = make_user("ana", "engineer")
    client.force_login(ana)
    long_ago = timezone.now() - timedelta(days=400)
    old = [make_run(f"p{n}", state="failed", requested_by=ana, created_at=long_ago) for n in range(5)]
    make_pipeline("p0", gone_at=timezone.now())  # nothing can make it good
    for _ in range(10):
        make_run(state="queued")
    assert recent_runs(ana)[:3] == old[:1:-1]
    page = client.get("/").text
    assert "My failed runs not made good since: 4" in page
    assert 'href="/runs?by=me&amp;unmended=1"' in page
    answer = client.get("/runs?by=me&unmended=1")
    assert answer.context["page"]["rows"] == old[:0:-1]
    assert 'name="unmended"' in answer.text
    make_run("p4", state="success", ended_at=timezone.now())
    assert old[4] not in recent_runs(ana)
    assert "My failed runs" not in client.get("/").text


@pytest.mark.django_db
def test_my_failures_are_counted_up_to_99(client):
    ana = make_user("ana", "engineer")
    client.force_login(ana)
    for n in range(100):
        make_run(f"p{n}", state="failed", requested_by=ana)
    assert "My failed runs not made good since: 99+" in client.get("/runs/recent").text


@pytest.mark.django_db
def test_who_sees_their_own_predictions_only_is_told(client):
    client.force_login(make_user("ana", "approver"))
    page = client.get("/").text
    assert "No prediction yet" not in page
    assert "None of your own yet" in page
    assert 'href="/predict"' in page


# --- reports about the Content-Security-Policy


def report(client, body, **headers):
    return client.post("/csp-report", body, content_type="application/csp-report", headers=headers)


def test_report_is_counted_and_logged(caplog):
    before = metrics.CSP_REPORTS._value.get()
    body = json.dumps({"csp-report": {"violated-directive": "script-src", "blocked-uri": "inline"}})
    assert report(Client(enforce_csrf_checks=True), body).status_code == 204
    assert metrics.CSP_REPORTS._value.get() == before + 1
    line = next(record.msg for record in caplog.records if record.name == "console.csp_reports")
    assert (line["violated_directive"], line["blocked_uri"]) == ("script-src", "inline")


@pytest.mark.parametrize("body", ["", "{", "[]", '{"csp-report": []}', '{"other": {}}'])
def test_what_is_no_report_is_refused(client, body):
    assert report(client, body).status_code == 422


def test_long_report_is_refused(client):
    assert report(client, json.dumps({"csp-report": {"blocked-uri": "x" * 20_000}})).status_code == 413


def test_many_reports_do_not_fill_the_log(client, caplog, monkeypatch):
    monkeypatch.setattr(csp_reports, "_allowance", csp_reports._Allowance(3))
    for _ in range(10):
        report(client, '{"csp-report": {}}')
    assert len([record for record in caplog.records if record.name == "console.csp_reports"]) == 3


# --- OpenAPI


def test_committed_schema_is_that_of_the_code():
    committed = (env.REPO / "openapi.yaml").read_bytes()
    assert committed == openapi.as_yaml(), "run `make openapi` and commit openapi.yaml"


def test_schema_is_served_as_yaml_and_json(admin_page):
    assert admin_page.get("/api/schema").content == openapi.as_yaml()
    assert admin_page.get("/api/schema?format=json").json()["info"]["title"] == "Atalaya"


def test_every_post_takes_an_idempotency_key_and_every_operation_may_fail():
    for path, item in openapi.document()["paths"].items():
        for method in openapi.METHODS:
            assert "default" in item.get(method, {"responses": {"default": 1}})["responses"], path
        if "post" in item:
            assert openapi.IDEMPOTENCY_KEY in item["post"]["parameters"], path


def test_page_lists_every_operation_with_its_scope(admin_page):
    text = admin_page.get("/api/docs").text
    for path in openapi.document()["paths"]:
        assert path in text
    assert "needs admin" in text


def test_page_keeps_to_the_policy_on_scripts(admin_page):
    text = admin_page.get("/api/docs").text
    assert "style=" not in text
    assert "onclick" not in text


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string", "format": "date-time", "nullable": True}, "date-time | null"),
        ({"enum": ["a", "b"]}, '"a" | "b"'),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Row"}}, '[{\n    "id": integer\n  }]'),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, "string | integer"),
        ({"type": "object"}, "{…}"),
        ({}, "any"),
    ],
)
def test_schema_in_words(schema, words):
    row = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}
    assert openapi_shapes.of_schema(schema, {"Row": row}) == words


def test_schema_that_contains_itself_ends():
    tree = {"type": "object", "properties": {"child": {"$ref": "#/components/schemas/Tree"}}}
    assert openapi_shapes.of_schema(tree, {"Tree": tree}).count("child") <= openapi_shapes.DEEPEST + 1
