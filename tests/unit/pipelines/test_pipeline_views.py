"""Pages of pipelines and runs: complete from rows alone, forms that lose nothing, rights that hold."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.forms import CheckboxInput, CheckboxSelectMultiple, Select, SelectMultiple, Textarea
from django.urls import reverse
from django.utils import timezone

from core.access.reader import ZONE_COOKIE
from core.lib.models import SyncState
from pipelines import tasks
from pipelines.log_lines import from_airflow
from pipelines.models import Pipeline, Run, RunState, TaskInstance, TaskLog, Wish
from tests.pipeline_rows import STARTED, make_pipeline, make_run, make_task

pytestmark = pytest.mark.django_db
DAG = "nightly.load-data"
FORM = {
    "conf-n_iter": "5",
    "conf-scoring": '"accuracy"',
    "conf-share": "0.3",
    "conf-is_quick": "on",
    "conf-source": "",
    "conf-grid": '{"depth": [1]}',
    "other": "",
    "note": "Größe <b>",
}


@pytest.fixture
def run(db):
    make_pipeline(DAG)
    run = make_run(DAG, note="Größe <b>bold</b>", conf={"items": 3, "grid": {"depth": [1]}})
    make_task(run, "load")
    make_task(run, "search", "failed", ended_at=STARTED)
    return run


@pytest.mark.parametrize(
    "name", ["pipeline-detail", "pipeline-graph", "pipeline-runs", "pipeline-facts", "run-trigger"]
)
def test_each_page_of_a_pipeline_stands_while_airflow_is_away(page, run, name):
    SyncState.succeeded("pipelines.sync.sync_runs", "airflow")
    SyncState.failed("pipelines.sync.sync_runs", "airflow", "Airflow is not answering.")
    answer = page.get(reverse(f"pipelines:{name}", args=[DAG]))
    assert answer.status_code == 200
    assert "Airflow is not answering" in answer.content.decode()


@pytest.mark.parametrize("url", ["/pipelines", "/runs", "/runs/recent", "/pipelines?show=gone"])
def test_lists_say_what_to_do_when_there_is_nothing(page, url):
    assert 'class="empty"' in page.get(url).content.decode()


@pytest.mark.parametrize("n", [1, 50])
def test_the_list_of_pipelines_costs_the_same_for_fifty(page, django_assert_max_num_queries, n):
    for number in range(n):
        make_run(make_pipeline(f"dag_{number}").dag_id)
    page.get("/pipelines")
    with django_assert_max_num_queries(11):
        assert page.get("/pipelines").status_code == 200


@pytest.mark.parametrize("n", [1, 50])
def test_the_list_of_runs_costs_the_same_for_fifty(page, django_assert_max_num_queries, n):
    for _ in range(n):
        make_run()
    page.get("/runs")
    with django_assert_max_num_queries(7):
        assert page.get("/runs").status_code == 200


@pytest.mark.parametrize("n", [1, 24])
def test_the_grid_costs_the_same_for_all_its_runs(page, django_assert_max_num_queries, n):
    make_pipeline()
    for _ in range(n):
        make_task(make_run())
    page.get("/pipelines/titanic_training")
    with django_assert_max_num_queries(10):
        assert page.get("/pipelines/titanic_training").status_code == 200


def test_filters_narrow_the_list(page):
    make_pipeline("a", tags=["x"])
    make_pipeline("b", is_paused=True)
    make_pipeline("c", gone_at=timezone.now())
    shown = [
        [row.pipeline.dag_id for row in page.get(f"/pipelines?{query}").context["page"]["rows"]]
        for query in ("", "tag=x", "show=paused", "show=gone", "q=B")
    ]
    assert shown == [["a", "b"], ["a"], ["b"], ["c"], ["b"]]


def test_a_run_shows_facts_tasks_and_the_failed_tasks_log_box(page, run):
    content = page.get(f"/runs/{run.pk}").content.decode()
    assert "Größe &lt;b&gt;bold&lt;/b&gt;" in content
    assert "items=3" in content
    assert "Log of search" in content


def test_a_run_that_waits_says_how_often_it_was_tried(page):
    make_pipeline()
    run = make_run(
        state=RunState.REQUESTED,
        wish=Wish.START,
        next_attempt_at=timezone.now(),
        delivery_attempts=3,
        delivery_error="Airflow is not answering.",
    )
    content = page.get(f"/runs/{run.pk}").content.decode()
    assert "Waiting for Airflow" in content
    assert "3 tries so far. Airflow is not answering." in content


def test_the_form_sends_every_kind_of_value(page, sent):
    make_pipeline(DAG)
    answer = page.post(f"/pipelines/{DAG}/trigger", FORM)
    run = Run.objects.get()
    assert answer.url == f"/runs/{run.pk}"
    assert run.conf == {
        "n_iter": 5,
        "scoring": "accuracy",
        "share": 0.3,
        "is_quick": True,
        "source": None,
        "grid": {"depth": [1]},
    }
    assert run.note == "Größe <b>"


ODD_DEFAULTS = {
    "empty_list": ([], {"type": "array"}),
    "empty_object": ({}, {"type": "object"}),
    "anything": (None, {}),
    "whole": (3, {"type": "number"}),
    "half": (0.5, {"type": ["null", "number"]}),
    "tab": ("\t", {"type": "string"}),
    "spaces": ("  two  ", {"type": "string"}),
    "empty_text": ("", {"type": "string"}),
    "no_text": (None, {"type": ["null", "string"]}),
    "empty_or_none": ("", {"type": ["null", "string"]}),
    "lines": ("a\nb\n", {"type": "string", "format": "multiline"}),
    "dos_lines": ("a\r\nb", {"type": "string"}),
    "maybe": (None, {"type": ["null", "boolean"]}),
    "mixed": (1, {"enum": [1, "1", None]}),
    "nested": ({"a": [1.0, {"b": "é"}]}, {"type": ["object", "array"]}),
    "texts": (["a", "b c"], {"type": "array", "items": {"type": "string"}}),
    "no_texts": (None, {"type": ["null", "array"]}),
    "numbers": ([1, 2], {"type": "array"}),
    "odd_texts": ([" a", ""], {"type": "array"}),
    "several": (["b"], {"type": "array", "items": {"enum": ["a", "b", 1]}}),
    "proposed": (["z", 1], {"type": "array", "examples": ["a", "b"]}),
    "free": ("x", {"type": "string", "examples": ["a", 2]}),
    "day": ("2026-03-01", {"type": "string", "format": "date"}),
    "no_day": (None, {"type": ["null", "string"], "format": "date"}),
    "moment": ("2026-03-01T12:00:00.5+02:00", {"type": "string", "format": "date-time"}),
    "hour": ("12:13:14", {"type": "string", "format": "time"}),
    "fixed": ({"a": 1}, {"const": {"a": 1}}),
    "number_or_text": (5, {"type": ["integer", "string"]}),
    "text_or_number": ("5", {"type": ["integer", "string"]}),
    "switch_or_text": (True, {"type": ["boolean", "string"]}),
    "text_or_object": ({"a": ["é"]}, {"type": ["string", "object"]}),
    "anything_or_none": (None, {"type": ["null", "string", "array"]}),
    "quoted": ('"5"', {"type": ["integer", "string"]}),
}


NUMBERS, DAY = {"type": "array"}, {"type": "string", "format": "date"}
CHOICES, OFFERED = {"type": "array", "items": {"enum": ["a"]}}, {"type": "array", "examples": ["a", "b"]}
NO_SCHEMAS = {
    "enum_is_none": {"enum": 5},
    "items_enum_is_none": {"type": "array", "items": {"enum": 5}},
    "items_are_a_list": {"type": "array", "items": [{"type": "string"}]},
    "examples_are_none": {"type": "string", "examples": 5},
    "bound_is_none": {"type": "integer", "minimum": "5"},
    "type_is_none": {"type": 5},
}


def only_param(schema, default):
    make_pipeline(DAG, param_list=[{"name": "p", "value": default, "schema": schema, "description": ""}])


@pytest.mark.parametrize(
    ("schema", "default", "earlier"),
    [
        (NUMBERS, ["a"], [1, 2]),
        (NUMBERS, ["a"], ["a\nb", " c "]),
        (NUMBERS, ["a"], ["a\rb"]),
        (NUMBERS, [1, 2], ["a", "b"]),
        (OFFERED, ["a"], ["zzz", "a"]),
        (OFFERED, ["a"], ["a", "a"]),
        (OFFERED, ["zzz"], ["a"]),
    ],
)
def test_running_again_sends_what_the_earlier_run_had(page, sent, schema, default, earlier):
    only_param(schema, default)
    run = make_run(DAG, conf={"p": earlier})
    url = f"/pipelines/{DAG}/trigger?from={run.pk}"
    assert f'action="{url}"' in page.get(url).content.decode()
    answer = page.post(url, shown_in(page, url))
    assert answer.status_code == 302, answer.context["form"].errors
    assert Run.objects.exclude(pk=run.pk).get().conf == {"p": earlier}


@pytest.mark.parametrize(
    ("schema", "odd"),
    [
        (NUMBERS, 5),
        (NUMBERS, {"a": 1}),
        (CHOICES, 5),
        (CHOICES, "a"),
        (DAY, 5),
        (DAY, [5]),
        (DAY | {"format": "date-time"}, 5),
        (DAY | {"format": "time"}, [5]),
        ({"type": "string"}, [5]),
        ({"type": "integer"}, [5]),
        ({"type": "boolean"}, [5]),
        ({"enum": ["a"]}, [5]),
    ],
)
def test_a_value_of_another_type_is_shown_and_said_to_be_one(page, schema, odd):
    only_param(schema, odd)
    url = f"/pipelines/{DAG}/trigger"
    answer = page.post(url, shown_in(page, url))
    assert (answer.status_code, set(answer.context["form"].errors)) == (422, {"conf-p"})
    Pipeline.objects.all().delete()
    only_param(schema, None)
    run = make_run(DAG, conf={"p": odd})
    url = f"{url}?from={run.pk}"
    answer = page.post(url, shown_in(page, url))
    assert (answer.status_code, set(answer.context["form"].errors)) == (422, {"conf-p"})


@pytest.mark.parametrize("schema", NO_SCHEMAS.values(), ids=NO_SCHEMAS)
def test_a_schema_that_is_none_leaves_a_box_of_json(page, sent, schema):
    only_param(schema, ["a", 1])
    url = f"/pipelines/{DAG}/trigger"
    answer = page.post(url, shown_in(page, url))
    assert answer.status_code == 302, answer.context["form"].errors
    assert Run.objects.get().conf == {"p": ["a", 1]}


def test_a_form_filled_by_a_run_that_is_gone_is_not_read_as_another(page):
    only_param(NUMBERS, ["a"])
    answer = page.post(f"/pipelines/{DAG}/trigger?from=999999", {"conf-p": "[1, 2]", "other": ""})
    assert answer.status_code == 404
    assert not Run.objects.exists()


def shown_in(page, url):
    """What a browser would send for the form as it is: text boxes with CRLF, an empty text for nothing."""
    form = page.get(url).context["form"]
    sent = {}
    for bound in form:
        shown = bound.value()
        if isinstance(bound.field.widget, CheckboxInput):
            if shown:
                sent[bound.html_name] = "on"
        else:
            widget = bound.field.widget
            if isinstance(widget, SelectMultiple | CheckboxSelectMultiple):
                sent[bound.html_name] = shown
                continue
            text = str(shown) if isinstance(widget, Select) else widget.format_value(shown) or ""
            is_box = isinstance(widget, Textarea)
            sent[bound.html_name] = re.sub("\r?\n", "\r\n", text) if is_box else re.sub("[\r\n]", "", text)
    return sent


def test_the_form_sent_as_it_is_sends_the_defaults(page, sent):
    params = [
        {"name": name, "value": value, "schema": schema, "description": ""}
        for name, (value, schema) in ODD_DEFAULTS.items()
    ]
    make_pipeline(DAG, param_list=params)
    url = f"/pipelines/{DAG}/trigger"
    answer = page.post(url, shown_in(page, url))
    assert answer.status_code == 302, answer.context["form"].errors
    conf = Run.objects.get().conf
    assert conf == {name: value for name, (value, _schema) in ODD_DEFAULTS.items()}
    assert {name: type(value) for name, value in conf.items()} == {
        name: type(value) for name, (value, _schema) in ODD_DEFAULTS.items()
    }


WIDENED = {
    "cities": (
        ["Madrid"],
        {"type": "array", "section": "Data"},
        "Vigo\r\n\r\n Málaga \r\n",
        ["Vigo", "Málaga"],
    ),
    "several": (
        [],
        {"type": "array", "items": {"enum": ["a", 1]}, "section": "Data"},
        ['"a"', "1"],
        ["a", 1],
    ),
    "maybe": (None, {"type": ["null", "boolean"]}, "false", False),
    "asked": (None, {"type": "boolean"}, "true", True),
    "day": (None, {"type": ["null", "string"], "format": "date"}, "2026-03-01", "2026-03-01"),
    "moment": (
        "2026-01-01T00:00:00Z",
        {"type": "string", "format": "date-time"},
        "2026-07-01T06:30:15",
        "2026-07-01T04:30:15+00:00",
    ),
    "hour": ("12:00:00", {"type": "string", "format": "time"}, "06:30", "06:30:00"),
    "free": ("x", {"type": "string", "examples": ["a"]}, "b", "b"),
}


def widened(page):
    """The form for a parameter of each kind, in Madrid."""
    page.cookies[ZONE_COOKIE] = "Europe/Madrid"
    params = [
        {"name": name, "value": value, "schema": schema, "description": ""}
        for name, (value, schema, _typed, _conf) in WIDENED.items()
    ]
    make_pipeline(DAG, param_list=params)
    return f"/pipelines/{DAG}/trigger"


def test_each_kind_of_parameter_is_read_as_its_schema_says(page, sent):
    url = widened(page)
    typed = {f"conf-{name}": text for name, (_value, _schema, text, _conf) in WIDENED.items()}
    answer = page.post(url, {**typed, "other": "", "note": ""})
    assert answer.status_code == 302, answer.context["form"].errors
    assert Run.objects.get().conf == {name: conf for name, (*_others, conf) in WIDENED.items()}


def test_parameters_stand_in_their_sections_with_what_is_suggested(page):
    answer = page.get(widened(page))
    groups = answer.context["form"].groups
    assert [(title, len(fields)) for title, fields in groups] == [("Data", 2), ("", 6), ("This run", 8)]
    text = answer.content.decode()
    assert "<legend>Data</legend>" in text
    assert re.search(r'name="conf-free"[^>]* list="id_conf-free_list"', text)
    assert '<option value="a">a</option>' in text


def test_choices_are_shown_in_their_words_and_a_fixed_value_not_at_all(page, sent):
    params = [
        {"name": name, "value": value, "schema": schema, "description": ""}
        for name, value, schema in [
            ("depth", 2, {"enum": [1, 2], "values_display": {"1": "Shallow", "2": "Deep"}}),
            ("mode", "x", {"const": "x"}),
        ]
    ]
    make_pipeline(DAG, param_list=params)
    text = page.get(f"/pipelines/{DAG}/trigger").content.decode()
    assert '<option value="2" selected>Deep</option>' in text
    assert "conf-mode" not in text
    page.post(f"/pipelines/{DAG}/trigger", {"conf-depth": "1", "conf-mode": "y", "other": '{"mode": "z"}'})
    assert Run.objects.get().conf == {"depth": 1, "mode": "x"}


@pytest.mark.parametrize("typed", ["", "7"])
def test_a_choice_without_a_default_has_to_be_made(page, typed):
    param = {"name": "depth", "value": None, "schema": {"enum": [1, 2]}, "description": ""}
    make_pipeline(DAG, param_list=[param])
    url = f"/pipelines/{DAG}/trigger"
    assert '<option value="" selected>Choose</option>' in page.get(url).content.decode()
    assert set(page.post(url, {"conf-depth": typed}).context["form"].errors) == {"conf-depth"}


def test_lines_that_were_typed_end_as_in_json(page, sent):
    make_pipeline(
        DAG, param_list=[{"name": "sql", "value": "", "schema": {"type": "string"}, "description": ""}]
    )
    page.post(f"/pipelines/{DAG}/trigger", {"conf-sql": " select 1\r\n\tfrom x ", "other": "", "note": ""})
    assert Run.objects.get().conf == {"sql": " select 1\n\tfrom x "}


def test_a_text_without_a_default_has_to_be_given(page):
    make_pipeline(
        DAG, param_list=[{"name": "sql", "value": None, "schema": {"type": "string"}, "description": ""}]
    )
    answer = page.post(f"/pipelines/{DAG}/trigger", {"conf-sql": "", "other": "", "note": ""})
    assert set(answer.context["form"].errors) == {"conf-sql"}


def test_the_form_takes_a_logical_date(page, sent):
    make_pipeline(DAG)
    page.post(f"/pipelines/{DAG}/trigger", {**FORM, "logical_date": "2026-02-28T06:30"})
    assert Run.objects.get().logical_date == datetime(2026, 2, 28, 6, 30, tzinfo=UTC)
    again = page.post(f"/pipelines/{DAG}/trigger", {**FORM, "logical_date": "2026-02-28T06:30"})
    assert again.status_code == 422
    assert "has this logical date already" in again.context["form"].errors["logical_date"][0]


def test_the_logical_date_is_read_in_the_zone_that_its_label_names(page, sent):
    make_pipeline(DAG)
    page.cookies[ZONE_COOKIE] = "Europe/Madrid"
    assert "Logical date (Europe/Madrid)" in page.get(f"/pipelines/{DAG}/trigger").content.decode()
    page.post(f"/pipelines/{DAG}/trigger", {**FORM, "logical_date": "2026-07-01T06:30:15"})
    assert Run.objects.get().logical_date == datetime(2026, 7, 1, 4, 30, 15, tzinfo=UTC)


def test_the_grid_in_spanish_draws_the_same_shapes(page, run):
    def shapes(language):
        shown = page.get(f"/pipelines/{DAG}", headers={"accept-language": language}).content.decode()
        return re.findall(r' (?:x|y|width|height)="([^"]*)"', shown)

    assert shapes("es") == shapes("en")
    assert not any("," in number for number in shapes("es"))


def test_a_skipped_task_is_not_the_one_to_read(page, run):
    run.task_instances.all().delete()
    make_task(run, "load", "success")
    make_task(run, "search", "skipped", started_at=run.started_at + timedelta(minutes=1), try_number=0)
    assert page.get(f"/runs/{run.pk}").context["shown"].task_id == "load"


def test_the_log_of_an_ended_run_follows_its_latest_try(page, run, real_redis):
    TaskInstance.objects.filter(run=run).update(state="success", try_number=2)
    page.get(f"/runs/{run.pk}/log")
    page.get(f"/runs/{run.pk}/log?try=1")
    TaskLog.objects.update(is_complete=True)
    followed = page.get(f"/runs/{run.pk}/log").content.decode()
    pinned = page.get(f"/runs/{run.pk}/log?try=1").content.decode()
    assert f'hx-trigger="live:run.{run.pk} from:body"' in followed
    assert "hx-trigger" not in pinned


def test_an_error_comes_back_at_its_field_and_nothing_typed_is_lost(page):
    make_pipeline(DAG)
    wrong = {"conf-n_iter": "1000", "conf-share": "0", "conf-grid": "{"}
    answer = page.post(f"/pipelines/{DAG}/trigger", {**FORM, **wrong})
    assert answer.status_code == 422
    errors = answer.context["form"].errors
    assert set(errors) == {"conf-n_iter", "conf-share", "conf-grid"}
    assert errors["conf-share"] == ["Give more than 0."]
    content = answer.content.decode()
    assert 'value="1000"' in content
    assert "Größe &lt;b&gt;" in content
    assert not Run.objects.exists()


def test_running_again_fills_in_the_earlier_settings(page, run):
    form = page.get(f"/pipelines/{DAG}/trigger?from={run.pk}").context["form"]
    assert form.fields["conf-grid"].initial == {"depth": [1]}
    assert form.fields["other"].initial == {"items": 3}


def test_the_switch_answers_with_its_new_place(page):
    make_pipeline(DAG)
    answer = page.post(f"/pipelines/{DAG}/pause", {"is_paused": "1"}, headers={"HX-Request": "true"})
    assert 'aria-checked="false"' in answer.content.decode()
    assert Pipeline.objects.get().wanted_is_paused is True


def test_the_switch_does_not_lead_elsewhere(page):
    make_pipeline(DAG)
    answer = page.post(f"/pipelines/{DAG}/pause", {"is_paused": "1", "next": "https://evil.example/"})
    assert answer.url == f"/pipelines/{DAG}"


def test_cancel_and_clear_lead_back_to_the_run(page, run):
    going = make_run(DAG, RunState.RUNNING)
    assert page.post(f"/runs/{going.pk}/cancel").url == f"/runs/{going.pk}"
    assert page.post(f"/runs/{run.pk}/clear", {"only_failed": "1"}).url == f"/runs/{run.pk}"
    assert set(Run.objects.values_list("wish", flat=True)) == {"cancel", "clear"}


def test_a_viewer_sees_all_and_changes_nothing(client, viewer, run):
    client.force_login(viewer)
    assert client.get(f"/runs/{run.pk}").status_code == 200
    for url in (f"/pipelines/{DAG}/trigger", f"/pipelines/{DAG}/pause", f"/runs/{run.pk}/clear"):
        assert client.post(url).status_code == 403
    assert not Run.objects.exclude(wish=Wish.NOTHING).exists()


def test_a_log_is_text_and_never_html(page, run, airflow, real_redis):
    airflow.add_dag(DAG)
    airflow.as_user("ana", "user").trigger_run(DAG, dag_run_id=run.dag_run_id, conf={})
    airflow.move_on(DAG, run.dag_run_id, "failed", search="failed")

    hostile = from_airflow({"event": "<script>alert(1)</script>", "level": "error"}, own={})
    airflow.log_lines[run.dag_run_id, "search", 1] = [hostile]
    page.get(f"/runs/{run.pk}/tasks/search/log")
    tasks.copy_log(str(TaskLog.objects.get().pk))
    content = page.get(f"/runs/{run.pk}/tasks/search/log").content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in content
    text = page.get(f"/runs/{run.pk}/tasks/search/log.txt")
    assert b"".join(text.streaming_content) == b"error <script>alert(1)</script>\n"
    assert "attachment" in text["Content-Disposition"]


def test_airflows_id_leads_to_the_run(page):
    run = make_run(dag_run_id="manual__2026-01-01T00:00:00+00:00")
    response = page.get("/runs/by-dag-run", {"dag_run_id": run.dag_run_id})
    assert response["Location"] == f"/runs/{run.pk}"


def test_an_id_that_two_pipelines_share_leads_to_the_list(page):
    for dag_id in ("a", "b"):
        make_run(dag_id, dag_run_id="scheduled__1+2")
    assert page.get("/runs/by-dag-run?dag_run_id=scheduled__1%2B2")["Location"] == "/runs?q=scheduled__1%2B2"
    of_a = page.get("/runs/by-dag-run?dag_id=a&dag_run_id=scheduled__1%2B2")
    assert of_a["Location"] == f"/runs/{Run.objects.get(dag_id='a').pk}"


@pytest.mark.parametrize("query", ["", "?dag_run_id=nowhere"])
def test_an_id_of_no_run_is_not_found(page, query):
    assert page.get(f"/runs/by-dag-run{query}").status_code == 404


@pytest.mark.parametrize(
    ("state", "open_dialogs"),
    [("running", ["cancel"]), ("success", []), ("failed", []), ("refused", [])],
)
def test_without_scripts_a_run_shows_only_what_it_allows(page, state, open_dialogs):
    run = make_run(make_pipeline(DAG).dag_id, state=state)
    text = page.get(reverse("pipelines:run-detail", args=[run.pk])).content.decode()
    found = re.findall(r'id="(cancel)-dialog"\s+data-plain', text)
    assert found == open_dialogs
    assert (reverse("pipelines:run-clear", args=[run.pk]) in text) == (state != "refused")


def test_a_share_may_be_typed_with_a_comma(page):
    make_pipeline(DAG)
    page.post(reverse("pipelines:run-trigger", args=[DAG]), FORM | {"conf-share": "0,35"})
    assert Run.objects.get().conf["share"] == 0.35
