"""Each type of parameter that Airflow documents, from the form to the settings: untouched, and changed.

https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/params.html
"""

import pytest

from pipelines.models import Run
from tests.unit.pipelines.test_trigger_form import URL, typed, with_params

pytestmark = pytest.mark.django_db

STRING, TEXTS = {"type": "string"}, {"type": "array"}
FEW = ["one", "two", "three"]
OBJECTS = {"type": "array", "items": {"type": "object", "required": ["name"]}}
# default, schema, kind of field, what is typed, what becomes of it
DOCUMENTED = {
    "plain number": (3, {}, "number", "7", 7),
    "plain text": ("Hello", {}, "text", "Hi", "Hi"),
    "plain text of lines": ("a", {"format": "multiline"}, "multiline", "a\r\nb", "a\nb"),
    "plain date": ("2026-01-01", {"format": "date"}, "date", "2026-03-01", "2026-03-01"),
    "plain switch": (True, {}, "boolean", None, False),
    "plain list": (["a"], {}, "lines", "a\r\nb", ["a", "b"]),
    "plain empty list": ([], {}, "lines", "a\r\nb", ["a", "b"]),
    "plain list of numbers": ([1], {}, "json", "[1, 2]", [1, 2]),
    "plain list that is to hold numbers": ([], {"items": {"type": "number"}}, "json", "[1, 2]", [1, 2]),
    "plain list of several": ([], {"examples": FEW}, "choices", ['"one"', '"two"'], ["one", "two"]),
    "plain object": ({"a": 1}, {}, "json", '{"a": 2}', {"a": 2}),
    "string": ("abc", {**STRING, "minLength": 2, "maxLength": 9, "pattern": "^a"}, "text", "axe", "axe"),
    "string with proposals": ("Alpha", {**STRING, "examples": ["Alpha", "Beta"]}, "text", "Own", "Own"),
    "string or none": ("x", {"type": ["null", "string"]}, "text", "", None),
    "date": ("2026-01-01", {**STRING, "format": "date"}, "date", "2026-03-01", "2026-03-01"),
    "date-time": (
        "2026-01-01T12:00:00Z",
        {**STRING, "format": "date-time"},
        "moment",
        "2026-03-01T06:30",
        "2026-03-01T06:30:00+00:00",
    ),
    "time or none": (
        "12:13:14",
        {"type": ["string", "null"], "format": "time"},
        "time",
        "06:30:00",
        "06:30:00",
    ),
    "duration": ("PT15M", {**STRING, "format": "duration"}, "text", "P1D", "P1D"),
    "multiline": ("a\nb", {**STRING, "format": "multiline"}, "multiline", "a\r\nc", "a\nc"),
    "email": ("a@example.com", {**STRING, "format": "idn-email"}, "text", "b@example.com", "b@example.com"),
    "one of several": ("a", {"enum": ["a", "b", 42], "values_display": {"a": "Alpha"}}, "choice", "42", 42),
    "number or none of several": (
        3,
        {"type": ["number", "null"], "enum": [3, 4, None]},
        "choice",
        "null",
        None,
    ),
    "integer": (42, {"type": "integer", "minimum": 14, "multipleOf": 7}, "integer", "49", 49),
    "number": (0.5, {"type": "number", "maximum": 2}, "number", "1.25", 1.25),
    "boolean": (True, {"type": "boolean"}, "boolean", None, False),
    "array": (["a", "b"], TEXTS, "lines", "c", ["c"]),
    "array that is emptied": (["a", "b"], TEXTS, "lines", "", []),
    "array of several": (["two"], {**TEXTS, "examples": FEW}, "choices", ['"one"'], ["one"]),
    "array of emails": (
        ["a@example.com"],
        {**TEXTS, "items": {"type": "string", "format": "idn-email"}},
        "lines",
        "b@example.com\r\nc@example.com",
        ["b@example.com", "c@example.com"],
    ),
    "array of numbers": ([1, 2], {**TEXTS, "items": {"type": "number"}}, "json", "[3]", [3]),
    "array of objects": ([{"name": "a"}], OBJECTS, "json", '[{"name": "b"}]', [{"name": "b"}]),
    "object or none": ({"key": "value"}, {"type": ["object", "null"]}, "json", "", None),
    "several types": (5, {"type": ["null", "number", "string"]}, "union", "five", "five"),
    "text or object": ("nightly", {"type": ["string", "object"]}, "union", '{"a": 1}', {"a": 1}),
    "number or text with proposals": (
        5,
        {"type": ["integer", "string"], "examples": [5, "all"]},
        "union",
        "all",
        "all",
    ),
}


@pytest.mark.parametrize("case", DOCUMENTED.values(), ids=DOCUMENTED)
def test_a_documented_type_goes_from_the_form_to_the_settings(page, sent, case):
    default, schema, kind, box, expected = case
    with_params(p=(default, schema))
    assert page.get(URL).context["form"].described["conf-p"].kind == kind
    off = {"base": "{}"}  # a switch that is off sends nothing
    untouched, changed = typed(page), page.post(URL, off) if box is None else typed(page, **{"conf-p": box})
    assert (untouched.status_code, changed.status_code) == (302, 302)
    values = [run.conf["p"] for run in Run.objects.order_by("pk")]
    assert values == [default, expected]
    assert list(map(type, values)) == [type(default), type(expected)]


def test_what_is_suggested_hangs_on_the_box_where_it_can(page):
    both = {"type": ["number", "string"], "examples": [1.5, "all"]}
    with_params(short=(5, both), long=("x", {"type": ["string", "object"], "examples": ["x", {"a": 1}]}))
    text = page.get(URL, headers={"accept-language": "es"}).content.decode()
    assert 'list="id_conf-short_list"' in text
    assert '<option value="1.5">' in text  # as it would be read: JSON, in any language
    assert "id_conf-long_list" not in text
    assert "x, {&quot;a&quot;: 1}." in text
