"""Errors as pages, fragments and problem documents, with and without a database."""

import json

import pytest
from django.contrib.auth.models import Group
from django.contrib.sessions.backends.db import SessionStore
from django.db import OperationalError, connection
from django.test import Client
from django.urls import path

from console import urls
from core.access import policy
from core.access.models import User
from core.lib import error_pages, errors


def failing_view(request, kind):
    raise {
        "conflict": errors.Conflict("Not while it runs."),
        "unavailable": errors.Unavailable("Airflow does not answer.", service="airflow", retry_after_s=7),
        "bug": ZeroDivisionError("a bug"),
        "database": OperationalError("server closed the connection"),
    }[kind]


urlpatterns = [
    *urls.urlpatterns,
    path("fail/<str:kind>", failing_view, name="fail"),
    path("api/v1/fail/<str:kind>", failing_view, name="api-fail"),
]
handler400, handler403 = error_pages.handler400, error_pages.handler403
handler404, handler500 = error_pages.handler404, error_pages.handler500


@pytest.fixture
def page(db, settings, monkeypatch):
    """A client of somebody signed in, with the failing views above."""
    settings.ROOT_URLCONF = __name__
    monkeypatch.setitem(policy.ROUTES, "fail", "signed in")
    monkeypatch.setitem(policy.ROUTES, "api-fail", "signed in")
    user = User.objects.create_user("ana")
    user.groups.add(Group.objects.get(name="engineer"))
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def problem(response):
    assert response["Content-Type"] == "application/problem+json"
    body = json.loads(response.content)
    assert body["status"] == response.status_code
    assert body["request_id"] == response["X-Request-ID"]
    return body


def test_error_of_a_view_is_a_page_with_the_shell(page):
    response = page.get("/fail/conflict")
    assert response.status_code == 409
    assert "Not while it runs." in response.text
    assert "<nav" in response.text


def test_error_of_a_view_is_a_fragment_for_htmx(page):
    response = page.get("/fail/conflict", headers={"HX-Request": "true"})
    assert response.status_code == 409
    assert "Not while it runs." in response.text
    assert "<html" not in response.text


def test_error_of_a_view_is_a_problem_for_programs(page):
    body = problem(page.get("/api/v1/fail/conflict"))
    assert (body["title"], body["detail"]) == ("Conflict", "Not while it runs.")


@pytest.mark.parametrize("address", ["/fail/unavailable", "/api/v1/fail/unavailable"])
def test_service_away_says_when_to_try_again(page, address):
    response = page.get(address)
    assert (response.status_code, response["Retry-After"]) == (503, "7")


@pytest.mark.parametrize("address", ["/fail/bug", "/api/v1/fail/bug"])
def test_bug_is_logged_with_its_traceback_and_tells_the_id_alone(page, address, caplog):
    response = page.get(address)
    assert response.status_code == 500
    assert "a bug" not in response.text
    assert response["X-Request-ID"] in response.text
    assert any(record.exc_info and "a bug" in str(record.exc_info[1]) for record in caplog.records)


def test_unknown_address_is_a_page(page):
    response = page.get("/no/such/page")
    assert response.status_code == 404
    assert "There is nothing at this address." in response.text


def test_unknown_address_under_api_is_a_problem(client):
    assert problem(client.get("/api/v1/no-such"))["title"] == "Not found"


def test_wrong_method_of_a_page_is_an_error_page(page):
    response = page.post("/search")
    assert response.status_code == 405
    assert response["Allow"] == "GET"
    assert "does not take POST" in response.text


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"a=1", "application/x-www-form-urlencoded", 415),
        (b'"' + b"x" * (1024 * 1024 + 1) + b'"', "application/json", 413),
    ],
)
def test_body_that_cannot_be_read_is_a_problem(page, body, content_type, status):
    assert problem(page.post("/api/v1/tokens", body, content_type=content_type))["status"] == status


def test_foreign_host_is_refused_without_a_fault(client):
    response = client.get("/livez", headers={"Host": "evil.example"})
    assert response.status_code == 400
    assert "could not read" in response.text


def test_csrf_failure_is_a_readable_page(page):
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = page.cookies
    response = strict.post("/sign-out")
    assert response.status_code == 403
    assert "Reload it and try again" in response.text


def test_broken_template_leaves_plain_words(page, monkeypatch, caplog):
    monkeypatch.setattr(error_pages, "error_page", lambda *_: 1 / 0)
    response = page.get("/fail/bug")
    assert (response.status_code, response["Content-Type"]) == (500, "text/plain; charset=utf-8")


# --- without a database


@pytest.fixture
def _no_database(page):
    """Every statement fails as it does when the server is gone."""

    def refuse(*_args, **_kwargs):
        raise OperationalError("connection refused")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "cursor", refuse)
        yield


@pytest.mark.usefixtures("_no_database")
@pytest.mark.parametrize("address", ["/", "/search?q=a", "/fail/database", "/fail/conflict", "/system/users"])
def test_page_without_a_database_is_a_clear_503(page, address, caplog):
    response = page.get(address)
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert "database does not answer" in response.text
    assert not [record for record in caplog.records if record.exc_info], "one line, no traceback"


@pytest.mark.usefixtures("_no_database")
def test_fragment_without_a_database_is_one(page):
    response = page.get("/overview/health", headers={"HX-Request": "true"})
    assert response.status_code == 503
    assert "<html" not in response.text


@pytest.mark.usefixtures("_no_database")
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer ata_x"}])
def test_rest_without_a_database_is_a_problem(page, headers):
    response = page.get("/api/v1/me", headers=headers)
    assert problem(response)["detail"].startswith("The console's database does not answer.")
    assert response["Retry-After"] == "5"


@pytest.mark.usefixtures("_no_database")
@pytest.mark.parametrize("address", ["/livez", "/metrics", "/sign-in", "/no/such/page"])
def test_what_needs_no_database_goes_on_without_it(client, address):
    assert client.get(address).status_code in {200, 404}


@pytest.mark.parametrize("address", ["/search", "/api/v1/me"])
def test_session_that_cannot_be_read_is_a_503_too(page, monkeypatch, caplog, address):
    """It is read by middleware, where no view's exceptions are seen."""

    def refuse(*_args):
        raise OperationalError("gone")

    monkeypatch.setattr(SessionStore, "load", refuse)
    response = page.get(address)
    assert (response.status_code, response["Retry-After"]) == (503, "5")


def test_session_that_cannot_be_written_is_a_503_too(client, db, monkeypatch, caplog):
    User.objects.create_user("eva", password="a-long-enough-one")

    def refuse(*_args, **_kwargs):
        raise OperationalError("gone")

    monkeypatch.setattr(SessionStore, "save", refuse)
    client.raise_request_exception = False
    response = client.post("/sign-in", {"username": "eva", "password": "a-long-enough-one"})
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert not [record for record in caplog.records if record.exc_info]
