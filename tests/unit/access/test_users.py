"""Users and roles: who may change them, what is recorded, and the last administrator."""

import threading

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.test import Client

from core.access import actions, policy
from core.access.models import User
from core.audit.models import AuditEntry
from core.lib.errors import Conflict, InvalidRequest
from tests.people import PASSWORD, bearer, make_admin, make_token, make_user, signed_in

pytestmark = pytest.mark.django_db


def last_entry():
    return AuditEntry.objects.order_by("-pk").first()


def test_a_user_is_created_with_a_one_time_password_that_is_shown_once():
    client = signed_in(make_admin())
    wish = {"username": "bob", "email": "bob@example.org", "roles": ["viewer", "engineer"]}
    answer = client.post("/system/users/new", wish)
    bob = User.objects.get(username="bob")
    password = answer.context["password"]
    assert answer.status_code == 201
    assert password in answer.content.decode()
    assert bob.check_password(password)
    assert bob.must_change_password
    assert password not in client.get(f"/system/users/{bob.pk}").content.decode()
    entry = AuditEntry.objects.get(action="user.create")
    assert entry.after == {**wish, "roles": ["engineer", "viewer"]}
    assert entry.actor_name == "root"


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"username": "ROOT"}, "is taken"),
        ({"username": "system"}, "is taken"),
        ({"username": "Nobody"}, "is taken"),
        ({"username": "system:mine"}, "valid username"),
        ({"username": "with space"}, "valid username"),
        ({"username": "x" * 151}, "at most 150"),
        ({"username": "a\x00b"}, "Null characters"),
        ({"username": ""}, "required"),
        ({"username": "bob", "email": "not an address"}, "valid email"),
        ({"username": "bob", "roles": ["emperor"]}, "emperor is none of the choices"),
    ],
)
def test_a_wish_that_will_not_do_comes_back_with_words_and_what_was_typed(wish, words):
    client = signed_in(make_admin())
    answer = client.post("/system/users/new", wish)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert User.objects.count() == 1


def test_htmx_gets_the_form_alone():
    client = signed_in(make_admin())
    answer = client.post("/system/users/new", {"username": "root"}, headers={"HX-Request": "true"})
    assert answer.status_code == 422
    assert answer.content.decode().startswith("<form")


def test_editing_roles_records_before_and_after_and_counts_at_once():
    ana = make_user("ana", "viewer")
    session = signed_in(ana)
    admin = signed_in(make_admin())
    assert session.get("/system/users").status_code == 403
    answer = admin.post(f"/system/users/{ana.pk}", {"email": "a@b.org", "roles": ["admin"]})
    assert answer.status_code == 302
    assert session.get("/system/users").status_code == 200
    entry = AuditEntry.objects.get(action="user.edit")
    assert entry.before == {"roles": ["viewer"], "email": ""}
    assert entry.after == {"roles": ["admin"], "email": "a@b.org"}


def test_saving_without_a_change_records_nothing():
    ana = make_user("ana", "viewer")
    actions.edit_user(ana, roles=["viewer"], email="", by=make_admin())
    assert not AuditEntry.objects.filter(action="user.edit").exists()


@pytest.mark.parametrize("role", [role for role in policy.ROLES if role != "admin"])
@pytest.mark.parametrize("path", ["", "/deactivate", "/activate", "/reset-password"])
def test_only_an_administrator_changes_users(role, path):
    someone = make_user("someone", role)
    answer = signed_in(someone).post(f"/system/users/{someone.pk}{path}", {"roles": ["admin"]})
    assert answer.status_code == 403
    assert "An administrator can add one" in answer.content.decode()
    someone.refresh_from_db()
    assert (someone.role_names, someone.is_active) == ([role], True)


def test_actions_refuse_whoever_is_no_administrator():
    scientist, ana = make_user("sci", "scientist"), make_user("ana", "viewer")
    for change in (
        lambda: actions.create_user("x", roles=["admin"], by=scientist),
        lambda: actions.edit_user(scientist, roles=["admin"], email="", by=scientist),
        lambda: actions.deactivate_user(ana, by=scientist),
        lambda: actions.activate_user(ana, by=scientist),
        lambda: actions.reset_password(ana, by=scientist),
    ):
        with pytest.raises(policy.Denied):
            change()


def test_deactivation_ends_sessions_and_tokens_at_once(client):
    ana = make_user("ana", "viewer")
    session = signed_in(ana)
    _token, key = make_token(ana)
    answer = signed_in(make_admin()).post(f"/system/users/{ana.pk}/deactivate")
    assert answer.status_code == 302
    assert session.get("/account").url.startswith("/sign-in")
    assert client.get("/api/v1/me", **bearer(key)).status_code == 401
    entry = AuditEntry.objects.get(action="user.deactivate")
    assert (entry.before, entry.after) == ({"is_active": True}, {"is_active": False})
    assert last_entry().action == "token.revoke"


def test_nothing_from_before_a_deactivation_lives_again(client):
    ana, admin = make_user("ana", "viewer"), make_admin()
    session = signed_in(ana)
    _token, key = make_token(ana)
    for change in (actions.deactivate_user, actions.activate_user):
        change(User.objects.get(pk=ana.pk), by=admin)
    assert session.get("/account").url.startswith("/sign-in")
    assert client.get("/api/v1/me", **bearer(key)).status_code == 401
    again = Client()
    assert again.post("/sign-in", {"username": "ana", "password": PASSWORD}).status_code == 302
    assert again.get("/account").status_code == 200


def test_a_session_that_is_there_outlives_the_change_to_rounds():
    """Round 0 hashes as Django does alone, so an upgrade signs nobody out."""
    ana = make_user("ana")
    django_alone = AbstractBaseUser._get_session_auth_hash(ana)
    assert ana.get_session_auth_hash() == django_alone
    ana.session_round = 1
    assert ana.get_session_auth_hash() != django_alone


def test_the_last_active_administrator_stays():
    admin = make_admin()
    make_admin("gone", is_active=False)
    client = signed_in(admin)
    answers = [
        client.post(f"/system/users/{admin.pk}", {"roles": ["viewer"]}),
        client.post(f"/system/users/{admin.pk}/deactivate"),
    ]
    for answer in answers:
        assert answer.status_code == 409
        assert "last active administrator" in answer.content.decode()
    admin = User.objects.get(pk=admin.pk)
    assert (admin.is_active, admin.role_names) == (True, ["admin"])


def test_an_administrator_may_go_when_another_is_left():
    admin, _other = make_admin(), make_admin("other")
    actions.edit_user(admin, roles=[], email="", by=admin)
    assert admin.role_names == []


@pytest.mark.django_db(transaction=True)
def test_two_administrators_cannot_remove_each_other_at_once():
    admins = [make_admin("one"), make_admin("two")]
    outcomes, start = [], threading.Barrier(2)

    def remove(victim, by):
        start.wait()
        try:
            actions.deactivate_user(victim, by=by)
            outcomes.append("done")
        except (Conflict, policy.Denied):
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=remove, args=pair) for pair in (admins, admins[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["done", "refused"]
    assert User.objects.filter(is_active=True, groups__name="admin").count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["ana", "ANA"])
def test_of_two_who_get_the_same_name_at_once_one_is_refused(name):
    Group.objects.get_or_create(name=policy.ADMIN)  # as `make_user`: a migration made it
    outcomes = []

    def create():
        try:
            actions.create_user(name, roles=[], by=None)
            outcomes.append("done")
        except InvalidRequest as error:
            outcomes.append(error.message)
        finally:
            connection.close()

    second = threading.Thread(target=create)
    with transaction.atomic():
        actions.create_user("ana", roles=[], by=None)
        second.start()
        second.join(timeout=0.5)  # it waits for what becomes of the first
    second.join()
    assert outcomes == [f"The name “{name}” is taken. Choose another."]
    assert User.objects.get().username == "ana"


def test_a_pipelines_account_is_seen_and_not_edited():
    system = make_user("system:titanic_training", is_system=True)
    client = signed_in(make_admin())
    page = client.get(f"/system/users/{system.pk}").content.decode()
    assert "It cannot sign in" in page
    assert "Save changes" not in page
    assert client.post(f"/system/users/{system.pk}", {"roles": ["admin"]}).status_code == 409
    assert client.post(f"/system/users/{system.pk}/reset-password").status_code == 409
    assert client.post(f"/system/users/{system.pk}/deactivate").status_code == 409


def test_unknown_roles_are_named():
    with pytest.raises(InvalidRequest, match="no role “emperor”"):
        actions.create_user("bob", roles=["emperor"], by=None)


def test_the_list_filters_pages_and_keeps_its_queries(django_assert_max_num_queries):
    client = signed_in(make_admin())
    for n in range(60):
        make_user(f"user{n:02}", "viewer")
    make_user("zoe", "engineer", email="zoë@example.org")
    with django_assert_max_num_queries(6):  # session, user, roles; count, page, its roles
        first = client.get("/system/users")
    assert len(first.context["users"]) == 50
    assert first.context["page"]["n"] == 62
    assert len(client.get("/system/users?page=2").context["users"]) == 12
    for query in ("words=ZO%C3%8B", "role=engineer", "words=zo&role=engineer&state=active"):
        assert [user.username for user in client.get(f"/system/users?{query}").context["users"]] == ["zoe"]
    by_name = client.get("/system/users?order=-username").context["users"]
    assert by_name[0].username == "zoe"


@pytest.mark.parametrize("query", ["role=emperor", "state=gone", "order=password"])
def test_a_filter_that_does_not_exist_is_said(query):
    assert signed_in(make_admin()).get(f"/system/users?{query}").status_code == 422


def test_odd_page_numbers_show_a_page():
    client = signed_in(make_admin())
    assert all(
        client.get(f"/system/users?page={page}").status_code == 200 for page in ("0", "-1", "x", "9" * 40)
    )
