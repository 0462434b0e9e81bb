"""The predict API as a rule asks it; it is played by httpx's own transport."""

import json
import math

import httpx
import pytest

from streaming import champion
from streaming.champion import Champion, Waits

SPEC = {
    "title": "t",
    "entity": "trip",
    "task": "regression",
    "fields": [
        {"name": "vendor_id", "type": "integer"},
        {"name": "fare_amount", "type": "number", "min": 0},
        {"name": "passenger_count", "type": "integer", "required": False, "default": 1},
        {"name": "colour", "type": "text", "required": False, "nullable": True},
    ],
    "derived": [],
    "slices": [],
    "output": {"unit": "$", "usual_error": 2.0},
    "primary_metric": "mae",
    "example": {"vendor_id": 1, "fare_amount": 1.0},
}
REFUSED = 666.0
OFFERED = {"vendor_id", "fare_amount", "passenger_count"}


class Api:
    """Predicts a tenth of the fare; keeps what it was sent."""

    def __init__(self):
        self.spec, self.version, self.calls, self.answers = SPEC, "1", [], []

    def __call__(self, request):
        self.calls.append(request)
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        if request.method == "GET":
            return httpx.Response(200, json=self.spec)
        rows = json.loads(request.content)["rows"]
        if any(row["fare_amount"] == REFUSED for row in rows):
            return httpx.Response(422, json={"detail": "The model answers 1 row with no number."})
        given = [{"id": f"p{n}", "value": row["fare_amount"] / 10} for n, row in enumerate(rows)]
        return httpx.Response(200, json={"version": self.version, "predictions": given})

    @property
    def keys(self):
        return [call.headers["idempotency-key"] for call in self.calls if call.method == "POST"]


@pytest.fixture
def api():
    return Api()


@pytest.fixture
def model(api, settings, tmp_path):
    settings.CONSOLE_PIPELINE_TOKENS = tmp_path / "tokens.json"
    settings.CONSOLE_PIPELINE_TOKENS.write_text('{"anomaly_rule": "secret"}')
    return Champion("taxi tip", httpx.Client(transport=httpx.MockTransport(api)))


def event(**values):
    return {"vendor_id": "2", "fare_amount": 10.0, "passenger_count": None, **values}


def test_fields_are_those_of_the_same_name_and_absent_ones_are_left_out(model):
    [row] = model.rows([event()], OFFERED)
    assert row == {"vendor_id": 2, "fare_amount": 10.0}
    [row] = model.rows([event(passenger_count=3.0)], OFFERED)
    assert row["passenger_count"] == 3.0


@pytest.mark.parametrize("odd", [{"vendor_id": "x"}, {"vendor_id": None}, {"fare_amount": -1.0}])
def test_a_row_that_does_not_fit_is_none_and_the_others_go(model, odd):
    rows = model.rows([event(), event(**odd)], OFFERED)
    assert [row is None for row in rows] == [False, True]


def test_a_field_that_the_model_needs_and_events_lack_is_named(model):
    with pytest.raises(Waits, match="fare_amount"):
        model.rows([event()], {"vendor_id"})


def test_it_asks_with_the_token_of_its_account(model, api):
    answers = model.ask([{"fare_amount": 10.0}], place="t 0:0")
    assert (answers.predicted, answers.ids) == ([1.0], ["p0"])
    assert api.calls[0].headers["authorization"] == "Bearer secret"
    assert api.calls[0].url.raw_path == b"/api/v1/models/taxi%20tip/predict"


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ReadTimeout("late"),
        httpx.Response(503, json={"detail": "busy"}),
        httpx.Response(429, json={"detail": "later"}, headers={"Retry-After": "2"}),
        httpx.Response(409, json={"detail": "still at work"}, headers={"Retry-After": "2"}),
        httpx.Response(409, json={"detail": "no champion"}),
    ],
)
def test_a_call_that_got_no_answer_is_the_same_call_later(model, api, answer):
    """Should it have been answered after all, it is not recorded twice."""
    api.answers = [answer]
    with pytest.raises(Waits):
        model.ask([{"fare_amount": 1.0}], place="t 0:0")
    model.ask([{"fare_amount": 1.0}], place="t 0:0")
    model.ask([{"fare_amount": 1.0}], place="t 0:1")
    assert api.keys[0] == api.keys[1] != api.keys[2]


def test_a_row_that_the_model_refuses_costs_no_other_its_answer(model, api):
    rows = [{"fare_amount": fare} for fare in (10.0, 20.0, REFUSED, 30.0, 40.0)]
    answers = model.ask(rows, place="t 0:0")
    assert [answers.predicted[at] for at in (0, 1, 3, 4)] == [1.0, 2.0, 3.0, 4.0]
    assert math.isnan(answers.predicted[2])
    assert answers.ids[2] == ""
    n_asked = len(set(api.keys))
    model.ask(rows, place="t 0:0")
    assert len(set(api.keys)) == n_asked, "the same calls again: what was answered is not recorded twice"


def test_one_look_for_another_champion_is_enough_for_all_halves(model, api):
    rows = model.rows([event(fare_amount=REFUSED)] * 8, OFFERED)
    api.calls.clear()
    assert all(math.isnan(number) for number in model.ask(rows, place="t 0:0").predicted)
    assert [call.method for call in api.calls].count("GET") == 1


def test_a_row_without_a_number_is_told_as_such(model, api):
    given = [{"id": "a", "value": 1.5}, {"id": "b", "value": None}]
    api.answers = [httpx.Response(200, json={"version": "1", "predictions": given})]
    answers = model.ask([{"fare_amount": 1.0}] * 2, place="t 0:0")
    assert answers.predicted[0] == 1.5
    assert math.isnan(answers.predicted[1])


def test_rows_that_another_champion_refuses_are_made_anew(model, api):
    [row] = model.rows([event(fare_amount=REFUSED)], OFFERED)
    api.spec = {**SPEC, "title": "another"}
    with pytest.raises(Waits, match="422"):
        model.ask([row], place="t 0:0")


def test_another_champion_is_looked_up_anew(model, api):
    model.ask([{"fare_amount": 1.0}], place="t 0:0")
    assert model.usual_error() == 2.0
    api.spec, api.version = {**SPEC, "output": {"unit": "$", "usual_error": 5.0}}, "2"
    model.ask([{"fare_amount": 1.0}], place="t 0:1")
    assert model.usual_error() == 5.0


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({**SPEC, "output": {"unit": "$"}}, "give the rule a sigma"),
        ({**SPEC, "output": {"unit": "$", "usual_error": 0}}, "give the rule a sigma"),
        ({"no": "spec"}, "cannot be read"),
    ],
)
def test_a_spec_that_tells_too_little_is_said(model, api, spec, words):
    api.spec = spec
    with pytest.raises(Waits, match=words):
        model.usual_error()


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"version": "1", "predictions": []}),
        httpx.Response(200, json={"version": "1", "predictions": [{"id": "a", "value": "yes"}]}),
        httpx.Response(200, json={"version": "1", "predictions": [{"id": "a", "value": True}]}),
        httpx.Response(502, text="bad gateway"),
        httpx.ConnectError("refused"),
    ],
)
def test_odd_answers_make_the_rule_wait(model, api, answer):
    api.answers = [answer]
    with pytest.raises(Waits):
        model.ask([{"fare_amount": 1.0}], place="t 0:0")


def test_too_many_bytes_go_in_parts(model, api):
    rows = [{"fare_amount": 10.0, "colour": "x" * 9_000} for _ in range(200)]
    assert model.ask(rows, place="t 0:0").predicted == [1.0] * 200
    assert len(api.keys) == len(set(api.keys)) == 2


@pytest.mark.parametrize("text", ["", "[]", '{"other": "x"}'])
def test_without_a_token_it_says_which_file_lacks_it(model, settings, text):
    settings.CONSOLE_PIPELINE_TOKENS.write_text(text)
    with pytest.raises(Waits, match="issue_pipeline_tokens"):
        model.usual_error()
    settings.CONSOLE_PIPELINE_TOKENS.unlink()
    with pytest.raises(Waits, match="issue_pipeline_tokens"):
        model.usual_error()


def test_the_client_has_a_deadline():
    model = champion.connect("m")
    assert model._client.timeout.read == champion.TIMEOUT_S
    model.close()
