"""The edge to Airflow: tokens, and whatever may come back over the wire."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import jwt
import pytest

from core.lib.errors import Conflict, InvalidRequest, NotFound, Unauthorized, Unavailable
from pipelines import airflow_auth, answers, gateway


@pytest.fixture
def server(settings):
    """A server that gives the answer put into `server.answer`, and keeps the requests."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.requests.append(self)
            status, body = self.server.answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

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


@pytest.mark.parametrize("answer", [b"<html>", b"{}", b"[]", b'{"dags": null}'])
def test_an_answer_that_makes_no_sense_is_unavailable(server, answer):
    server.answer = (200, answer)
    with pytest.raises(Unavailable, match="does not understand"):
        gateway.connect().dags()


def test_one_item_that_makes_no_sense_is_no_answer_less(server):
    sound = dict.fromkeys(("description", "timetable_summary", "timetable_description"))
    sound |= {"dag_id": "etl", "dag_display_name": "ETL", "tags": [], "owners": ["ana"], "is_paused": False}
    sound |= {"next_dagrun_run_after": "soon", "has_import_errors": False}
    server.answer = (200, body(dags=[sound, {"dag_id": "odd"}, None]))
    etl, odd, unnamed = gateway.connect().dags()
    assert (etl.dag_id, etl.next_run_at) == ("etl", None)
    assert (odd.key, odd.reason) == ("odd", "KeyError: 'dag_display_name' is missing")
    assert unnamed.key.startswith("unnamed ")


def test_a_line_that_is_no_message_is_shown_as_it_came():
    odd = [7, {"event": "x", "error_detail": [None]}, {"event": "sound"}, None]
    page = answers.log_page({"content": odd, "continuation_token": None})
    assert [line.message for line in page.lines] == [
        "7",
        '{"event": "x", "error_detail": [null]}',
        "sound",
        "null",
    ]
    assert answers.stored_line(b"no JSON \xff") == "no JSON \ufffd"


def test_words_of_pydantics_findings_name_the_field():
    told = json.dumps({"detail": [{"loc": ["body", "logical_date"], "msg": "Field required"}]})
    assert answers.words_of_error(told) == "logical_date: Field required"


def test_the_field_is_found_in_the_schemas_sentence():
    words = "Invalid input for param n_iter: 0 is less than the minimum of 1\n\nFailed validating …"
    assert answers.fields_of_error(words) == [
        {"field": "conf.n_iter", "message": "0 is less than the minimum of 1"}
    ]
    assert answers.fields_of_error("something else") == []
