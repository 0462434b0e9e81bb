"""What a program gets from the predict path: answers, and a reason for each kind of bad input."""

import asyncio
import threading
import time
import uuid

import numpy as np
import orjson
import pytest

from core.lib import bodies
from predictions.serving import application
from predictions.serving.application import PredictApp
from scoring.explain import GivenUp
from tests.champions import KEY, ROW, grant


def test_a_row_is_answered_and_recorded(call, broker):
    status, answer, headers = call({"rows": [ROW]})
    given = answer["predictions"][0]
    assert status == 200
    assert (answer["model"], answer["version"]) == ("titanic", "1")
    assert given["label"] == "Did not survive"
    assert given["value"] == 0
    assert sum(given["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert uuid.UUID(given["id"]).version == 7
    assert headers["x-request-id"] == answer["request_id"]
    record = broker.records[0]
    assert record["id"] == given["id"]
    assert record["inputs"] == ROW
    assert (record["user_id"], record["username"], record["token_id"], record["source"]) == (
        7,
        "ana",
        3,
        "api",
    )


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_row_that_the_model_has_no_number_for_is_named(call, running, broker, monkeypatch, number):
    scorer = running.engine.champion("titanic").scorer
    run = scorer._run

    def overflows(feed):
        outcome = run(feed)
        outcome.probabilities[feed["Fare"].ravel() > 1_000] = number
        return outcome

    monkeypatch.setattr(scorer, "_run", overflows)
    odd = {**ROW, "Fare": 2_000}
    for rows, place in (([odd], 0), ([ROW, odd], 1)):
        status, problem, _headers = call({"rows": rows})
        assert status == 422
        assert [(error["row"], error["message"]) for error in problem["errors"]] == [
            (place, "the model answers with no number")
        ]
    assert broker.messages == []
    assert call({"rows": [ROW]})[0] == 200


def test_every_row_of_a_call_is_recorded(call, broker):
    status, answer, _headers = call({"rows": [ROW, {**ROW, "Sex": "female"}]})
    assert status == 200
    assert [given["label"] for given in answer["predictions"]] == ["Did not survive", "Survived"]
    assert [record["row"] for record in broker.records] == [0, 1]


def test_unusual_values_are_answered_with_warnings(call):
    _status, answer, _headers = call({"rows": [{**ROW, "Parch": 9, "Embarked": "X"}]})
    parch, embarked = answer["predictions"][0]["warnings"]
    assert "Parch is 9" in parch
    assert "Embarked" in embarked


def without(field: str) -> dict:
    return {name: value for name, value in ROW.items() if name != field}


@pytest.mark.parametrize(
    ("row", "field", "words"),
    [
        (without("Sex"), "Sex", "is missing"),
        ({**ROW, "Age": "old"}, "Age", "must be a number"),
        ({**ROW, "Pclass": 2.5}, "Pclass", "whole number"),
        ({**ROW, "Sex": "robot"}, "Sex", "male"),
        ({**ROW, "Age": 500}, "Age", "120"),
        ({**ROW, "Cabin": "C85"}, "Cabin", "not a field"),
        ({**ROW, "Fare": None}, "Fare", "null"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(call, broker, row, field, words):
    status, problem, headers = call({"rows": [ROW, row]})
    assert status == 422
    assert headers["content-type"] == "application/problem+json"
    assert [(error["row"], error["field"]) for error in problem["errors"]] == [(1, field)]
    assert words in problem["errors"][0]["message"]
    assert broker.messages == []


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_a_number_that_is_none_is_refused(call, literal):
    body = orjson.dumps({"rows": [{**ROW, "Fare": 0}]}).replace(b'"Fare":0', b'"Fare":' + literal)
    status, problem, _headers = call(body)
    assert status == 422
    assert problem["errors"][0]["field"] == "Fare"


@pytest.mark.parametrize("body", [b"not json", b"", b'{"rows": [', b"\xff\xfe"])
def test_what_is_not_json_is_refused(call, body):
    status, problem, _headers = call(body)
    assert status == 400
    assert "not JSON" in problem["detail"]


@pytest.mark.parametrize(
    "body", [b"[" * 500_000, b'{"rows": [{"Age": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}]}"]
)
def test_what_is_nested_too_deeply_is_refused(call, body):
    status, problem, _headers = call(body)
    assert status == 400
    assert "nested too deeply" in problem["detail"]


def test_a_thousand_rows_are_answered(call):
    status, answer, _headers = call({"rows": [ROW] * 1000})
    assert status == 200
    assert len({given["id"] for given in answer["predictions"]}) == 1000


def test_one_row_more_is_too_many(call):
    status, problem, _headers = call({"rows": [ROW] * 1001})
    assert status == 413
    assert "at most 1\u202f000" in problem["detail"]


def test_two_mebibytes_are_too_large_while_they_come_in(call):
    status, problem, _headers = call(b" " * 2 * 1024 * 1024)
    assert status == 413
    assert "1 MiB" in problem["detail"]


def test_two_mebibytes_are_too_large_when_announced(call):
    status, _problem, _headers = call(b"{}", content_length=str(2 * 1024 * 1024))
    assert status == 413


@pytest.mark.parametrize("headers", [{}, {"content_length": "900"}], ids=["not announced", "announced"])
def test_a_caller_who_hangs_up_in_mid_body_is_not_answered(call, broker, headers):
    assert call({"rows": [ROW]}, hangs_up=True, **headers) == (0, None, {})
    assert broker.messages == []


async def slow_call(app, *parts: bytes):
    """A call whose body does not end: its status, and the problem."""
    sent, left = [], list(parts)

    async def receive():
        if not left:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": left.pop(0), "more_body": True}

    async def send(message):
        sent.append(message)

    headers = [(b"authorization", f"Bearer {KEY}".encode())]
    path = "/api/v1/models/titanic/predict"
    await app({"type": "http", "method": "POST", "path": path, "headers": headers}, receive, send)
    return sent[0]["status"], orjson.loads(sent[1]["body"])


async def test_a_body_that_does_not_end_is_refused_in_time(running, monkeypatch):
    monkeypatch.setattr(bodies, "LONGEST_S", 0.1)
    status, problem = await slow_call(PredictApp(running), b'{"rows"')
    assert status == 408
    assert "did not arrive within" in problem["detail"]


async def test_bodies_that_are_held_at_once_are_bounded(running, monkeypatch):
    monkeypatch.setattr(bodies, "LONGEST_S", 0.3)
    monkeypatch.setattr(application, "MOST_HELD_BYTES", 100)
    app = PredictApp(running)
    first = asyncio.create_task(slow_call(app, b" " * 90))
    await asyncio.sleep(0.05)
    assert (await slow_call(app, b" " * 11))[0] == 503
    assert (await first)[0] == 408
    assert (await slow_call(app, b" " * 100))[0] == 408, "room is given back"


def test_an_unknown_model_is_not_found(call):
    status, problem, _headers = call({"rows": [ROW]}, path="atlantis/predict")
    assert status == 404
    assert "atlantis" in problem["detail"]


def test_a_model_without_champion_is_a_conflict(call):
    status, problem, _headers = call({"rows": [ROW]}, path="unfinished/predict")
    assert status == 409
    assert "no champion" in problem["detail"]


def test_nobody_gets_in_without_a_token(call):
    status, _problem, headers = call({"rows": [ROW]}, key=None)
    assert status == 401
    assert headers["www-authenticate"] == "Bearer"


def test_an_unknown_token_is_refused(call):
    assert call({"rows": [ROW]}, key="ata_other")[0] == 401


def test_a_token_that_expires_meanwhile_is_refused(call, running, source):
    source.tokens = [grant(expires_at=time.time() - 1)]
    running.refresher.refresh()
    status, problem, _headers = call({"rows": [ROW]})
    assert status == 401
    assert "expired" in problem["detail"]


def test_a_revoked_token_is_refused_after_the_next_refresh(call, running, source):
    assert call({"rows": [ROW]})[0] == 200
    source.tokens = []
    running.refresher.refresh()
    assert call({"rows": [ROW]})[0] == 401


def test_a_token_without_the_scope_is_forbidden(call, running, source):
    source.tokens = [grant(scopes=frozenset({"see"}))]
    running.refresher.refresh()
    status, problem, _headers = call({"rows": [ROW]})
    assert status == 403
    assert "predict" in problem["detail"]


def test_tokens_that_nobody_could_check_for_too_long_are_not_trusted(call, running):
    running.callers._as_of -= 4000
    assert call({"rows": [ROW]})[0] == 503


def test_an_explanation_adds_up_and_records_nothing(call, broker):
    status, answer, _headers = call({"rows": [ROW]}, path="titanic/explain")
    found = answer["explanations"][0]
    assert status == 200
    assert found["is_exact"]
    assert sum(found["contributions"].values()) == pytest.approx(found["prediction"] - found["base"])
    assert broker.messages == []


def test_the_rows_of_a_call_share_the_time_for_explanations(call, running, monkeypatch):
    served, budgets = running.engine.served["titanic"], []
    explain = served.explain

    def noted(row, *, budget_s, **options):
        budgets.append(budget_s)
        return explain(row, budget_s=budget_s, **options)

    monkeypatch.setattr(served, "explain", noted)
    assert call({"rows": [ROW] * 4}, path="titanic/explain")[0] == 200
    assert budgets == [1.25] * 4


async def test_an_explanation_ends_with_its_caller(running, monkeypatch):
    served, is_at_work, has_ended = running.engine.served["titanic"], threading.Event(), threading.Event()

    def explain(_row, *, is_wanted, **_options):
        is_at_work.set()
        while is_wanted():
            time.sleep(0.001)
        has_ended.set()
        raise GivenUp

    monkeypatch.setattr(served, "explain", explain)
    heard = iter([{"type": "http.request", "body": orjson.dumps({"rows": [ROW]})}])

    async def receive():
        for message in heard:
            return message
        await asyncio.to_thread(is_at_work.wait, 10)
        return {"type": "http.disconnect"}

    async def send(message):
        raise AssertionError(f"nobody reads {message}")

    headers = [(b"authorization", f"Bearer {KEY}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/api/v1/models/titanic/explain", "headers": headers}
    async with asyncio.timeout(10):
        await PredictApp(running)(scope, receive, send)
        assert await asyncio.to_thread(has_ended.wait, 10)
    assert running.engine._n_explaining == 0


@pytest.fixture
def failing(running, monkeypatch):
    """The compiled model fails on what the test says, and answers other rows as ever."""
    scorer = running.engine.served["titanic"].scorer
    run = scorer._session.run

    def made(is_borne, answer=None):
        class Session:
            def run(self, names, feed):
                is_bad = ~is_borne(feed).reshape(-1)
                if is_bad.any() and answer is None:
                    raise RuntimeError("Non-zero status code returned while running Reshape node")
                values, shares = run(names, feed)
                shares = np.where(is_bad[:, None], answer, shares) if is_bad.any() else shares
                return [values, shares]

        monkeypatch.setattr(scorer, "_session", Session())

    return made


def test_an_explanation_names_the_row_that_the_model_fails_on(call, failing):
    failing(lambda feed: feed["Pclass"] != 2)
    status, problem, _headers = call({"rows": [ROW, ROW, ROW | {"Pclass": 2}]}, path="titanic/explain")
    assert status == 422
    assert [error["row"] for error in problem["errors"]] == [2]
    assert "fails on these values" in problem["detail"]


def test_an_explanation_names_the_row_that_has_no_number(call, failing):
    failing(lambda feed: feed["Pclass"] != 2, np.nan)
    status, problem, _headers = call({"rows": [ROW, ROW | {"Pclass": 2}]}, path="titanic/explain")
    assert status == 422
    assert problem["errors"] == [{"row": 1, "field": "", "message": "the model answers with no number"}]


@pytest.mark.parametrize("answer", [None, np.nan, np.inf], ids=["fails", "NaN", "infinite"])
def test_a_mixture_that_the_model_does_not_bear_is_nobody_s_fault(call, running, failing, answer):
    served = running.engine.served["titanic"]
    served.reference = [ROW | {"Pclass": 2, "Fare": 30.0}, ROW | {"Pclass": 1, "Sex": "female", "Fare": 80.0}]
    failing(lambda feed: (feed["Pclass"] != 2) | (feed["Fare"] != np.float32(ROW["Fare"])), answer)
    status, found, _headers = call({"rows": [ROW]}, path="titanic/explain")
    assert status == 200
    explained = found["explanations"][0]
    assert (explained["n_reference"], explained["n_left_out"]) == (1, 1)
    assert sum(explained["contributions"].values()) == pytest.approx(
        explained["prediction"] - explained["base"]
    )
    served.reference = served.reference[:1]
    status, problem, _headers = call({"rows": [ROW, ROW]}, path="titanic/explain")
    assert status == 409
    assert "is answered, but cannot be explained" in problem["detail"]
    assert problem["errors"][0]["row"] == 0


def test_rows_that_a_compiled_model_fails_on_are_named(call, failing, broker):
    failing(lambda feed: feed["Pclass"] != 2)
    rows = [ROW] * 60 + [ROW | {"Pclass": 2}]
    status, problem, _headers = call({"rows": rows})
    assert status == 422
    assert [error["row"] for error in problem["errors"]] == [60]
    assert call({"rows": rows[-1:]})[0] == 422
    assert broker.messages == []


def test_eleven_rows_are_too_many_to_explain(call):
    assert call({"rows": [ROW] * 11}, path="titanic/explain")[0] == 413


def test_a_plain_request_id_is_kept_and_another_is_not(call):
    assert call({"rows": [ROW]}, x_request_id="job-2026-11-21")[1]["request_id"] == "job-2026-11-21"
    assert call({"rows": [ROW]}, x_request_id="a b;c")[1]["request_id"] != "a b;c"


@pytest.mark.parametrize(
    ("method", "path", "headers", "is_ours"),
    [
        ("POST", "/api/v1/models/titanic/predict", [(b"authorization", b"Bearer x")], True),
        ("POST", "/api/v1/models/titanic/explain", [(b"authorization", b"Bearer x")], True),
        ("POST", "/api/v1/models/titanic/invocations", [(b"authorization", b"Bearer x")], True),
        ("POST", "/api/v1/models/titanic/predict", [(b"cookie", b"session=1")], False),
        ("GET", "/api/v1/models/titanic/predict", [(b"authorization", b"Bearer x")], False),
        ("POST", "/api/v1/models/titanic/rollback", [(b"authorization", b"Bearer x")], False),
        ("POST", "/api/v1/models//predict", [(b"authorization", b"Bearer x")], False),
    ],
)
def test_only_predict_calls_with_a_token_are_taken(running, method, path, headers, is_ours):
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    assert PredictApp(running).matches(scope) is is_ours


def test_a_key_without_redis_gets_503_and_others_go_on(call, broker):
    status, _problem, headers = call({"rows": [ROW]}, idempotency_key="once")
    assert status == 503
    assert headers["retry-after"]
    assert broker.messages == []
    assert call({"rows": [ROW]})[0] == 200


def test_the_key_is_never_in_the_snapshot(running, tmp_path):
    kept = tmp_path / "tokens.json"
    assert KEY not in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0
