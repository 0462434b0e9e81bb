"""One-time passwords, and choosing one's own."""

import re

import pytest

from core.access import actions
from core.access.models import User
from core.access.passwords import one_time_password
from core.audit.models import AuditEntry
from tests.people import PASSWORD, bearer, make_admin, make_token, make_user, signed_in

pytestmark = pytest.mark.django_db
NEW = "another horse entirely"


def change(client, old=PASSWORD, new=NEW, again=None, **more):
    wish = {"old_password": old, "new_password1": new, "new_password2": again or new, **more}
    return client.post("/account/password", wish)


def test_one_time_passwords_differ_and_can_be_read_aloud():
    made = {one_time_password() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"[a-hjkmnp-z2-9]{5}(-[a-hjkmnp-z2-9]{5}){3}", password) for password in made)


def test_a_one_time_password_opens_nothing_but_its_change():
    client = signed_in(make_user("ana", "admin", must_change_password=True))
    assert client.get("/account?x=1").url == "/account/password?next=%2Faccount%3Fx%3D1"
    assert client.get("/system/users", headers={"HX-Request": "true"})["HX-Redirect"].startswith(
        "/account/password"
    )
    refused = client.get("/api/v1/me")
    assert refused.status_code == 403
    assert "choose your own first" in refused.json()["detail"]
    page = client.get("/account/password")
    assert "works once" in page.content.decode()
    assert change(client, next="/account?x=1").url == "/account?x=1"
    assert client.get("/account?x=1").status_code == 200


def test_tokens_go_on_working_while_the_password_is_for_one_use(client):
    _token, key = make_token(make_user("ana", "viewer", must_change_password=True))
    assert client.get("/api/v1/me", **bearer(key)).status_code == 200


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"old": "wrong"}, "entered incorrectly"),
        ({"new": "short"}, "too short"),
        ({"new": "12345678901234567"}, "entirely numeric"),
        ({"new": PASSWORD}, "Choose another"),
        ({"again": "something else"}, "match"),
        ({"new": "x" * 300}, "at most 256"),
    ],
)
def test_a_password_that_will_not_do_is_refused_with_words(wish, words):
    ana = make_user("ana")
    answer = change(signed_in(ana), **wish)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    ana.refresh_from_db()
    assert ana.check_password(PASSWORD)


def test_changing_the_password_ends_other_sessions_and_keeps_this_one():
    ana = make_user("ana")
    here, elsewhere = signed_in(ana), signed_in(ana)
    change(here)
    assert here.get("/account").status_code == 200
    assert elsewhere.get("/account").status_code == 302
    assert "user.change_password" in AuditEntry.objects.values_list("action", flat=True)


def test_reset_gives_a_one_time_password_ends_sessions_and_tokens_and_unlocks(client):
    ana = make_user("ana", "viewer")
    session = signed_in(ana)
    token, key = make_token(ana)
    for _attempt in range(5):
        client.post("/sign-in", {"username": "ana", "password": "wrong"})
    password = actions.reset_password(ana, by=make_admin())
    assert session.get("/account").status_code == 302
    assert client.get("/api/v1/me", **bearer(key)).status_code == 401
    assert AuditEntry.objects.get(action="token.revoke").object_id == str(token.pk)
    answer = client.post("/sign-in", {"username": "ana", "password": password})
    assert answer.status_code == 302
    assert User.objects.get(username="ana").must_change_password
    assert password not in str(AuditEntry.objects.values_list())
