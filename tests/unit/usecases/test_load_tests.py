"""Load tests: what may be asked, who may ask, what a worker does, and what is shown of it."""

import ast
import json
import runpy
import stat
import sys
import threading
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from core.access import policy
from core.access.models import ApiToken
from core.audit.models import AuditEntry
from tests.champions import ROW, SPEC
from tests.people import bearer, make_token, make_user, signed_in
from tests.registry import make_model, make_version
from usecases import drawings, load_running, loads, tasks
from usecases.load_running import LoadTestFailed
from usecases.models import LoadTest, LoadTestState

pytestmark = pytest.mark.django_db(databases=["default", "usecases"])

PATH = "/api/v1/usecases/diabetes/load-tests"
WISH = {"users": 10, "spawn_rate": 5, "seconds": 10, "stated_p95_ms": 100}
STEPS = [
    {"users": 5, "requests": 100, "failures": 0, "rps": 50.0, "p50": 4.0, "p95": 20.0, "p99": 30.0},
    {"users": 10, "requests": 150, "failures": 1, "rps": 75.0, "p50": 9.0, "p95": 120.0, "p99": 300.0},
]
MEASURED = {"steps": STEPS, "series": [{"second": 1.0, "users": 5, "rps": 50.0, "p95": 20.0}]}


@pytest.fixture
def champion():
    spec = json.dumps(SPEC | {"example": ROW})
    return make_version(3, model=make_model("diabetes"), state="champion", spec_json=spec)


@pytest.fixture
def engineer():
    return make_user("ana", policy.ENGINEER)


def ask(client, **wish):
    return client.post(PATH, WISH | wish, content_type="application/json")


def make_test(**values) -> LoadTest:
    given = {
        "usecase": "diabetes",
        "model": "diabetes",
        "requested_by": "ana",
        "requested_at": timezone.now(),
    }
    return LoadTest.objects.create(**(given | WISH | values))


# --- arithmetic


def test_users_come_in_steps_of_the_same_height():
    assert loads.steps(50) == [10, 20, 30, 40, 50]
    assert loads.steps(3) == [1, 2, 3]
    assert loads.steps(1) == [1]
    assert loads.steps(7) == [1, 3, 4, 6, 7]


@pytest.mark.parametrize(
    ("p95s", "failures", "most"),
    [
        ([10, 20, 30], [0, 0, 0], 30),
        ([10, 101, 30], [0, 0, 0], 10),  # a step after one that was too slow does not count
        ([101, 20, 30], [0, 0, 0], 0),
        ([10, None, 30], [0, 0, 0], 10),
        ([10, 20, 30], [0, 2, 0], 10),
        ([10, 20, 100], [1, 1, 1], 30),  # one of a hundred may fail
        ([], [], 0),
    ],
)
def test_most_users_are_those_before_the_first_step_that_is_too_slow(p95s, failures, most):
    measured = [
        {"users": 10 * n, "requests": 100, "failures": failed, "p95": p95}
        for n, (p95, failed) in enumerate(zip(p95s, failures, strict=True), 1)
    ]
    assert loads.max_users_within(measured, 100) == most


# --- asking


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"users": 0}, "users"), ({"users": 10_000}, "users"), ({"users": -5}, "users"),
        ({"users": "many"}, "users"), ({"spawn_rate": 0}, "spawn_rate"), ({"seconds": 1}, "seconds"),
        ({"seconds": 86_400}, "seconds"), ({"stated_p95_ms": 0}, "stated_p95_ms"),
        ({"users": 500, "spawn_rate": 1}, "spawn_rate"),
    ],
)  # fmt: skip
def test_what_is_out_of_bounds_is_refused_at_its_field(champion, engineer, wish, field):
    answer = ask(signed_in(engineer), **wish)
    assert answer.status_code in (400, 422)
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]
    assert not LoadTest.objects.exists()
    page = signed_in(engineer).post(reverse("usecases:load-test-list", args=["diabetes"]), WISH | wish)
    assert page.status_code == 422
    assert not LoadTest.objects.exists()


def test_a_wish_is_a_row_and_stands_in_the_trail(champion, engineer):
    answer = ask(signed_in(engineer))
    assert (answer.status_code, answer.json()["state"]) == (202, "requested")
    assert LoadTest.objects.get().requested_by == "ana"
    assert AuditEntry.objects.get(action="loadtest.request").after["users"] == 10
    (row,) = signed_in(engineer).get(PATH).json()["results"]
    assert row["id"] == answer.json()["id"]


def test_one_at_a_time(champion, engineer):
    assert ask(signed_in(engineer)).status_code == 202
    refused = ask(signed_in(engineer))
    assert (refused.status_code, "one at a time" in refused.json()["detail"]) == (409, True)
    LoadTest.objects.update(state=LoadTestState.DONE)
    assert ask(signed_in(engineer)).status_code == 202


def test_without_a_champion_there_is_nothing_to_ask(engineer):
    answer = ask(signed_in(engineer))
    assert (answer.status_code, "No version answers" in answer.json()["detail"]) == (409, True)


@pytest.mark.parametrize("role", policy.ROLES)
def test_each_role_sees_and_asks_as_the_table_says(champion, role):
    client = signed_in(make_user(f"role_{role}", role))
    assert client.get(PATH).status_code == (200 if role in policy.SCOPES["see"] else 403)
    may = role in policy.SCOPES["pipelines.run"]
    assert ask(client).status_code == (202 if may else 403)


def test_a_token_that_may_not_predict_cannot_have_it_done(champion, engineer):
    _token, key = make_token(engineer, "see", "pipelines.run")
    answer = Client().post(PATH, WISH, content_type="application/json", **bearer(key))
    assert (answer.status_code, "predict" in answer.json()["detail"]) == (403, True)


# --- the worker's half


def run_with(monkeypatch, outcome) -> list[dict]:
    plans = []

    def stand_in(plan, *, still_there):
        plans.append(plan)
        still_there()
        assert ApiToken.objects.get().is_live
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(load_running, "run", stand_in)
    return plans


def test_figures_are_kept_and_the_token_is_closed(champion, engineer, monkeypatch):
    test = make_test()
    plans = run_with(monkeypatch, MEASURED)
    tasks.run_load_test(test.pk)
    test.refresh_from_db()
    assert (test.state, test.version, test.requests, test.failures) == ("done", "3", 250, 1)
    assert (test.p50, test.p95, test.p99, test.rps) == (9.0, 120.0, 300.0, 75.0)
    assert (test.max_users_within_p95, test.next_attempt_at) == (5, None)
    token = ApiToken.objects.get()
    assert (token.scopes, token.is_live, token.user) == (["predict"], False, engineer)
    assert token.expires_at < timezone.now() + timedelta(minutes=5)
    (plan,) = plans
    assert plan["steps"] == [2, 4, 6, 8, 10]
    assert plan["row"] == ROW
    assert plan["path"] == "/api/v1/models/diabetes/predict"


def test_one_that_fails_says_why_and_closes_its_token(champion, engineer, monkeypatch):
    test = make_test()
    run_with(monkeypatch, LoadTestFailed("It hurt."))
    tasks.run_load_test(test.pk)
    test.refresh_from_db()
    assert (test.state, test.error) == ("failed", "It hurt.")
    assert not ApiToken.objects.get().is_live


def test_one_whose_worker_is_gone_is_closed_with_words(champion, engineer, monkeypatch):
    _token, _key = make_token(engineer, "predict")
    test = make_test(state=LoadTestState.RUNNING, token_id=_token.pk)
    held = timezone.now() + timedelta(seconds=20)
    LoadTest.objects.update(next_attempt_at=held)
    tasks.run_load_test(test.pk)  # its worker may still be there
    test.refresh_from_db()
    assert test.state == "running"
    LoadTest.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    tasks.run_load_test(test.pk)
    test.refresh_from_db()
    assert (test.state, "restarted in the middle" in test.error) == ("failed", True)
    assert not ApiToken.objects.get().is_live


def test_one_that_another_worker_has_closed_stays_closed(champion, engineer, monkeypatch):
    """Its own worker stood still for longer than its lease, and goes on."""
    test = make_test()
    goes_on: list[str] = []

    def stand_still(plan, *, still_there):
        LoadTest.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))
        tasks.run_load_test(test.pk)
        still_there()
        goes_on.append("it asks on")
        return MEASURED

    monkeypatch.setattr(load_running, "run", stand_still)
    tasks.run_load_test(test.pk)
    test.refresh_from_db()
    assert (test.state, test.next_attempt_at, goes_on) == ("failed", None, [])
    assert "restarted in the middle" in test.error
    assert not ApiToken.objects.get().is_live


@pytest.mark.parametrize("outcome", [MEASURED, LoadTestFailed("It hurt.")])
def test_what_was_measured_too_late_overwrites_nothing(champion, engineer, monkeypatch, outcome):
    test = make_test()

    def stand_still(plan, *, still_there):
        LoadTest.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))
        tasks.run_load_test(test.pk)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(load_running, "run", stand_still)
    tasks.run_load_test(test.pk)
    test.refresh_from_db()
    assert (test.state, test.requests, "restarted" in test.error) == ("failed", None, True)


def test_a_token_made_after_another_worker_had_closed_the_test_is_closed_too(champion, engineer, monkeypatch):
    test = make_test()
    issue = tasks.tokens.issue

    def stand_still(*args, **more):
        LoadTest.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))
        tasks.run_load_test(test.pk)
        return issue(*args, **more)

    monkeypatch.setattr(tasks.tokens, "issue", stand_still)
    monkeypatch.setattr(load_running, "run", lambda plan, *, still_there: still_there())
    tasks.run_load_test(test.pk)
    test.refresh_from_db()
    assert (test.state, ApiToken.objects.get().is_live) == ("failed", False)


def test_a_user_who_may_no_more_has_nothing_done_in_their_name(champion, engineer):
    engineer.is_active = False
    engineer.save()
    test = make_test()
    tasks.run_load_test(test.pk)
    test.refresh_from_db()
    assert (test.state, test.error) == ("failed", "ana may not predict any more.")


def test_a_champion_whose_description_this_release_refuses_is_said(champion, engineer):
    champion.spec_json = json.dumps(SPEC | {"task": "divination"})
    champion.save()
    test = make_test()
    tasks.run_load_test(test.pk)
    test.refresh_from_db()
    assert test.state == "failed"
    assert test.error.startswith("This release does not read the description of diabetes 3: ")
    assert test.next_attempt_at is None
    assert not ApiToken.objects.exists()
    page = signed_in(engineer).get(reverse("usecases:load-test-list", args=["diabetes"])).content.decode()
    assert "does not read the description of diabetes 3" in page


# --- the process


def stand_in_for_locust(tmp_path: Path, settings, body: str) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    settings.CONSOLE_LOAD_PYTHON = str(program)


PLAN = {"seconds": 1, "token": "secret"}


def test_locust_that_is_not_installed_is_said(settings, tmp_path):
    settings.CONSOLE_LOAD_PYTHON = str(tmp_path / "none")
    with pytest.raises(LoadTestFailed, match=r"`make load` installs it.*For containers .* WITH_LOCUST=1"):
        load_running.run(PLAN, still_there=lambda: None)


def test_what_it_measured_comes_back_and_the_plan_went_by_its_input(settings, tmp_path):
    stand_in_for_locust(tmp_path, settings, 'read plan; echo "{\\"plan\\": $plan, \\"steps\\": []}"')
    assert load_running.run(PLAN, still_there=lambda: None) == {"plan": PLAN, "steps": []}


@pytest.fixture
def answering():
    """Where anything that is posted is answered with 200."""

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_words: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.skipif(
    not Path(settings.CONSOLE_LOAD_PYTHON).exists(), reason="Locust is not installed: `make load` installs it"
)
def test_locust_itself_asks_and_measures(answering):
    plan = {"url": answering, "path": "/", "row": {}, "token": "secret"}
    plan |= {"seconds": 2, "steps": [1, 2], "spawn_rate": 5}
    first, second = load_running.run(plan, still_there=lambda: None)["steps"]
    assert (first["users"], second["users"]) == (1, 2)
    assert first["requests"] > 0
    assert (first["failures"], second["failures"]) == (0, 0)


def test_times_and_calls_a_second_are_of_those_answered(monkeypatch):
    """A refusal comes back in a millisecond: hundreds of them make a model that is overrun look fast."""
    locust = SimpleNamespace(FastHttpUser=object, constant=None, task=None)
    stand_ins = {
        "locust": locust,
        "locust.env": SimpleNamespace(Environment=None),
        "gevent": None,
        "requests": None,
    }
    for name, module in stand_ins.items():
        monkeypatch.setitem(sys.modules, name, module or SimpleNamespace())
    measured = runpy.run_path(str(load_running.SCRIPT))["Measured"]()
    for n in range(400):
        measured.note(response_time=1.0, exception=ValueError("429") if n else None, name="x")
    for answered_ms in (100.0, 200.0, 300.0):
        measured.note(response_time=answered_ms, exception=None)
    assert measured.second == [1.0, 100.0, 200.0, 300.0]
    assert measured.step(7, 2.0) == {
        "users": 7, "requests": 403, "failures": 399, "rps": 2.0, "p50": 200.0, "p95": 300.0, "p99": 300.0,
    }  # fmt: skip
    measured.begin_step()
    measured.note(response_time=1.0, exception=ValueError("429"))
    nobody = measured.step(7, 2.0)
    assert (nobody["requests"], nobody["rps"], nobody["p95"]) == (1, 0.0, None)


def test_locust_patches_the_standard_library_before_anything_takes_from_it():
    imports = [
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.parse(load_running.SCRIPT.read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert imports.index("locust") < min(imports.index("requests"), imports.index("gevent"))


def test_one_that_ends_badly_gives_its_words(settings, tmp_path):
    stand_in_for_locust(tmp_path, settings, "echo The serving address answered 401 >&2; exit 3")
    with pytest.raises(LoadTestFailed, match="status 3: The serving address answered 401"):
        load_running.run(PLAN, still_there=lambda: None)


def test_words_that_are_no_figures_are_said(settings, tmp_path):
    stand_in_for_locust(tmp_path, settings, "cat > /dev/null; echo oops")
    with pytest.raises(LoadTestFailed, match="cannot be read"):
        load_running.run(PLAN, still_there=lambda: None)


def test_one_that_does_not_end_is_ended_with_its_children(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(load_running, "STARTS_WITHIN_S", 0.5)
    pid_file = tmp_path / "pid"
    stand_in_for_locust(tmp_path, settings, f"sleep 600 & echo $! > {pid_file}; wait")
    with pytest.raises(LoadTestFailed, match="did not end in time"):
        load_running.run(PLAN, still_there=lambda: None)
    # A signal is sent at once and obeyed a moment later; a child that nobody reaps stays, as a zombie.
    deadline = time.monotonic() + 30
    while is_running(int(pid_file.read_text())) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(int(pid_file.read_text()))


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# --- what is shown


def test_the_page_shows_chart_steps_and_the_largest_number_of_users(champion, engineer):
    make_test(state=LoadTestState.DONE, steps=STEPS, series=MEASURED["series"], requests=250, failures=1,
              max_users_within_p95=5, rps=75.0, p50=9.0, p95=120.0, p99=300.0)  # fmt: skip
    make_test(state=LoadTestState.FAILED, error="Locust is not installed.")
    page = signed_in(engineer).get(reverse("usecases:load-test-list", args=["diabetes"])).content.decode()
    assert "Most users within 100 ms" in page
    assert "Locust is not installed." in page
    assert page.count("<rect") == 2
    assert "Start load test" in page
    viewer = signed_in(make_user("vera", policy.VIEWER))
    page = viewer.get(reverse("usecases:load-test-list", args=["diabetes"])).content.decode()
    assert "Start load test" not in page


def test_bars_are_as_high_as_their_times_against_the_stated_one():
    test = LoadTest(steps=STEPS, series=[], stated_p95_ms=100, max_users_within_p95=5)
    chart = drawings.load_chart(test)
    # 120 ms is the most: 96 / (120 * 1.15) = 0.696 a ms
    assert [(bar["height"], bar["css"]) for bar in chart["bars"]] == [
        ("13.9", "fill-ok"),
        ("83.5", "fill-bad"),
    ]
    assert chart["line"] == "26.4"
    assert drawings.load_chart(LoadTest(steps=[], stated_p95_ms=1)) is None


def test_the_command_asks_as_an_administrator_and_says_what_is_wrong(champion):
    with pytest.raises(CommandError, match="There is no administrator"):
        call_command("load_test", "diabetes")
    make_user("root", policy.ADMIN)
    with pytest.raises(CommandError, match="users: It must be from 1 to 500"):
        call_command("load_test", "diabetes", "--users", "10000")
    with pytest.raises(CommandError, match="No use case has a model mars"):
        call_command("load_test", "mars")
