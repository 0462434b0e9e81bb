"""JSON that nobody could handle: nested so deeply that the stack runs out, or with halves of characters."""

import html
import json

import pytest
from django import forms

from core.lib import json_bodies
from core.lib.typed import JSONText
from tests.people import make_user, signed_in

PATHS = ("streams", "replays", "pipelines/any/runs", "tokens")


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.mark.django_db
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", [b"[" * 500_000, nested(100_000), nested(65), b'{"a": ' + b"[" * 300_000])
def test_a_call_with_deep_json_is_refused(path, body):
    caller = signed_in(make_user("ada", "admin", "engineer"))
    answer = caller.post(f"/api/v1/{path}", data=body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["detail"]


@pytest.mark.django_db
@pytest.mark.parametrize("path", [*PATHS, "jobs"])
@pytest.mark.parametrize("body", [rb'{"\ud800": 1}', rb'{"params": {"\udfff": ""}}', rb'{"app": ["\ud800"]}'])
def test_a_call_with_half_a_character_is_refused(path, body):
    caller = signed_in(make_user("ada", "admin", "engineer"))
    answer = caller.post(f"/api/v1/{path}", data=body, content_type="application/json")
    assert answer.status_code == 400
    assert "half of a character" in answer.json()["detail"]


@pytest.mark.parametrize("text", ["[" * 100_000, nested(100_000).decode(), nested(65).decode()])
def test_a_field_with_deep_json_says_so(text):
    class Form(forms.Form):
        other = JSONText()

    form = Form({"other": text})
    assert "nested more than 64 levels" in form.errors["other"][0]
    assert text[:200] in html.unescape(form.as_p()).replace(" ", "")


@pytest.mark.parametrize(("levels", "is_too_deep"), [(1, False), (64, False), (65, True)])
def test_levels_are_counted(levels, is_too_deep):
    assert json_bodies.is_too_deep(json.loads(nested(levels))) is is_too_deep
