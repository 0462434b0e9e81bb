"""The trigger form: kinds of fields, where their values come from, JSON in step, presets."""

import json
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from django.forms import CheckboxInput

from core.audit.models import AuditEntry
from core.lib.errors import InvalidRequest
from core.lib.typed import UnionField
from pipelines import actions, tasks
from pipelines.models import Preset, Run, RunState
from tests.pipeline_rows import make_pipeline, make_run
from tests.unit.pipelines.test_pipeline_views import shown_in

pytestmark = pytest.mark.django_db
DAG = "nightly"
URL = f"/pipelines/{DAG}/trigger"


def with_params(**params):
    """name=(default, schema)."""
    entries = [
        {"name": name, "value": value, "schema": schema, "description": ""}
        for name, (value, schema) in params.items()
    ]
    return make_pipeline(DAG, param_list=entries)


def typed(page, url=URL, **boxes):
    """The form as it is but for these boxes, sent."""
    return page.post(url, {**shown_in(page, url), "base": base_of(page, url), **boxes})


def base_of(page, url):
    return page.get(url).context["form"].base


# --- kinds of fields


@pytest.mark.parametrize(
    ("types", "text", "expected"),
    [
        (["integer", "string"], "500", 500),
        (["integer", "string"], "all", "all"),
        (["integer", "string"], "5.5", "5.5"),
        (["integer", "string"], '"500"', "500"),
        (["integer", "string"], '"all"', '"all"'),
        (["number", "string"], "5.5", 5.5),
        (["boolean", "string"], "true", True),
        (["boolean", "string"], "1", "1"),
        (["string", "object"], '{"a": 1}', {"a": 1}),
        (["string", "object"], "{a", "{a"),
        (["string", "array"], "[1]\r\n", [1]),
        (["integer", "string"], " ", "nothing"),
    ],
)
def test_a_union_reads_what_fits(types, text, expected):
    read = UnionField(types=types, nothing="nothing", required=False).clean(text)
    assert (read, type(read)) == (expected, type(expected))


def test_a_union_is_a_box_of_text_with_its_types_below(page, sent):
    with_params(batch=(1000, {"type": ["integer", "string"], "minimum": 1}))
    text = page.get(URL).content.decode()
    assert 'name="conf-batch" value="1000"' in text
    assert "Read as integer / string, whichever fits." in text
    assert typed(page, **{"conf-batch": "all"}).status_code == 302
    assert Run.objects.get().conf == {"batch": "all"}
    wrong = typed(page, **{"conf-batch": "0"})
    assert wrong.context["form"].errors["conf-batch"] == ["Give 1 or more."]
    assert 'name="conf-batch" value="0"' in wrong.content.decode()


def test_plain_values_get_the_box_of_their_type(page, sent):
    with_params(
        n=(3, {}),
        half=(0.5, {}),
        city=("Vigo", {}),
        quick=(False, {}),
        names=(["a"], {}),
        grid=({"a": 1}, {}),
    )
    form = page.get(URL).context["form"]
    kinds = {name.removeprefix("conf-"): one.kind for name, one in form.described.items() if "conf-" in name}
    assert kinds == {
        "n": "number",
        "half": "number",
        "city": "text",
        "quick": "boolean",
        "names": "lines",
        "grid": "json",
    }
    boxes = {"conf-n": "7", "conf-half": "0,25", "conf-names": "b\r\nc", "conf-quick": "on", "conf-city": "5"}
    assert typed(page, **boxes).status_code == 302
    conf = {"n": 7, "half": 0.25, "city": "5", "quick": True, "names": ["b", "c"], "grid": {"a": 1}}
    assert Run.objects.get().conf == conf


@pytest.mark.parametrize(
    ("schema", "text", "conf"),
    [({}, "1 000", 1000), ({}, "7,5", 7.5), ({}, "", None), ({"minimum": 2}, "2", 2)],
)
def test_a_number_without_a_type_is_read_as_people_write_it(page, sent, schema, text, conf):
    with_params(n=(3, schema))
    assert typed(page, **{"conf-n": text}).status_code == 302
    assert Run.objects.get().conf == {"n": conf}


def test_a_number_without_a_type_refuses_what_is_none(page, sent):
    with_params(n=(3, {}))
    answer = typed(page, **{"conf-n": "3o"})
    assert answer.context["form"].errors["conf-n"] == ["Write a number, such as 7.25."]
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("earlier", "kind"), [("all", "union"), ([1], "json"), (True, "json"), (4, "number")]
)
def test_a_number_without_a_type_keeps_what_an_earlier_run_had(page, sent, earlier, kind):
    with_params(n=(3, {}))
    run = make_run(DAG, conf={"n": earlier})
    url = f"{URL}?{urlencode({'from': run.pk})}"
    form = page.get(url).context["form"]
    assert form.described["conf-n"].kind == kind
    assert ("whichever fits" in form["conf-n"].help_text) is (kind == "union")
    assert typed(page, url).status_code == 302
    assert Run.objects.exclude(pk=run.pk).get().conf == {"n": earlier}


def test_suggested_texts_make_a_number_without_a_type_take_both(page, sent):
    with_params(n=(3, {"examples": [5, "all"]}))
    assert typed(page, **{"conf-n": "all"}).status_code == 302
    assert Run.objects.get().conf == {"n": "all"}


def test_a_boolean_is_a_switch(page):
    with_params(quick=(True, {"type": "boolean"}))
    field = page.get(URL).context["form"]["conf-quick"]
    assert isinstance(field.field.widget, CheckboxInput)
    assert 'role="switch"' in str(field)


def test_a_few_choices_are_boxes_and_many_a_list(page, sent):
    few = {"type": "array", "examples": ["a", "b", "c"], "values_display": {"a": "Apple"}}
    many = {"type": "array", "items": {"enum": list(range(40))}}
    with_params(few=(["b"], few), many=([3], many))
    text = page.get(URL).content.decode()
    assert text.count('type="checkbox" name="conf-few"') == 3
    assert "Apple" in text
    assert 'role="group" aria-labelledby="id_conf-few_label"' in text
    assert '<select name="conf-many"' in text
    assert typed(page, **{"conf-few": ['"a"', '"c"'], "conf-many": ["7"]}).status_code == 302
    assert Run.objects.get().conf == {"few": ["a", "c"], "many": [7]}


def test_none_has_its_words_in_a_choice(page):
    with_params(pick=(None, {"enum": [1, None], "values_display": {"1": "One", "None": "Nothing chosen"}}))
    assert "Nothing chosen" in page.get(URL).content.decode()


def test_a_description_in_markdown_is_drawn_without_its_html(page):
    with_params(n=(1, {"type": "integer", "description_md": "A **bold** <script>x</script> word"}))
    text = page.get(URL).content.decode()
    assert "A <strong>bold</strong> &lt;script&gt;" in text


def test_a_description_in_markdown_stands_above_the_rules(page):
    schema = {"type": "integer", "minimum": 0, "maximum": 128, "description_md": "A **bold** word"}
    param = {"name": "n", "value": 1, "schema": schema, "description": "A plain word"}
    make_pipeline(DAG, param_list=[param])
    text = page.get(URL).content.decode()
    assert text.index("<strong>bold</strong>") < text.index("From 0 to 128.")
    assert "A plain word" not in text


@pytest.mark.parametrize("default", [None, "abc"])
def test_a_constant_is_sent_whether_or_not_it_is_the_default(page, sent, default):
    with_params(kind=(default, {"const": "abc"}))
    assert typed(page).status_code == 302
    assert Run.objects.get().conf == {"kind": "abc"}


def test_json_that_is_none_says_where(page):
    with_params(grid=({"a": 1}, {"type": "object"}))
    errors = typed(page, **{"conf-grid": '{"a": 1,\n b}'}).context["form"].errors
    assert "line 2 column 2" in errors["conf-grid"][0]


# --- where the first values come from


def test_the_address_fills_the_form(page, sent):
    with_params(
        n=(1, {"type": "integer"}),
        city=("Vigo", {"type": "string"}),
        code=("", {"type": "string"}),
        note=("", {"type": "string"}),
        grid=({}, {"type": "object"}),
    )
    query = {
        "conf": '{"grid": {"a": 1}, "extra": 2}',
        "n": "7",
        "city": "Málaga",
        "code": "0123",
        "conf.note": "of the parameter",
        "note": "of the run",
        "logical_date": "2026-02-28T06:30:00",
        "dag_run_id": "mine",
    }
    url = f"{URL}?{urlencode(query)}"
    assert page.post(url, {**shown_in(page, url), "base": base_of(page, url)}).status_code == 302
    run = Run.objects.get()
    assert run.conf == {
        "n": 7,
        "city": "Málaga",
        "code": "0123",
        "note": "of the parameter",
        "grid": {"a": 1},
        "extra": 2,
    }
    assert (run.note, run.dag_run_id) == ("of the run", "mine")
    assert run.logical_date == datetime(2026, 2, 28, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize("conf", ["{", "[1]", "NaN"])
def test_an_address_with_an_odd_conf_is_refused_in_words(page, conf):
    make_pipeline(DAG)
    assert page.get(f"{URL}?{urlencode({'conf': conf})}").status_code == 422


def test_a_wrong_value_of_the_address_is_shown_and_refused_when_sent(page):
    with_params(n=(1, {"type": "integer"}))
    url = f"{URL}?n=many"
    assert "many" in page.get(url).content.decode()
    answer = page.post(url, {**shown_in(page, url), "base": base_of(page, url)})
    assert set(answer.context["form"].errors) == {"conf-n"}


def test_what_airflow_refused_stands_at_its_field_when_it_is_run_again(page):
    with_params(n=(1, {"type": "integer"}))
    words = "Invalid input for param n: 'x' is not of type 'integer'\n\nFailed validating"
    run = make_run(DAG, RunState.REFUSED, conf={"n": 3}, delivery_error=words)
    page_text = page.get(f"{URL}?from={run.pk}").content.decode()
    assert 'href="#id_conf-n"' in page_text
    assert page_text.count("&#x27;x&#x27; is not of type &#x27;integer&#x27;") == 2
    good = make_run(DAG, RunState.SUCCESS, conf={"n": 3}, delivery_error=words)
    assert "is not of type" not in page.get(f"{URL}?from={good.pk}").content.decode()


def test_the_form_takes_a_partition_and_a_data_interval(page, sent):
    make_pipeline(DAG, param_list=[])
    given = {"partition_key": " es ", "data_interval_start": "2026-02-01T00:00"}
    answer = typed(page, **given)
    assert answer.status_code == 422
    assert answer.context["form"].errors["data_interval_end"] == [
        "Give both ends of the data interval, or none."
    ]
    query = urlencode({**given, "data_interval_end": "2026-02-02T00:00:00Z"})
    assert typed(page, f"{URL}?{query}").status_code == 302
    run = Run.objects.get()
    assert (run.partition_key, run.data_interval_start) == ("es", datetime(2026, 2, 1, tzinfo=UTC))
    assert run.data_interval_end == datetime(2026, 2, 2, tzinfo=UTC)


def test_a_run_is_run_again_for_its_partition_and_not_for_its_dates(page):
    make_pipeline(DAG, param_list=[])
    at = datetime(2026, 2, 1, tzinfo=UTC)
    run = make_run(DAG, partition_key="es", data_interval_start=at, data_interval_end=at)
    shown = shown_in(page, f"{URL}?from={run.pk}")
    assert (shown["partition_key"], shown["data_interval_start"]) == ("es", "")
    assert shown_in(page, f"{URL}?from={run.pk}&partition_key=pt")["partition_key"] == "pt"
    assert "Partition key" in page.get(f"/runs/{run.pk}").content.decode()


def test_a_partition_that_airflow_refused_is_said_at_its_field(page):
    make_pipeline(DAG, param_list=[])
    words = f"Dag '{DAG}' is not a partitioned Dag and does not accept a partition_key."
    run = make_run(DAG, RunState.REFUSED, partition_key="es", delivery_error=words)
    assert page.get(f"{URL}?from={run.pk}").context["form"].refused == {"partition_key": words}


def test_the_form_says_that_a_pipeline_takes_no_runs_by_hand(page):
    make_pipeline(DAG, param_list=[], allowed_run_types=["asset_triggered"])
    assert "takes no runs by hand" in page.get(URL).content.decode()
    assert typed(page).status_code == 409


def test_what_airflow_refused_stands_at_a_field_of_any_name(page):
    with_params(**{"my param": (1, {"type": "integer"}), "my": (1, {})})
    words = "Invalid input for param my param: 'x' is not of type 'integer'"
    run = make_run(DAG, RunState.REFUSED, conf={"my param": 3}, delivery_error=words)
    refused = page.get(f"{URL}?from={run.pk}").context["form"].refused
    assert refused == {"conf-my param": "'x' is not of type 'integer'"}


def test_settings_used_lately_are_offered_each_once(page):
    with_params(n=(1, {"type": "integer"}))
    for n in (5, 6, 5, 5):
        make_run(DAG, conf={"n": n})
    make_run(DAG, conf={})
    assert [run.conf["n"] for run in page.get(URL).context["recent"]] == [5, 6]


# --- raw JSON


def test_raw_json_goes_into_the_fields(page):
    with_params(n=(1, {"type": "integer"}), city=("Vigo", {"type": "string"}))
    sent = {"apply": "1", "raw": '{"n": "x", "city": "Lugo", "more": 1}', "note": "kept"}
    answer = page.post(URL, sent)
    form = answer.context["form"]
    assert answer.status_code == 200
    assert (form["conf-city"].value(), form["note"].value()) == ("Lugo", "kept")
    assert json.loads(form["other"].value()) == {"more": 1}
    assert form.refused == {"conf-n": "This has to be of the type integer."}


def test_raw_json_that_is_none_keeps_everything(page):
    with_params(n=(1, {"type": "integer"}))
    answer = page.post(URL, {"apply": "1", "raw": "{", "conf-n": "9", "base": "{}"})
    assert answer.status_code == 422
    text = answer.content.decode()
    assert "This is not JSON" in text
    assert 'value="9"' in text


def test_the_fields_go_into_the_raw_json(page):
    with_params(n=(1, {"type": "integer"}))
    answer = page.post(f"{URL}/conf", {"conf-n": "8", "other": '{"a": 1}', "base": "{}"})
    assert json.loads(answer.context["raw"]) == {"a": 1, "n": 8}


@pytest.mark.parametrize(
    ("raw", "status"),
    [('{"n": 8}', 302), ('{"n": 1}', 302), ('{"n": 99}', 422), ("{", 422)],
    ids=["in step", "untouched", "edited", "broken"],
)
def test_raw_json_that_says_something_else_is_not_lost_in_silence(page, sent, raw, status):
    with_params(n=(1, {"type": "integer"}))
    answer = page.post(URL, {"conf-n": "8", "base": "{}", "raw": raw, "raw_shown": '{"n": 1}'})
    assert answer.status_code == status
    assert status == 302 or answer.context["raw"] == raw


def test_a_form_that_came_back_with_a_fault_is_sent_before_its_raw_json_has_followed(page, sent):
    with_params(n=(1, {"type": "integer", "maximum": 50}))
    refused = page.post(URL, {"conf-n": "999", "base": "{}"})
    assert refused.status_code == 422
    raw = refused.context["raw"]
    again = {"conf-n": "8", "base": "{}", "raw": raw.replace("\n", "\r\n"), "raw_shown": raw}
    assert page.post(URL, again).status_code == 302


def test_boxes_are_read_as_they_were_drawn(page, sent):
    """The address said a list of numbers, which a box of lines could not hold."""
    with_params(names=(["a"], {"type": "array"}))
    answer = page.post(URL, {"conf-names": "[1, 2]", "base": '{"names": [3]}'})
    assert answer.status_code == 302
    assert Run.objects.get().conf == {"names": [1, 2]}


# --- presets


def test_a_preset_is_kept_offered_replaced_and_removed(page):
    with_params(n=(1, {"type": "integer"}))
    answer = page.post(URL, {"conf-n": "8", "base": "{}", "save": "1", "preset_name": " big "})
    preset = Preset.objects.get()
    assert answer.url == f"{URL}?preset={preset.pk}"
    assert not Run.objects.exists()
    shown = page.get(answer.url)
    assert shown.context["form"]["conf-n"].value() == "8"
    assert "big" in shown.content.decode()
    page.post(URL, {"conf-n": "9", "base": "{}", "save": "1", "preset_name": "big"})
    assert Preset.objects.get().conf == {"n": 9}
    page.post(f"/presets/{preset.pk}/remove")
    assert not Preset.objects.exists()
    assert list(
        AuditEntry.objects.filter(action__startswith="preset.")
        .order_by("pk")
        .values_list("action", flat=True)
    ) == [
        "preset.save",
        "preset.save",
        "preset.remove",
    ]


@pytest.mark.parametrize("name", ["", "x" * 101])
def test_a_preset_needs_a_name(page, name):
    with_params(n=(1, {"type": "integer"}))
    answer = page.post(URL, {"conf-n": "8", "base": "{}", "save": "1", "preset_name": name})
    assert answer.status_code == 422
    assert "Give a name" in answer.content.decode()


def test_presets_over_rest(page):
    with_params(n=(1, {"type": "integer"}))
    url = f"/api/v1/pipelines/{DAG}/presets"
    made = page.post(url, {"name": "big", "conf": {"n": 4}}, content_type="application/json")
    assert made.status_code == 201
    assert [row["name"] for row in page.get(url).json()["results"]] == ["big"]
    refused = page.post(url, {"name": "odd", "conf": {"n": "x"}}, content_type="application/json")
    assert refused.status_code == 422
    assert page.delete(f"/api/v1/presets/{made.json()['id']}").status_code == 204
    assert page.delete("/api/v1/presets/999999").status_code == 404


# --- run id and run after


@pytest.mark.parametrize(
    "run_id",
    [
        *("a/b", "a b", "café", "a..b", "x" * 251),
        *("scheduled__1", "backfill__1", "operator_triggered__1"),
        *("asset_triggered__1", "asset_materialization__1"),
    ],
)
def test_a_run_id_that_airflow_would_refuse_is_refused_at_its_field(scientist, run_id):
    with_params()
    with pytest.raises(InvalidRequest) as caught:
        actions.trigger_run(DAG, conf={}, by=scientist, dag_run_id=run_id)
    assert [fault["field"] for fault in caught.value.errors] == ["dag_run_id"]


def test_a_run_id_is_used_once(page, sent):
    with_params()
    assert typed(page, dag_run_id="mine").status_code == 302
    again = typed(page, dag_run_id="mine")
    assert "has this id already" in again.context["form"].errors["dag_run_id"][0]


def test_a_run_that_has_to_wait_says_so_to_airflow(scientist, airflow, monkeypatch):
    with_params()
    airflow.add_dag(DAG)
    at = datetime(2027, 1, 1, tzinfo=UTC)
    given = {}
    trigger = type(airflow).trigger_run

    def noted(self, dag_id, **options):
        given.update(options)
        return trigger(self, dag_id, **options)

    monkeypatch.setattr(type(airflow), "trigger_run", noted)
    run = actions.trigger_run(DAG, conf={}, by=scientist, dag_run_id="mine", run_after=at)
    tasks.deliver_run(str(run.pk))
    assert (given["run_after"], given["dag_run_id"]) == (at, "mine")


# --- odd rules


@pytest.mark.parametrize("types", [["number", "null"], ["integer", "number"], "number"])
def test_a_whole_number_is_sent_as_one(page, types):
    with_params(x=(3, {"type": types, "minimum": 0}))
    typed(page, **{"conf-x": "6"})
    assert json.dumps(Run.objects.get().conf) == '{"x": 6}'


@pytest.mark.parametrize("place", ["#/definitions/x", "nofile.json", "http://127.0.0.1:9/x.json", "#"])
def test_a_rule_that_refers_to_nowhere_says_nothing(page, place):
    """Airflow lists such a DAG where it has no schedule; no other machine is asked for the rule."""
    with_params(x=("a", {"$ref": place}))
    assert page.get(f"{URL}?x=b").status_code == 200
    typed(page, **{"conf-x": "c"})
    assert Run.objects.get().conf == {"x": "c"}
