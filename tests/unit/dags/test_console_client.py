"""A pipeline's call for the gate, against a console that keeps state: late mirrors, refusals, verdicts."""

import json
from typing import Any

import httpx
import pytest

from dags.recipes.common import console
from dags.recipes.common.console import ConsoleRefused

PATH = "/api/v1/models/titanic/versions/3"


class FakeConsole:
    """Knows a version after some calls, and settles its gate after some more."""

    def __init__(
        self, *, unknown_for: int = 0, pending_for: int = 1, settled: dict[str, Any] | None = None
    ) -> None:
        self.unknown_for = unknown_for
        self.pending_for = pending_for
        self.settled = settled or {"state": "passed", "checks": []}
        self.gate: dict[str, Any] | None = None
        self.keys: list[str] = []
        self.down_for = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.down_for:
            self.down_for -= 1
            raise httpx.ConnectError("connection refused")
        if request.headers["Authorization"] != "Bearer secret":
            return httpx.Response(401, json={"detail": "No such token."})
        return self._post(request) if request.method == "POST" else self._get()

    def _post(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == f"{PATH}/gate"
        if self.unknown_for:
            self.unknown_for -= 1
            return httpx.Response(404, json={"detail": "There is no version 3."})
        self.keys.append(request.headers["Idempotency-Key"])
        if self.gate is not None:
            return httpx.Response(409, json={"detail": "It was judged before."})
        self.gate = {"state": "requested", "checks": []}
        return httpx.Response(202, json=self.gate)

    def _get(self) -> httpx.Response:
        if self.pending_for:
            self.pending_for -= 1
            return httpx.Response(200, json={"version": "3", "gate": self.gate})
        self.gate = self.settled
        return httpx.Response(200, json={"version": "3", "gate": self.gate})


def client(fake: FakeConsole, *, bearer: str = "secret") -> httpx.Client:
    return httpx.Client(
        base_url="http://console",
        headers={"Authorization": f"Bearer {bearer}"},
        transport=httpx.MockTransport(fake),
    )


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Time that passes only when somebody waits."""
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(console.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


def test_verdict_is_waited_for_and_printed(capsys):
    checks = [{"name": "baseline", "verdict": "passed", "sentence": "It is better."}]
    fake = FakeConsole(unknown_for=3, pending_for=4, settled={"state": "passed", "checks": checks})
    assert console.gate(client(fake), "titanic", "3", key="run-1")["state"] == "passed"
    assert fake.keys == ["run-1"]
    assert "baseline: passed. It is better." in capsys.readouterr().out


def test_gate_that_was_asked_for_before_is_only_waited_for():
    fake = FakeConsole()
    fake.gate = {"state": "running"}
    assert console.gate(client(fake), "titanic", "3", key="k")["state"] == "passed"


def test_failed_gate_is_a_verdict_and_no_failure():
    fake = FakeConsole(settled={"state": "failed", "checks": []})
    assert console.gate(client(fake), "titanic", "3", key="k")["state"] == "failed"


def test_version_that_never_appears_is_refused_after_a_minute(clock):
    with pytest.raises(ConsoleRefused, match=r"\(404\): There is no version 3"):
        console.gate(client(FakeConsole(unknown_for=1000)), "titanic", "3", key="k")
    assert 60 <= clock[0] < 65


def test_gate_without_a_verdict_is_given_up_after_five_minutes(clock):
    with pytest.raises(ConsoleRefused, match="no verdict within 300 s"):
        console.gate(client(FakeConsole(pending_for=1000)), "titanic", "3", key="k")
    assert 300 <= clock[0] < 305


def test_gate_that_broke_fails_the_task_with_its_reason():
    fake = FakeConsole(settled={"state": "error", "reason": "no spec.json"})
    with pytest.raises(ConsoleRefused, match=r"could not judge: no spec\.json"):
        console.gate(client(fake), "titanic", "3", key="k")


def test_wrong_token_is_refused_at_once(clock):
    with pytest.raises(ConsoleRefused, match=r"\(401\): No such token"):
        console.gate(client(FakeConsole(), bearer="other"), "titanic", "3", key="k")
    assert clock[0] == 0


def test_console_that_restarts_is_waited_for():
    fake = FakeConsole()
    fake.down_for = 5
    assert console.gate(client(fake), "titanic", "3", key="k")["state"] == "passed"


def test_console_that_stays_away_is_said(clock):
    fake = FakeConsole()
    fake.down_for = 1000
    with pytest.raises(ConsoleRefused, match="does not answer: connection refused"):
        console.gate(client(fake), "titanic", "3", key="k")
    assert clock[0] < 70


def test_console_that_sends_its_callers_elsewhere_did_nothing(clock):
    """As one does that is told an address with https, when it is asked past what ends TLS."""
    there = "https://console/api/v1/models/titanic"
    transport = httpx.MockTransport(lambda _request: httpx.Response(301, headers={"Location": there}))
    with httpx.Client(base_url="http://console", transport=transport) as made:
        with pytest.raises(ConsoleRefused, match=f"sends its callers to {there}: set ATALAYA_URL"):
            console.gate(made, "titanic", "3", key="k")
        with pytest.raises(ConsoleRefused, match="sends its callers"):
            console.champion(made, "titanic")


def test_token_is_read_from_its_file(monkeypatch, tmp_path):
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps({"titanic_training": "secret"}))
    monkeypatch.setenv("ATALAYA_TOKENS", str(path))
    monkeypatch.setenv("ATALAYA_URL", "http://127.0.0.1:1")
    with console.connect("titanic_training") as made:
        assert made.headers["Authorization"] == "Bearer secret"
    with pytest.raises(ConsoleRefused, match="holds no token for other_dag"):
        console.connect("other_dag")
    path.unlink()
    with pytest.raises(ConsoleRefused, match="issue_pipeline_tokens"):
        console.connect("titanic_training")
    monkeypatch.delenv("ATALAYA_TOKENS")
    with pytest.raises(ConsoleRefused, match="lacks ATALAYA_TOKENS"):
        console.connect("titanic_training")


class FakeJobs:
    """Jobs by the key that asked for them: a key that comes again gets the job it asked for first."""

    def __init__(self, *states: str) -> None:
        self.states = list(states)
        self.keys: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            key = request.headers["Idempotency-Key"]
            self.keys += [key] if key not in self.keys else []
            return httpx.Response(202, json={"id": str(self.keys.index(key)), "state": "queued"})
        return httpx.Response(200, json={"state": self.states[int(request.url.path.rpartition("/")[2])]})

    def client(self) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(self), base_url="http://console")


def test_a_job_that_ended_badly_is_asked_for_anew():
    jobs = FakeJobs("failed", "lost", "queued")
    assert console.submit_job(jobs.client(), "clean_trips", {}, key="run:clean_trips") == "2"
    assert console.submit_job(jobs.client(), "clean_trips", {}, key="run:clean_trips") == "2"
    assert all(len(key) <= 200 for key in jobs.keys)


def test_jobs_that_always_end_badly_are_given_up():
    jobs = FakeJobs(*["failed"] * console.MOST_JOBS)
    with pytest.raises(ConsoleRefused, match="ended badly"):
        console.submit_job(jobs.client(), "clean_trips", {}, key="k" * 400)


def test_a_first_call_that_is_still_at_work_is_waited_for(monkeypatch):
    monkeypatch.setattr(console.time, "sleep", lambda _s: None)
    answers = [
        httpx.Response(409, headers={"Retry-After": "1"}, json={"detail": "still at work"}),
        httpx.Response(429, json={"detail": "slow down"}),
        httpx.Response(202, json={"id": "7", "state": "queued"}),
        httpx.Response(200, json={"state": "running"}),
    ]
    client = httpx.Client(
        transport=httpx.MockTransport(lambda _request: answers.pop(0)), base_url="http://console"
    )
    assert console.submit_job(client, "clean_trips", {}, key="k") == "7"


def test_a_gate_that_ended_in_an_error_is_asked_for_anew_by_a_retry():
    keys, gates = [], []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            if request.headers["Idempotency-Key"] not in keys:
                keys.append(request.headers["Idempotency-Key"])
                state = "error" if not gates else "passed"
                gates.append({"id": len(gates) + 1, "state": state, "checks": [], "reason": "worker died"})
            return httpx.Response(202, json={})
        return httpx.Response(200, json={"gate": gates[-1] if gates else None})

    def asks() -> dict:
        mock = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://console")
        return console.gate(mock, "titanic", "3", key="run:gate:3")

    with pytest.raises(ConsoleRefused, match="worker died"):
        asks()
    assert asks()["state"] == "passed"


def answering(*answers: httpx.Response) -> httpx.Client:
    return httpx.Client(base_url="http://console", transport=httpx.MockTransport(lambda _: answers[0]))


@pytest.mark.parametrize(
    ("answer", "champion"),
    [
        (httpx.Response(200, json={"champion": "4"}), 4),
        (httpx.Response(200, json={"champion": None}), None),
        (httpx.Response(404, json={"detail": "There is no model."}), None),
    ],
)
def test_champion_is_the_ledger_s(answer, champion):
    assert console.champion(answering(answer), "titanic") == champion


@pytest.mark.parametrize("run_id", ["manual__1", "r" * 250, "año"])
def test_a_promotion_of_any_run_is_asked_for_with_a_key_that_the_console_takes(run_id):
    keys = []

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Idempotency-Key"])
        return httpx.Response(202, json={})

    mock = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://console")
    assert console.request_promotion(mock, "titanic", "3", reason="r", key=f"{run_id}:promotion:3")
    assert len(keys[0]) <= 200
    assert keys[0].isascii()


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: console.champion(client, "titanic"),
        lambda client: console.version(client, "titanic", "3"),
        lambda client: list(console.predictions(client, "titanic")),
        lambda client: console.personal_fields(client, "titanic", "3"),
        lambda client: console.request_promotion(client, "titanic", "3", reason="r", key="k"),
    ],
)
def test_what_is_refused_is_said_with_the_console_s_words(ask):
    with pytest.raises(ConsoleRefused, match=r"\(403\): Not yours"):
        ask(answering(httpx.Response(403, json={"detail": "Not yours"})))
