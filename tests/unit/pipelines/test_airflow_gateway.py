"""The edge to Airflow: tokens, and whatever may come back over the wire."""

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest

from core.lib.aside import Unread
from core.lib.errors import Conflict, InvalidRequest, NotFound, Unauthorized, Unavailable
from pipelines import (
    airflow_auth,
    airflow_pages,
    answers,
    dag_answers,
    gateway,
    run_answers,
    task_answers,
    task_calls,
)
from pipelines.scope import Scope
from pipelines.task_answers import GivenAnswer


@pytest.fixture
def server(settings):
    """A server that gives `server.answer`, or what that makes of a request, and keeps the requests."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.requests.append(self)
            answer = self.server.answer
            status, body = answer(self) if callable(answer) else answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            self.body = self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        do_PATCH = do_POST

        def log_message(self, *args):
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        running.requests, running.answer = [], (200, b"{}")
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        settings.CONSOLE_AIRFLOW_URL = f"http://127.0.0.1:{running.server_port}"
        gateway._transport.cache_clear()
        yield running
        running.shutdown()
        thread.join()
        gateway._transport().rest_client.pool_manager.clear()
        gateway._transport.cache_clear()
        airflow_auth._service_token = ("", 0.0)


def body(**values):
    return json.dumps(values).encode()


def test_the_token_names_the_person_with_the_least_role_for_minutes_only(settings):
    token = airflow_auth.access_token("ana", airflow_auth.USER)
    claims = jwt.decode(
        token, settings.CONSOLE_AIRFLOW_JWT_SECRET, algorithms=["HS512"], audience="apache-airflow"
    )
    assert (claims["sub"], claims["role"]) == ("ana", "user")
    assert claims["exp"] - claims["iat"] == 300
    assert claims["nbf"] <= claims["iat"]


def test_each_call_carries_its_callers_token(server):
    server.answer = (200, body(dags=[], total_entries=0))
    gateway.connect("ana", "user").dags()
    gateway.connect().dags()
    tokens = [request.headers["Authorization"].removeprefix("Bearer ") for request in server.requests]
    named = [jwt.decode(token, options={"verify_signature": False})["sub"] for token in tokens]
    assert named == ["ana", "system:console"]


def test_a_service_account_gets_its_token_from_airflow_once(server, settings):
    settings.CONSOLE_AIRFLOW_AUTH = "service"
    server.answer = (201, body(access_token="from-airflow"))
    assert [airflow_auth.access_token("ana", "user") for _ in range(2)] == ["from-airflow"] * 2
    assert len(server.requests) == 1


def test_an_unknown_service_account_is_unauthorized(server, settings):
    settings.CONSOLE_AIRFLOW_AUTH = "service"
    server.answer = (401, b"{}")
    with pytest.raises(Unauthorized, match="service account"):
        airflow_auth.access_token("ana", "user")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, InvalidRequest),
        (401, Unauthorized),
        (403, Unauthorized),
        (404, NotFound),
        (409, Conflict),
        (422, InvalidRequest),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
def test_a_status_becomes_the_consoles_own_error(server, status, error):
    server.answer = (status, body(detail="its words"))
    with pytest.raises(error, match="its words"):
        gateway.connect().run("dag", "run")


@pytest.mark.parametrize(
    ("status", "words", "error"),
    [
        (403, "User=ana (id=ana) is not a respondent for the task.", InvalidRequest),
        (403, "Forbidden", Unauthorized),
        (401, "Not authenticated", Unauthorized),
    ],
)
def test_whom_a_task_does_not_ask_is_told_from_a_token_that_is_refused(server, status, words, error):
    server.answer = (status, body(detail=words))
    with pytest.raises(error) as refused:
        gateway.connect("ana", "user").answer_input(
            "dag", "run", "ask", map_index=-1, chosen=["Approve"], params_input={}
        )
    is_ours = error is Unauthorized
    assert refused.value.message.startswith("Airflow refused the console's own credentials") == is_ours


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        ({"response_received": False, "chosen_options": None}, None),
        (
            {
                "response_received": True,
                "chosen_options": ["Reject"],
                "params_input": {"n": 1},
                "responded_by_user": {"id": "7", "name": "bob"},
                "responded_at": "2026-03-01T12:00:00Z",
            },
            GivenAnswer(["Reject"], {"n": 1}, "7", "bob", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ),
        (
            {"response_received": True, "chosen_options": ["Approve"], "responded_by_user": None},
            GivenAnswer(["Approve"], {}, "", "", None),
        ),
    ],
)
def test_what_a_try_was_answered(server, detail, expected):
    server.answer = (200, body(subject="Go on?", **detail))
    found = gateway.connect().given_answer("dag", "run", "ask", map_index=-1, try_number=2)
    assert found == expected
    path = urlsplit(server.requests[-1].path).path
    assert path == "/api/v2/dags/dag/dagRuns/run/taskInstances/ask/-1/hitlDetails/tries/2"


@pytest.mark.parametrize("answer", [b"<html>", b"{}", b"[]", b'{"dags": null}'])
def test_an_answer_that_makes_no_sense_is_unavailable(server, answer):
    server.answer = (200, answer)
    with pytest.raises(Unavailable, match="does not understand"):
        gateway.connect().dags()


DAG_ITEM = {
    **dict.fromkeys(("description", "timetable_summary", "timetable_description")),
    **{"dag_id": "etl", "dag_display_name": "ETL", "tags": [], "owners": ["ana"], "is_paused": False},
    **{"next_dagrun_run_after": "soon", "has_import_errors": False},
}


def test_one_item_that_makes_no_sense_is_no_answer_less(server):
    server.answer = (200, body(dags=[DAG_ITEM, {"dag_id": "odd"}, None]))
    etl, odd, unnamed = gateway.connect().dags()
    assert (etl.dag_id, etl.next_run_at) == ("etl", None)
    assert (odd.key, odd.reason) == ("odd", "KeyError: 'dag_display_name' is missing")
    assert unnamed.key.startswith("unnamed ")


def listed(list_name, items, bad=(), status=500, most=100):
    """Airflow with this list, which fails at every page that holds one of the bad places.

    most: what it is set to give at once, however many are asked for.
    """

    def answer(request):
        if request.command == "POST":
            asked = json.loads(request.body)
            offset, limit = asked["page_offset"], asked["page_limit"]
        else:
            asked = parse_qs(urlsplit(request.path).query)
            offset, limit = int(asked["offset"][0]), int(asked["limit"][0])
        limit = min(limit, most)
        if set(bad) & set(range(offset, offset + limit)):
            return status, body(detail="made up")
        return 200, body(**{list_name: items[offset : offset + limit], "total_entries": len(items)})

    return answer


def dag_items(n):
    return [{**DAG_ITEM, "dag_id": f"dag{number:03}"} for number in range(n)]


@pytest.mark.parametrize(
    ("n", "bad"),
    [
        (250, {3, 180, 249}),
        (250, {0, 1, 99, 100}),
        (100, {99}),
        (1, {0}),
        (7, {3, 4, 5, 6}),
        (250, {0, 1, 2}),
        (2000, {0, 1, 2}),
        (250, set(range(151))),  # steps pass the end before they meet one that is well
        (6, {0, 1, 2, 3, 4}),
        (5, {0, 1, 2, 3, 4}),  # Airflow answers where the list ends: it does not fail at all
    ],
)
def test_only_what_airflow_fails_at_is_missing_of_a_list(server, n, bad):
    server.answer = listed("dags", dag_items(n), bad)
    found = gateway.connect().dags()
    unread = [item for item in found if isinstance(item, answers.UnreadPage)]
    assert sorted(item.key for item in unread) == sorted(f"page at offset {place}" for place in bad)
    assert all("made up" in item.reason for item in unread)
    assert [item.dag_id for item in found if isinstance(item, dag_answers.Dag)] == [
        f"dag{place:03}" for place in range(n) if place not in bad
    ]
    assert len(server.requests) < n // 100 + 2 + 16 * len(bad)
    assert not answers.is_whole(found)


@pytest.mark.parametrize("most", [1, 2, 30, 99])
@pytest.mark.parametrize("bad", [set(), {3, 31, 60}])
def test_an_airflow_that_gives_fewer_at_once_is_read_to_the_end(server, most, bad):
    server.answer = listed("dags", dag_items(61), bad, most=most)
    found = gateway.connect().dags()
    named = [item.dag_id for item in found if isinstance(item, dag_answers.Dag)]
    assert named == [f"dag{place:03}" for place in range(61) if place not in bad]
    assert len(found) == 61


@pytest.mark.parametrize("n", [0, 1, 99, 100])
def test_a_list_that_fits_into_a_page_costs_one_request(server, n):
    server.answer = listed("dags", dag_items(n))
    assert len(gateway.connect().dags()) == n
    assert len(server.requests) == 1


def test_of_a_list_of_unknown_length_a_short_page_is_the_last(server):
    def answer(request):
        offset = int(parse_qs(urlsplit(request.path).query)["offset"][0])
        total = {"total_entries": 100, "total_entries_limit": 100}  # at least so many
        return 200, body(dags=dag_items(150)[offset : offset + 100], **total)

    server.answer = answer
    assert len(gateway.connect().dags()) == 150


def test_an_airflow_that_fails_at_all_is_asked_a_few_times_only(server):
    server.answer = listed("dags", dag_items(250), range(300))
    with pytest.raises(Unavailable, match="made up"):
        gateway.connect().dags()
    assert len(server.requests) < 30


@pytest.mark.parametrize("status", [502, 503, 504])
def test_an_airflow_that_is_away_is_asked_once(server, status):
    server.answer = listed("dags", dag_items(250), {3}, status)
    with pytest.raises(Unavailable):
        gateway.connect().dags()
    assert len(server.requests) == 1


def test_taking_a_list_apart_has_its_time(server, monkeypatch):
    monkeypatch.setattr(airflow_pages, "APART_S", -1.0)
    server.answer = listed("dags", dag_items(250), {103})
    with pytest.raises(Unavailable, match="made up"):
        gateway.connect().dags()
    assert len(server.requests) == 2


def test_the_time_before_the_first_failure_does_not_count(server, monkeypatch):
    fails = listed("dags", dag_items(250), {203})

    def answer(request):
        now[0] += 10.0 if "offset=0" in request.path or "offset=100" in request.path else 0.1
        return fails(request)

    now = [0.0]
    monkeypatch.setattr(airflow_pages.time, "monotonic", lambda: now[0])
    server.answer = answer
    assert len(gateway.connect().dags()) == 250


def test_runs_beside_one_that_airflow_fails_at_are_found(server):
    runs = [{"dag_id": "etl", "dag_run_id": f"r{number}", "state": "running"} for number in range(120)]
    server.answer = listed("dag_runs", runs, {0, 110})
    for since in (None, datetime(2026, 1, 1, tzinfo=UTC)):
        found, looked_at = gateway.connect().runs_changed_since(since, limit=1000)
        assert len(found) == 120
        assert sum(isinstance(item, run_answers.DagRun) for item in found) == 118
        assert abs(datetime.now(UTC) - looked_at) < timedelta(minutes=1)
    assert len(gateway.connect().runs_under_way()) == 118


def test_runs_that_changed_are_read_past_those_of_a_broken_dag_at_the_head(server):
    runs = [{"dag_id": "etl", "dag_run_id": f"r{number}", "state": "running"} for number in range(8)]
    server.answer = listed("dag_runs", runs, {0, 1, 2})
    found, looked_at = gateway.connect().runs_changed_since(datetime(2026, 1, 1, tzinfo=UTC), limit=1000)
    assert [item.dag_run_id for item in found if isinstance(item, run_answers.DagRun)] == [
        f"r{number}" for number in range(3, 8)
    ]
    assert abs(datetime.now(UTC) - looked_at) < timedelta(minutes=1)


def test_runs_of_changed_tasks_are_named_once_and_only_tasks_that_could_be_marked_are_asked_for(server):
    items = [{**one, "dag_run_id": f"r{place // 100}"} for place, one in enumerate(instances(250))]
    server.answer = listed("task_instances", [*items, None])
    since = datetime(2026, 3, 1, tzinfo=UTC)
    found, looked_at, is_whole = gateway.connect().runs_of_changed_tasks(since)
    assert is_whole
    assert found == {("etl", "r0"), ("etl", "r1"), ("etl", "r2")}
    assert abs(datetime.now(UTC) - looked_at) < timedelta(minutes=1)
    asked = parse_qs(urlsplit(server.requests[0].path).query)
    assert (asked["state"], asked["order_by"]) == (["success", "failed", "skipped"], ["id"])
    assert datetime.fromisoformat(asked["updated_at_gte"][0]) == since


def test_tasks_beside_one_that_airflow_fails_at_are_found(server):
    about = {"dag_id": "etl", "dag_run_id": "r", "map_index": -1, "try_number": 1, "max_tries": 0}
    server.answer = listed("task_instances", [{**about, "task_id": f"t{n}"} for n in range(30)], {7})
    found = gateway.connect().task_states([("etl", "r")])
    assert sum(isinstance(item, task_answers.TaskState) for item in found) == 29
    assert not answers.is_whole(found)


def instances(n, first=0):
    about = {"dag_id": "etl", "dag_run_id": "r", "map_index": -1, "try_number": 1, "max_tries": 0}
    return [{**about, "task_id": f"t{n:03}", "id": f"{n:04}"} for n in range(first, first + n)]


def moving(items, moves, list_name="task_instances"):
    """Airflow with this list, which `moves` changes after each request, told how many there were."""
    n_answered = [0]

    def answer(request):
        status, told = listed(list_name, items)(request)
        n_answered[0] += 1
        moves(n_answered[0])
        return status, told

    return answer


@pytest.mark.parametrize("n", [101, 150, 250, 350])
@pytest.mark.parametrize("gone", [[5], [5, 6, 7], [99], [0, 60, 98, 99]])
def test_tasks_that_are_tried_again_while_pages_turn_hide_no_others(server, n, gone):
    """Each gets a new id, and so the last place."""
    items = instances(n)

    def moves(n_answered):
        if n_answered == 1:
            again = [{**items[place], "id": f"9{place:03}", "try_number": 2} for place in gone]
            items[:] = [one for place, one in enumerate(items) if place not in gone] + again

    server.answer = moving(items, moves)
    found = gateway.connect().task_states([("etl", "r")])
    assert answers.is_whole(found)
    assert {task.task_id: task.try_number for task in found} == {
        f"t{place:03}": 2 if place in gone else 1 for place in range(n)
    }
    assert len(server.requests) <= n // 100 + 3


def test_a_list_that_shrinks_below_the_page_that_comes_next_is_read_whole(server):
    items = instances(101)
    server.answer = moving(items, lambda n: items.__delitem__(slice(0, 3 if n == 1 else 0)))
    found = gateway.connect().task_states([("etl", "r")])
    assert answers.is_whole(found)
    assert {task.task_id for task in found} == {f"t{place:03}" for place in range(101)}


def test_a_list_that_never_stands_still_has_gaps(server):
    items = instances(1000)
    server.answer = moving(items, lambda _n: items.__delitem__(slice(0, 2)))
    found = gateway.connect().task_states([("etl", "r")])
    assert not answers.is_whole(found)
    [gap] = [one for one in found if isinstance(one, answers.UnreadPage)]
    assert "changed while it was read" in gap.reason
    assert len(server.requests) <= 3 * airflow_pages.MOST_BACK


def test_a_question_answered_while_pages_turn_hides_no_other(server):
    asked = {"subject": "Go on?", "options": ["yes"], "created_at": "2026-03-01T00:00:00Z"}
    items = [{**asked, "task_instance": one} for one in instances(150)]
    server.answer = moving(items, lambda n: items.__delitem__(slice(0, 1 if n == 1 else 0)), "hitl_details")
    found = gateway.connect().input_requests()
    assert answers.is_whole(found)
    assert {one.task_id for one in found} >= {f"t{place:03}" for place in range(1, 150)}


def test_of_many_events_so_many_are_read_in_ascending_order(server):
    def many(request):
        query = parse_qs(urlsplit(request.path).query)
        first, size = int(query["offset"][0]), int(query["limit"][0])
        event = {"asset_id": 5, "timestamp": "2026-03-01T00:00:00Z", "created_dagruns": []}
        found = [{**event, "id": first + number} for number in range(size)]
        return 200, body(asset_events=found, total_entries=100_000)

    server.answer = many
    found = gateway.connect().asset_events(datetime(2026, 3, 1, tzinfo=UTC), limit=250)
    assert [one.airflow_id for one in found] == list(range(298))  # pages share the items where they meet
    assert {parse_qs(urlsplit(one.path).query)["order_by"][0] for one in server.requests} == {"timestamp"}


def test_the_events_that_a_run_took_are_all_of_one_answer(server):
    event = {"id": 7, "asset_id": 5, "timestamp": "2026-03-01T00:00:00Z", "partition_key": None}
    begun = {"dag_id": "dag", "run_id": "run 1", "triggering": False}
    server.answer = lambda _request: (
        200,
        body(asset_events=[{**event, "created_dagruns": [begun]}], total_entries=1),
    )
    [found] = gateway.connect().events_taken("dag", "run 1")
    assert (found.airflow_id, found.began[0]["triggering"]) == (7, False)
    assert server.requests[0].path.endswith("/api/v2/dags/dag/dagRuns/run%201/upstreamAssetEvents")


def test_what_a_dag_waits_for_comes_in_the_order_of_time(server):
    late = {"dag_id": "dag", "asset_id": 5, "created_at": "2026-03-01T09:00:00Z", "dag_display_name": "dag"}
    early = {**late, "asset_id": 6, "created_at": "2026-03-01T08:00:00Z"}
    server.answer = lambda _request: (200, body(queued_events=[late, early], total_entries=2))
    found = gateway.connect().queued_assets("dag")
    assert [one.asset_airflow_id for one in found] == [6, 5]
    assert server.requests[0].path.endswith("/api/v2/dags/dag/assets/queuedEvents")


def test_partitions_of_all_dags_that_wait_come_at_once(server):
    one = {
        "id": 1,
        "partition_key": "2026",
        "created_at": "2026-03-01T08:00:00+00:00",
        "total_received": 1,
        "total_required": 3,
        "dag_id": "dag",
        "state": "pending",
        "created_dag_run_id": None,
    }
    server.answer = lambda _request: (
        200,
        body(partitioned_dag_runs=[one, {"id": 2}], total=2, asset_expressions={"dag": None}),
    )
    found, odd = gateway.connect().waiting_partitions()
    assert (found.dag_id, found.partition_key, found.n_received, found.n_required) == ("dag", "2026", 1, 3)
    assert isinstance(odd, Unread)
    [request] = server.requests
    assert request.path == "/ui/partitioned_dag_runs?has_created_dag_run_id=false"


def entries(request) -> tuple[int, bytes]:
    """Four values, of which the backend fails at one and has lost another."""
    key = urlsplit(request.path).path.rpartition("/")[2]
    if key == "xcomEntries":
        return 200, body(xcom_entries=[{"key": name} for name in "abcd"], total_entries=4)
    return {"b": (500, body(detail="S3 failed")), "c": (404, body(detail="gone"))}.get(
        key, (200, body(value=f"value of {key}"))
    )


def test_a_value_that_fails_is_alone_in_it(server):
    server.answer = entries
    found = gateway.connect().xcoms("dag", "run", "task", map_index=-1).entries
    assert [(one.key, one.value) for one in found] == [
        ("a", "value of a"), ("b", None), ("c", None), ("d", "value of d"),
    ]  # fmt: skip
    assert "S3 failed" in found[1].trouble
    assert found[2].trouble == "gone"
    assert (found[0].trouble, found[3].trouble) == ("", "")


def test_what_a_task_is_stands_though_its_links_fail(server):
    def answer(request):
        path = urlsplit(request.path).path
        if path.endswith("/links"):
            return 500, body(detail="link broke")
        if path.endswith("/tasks/task"):
            delay = {"__type": "TimeDelta", "days": 1, "seconds": 5, "microseconds": 0}
            return 200, body(trigger_rule="all_done", retries=2.0, retry_delay=delay, doc_md=None)
        return 200, body(hostname="worker", pool="gpu", note="Slow.")

    server.answer = answer
    found = gateway.connect().task_about("dag", "run", "task", map_index=-1)
    assert (found.rules.trigger_rule, found.rules.retries, found.rules.retry_delay_s) == (
        "all_done",
        2,
        86405.0,
    )
    assert (found.place.host, found.place.pool, found.place.note) == ("worker", "gpu", "Slow.")
    assert (found.links, "link broke" in found.links_trouble) == ([], True)


# As Airflow stores what JSON has not, and as its route gives that with `deserialize`.
STORED = {"__classname__": "builtins.tuple", "__version__": 1, "__data__": [1, 2]}


def test_values_come_as_airflows_own_pages_show_them_page_by_page(server):
    def answer(request):
        url = urlsplit(request.path)
        if url.path.endswith("/xcomEntries"):
            return 200, body(xcom_entries=[{"key": "pair"}], total_entries=31)
        is_plain = parse_qs(url.query).get("deserialize") == ["true"]
        return 200, body(value="(1,2)" if is_plain else STORED)

    server.answer = answer
    found = gateway.connect().xcoms("dag", "run", "task", map_index=-1, start=30)
    assert ([one.value for one in found.entries], found.n_all) == (["(1,2)"], 31)
    query = parse_qs(urlsplit(server.requests[0].path).query)
    assert (query["offset"], query["limit"]) == (["30"], ["30"])


def test_of_an_airflow_that_keeps_us_waiting_no_more_values_are_asked(server, monkeypatch):
    server.answer = entries
    airflow = gateway.connect()
    monkeypatch.setattr(task_calls, "READ_S", -1.0)
    found = airflow.xcoms("dag", "run", "task", map_index=-1).entries
    assert [one.value for one in found] == ["value of a", None, None, None]
    assert len({one.trouble for one in found[1:]}) == 1
    assert len(server.requests) == 3  # the list, and two values


def test_a_run_carries_its_partition_and_both_ends_of_its_interval_or_neither(server):
    server.answer = (200, body(dag_id="dag", dag_run_id="run", state="queued"))
    ana = gateway.connect("ana", "user")
    start, end = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 2, 2, tzinfo=UTC)
    ana.trigger_run("dag", dag_run_id="run", conf={}, data_interval=(start, end), partition_key="es")
    ana.trigger_run("dag", dag_run_id="run", conf={})
    sent = [json.loads(request.body) for request in server.requests]
    assert datetime.fromisoformat(sent[0]["data_interval_start"]) == start
    assert datetime.fromisoformat(sent[0]["data_interval_end"]) == end
    assert sent[0]["partition_key"] == "es"
    names = ("data_interval_start", "data_interval_end", "partition_key")
    assert [sent[1].get(name) for name in names] == [None, None, None]


@pytest.mark.parametrize(("run_on_latest_version", "sent"), [(None, None), (True, True), (False, False)])
def test_a_clear_says_which_code_only_where_somebody_chose(server, run_on_latest_version, sent):
    scope = Scope("load", run_on_latest_version=run_on_latest_version)
    run = {"dag_id": "dag", "dag_run_id": "run", "state": "queued"}
    server.answer = (200, body(task_instances=[], total_entries=0, **run))
    gateway.connect("ana", "user").clear_tasks("dag", "run", scope, dry_run=False)
    assert gateway.connect("ana", "user").clear_run("dag", "run", scope).state == "queued"
    for request in server.requests:
        assert json.loads(request.body).get("run_on_latest_version") == sent


DAY = "scheduled__2026-03-01T00:00:00+00:00"


def test_which_runs_are_there_is_asked_in_one_call_by_their_names(server):
    runs = [{"dag_id": name, "dag_run_id": DAY, "state": "running"} for name in ("etl", "etl2", "ml")]
    server.answer = listed("dag_runs", runs, set())
    there = gateway.connect().runs_there([("etl", DAY), ("ml", f"{DAY}~1"), ("ml", "manual")])
    assert there == {("etl", DAY), ("etl2", DAY), ("ml", DAY)}
    [asked] = server.requests
    query = parse_qs(urlsplit(asked.path).query)
    assert (urlsplit(asked.path).path, query["order_by"]) == ("/api/v2/dags/~/dagRuns", ["id"])
    assert query["dag_id_prefix_pattern"] == ["etl|ml"]
    assert query["run_id_prefix_pattern"] == [f"{DAY}|{DAY}~1"]  # and not each that begins with "manual"


@pytest.mark.parametrize("length", [40, 250])
def test_many_runs_are_asked_for_in_addresses_that_a_server_takes(server, length):
    server.answer = listed("dag_runs", [], set())
    runs = [(f"dag{n:03}".ljust(length, "x"), f"{DAY}~{n:03}".ljust(length, "x")) for n in range(100)]
    gateway.connect().runs_there(runs)
    queries = [parse_qs(urlsplit(asked.path).query) for asked in server.requests]
    asked_for = [name for query in queries for name in query["run_id_prefix_pattern"][0].split("|")]
    assert sorted(asked_for) == sorted(run_id for _dag_id, run_id in runs)
    assert max(len(asked.path) for asked in server.requests) < 5000


def test_a_run_whose_name_many_others_begin_with_is_not_looked_for_among_all(server):
    runs = [{"dag_id": "etl", "dag_run_id": f"nightly-report-of-{n}", "state": "failed"} for n in range(3000)]
    server.answer = listed("dag_runs", runs, set())
    gateway.connect().runs_there([("etl", "nightly-report-of")])
    assert len(server.requests) <= 11
