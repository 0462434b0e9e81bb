"""Refusals: shown in the caller's form, and recorded without a flood."""

import pytest
from django.test import Client

from core.audit.models import AuditEntry
from tests.people import make_user, signed_in

pytestmark = pytest.mark.django_db


def denials():
    return AuditEntry.objects.filter(action="access.deny")


def test_a_denied_page_says_what_is_missing_and_is_recorded():
    client = signed_in(make_user("ana", "viewer"))
    answer = client.get("/system/users")
    assert answer.status_code == 403
    assert "do not include “admin”" in answer.content.decode()
    entry = denials().get()
    assert (entry.actor_name, entry.object_id) == ("ana", "access:user-list")
    assert entry.after == {"method": "GET", "path": "/system/users"}


def test_a_denial_is_recorded_once_a_minute_for_each_person_and_route():
    client = signed_in(make_user("ana", "viewer"))
    for _n in range(5):
        client.get("/system/users")
    client.get("/system/tokens")
    signed_in(make_user("bob", "viewer")).get("/system/users")
    assert denials().count() == 3


def test_a_denied_call_is_a_problem_document():
    answer = signed_in(make_user("ana", "viewer")).get("/api/v1/audit")
    assert answer.status_code == 403
    assert answer["Content-Type"] == "application/problem+json"
    assert denials().get().object_id == "api:audit-list"


def test_a_form_without_csrf_is_recorded_under_nobody_or_whoever_sent_it():
    ana = make_user("ana", "viewer")
    signed_in(ana, enforce_csrf_checks=True).post("/account/tokens", {"name": "x"})
    Client(enforce_csrf_checks=True).post("/sign-in", {"username": "x"})
    assert list(denials().order_by("pk").values_list("actor_name", flat=True)) == ["ana", "nobody"]


def test_htmx_is_sent_to_sign_in_and_back_to_its_page(client):
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/system/users?role=admin"}
    answer = client.get("/audit/object?type=x&id=1", headers=headers)
    assert answer.status_code == 401
    assert answer["HX-Redirect"] == "/sign-in?next=%2Fsystem%2Fusers%3Frole%3Dadmin"


def test_a_post_without_a_session_leads_back_to_the_start(client):
    assert client.post("/system/users/new").url == "/sign-in?next=%2F"
