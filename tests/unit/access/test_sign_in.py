"""Signing in and out: the way back, what is recorded. Limits are in `test_limits.py`."""

from unittest import mock

import pytest
from django.conf import global_settings
from django.contrib.auth import hashers
from django.test import Client

from console import settings as project
from core.audit.models import AuditEntry
from tests.people import PASSWORD, make_user, signed_in

pytestmark = pytest.mark.django_db


def sign_in(client, name="ana", password=PASSWORD, **more):
    return client.post("/sign-in", {"username": name, "password": password, **more})


def recorded():
    return list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))


def test_sign_in_leads_to_the_page_that_was_asked_for(client):
    make_user("ana", "viewer")
    answer = client.get("/account/tokens")
    assert answer.url == "/sign-in?next=%2Faccount%2Ftokens"
    assert 'value="/account/tokens"' in client.get(answer.url).content.decode()
    assert sign_in(client, next="/account/tokens").url == "/account/tokens"
    assert recorded() == ["session.sign_in"]


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "\\\\x"]
)
def test_sign_in_never_leads_elsewhere(client, elsewhere):
    make_user("ana")
    assert sign_in(client, next=elsewhere).url == "/"


def test_sign_in_changes_the_session_key(client):
    make_user("ana")
    client.get("/sign-in")
    session = client.session
    session["kept"] = "by an attacker"
    session.save()
    before = session.session_key
    sign_in(client)
    assert client.session.session_key != before


def test_wrong_name_and_wrong_password_get_the_same_answer(client):
    make_user("ana")
    make_user("gone", is_active=False)
    answers = {
        sign_in(client, name, password).context["form"].non_field_errors()[0]
        for name, password in [("ana", "wrong"), ("nobody here", "wrong"), ("gone", PASSWORD)]
    }
    assert len(answers) == 1
    assert "Wrong name or password" in answers.pop()


@pytest.mark.parametrize("name", ["ana", "nobody here", "gone", "system:x"])
def test_every_failure_costs_one_password_hash(client, name):
    make_user("ana")
    make_user("gone", is_active=False)
    principal = make_user("system:x", is_system=True)
    principal.set_unusable_password()
    principal.save()
    hasher = hashers.MD5PasswordHasher
    with mock.patch.object(hasher, "encode", autospec=True, side_effect=hasher.encode) as encode:
        assert sign_in(client, name, "wrong").status_code == 422
    assert encode.call_count == 1


def test_what_was_typed_is_not_recorded(client):
    make_user("ana")
    sign_in(client, password="my secret password")
    sign_in(client, name="my secret password typed as a name", password="x")
    texts = [str(vars(entry)) for entry in AuditEntry.objects.all()]
    assert len(texts) == 2
    assert not any("secret" in text for text in texts)


def test_unknown_names_do_not_flood_the_trail(client):
    for n in range(8):
        sign_in(client, name=f"guess{n}")
    assert recorded() == ["session.refuse"]


@pytest.mark.parametrize("name", ["a\x00b", "x" * 151, ""])
def test_an_impossible_name_is_answered_not_looked_up(client, name):
    assert sign_in(client, name).status_code == 422


def test_a_password_of_a_megabyte_is_not_hashed(client):
    make_user("ana")
    with mock.patch("django.contrib.auth.hashers.make_password") as make:
        assert sign_in(client, password="x" * 1000).status_code == 422
    assert not make.called


def test_sign_in_without_csrf_is_a_page_that_says_so():
    answer = sign_in(Client(enforce_csrf_checks=True))
    assert answer.status_code == 403
    assert "was not sent from a page of this console" in answer.content.decode()


def test_sign_out_takes_a_post_and_ends_the_session():
    client = signed_in(make_user("ana", "viewer"))
    assert client.get("/sign-out").status_code == 405
    assert client.post("/sign-out").url == "/sign-in"
    assert client.get("/account").status_code == 302
    assert recorded() == ["session.sign_in", "session.sign_out"]


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(client):
    make_user("ana")
    cookie = sign_in(client).cookies["atalaya_session"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"


def test_passwords_are_hashed_by_djangos_default():
    assert not hasattr(project, "PASSWORD_HASHERS")
    assert global_settings.PASSWORD_HASHERS[0].endswith("PBKDF2PasswordHasher")
