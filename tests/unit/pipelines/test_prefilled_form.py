"""The trigger form filled by its address: each type of value, and what does not fit said at its field."""

from urllib.parse import urlencode

import pytest
from django.forms import CheckboxInput
from jsonschema import FormatChecker

from pipelines.models import Run
from tests.pipeline_rows import make_run
from tests.unit.pipelines.test_pipeline_views import shown_in
from tests.unit.pipelines.test_trigger_form import DAG, URL, base_of, typed, with_params

pytestmark = pytest.mark.django_db
PLAIN, SWITCH = {}, {"type": "boolean"}


def address(**query):
    return f"{URL}?{urlencode(query, doseq=True)}"


def sent_as_it_is(page, url):
    """What a run gets when nobody touches the form."""
    answer = page.post(url, {**shown_in(page, url), "base": base_of(page, url)})
    assert answer.status_code == 302, answer.context["form"].errors
    return Run.objects.get().conf["p"]


@pytest.mark.parametrize("schema", [PLAIN, SWITCH], ids=["plain", "typed"])
@pytest.mark.parametrize("default", [True, False])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("False", False),
        ("true", True),
        ("TRUE", True),
        ("0", False),
        ("1", True),
        ("no", False),
        ("Yes", True),
    ],
)
def test_a_switch_stands_as_the_address_says(page, sent, schema, default, text, expected):
    with_params(p=(default, schema))
    url = address(p=text)
    field = page.get(url).context["form"]["conf-p"]
    assert isinstance(field.field.widget, CheckboxInput)
    assert ("checked" in str(field)) is expected
    assert sent_as_it_is(page, url) is expected


@pytest.mark.parametrize("query", [{"conf": '{"p": "True"}'}, {"p": "maybe"}], ids=["text", "no switch"])
def test_what_is_no_switch_is_said_and_can_be_mended(page, sent, query):
    with_params(p=(False, SWITCH))
    url = address(**query)
    shown = page.get(url)
    assert shown.context["form"].refused == {"conf-p": "This has to be of the type boolean."}
    assert 'href="#id_conf-p"' in shown.content.decode()
    assert typed(page, url).status_code == 422
    assert typed(page, url, **{"conf-p": "true"}).status_code == 302
    assert Run.objects.get().conf == {"p": True}


def test_a_text_that_an_earlier_run_had_for_a_plain_switch_is_seen_as_one(page):
    with_params(p=(False, PLAIN))
    run = make_run(DAG, conf={"p": "False"})
    assert "&quot;False&quot;" in str(page.get(address(**{"from": run.pk})).context["form"]["conf-p"])


def test_a_switch_that_was_left_open_can_be_moved_either_way(page, sent):
    with_params(p=(True, SWITCH))
    url = address(conf='{"p": null}')
    assert typed(page, url, **{"conf-p": "false"}).status_code == 302
    assert Run.objects.get().conf == {"p": False}


INTEGER, TEXTS, DAY = {"type": "integer"}, {"type": "array"}, {"type": "string", "format": "date"}
NUMBERS = {"type": "array", "items": {"type": "number"}}


@pytest.mark.parametrize(
    ("default", "schema", "given", "expected"),
    [
        (1, INTEGER, "7", 7),
        (1, INTEGER, "7.0", 7),
        (0.5, {"type": "number"}, "1e3", 1000.0),
        (3, PLAIN, "7", 7),
        (3, PLAIN, "many", "many"),
        ("Vigo", PLAIN, "5", "5"),
        ("Vigo", PLAIN, "null", "null"),
        ("Vigo", {"type": "string"}, "true", "true"),
        ("x", {"type": ["boolean", "string"]}, "yes", "yes"),
        ("x", {"type": ["boolean", "string"]}, "true", True),
        (5, {"type": ["integer", "null"]}, "", None),
        (5, {"type": ["integer", "null"]}, "null", None),
        (True, {"type": ["boolean", "null"]}, "No", False),
        ("x", {"type": ["string", "null"]}, "", None),
        (True, {"enum": [True, False]}, "False", False),
        (1, {"enum": [1, 2]}, "2", 2),
        ("1", {"enum": ["1", "2"]}, "2", "2"),
        ("2026-01-01", DAY, "2026-03-01", "2026-03-01"),
        (["a"], TEXTS, "b", ["b"]),
        (["a"], TEXTS, ["b", "2"], ["b", "2"]),
        (["a"], TEXTS, "b\nc", ["b", "c"]),
        (["a"], TEXTS, '["b"]', ["b"]),
        (["a"], PLAIN, ["b", "c"], ["b", "c"]),
        ([1], NUMBERS, ["2", "3.5"], [2, 3.5]),
        ([1], NUMBERS, "[2, 3]", [2, 3]),
        ({}, {"type": "object"}, '{"a": 1}', {"a": 1}),
        ({"a": 2}, PLAIN, '{"a": 1}', {"a": 1}),
        (None, PLAIN, "5", 5),
        (None, PLAIN, "five", "five"),
    ],
)
def test_a_value_of_the_address_has_the_type_of_its_parameter(page, sent, default, schema, given, expected):
    with_params(p=(default, schema))
    url = address(p=given)
    assert page.get(url).context["form"].refused == {}
    value = sent_as_it_is(page, url)
    assert (value, type(value)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("default", "schema", "given", "words"),
    [
        (1, INTEGER, "many", "This has to be of the type integer."),
        (1, INTEGER, "5.5", "This has to be of the type integer."),
        (1, {**INTEGER, "minimum": 1}, "0", "Give 1 or more."),
        (1, {"enum": [1, 2]}, "3", "Give one of these: 1, 2."),
        ("a", {"type": "string", "pattern": "^a"}, "b", "This has to match ^a."),
        ("2026-01-01", DAY, "soon", "'soon' is not a 'date'"),
        ("PT1H", {"type": "string", "format": "duration"}, "an hour", "'an hour' is not a 'duration'"),
        ([1], NUMBERS, ["1", "x"], "[1] This has to be of the type number."),
        ({}, {"type": "object"}, "x", "This has to be of the type object."),
    ],
)
def test_what_does_not_fit_is_said_at_its_field_at_once(page, default, schema, given, words):
    with_params(p=(default, schema))
    url = address(p=given)
    assert page.get(url).context["form"].refused == {"conf-p": words}
    assert set(typed(page, url).context["form"].errors) == {"conf-p"}


def test_the_formats_that_are_checked_are_airflows():
    """Those that the libraries beside it let it check; more would refuse what it takes."""
    airflows = "date duration email idn-email idn-hostname ipv4 ipv6 regex time uuid"
    assert set(FormatChecker().checkers) == set(airflows.split())


def test_a_time_that_is_none_is_said_at_its_field_at_once(page):
    with_params()
    form = page.get(address(logical_date="soon", run_after="2026-03-01T12:00:00Z")).context["form"]
    assert set(form.refused) == {"logical_date"}


def test_a_fixed_parameter_and_one_without_a_default_are_not_refused_before_anything_is_sent(page):
    with_params(mode=("x", {"const": "x"}), name=(None, {"type": "string"}))
    assert page.get(URL).context["form"].refused == {}
    assert "These values do not fit" not in page.get(address(mode="y")).content.decode()
