"""Users over REST: made, listed, changed, with the same protections as on their pages."""

import pytest

from core.access import policy
from core.access.models import ApiToken, User
from core.audit.models import AuditEntry
from core.lib import redis as console_redis
from tests.people import PASSWORD, bearer, make_admin, make_token, make_user, signed_in

pytestmark = pytest.mark.django_db
URL = "/api/v1/users"
LONGEST = "ñ@.+-_" * 25


class Admin:
    """Calls with the token of an administrator that has what users take, and no other scope."""

    def __init__(self, client):
        self.user = make_admin()
        _token, self.key = make_token(self.user, "admin", "tokens")
        self._client = client

    def __call__(self, method, path="", body=None, **headers):
        call = bearer(self.key)
        call["headers"].update(headers)
        more = {} if body is None else {"data": body, "content_type": "application/json"}
        return getattr(self._client, method)(URL + path, **more, **call)


@pytest.fixture
def admin(client):
    return Admin(client)


def fields_at_fault(answer):
    assert answer.status_code == 422, answer.content
    return {error["field"] for error in answer.json()["errors"]}


def last_entry():
    return AuditEntry.objects.order_by("-pk").first()


# --- making them


def test_a_new_person_signs_in_with_the_password_that_is_told_once(admin, client):
    wish = {"username": "bo@x", "roles": ["viewer", "predictor"], "email": "bo@example.org"}
    answer = admin("post", "", wish)
    made = answer.json()
    assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
    assert (made["username"], made["roles"]) == ("bo@x", ["predictor", "viewer"])
    assert (made["email"], made["is_active"], made["must_change_password"]) == ("bo@example.org", True, True)
    entry = last_entry()
    assert (entry.action, entry.actor_name, entry.token_name) == ("user.create", "root", "script")
    sign_in = {"username": "bo@x", "password": made["one_time_password"]}
    assert client.post("/sign-in", sign_in).status_code == 302
    assert "one_time_password" not in admin("get", "/bo@x").json()
    assert made["one_time_password"] not in str(list(AuditEntry.objects.values_list()))


def test_an_address_may_be_left_out_and_roles_may_be_none(admin):
    made = admin("post", "", {"username": "bo", "roles": []}).json()
    assert (made["roles"], made["email"]) == ([], "")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"username": ""}, "username"),
        ({"username": "two words"}, "username"),
        ({"username": "system:taxi"}, "username"),
        ({"username": "a\x00b"}, "username"),
        ({"username": "x" * 151}, "username"),
        ({"username": ".."}, "username"),
        ({"username": "ROOT"}, "username"),
        ({"username": None}, "username"),
        ({"username": ["bo"]}, "username"),
        ({"roles": ["emperor"]}, "roles.0"),
        ({"roles": "admin"}, "roles"),
        ({"roles": None}, "roles"),
        ({"roles": [None]}, "roles.0"),
        ({"email": "nowhere"}, "email"),
        ({"email": "x" * 250 + "@example.org"}, "email"),
        ({"is_system": True}, "is_system"),
        ({"password": "of my own"}, "password"),
    ],
)
def test_what_will_not_do_is_refused_by_field(admin, change, field):
    assert field in fields_at_fault(admin("post", "", {"username": "bo", "roles": [], **change}))
    assert User.objects.count() == 1


def test_name_and_roles_have_to_be_given(admin):
    assert fields_at_fault(admin("post", "", {})) == {"username", "roles"}


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"username": "\\ud800", "roles": []}', b'"bo"'])
def test_what_is_no_wish_at_all_is_refused(admin, body):
    assert admin("post", "", body).status_code in {400, 422}
    assert User.objects.count() == 1


def test_a_name_of_150_characters_is_found_by_its_address(admin):
    assert admin("post", "", {"username": LONGEST, "roles": ["viewer"]}).status_code == 201
    assert admin("get", f"/{LONGEST}").json()["username"] == LONGEST
    assert admin("patch", f"/{LONGEST}", {"is_active": False}).json()["is_active"] is False


def test_a_password_is_not_kept_for_repetitions_of_the_call(admin, real_redis):
    wish, once = {"username": "bo", "roles": []}, {"Idempotency-Key": "once"}
    assert admin("post", "", wish, **once).status_code == 201
    assert not console_redis.client().keys("*idem*")
    again = admin("post", "", wish, **once)
    assert fields_at_fault(again) == {"username"}
    assert "is taken" in again.json()["detail"]


# --- seeing them


def test_the_list_is_narrowed_as_on_the_page(admin):
    make_user("ana", "viewer", email="ana@example.org", is_active=False)
    make_user("bo", "viewer", must_change_password=True)
    make_user("system:taxi", is_system=True)
    queries = {
        "": ["ana", "bo", "root", "system:taxi"],
        "?q=EXAMPLE": ["ana"],
        "?role=viewer": ["ana", "bo"],
        "?role=viewer&state=active": ["bo"],
        "?state=deactivated": ["ana"],
        "?state=one-time": ["bo"],
        "?state=system": ["system:taxi"],
        "?q=&role=&state=": ["ana", "bo", "root", "system:taxi"],
    }
    for query, names in queries.items():
        assert [user["username"] for user in admin("get", query).json()["results"]] == names, query


@pytest.mark.parametrize(
    ("query", "field"), [("role=emperor", "role"), ("state=gone", "state"), ("limit=0", "limit")]
)
def test_a_filter_that_does_not_exist_is_refused(admin, query, field):
    assert fields_at_fault(admin("get", f"?{query}")) == {field}


def test_pages_of_the_list_show_each_once_in_few_queries(admin, django_assert_num_queries):
    for n in range(5):
        make_token(make_user(f"user{n}", "viewer"))
    make_user("system:taxi", is_system=True)
    admin("get")  # notes the use of the token
    names, path = [], "?limit=3"
    while path:
        with django_assert_num_queries(3):  # the token with its owner and their roles; the page, its roles
            page = admin("get", path).json()
        names += [user["username"] for user in page["results"]]
        path = (page["next"] or "").partition(URL)[2]
    assert names == ["root", "user0", "user1", "user2", "user3", "user4", "system:taxi"]


def test_one_is_shown_with_its_live_tokens(admin):
    ana = make_user("ana", "viewer")
    make_token(ana)
    make_token(ana, days=-1)
    shown = admin("get", "/ana").json()
    assert (shown["id"], shown["n_live_tokens"], shown["last_sign_in_at"]) == (ana.pk, 1, None)
    assert shown.keys().isdisjoint({"password", "one_time_password", "session_round"})


@pytest.mark.parametrize("name", ["nobody", "x" * 5000, "Ana", "a%2Fb"])
@pytest.mark.parametrize(("method", "path"), [("get", ""), ("patch", ""), ("post", "/reset-password")])
def test_a_name_that_nobody_has_is_not_found(admin, name, method, path):
    make_user("ana", "viewer")
    assert admin(method, f"/{name}{path}", None if method == "get" else {}).status_code == 404


# --- changing them


def test_only_what_is_given_changes(admin):
    ana = make_user("ana", "viewer", email="ana@example.org")
    assert admin("patch", "/ana", {"roles": ["engineer"]}).json()["roles"] == ["engineer"]
    entry = last_entry()
    assert (entry.action, entry.before["roles"], entry.after["roles"]) == (
        "user.edit",
        ["viewer"],
        ["engineer"],
    )
    changed = admin("patch", "/ana", {"email": ""}).json()
    assert (changed["roles"], changed["email"], changed["is_active"]) == (["engineer"], "", True)
    n = AuditEntry.objects.count()
    for nothing in ({}, {"is_active": True}, {"roles": ["engineer"], "email": ""}):
        assert admin("patch", "/ana", nothing).json() == changed
    assert AuditEntry.objects.count() == n
    assert User.objects.get(pk=ana.pk).role_names == ["engineer"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"roles": ["emperor"]}, "roles.0"),
        ({"roles": None}, "roles"),
        ({"email": "nowhere"}, "email"),
        ({"is_active": "perhaps"}, "is_active"),
        ({"is_active": None}, "is_active"),
        ({"username": "other"}, "username"),
        ({"is_system": True}, "is_system"),
    ],
)
def test_a_change_that_will_not_do_changes_nothing(admin, change, field):
    make_user("ana", "viewer")
    assert field in fields_at_fault(admin("patch", "/ana", {"email": "a@example.org", **change}))
    assert User.objects.get(username="ana").email == ""


def test_deactivation_ends_sessions_and_tokens_for_good(admin, client):
    ana = make_user("ana", "viewer")
    session = signed_in(ana)
    _token, key = make_token(ana)
    for is_active in (False, True):
        assert admin("patch", "/ana", {"is_active": is_active}).json()["is_active"] is is_active
    assert session.get("/account").url.startswith("/sign-in")
    assert client.get("/api/v1/me", **bearer(key)).status_code == 401
    actions = AuditEntry.objects.order_by("pk").values_list("action", flat=True)
    assert list(actions)[1:] == ["user.deactivate", "token.revoke", "user.activate"]  # after the sign-in


@pytest.mark.parametrize("change", [{"roles": ["viewer"]}, {"is_active": False}])
def test_the_last_active_administrator_stays(admin, change):
    make_admin("gone", is_active=False)
    answer = admin("patch", "/root", change)
    assert answer.status_code == 409
    assert "last active administrator" in answer.json()["detail"]
    assert admin("get", "/root").json()["roles"] == ["admin"]


def test_of_several_changes_none_is_made_when_one_may_not_be(admin):
    answer = admin("patch", "/root", {"email": "root@example.org", "is_active": False})
    assert answer.status_code == 409
    assert User.objects.get(username="root").email == ""


def test_an_administrator_may_go_when_another_is_left(admin):
    make_admin("other")
    assert admin("patch", "/root", {"is_active": False}).status_code == 200
    assert admin("get").status_code == 401
    assert ApiToken.objects.get().revoked_at is not None


@pytest.mark.parametrize(
    "change", [{}, {"roles": ["admin"]}, {"email": "a@example.org"}, {"is_active": True}]
)
def test_a_pipelines_account_is_seen_and_not_changed(admin, change):
    system = make_user("system:taxi", is_system=True)
    assert admin("get", "/system:taxi").json()["is_system"] is True
    assert admin("patch", "/system:taxi", change).status_code == 409
    assert admin("post", "/system:taxi/reset-password", {}).status_code == 409
    assert User.objects.get(pk=system.pk).role_names == []


def test_a_reset_gives_a_password_once_and_ends_all_else(admin, client):
    ana = make_user("ana", "viewer")
    session = signed_in(ana)
    _token, key = make_token(ana)
    answer = admin("post", "/ana/reset-password", {})
    told = answer.json()
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    assert (told["must_change_password"], told["n_live_tokens"]) == (True, 0)
    assert User.objects.get(pk=ana.pk).check_password(told["one_time_password"])
    assert session.get("/account").url.startswith("/sign-in")
    assert client.get("/api/v1/me", **bearer(key)).status_code == 401
    assert fields_at_fault(admin("post", "/ana/reset-password", {"password": "x"})) == {"password"}


# --- who may


@pytest.mark.parametrize("role", [role for role in policy.ROLES if role != "admin"])
def test_only_an_administrator_sees_or_changes_users(client, role):
    _token, key = make_token(make_user("someone", role))
    calls = [("get", URL), ("get", f"{URL}/someone"), ("get", "/api/v1/roles")]
    calls += [("post", URL), ("patch", f"{URL}/someone"), ("post", f"{URL}/someone/reset-password")]
    for method, address in calls:
        wish = {} if method == "get" else {"content_type": "application/json"}
        answer = getattr(client, method)(address, {"roles": ["admin"]}, **wish, **bearer(key))
        assert answer.status_code == 403
    assert User.objects.get().role_names == [role]


def test_a_token_that_makes_no_tokens_makes_nobody_who_could(client):
    """It is what a leaked token is for: it ends, and cannot make itself permanent by a password."""
    root = make_admin()
    make_admin("other")
    make_user("ana", "viewer")
    _token, key = make_token(root, *policy.token_scopes_of(root))
    wish = {"content_type": "application/json", **bearer(key)}
    calls = [
        ("post", URL, {"username": "eve", "roles": ["admin"]}),
        ("post", f"{URL}/other/reset-password", {}),
        ("patch", f"{URL}/ana", {"roles": ["admin"]}),
        ("patch", f"{URL}/ana", {"is_active": False}),
        ("patch", f"{URL}/ana", {"email": "eve@example.org", "is_active": False}),
    ]
    for method, address, body in calls:
        answer = getattr(client, method)(address, body, **wish)
        assert (answer.status_code, answer.json()["detail"]) == (403, "This token lacks the scope “tokens”.")
    ana = User.objects.get(username="ana")
    assert (ana.role_names, ana.is_active, ana.email) == (["viewer"], True, "")
    assert User.objects.get(username="other").check_password(PASSWORD)
    assert User.objects.count() == 3
    assert client.patch(f"{URL}/ana", {"email": "ana@example.org"}, **wish).status_code == 200
    assert client.get(URL, **bearer(key)).status_code == 200


def test_an_administrator_in_a_session_may_all_of_it():
    session = signed_in(make_admin())
    wish = {"content_type": "application/json"}
    assert session.post(URL, {"username": "bo", "roles": ["viewer"]}, **wish).status_code == 201
    assert session.patch(f"{URL}/bo", {"roles": [], "is_active": False}, **wish).status_code == 200
    assert session.post(f"{URL}/bo/reset-password", {}, **wish).status_code == 200


def test_roles_are_told_with_their_scopes(client, admin):
    make_user("ana", "viewer")
    make_user("bo", "viewer", is_active=False)
    told = client.get("/api/v1/roles", **bearer(admin.key)).json()
    assert told["next"] is None
    assert [role["name"] for role in told["results"]] == list(policy.ROLES)
    viewer = told["results"][0]
    assert (viewer["scopes"], viewer["n_people"]) == (["see", "tokens"], 1)
    assert viewer["description"] == "Looks at pipelines, runs and models, and changes nothing"
