"""Which calls are repeated, and which answers are final."""

import httpx
import pytest

from console.demo import rest
from console.demo.errors import NoAnswer, Refused
from console.demo.rest import Caller
from core.lib.idempotency import CLAIMED_BY_DJANGO_S


class Script:
    """Answers one after the other; an exception is raised. The last goes on for ever."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    def __call__(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def caller(script):
    http = httpx.Client(transport=httpx.MockTransport(script))
    return Caller("demo-engineer", "http://console.test", http, key="ata_key")


def refused(status, **headers):
    return httpx.Response(status, json={"detail": "no"}, headers=headers)


GOOD = httpx.Response(202, json={"id": 7})


@pytest.mark.parametrize(
    "first",
    [
        httpx.ConnectError("refused"),
        httpx.ReadError("gone"),
        httpx.ReadTimeout("slow"),
        refused(503, **{"Retry-After": "1"}),
        refused(502),
        refused(429, **{"Retry-After": "1"}),
        refused(409, **{"Retry-After": "2"}),
    ],
)
def test_a_call_is_repeated_with_its_key_when_something_is_away(first):
    script = Script(first, GOOD)
    assert caller(script).post("/jobs", {"app": "x"}, key="k1") == {"id": 7}
    assert [request.headers["Idempotency-Key"] for request in script.requests] == ["k1", "k1"]
    assert script.requests[0].content == script.requests[1].content


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500])
def test_a_call_is_not_repeated_when_its_answer_is_final(status):
    script = Script(refused(status))
    with pytest.raises(Refused, match=f"POST /jobs to be answered; came status {status}: no"):
        caller(script).post("/jobs", {}, key="k1")
    assert len(script.requests) == 1


def test_a_lost_answer_is_found_before_the_call_is_repeated():
    script = Script(httpx.ReadError("gone"))
    assert caller(script).post("/jobs", {}, key="k1", found=lambda: {"id": 3}) == {"id": 3}
    assert len(script.requests) == 1


def test_patience_ends_with_what_came_last(monkeypatch):
    monkeypatch.setattr(rest, "PATIENCE_S", 0.0)
    with pytest.raises(NoAnswer, match=r"GET /runs got no answer within 0 s; the last was status 503"):
        caller(Script(refused(503))).get("/runs")


@pytest.fixture
def clock(monkeypatch):
    """Nobody waits in earnest."""
    now = [0.0]
    monkeypatch.setattr(rest.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(rest.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


def test_a_key_that_a_dead_process_holds_is_waited_for_until_it_is_free(clock):
    def console(request):
        assert request.headers["Idempotency-Key"] == "k1"
        is_held = clock[0] < CLAIMED_BY_DJANGO_S
        return refused(409, **{"Retry-After": "5"}) if is_held else GOOD

    assert caller(console).post("/jobs", {}, key="k1") == {"id": 7}


@pytest.mark.parametrize(
    ("answer", "within_s"), [(refused(503), 150), (refused(409, **{"Retry-After": "9"}), 360)]
)
def test_patience_has_an_end(clock, answer, within_s):
    with pytest.raises(NoAnswer, match=f"within {within_s} s"):
        caller(Script(answer)).post("/jobs", {}, key="k1")
    assert within_s - 20 < clock[0] <= within_s


def test_a_missing_thing_is_none_and_other_refusals_are_raised():
    assert caller(Script(refused(404))).find("/runs/1") is None
    with pytest.raises(Refused):
        caller(Script(refused(403))).find("/runs/1")


def test_all_pages_of_a_list_are_read():
    first = {"results": [{"id": 1}], "next": "http://console.test/api/v1/runs?cursor=abc&limit=200"}
    script = Script(
        httpx.Response(200, json=first), httpx.Response(200, json={"results": [{"id": 2}], "next": None})
    )
    assert [row["id"] for row in caller(script).every("/runs", state="failed")] == [1, 2]
    assert [request.url.query for request in script.requests] == [
        b"limit=200&state=failed",
        b"cursor=abc&limit=200",
    ]


def test_the_serving_process_is_called_with_the_same_token():
    script = Script(GOOD)
    caller(script).at("http://serving.test").ask("/models/titanic/explain", {})
    assert str(script.requests[0].url) == "http://serving.test/api/v1/models/titanic/explain"
    assert script.requests[0].headers["Authorization"] == "Bearer ata_key"
    assert "Idempotency-Key" not in script.requests[0].headers
