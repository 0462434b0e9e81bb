"""Request id, log line, cache headers, metrics; Idempotency-Key on the way through Django."""

import json

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import path
from prometheus_client import REGISTRY
from rest_framework.response import Response
from rest_framework.views import APIView

from console import urls
from core.access import policy
from core.access.models import User
from core.lib import error_pages

N_CALLS: list[str] = []


class Start(APIView):
    def post(self, request):
        N_CALLS.append(request.data["kind"])
        status = {"accepted": 202, "odd": 422, "busy": 429, "broken": 503}[request.data["kind"]]
        return Response({"n": len(N_CALLS)}, status=status)


urlpatterns = [*urls.urlpatterns, path("api/v1/start", Start.as_view(), name="start")]
handler500 = error_pages.handler500


@pytest.fixture
def caller(db, settings, monkeypatch):
    settings.ROOT_URLCONF = __name__
    monkeypatch.setitem(policy.ROUTES, "start", "pipelines.run")
    N_CALLS.clear()
    user = User.objects.create_user("ana")
    user.groups.add(Group.objects.get(name="engineer"))
    client = Client()
    client.force_login(user)
    return client


def start(client, kind="accepted", **headers):
    return client.post("/api/v1/start", {"kind": kind}, content_type="application/json", headers={**headers})


def test_request_id_of_the_caller_is_kept(client):
    assert client.get("/livez", headers={"X-Request-ID": "abc-12345"})["X-Request-ID"] == "abc-12345"


@pytest.mark.parametrize("given", ["", "short", "x" * 65, "two words", "line\\nbreak", "a" * 8 + "<"])
def test_request_id_that_is_none_is_replaced(client, given):
    answered = client.get("/livez", headers={"X-Request-ID": given})["X-Request-ID"]
    assert answered != given
    assert len(answered) == 32


def test_htmx_gets_nothing_around_a_fragment(caller):
    fragment = caller.get("/nowhere", headers={"HX-Request": "true"}).content
    assert fragment.startswith(b"<")
    assert fragment == fragment.strip()


def test_request_is_logged_without_its_query(caller, caplog):
    caller.get("/search?q=secret")
    line = next(record.msg for record in caplog.records if record.name == "console.http")
    assert (line["method"], line["path"], line["status"], line["user"]) == ("GET", "/search", 200, "ana")
    assert line["ms"] > 0
    assert "secret" not in str(line)


def test_probes_are_not_logged(client, caplog):
    client.get("/livez")
    assert not [record for record in caplog.records if record.name == "console.http"]


def test_pages_are_not_cached(caller):
    assert caller.get("/search")["Cache-Control"] == "private, no-store"


def test_pages_are_compressed(caller):
    assert caller.get("/search", headers={"Accept-Encoding": "gzip"})["Content-Encoding"] == "gzip"


def test_answers_are_counted_by_view(client):
    labels = {"view": "console:livez", "method": "GET", "status": "2xx"}
    before = REGISTRY.get_sample_value("console_http_answer_seconds_count", labels) or 0
    client.get("/livez")
    assert REGISTRY.get_sample_value("console_http_answer_seconds_count", labels) == before + 1


def test_search_page_asks_the_database_little(caller, django_assert_max_num_queries):
    with django_assert_max_num_queries(3):  # session, user, roles
        caller.get("/search")


# --- Idempotency-Key


@pytest.mark.usefixtures("real_redis")
def test_repetition_gets_the_first_answer(caller):
    first = start(caller, **{"Idempotency-Key": "k1"})
    again = start(caller, **{"Idempotency-Key": "k1"})
    assert (first.status_code, again.status_code, first.json(), again.json()) == (
        202,
        202,
        {"n": 1},
        {"n": 1},
    )
    assert "Idempotent-Replay" not in first
    assert again["Idempotent-Replay"] == "true"
    assert len(N_CALLS) == 1


@pytest.mark.usefixtures("real_redis")
def test_same_key_for_another_body_is_refused(caller):
    start(caller, **{"Idempotency-Key": "k1"})
    response = start(caller, kind="busy", **{"Idempotency-Key": "k1"})
    assert response.status_code == 422
    assert "another call" in response.json()["detail"]


@pytest.mark.usefixtures("real_redis")
@pytest.mark.parametrize("kind", ["odd", "busy", "broken"])
def test_try_again_means_it(caller, kind):
    start(caller, kind=kind, **{"Idempotency-Key": "k1"})
    start(caller, kind=kind, **{"Idempotency-Key": "k1"})
    assert [kind, kind] == N_CALLS


@pytest.mark.usefixtures("real_redis")
def test_a_corrected_call_may_have_the_key_of_the_one_that_was_refused(caller):
    assert start(caller, kind="odd", **{"Idempotency-Key": "k1"}).status_code == 422
    assert start(caller, **{"Idempotency-Key": "k1"}).status_code == 202
    assert "another call" in start(caller, kind="odd", **{"Idempotency-Key": "k1"}).json()["detail"]
    assert start(caller, **{"Idempotency-Key": "k1"})["Idempotent-Replay"] == "true"
    assert N_CALLS == ["odd", "accepted"]


@pytest.mark.usefixtures("real_redis")
def test_refused_call_does_not_take_the_key(caller):
    stranger = Client()
    stranger.force_login(User.objects.create_user("eve"))
    assert start(stranger, **{"Idempotency-Key": "k1"}).status_code == 403
    assert start(caller, **{"Idempotency-Key": "k1"}).status_code == 202


@pytest.mark.usefixtures("real_redis")
def test_bad_key_is_refused(caller):
    response = start(caller, **{"Idempotency-Key": "x" * 201})
    assert json.loads(response.content)["detail"].startswith("An Idempotency-Key has 1 to 200")


def test_without_redis_only_calls_with_a_key_wait(caller):
    assert start(caller, **{"Idempotency-Key": "k1"}).status_code == 503
    assert start(caller).status_code == 202


@pytest.mark.parametrize(
    "address", ["/runs?q=a%00b", "/api/v1/runs?state=%00", "/pipelines/a%00b", "/api/v1/pipelines/a%00b"]
)
def test_a_null_character_in_an_address_is_a_bad_request(caller, address):
    assert caller.get(address).status_code == 400


FORM = b'--a\r\nContent-Disposition: form-data; name="username\\x"\r\n\r\nana\\x\r\n--a--\r\n'


@pytest.mark.django_db
@pytest.mark.parametrize("charset", ["unicode_escape", "utf-16", "utf-7", "idna", "hex", "latin-1", "cp037"])
def test_body_that_is_no_utf8_is_refused(charset):
    kind = f"multipart/form-data; boundary=a; charset={charset}"
    answer = Client().generic("POST", "/sign-in", FORM, content_type=kind)
    assert answer.status_code == 415
    assert "Send UTF-8" in answer.text


@pytest.mark.django_db
@pytest.mark.parametrize("charset", ["utf-8", "UTF8", "us-ascii"])
def test_body_that_says_it_is_utf8_is_read(charset):
    kind = f"multipart/form-data; boundary=a; charset={charset}"
    assert Client().generic("POST", "/sign-in", FORM, content_type=kind).status_code != 415
