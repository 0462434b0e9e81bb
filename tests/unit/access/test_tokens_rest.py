"""API tokens over REST: recognised, refused with words, made, revoked."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from core.access import policy, tokens
from core.access.models import ApiToken
from core.audit.models import AuditEntry
from core.lib import redis as console_redis
from core.lib.errors import Conflict, NotSignedIn
from tests.people import bearer, make_admin, make_token, make_user, signed_in

pytestmark = pytest.mark.django_db
URL = "/api/v1/tokens"


def make_over_rest(client, key, **wish):
    return client.post(URL, {"name": "child", **wish}, content_type="application/json", **bearer(key))


def test_me_says_who_speaks_and_with_which_scopes(client):
    ana = make_user("ana", "scientist")
    token, key = make_token(ana, "see", "models.gate", name="ci")
    me = client.get("/api/v1/me", **bearer(key)).json()
    assert (me["username"], me["roles"], me["scopes"]) == ("ana", ["scientist"], ["models.gate", "see"])
    assert me["token"]["id"] == token.pk
    assert signed_in(ana).get("/api/v1/me").json()["token"] is None


def test_nobody_is_asked_who_they_are(client):
    answer = client.get("/api/v1/me")
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Basic YW5hOnB3", "ata_abc", "Token ata_abc", "bearer\t"]
)
def test_a_malformed_header_is_refused_with_the_right_form(client, header):
    answer = client.get("/api/v1/me", headers={"authorization": header})
    assert answer.status_code == 401
    assert "Authorization: Bearer <token>" in answer.json()["detail"]


@pytest.mark.parametrize("key", ["ata_unknown", "x" * 5000, "ata_é", "ata_a\x00b"])
def test_an_unknown_token_is_refused(client, key):
    answer = client.get("/api/v1/me", **bearer(key))
    assert answer.status_code == 401
    assert "not known here" in answer.json()["detail"]


def test_a_bad_token_is_refused_even_where_a_session_would_do():
    client = signed_in(make_user("ana", "viewer"))
    assert client.get("/api/v1/me", **bearer("ata_unknown")).status_code == 401


def test_an_expired_a_revoked_and_a_deactivated_owners_token_are_refused(client):
    ana = make_user("ana", "viewer")
    _expired, old = make_token(ana, days=-1)
    _revoked, closed = make_token(ana, revoked_at=timezone.now())
    _orphan, orphan = make_token(make_user("gone", "viewer", is_active=False))
    said = [client.get("/api/v1/me", **bearer(key)) for key in (old, closed, orphan)]
    assert [answer.status_code for answer in said] == [401] * 3
    words = ["has expired", "was revoked", "not known"]
    assert all(word in answer.json()["detail"] for word, answer in zip(words, said, strict=True))


def test_a_token_without_the_scope_is_refused_though_its_owner_has_it(client):
    _token, key = make_token(make_admin(), "see")
    answer = client.get("/api/v1/audit", **bearer(key))
    assert answer.status_code == 403
    assert "lacks the scope “admin”" in answer.json()["detail"]


def test_a_token_opens_no_page(client):
    _token, key = make_token(make_admin())
    assert client.get("/system/users", **bearer(key)).url.startswith("/sign-in")


def test_last_use_is_noted_at_most_once_a_minute(client, django_assert_num_queries):
    token, key = make_token(make_user("ana", "viewer"))
    client.get("/api/v1/me", **bearer(key))
    token.refresh_from_db()
    assert timezone.now() - token.last_used_at < timedelta(seconds=30)
    with django_assert_num_queries(1):  # the token with its owner and their roles
        client.get("/api/v1/me", **bearer(key))


def test_a_token_is_made_shown_once_and_kept_as_a_hash(client):
    ana = make_user("ana", "scientist")
    _token, key = make_token(ana, "see", "models.gate", "tokens")
    answer = make_over_rest(client, key, scopes=["see"], days=7)
    made = answer.json()
    assert answer.status_code == 201
    assert client.get("/api/v1/me", **bearer(made["key"])).json()["scopes"] == ["see"]
    listed = client.get(URL, **bearer(key)).json()["results"]
    assert [row["name"] for row in listed] == ["child", "script"]
    assert all("key" not in row and "key_sha256" not in row for row in listed)
    stored = ApiToken.objects.get(pk=made["id"])
    assert stored.key_sha256 == tokens.key_sha256(made["key"])
    assert made["key"] not in str(vars(stored)) + str(list(AuditEntry.objects.values_list()))


def test_without_scopes_a_token_gets_those_of_its_maker_now_but_not_that_of_making_more(client):
    _token, key = make_token(make_user("ana", "scientist"), "see", "predict", "tokens")
    assert make_over_rest(client, key).json()["scopes"] == ["predict", "see"]


@pytest.mark.parametrize("scope", ["models.gate", "admin"])
def test_a_token_cannot_make_a_broader_one(client, scope):
    _token, key = make_token(make_user("ana", "scientist"), "see", "tokens")
    answer = make_over_rest(client, key, scopes=["see", scope])
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"field": "scopes", "message": f"You do not have the scope “{scope}”, so your token cannot."}
    ]
    assert ApiToken.objects.count() == 1


def test_a_token_cannot_make_one_that_outlives_it(client):
    parent, key = make_token(make_user("ana", "viewer"), days=2)
    made = make_over_rest(client, key, days=365).json()
    assert ApiToken.objects.get(pk=made["id"]).expires_at == parent.expires_at


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"days": 0}, "days"),
        ({"days": 366}, "days"),
        ({"days": "soon"}, "days"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["all"]}, "scopes"),
        ({"scopes": "see"}, "scopes"),
        ({"scopes": [1, None]}, "scopes.1"),
    ],
)
def test_a_wish_that_will_not_do_is_refused_by_field(client, wish, field):
    _token, key = make_token(make_user("ana", "viewer"))
    answer = make_over_rest(client, key, **wish)
    assert answer.status_code == 422
    assert field in {error["field"] for error in answer.json()["errors"]}


def test_nobody_piles_up_tokens_without_end(client, monkeypatch):
    monkeypatch.setattr(tokens, "MOST_LIVE_TOKENS", 2)
    _token, key = make_token(make_user("ana", "viewer"))
    assert make_over_rest(client, key).status_code == 201
    assert make_over_rest(client, key).status_code == 409


def test_a_pipelines_account_makes_no_tokens(client):
    system = make_user("system:titanic_training", is_system=True)
    _token, key = make_token(system, "see", "tokens")
    assert make_over_rest(client, key, scopes=["see"]).status_code == 403
    with pytest.raises(Conflict):
        tokens.create(system, name="x", scopes=["see"], by=None)


def test_a_session_needs_a_csrf_token_where_a_bearer_needs_none():
    ana = make_user("ana", "viewer")
    session = signed_in(ana, enforce_csrf_checks=True)
    answer = session.post(URL, {"name": "x"}, content_type="application/json")
    assert answer.status_code == 403
    assert "CSRF" in answer.json()["detail"]
    _token, key = make_token(ana)
    assert make_over_rest(Client(enforce_csrf_checks=True), key).status_code == 201


def test_revoking_ends_a_token_at_once_and_twice_does_no_harm(client):
    _own, key = make_token(make_user("ana", "viewer"))
    other, other_key = make_token(make_user("bob", "viewer"))
    assert client.delete(f"{URL}/{other.pk}", **bearer(key)).status_code == 404
    assert client.delete(f"{URL}/{other.pk}", **bearer(other_key)).status_code == 204
    assert client.get("/api/v1/me", **bearer(other_key)).status_code == 401
    _admin, admin_key = make_token(make_admin())
    assert client.delete(f"{URL}/{other.pk}", **bearer(admin_key)).status_code == 204
    assert AuditEntry.objects.filter(action="token.revoke").count() == 1
    assert client.delete(f"{URL}/{2**70}", **bearer(key)).status_code == 404


def test_only_an_administrator_lists_everybodys_tokens(client):
    ana = make_user("ana", "viewer")
    _token, key = make_token(ana)
    _admin, admin_key = make_token(make_admin())
    assert client.get(f"{URL}?all=true", **bearer(key)).status_code == 403
    assert len(client.get(f"{URL}?all=true", **bearer(admin_key)).json()["results"]) == 2


def test_lists_of_tokens_take_the_same_queries_however_long(client, django_assert_num_queries):
    ana = make_user("ana", "viewer")
    _token, key = make_token(ana)
    client.get(URL, **bearer(key))
    for _n in range(20):
        make_token(ana)
    with django_assert_num_queries(2):  # the token with its owner and their roles, the list
        client.get(URL, **bearer(key))


def test_an_action_checks_the_scope_behind_the_route():
    """A token with less than its owner is refused by what it calls, not only by the middleware."""
    approver = make_user("ana", "approver")
    approver.token_scopes = frozenset({"see"})
    with pytest.raises(policy.Denied, match="This token lacks"):
        policy.check(approver, "models.decide")


def test_a_key_is_not_kept_for_repetitions_of_the_call(client, real_redis):
    """`Idempotency-Key` keeps answers in Redis, but a new token is kept nowhere: each call makes another."""
    _token, key = make_token(make_user("ana", "viewer"))
    call = bearer(key)
    call["headers"]["Idempotency-Key"] = "once"
    made = [
        client.post(URL, {"name": "x"}, content_type="application/json", **call).json()["key"]
        for _n in range(2)
    ]
    assert made[0] != made[1]
    assert not console_redis.client().keys("*idem*")


# --- managing tokens is a right of its own


@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_a_token_manages_tokens_only_with_the_scope_for_it(client, method):
    ana = make_user("ana", "viewer")
    other, _key = make_token(ana)
    _token, key = make_token(ana, "see")
    url = f"{URL}/{other.pk}" if method == "delete" else URL
    answer = getattr(client, method)(url, {"name": "x"}, content_type="application/json", **bearer(key))
    assert answer.status_code == 403
    assert "lacks the scope “tokens”" in answer.json()["detail"]
    other.refresh_from_db()
    assert (other.revoked_at, ApiToken.objects.count()) == (None, 2)


@pytest.mark.parametrize("role", policy.ROLES)
def test_in_a_session_everybody_manages_their_own(role):
    session = signed_in(make_user("ana", role))
    made = session.post(URL, {"name": "x"}, content_type="application/json").json()
    assert "tokens" not in made["scopes"]
    assert [row["id"] for row in session.get(URL).json()["results"]] == [made["id"]]
    assert session.delete(f"{URL}/{made['id']}").status_code == 204


def family(client):
    """Three generations of keys, each made with the one before."""
    parent, key = make_token(make_user("ana", "viewer"), "see", "tokens")
    keys = [key]
    for _n in range(2):
        keys.append(make_over_rest(client, keys[-1], scopes=["see", "tokens"]).json()["key"])
    return parent, keys


def statuses(client, keys):
    return [client.get("/api/v1/me", **bearer(key)).status_code for key in keys]


def test_a_child_ends_with_its_parent(client):
    parent, keys = family(client)
    assert statuses(client, keys) == [200] * 3
    assert client.get(URL, **bearer(keys[2])).json()["results"][0]["parent_id"] == parent.pk + 1
    tokens.revoke(parent, by=parent.user)
    assert statuses(client, keys) == [401] * 3
    assert ApiToken.objects.filter(revoked_at=None).count() == 0
    assert AuditEntry.objects.filter(action="token.revoke").count() == 3


@pytest.mark.parametrize("change", ["revoked_at", "expires_at"])
def test_a_child_is_dead_whenever_its_parent_is_whatever_its_own_row_says(client, change):
    parent, keys = family(client)
    ApiToken.objects.filter(pk=parent.pk).update(**{change: timezone.now()})
    assert statuses(client, keys) == [401] * 3


def test_the_end_of_a_child_leaves_its_parent_alone(client):
    parent, keys = family(client)
    tokens.revoke(parent.children.get(), by=parent.user)
    assert statuses(client, keys) == [200, 401, 401]


def test_a_token_that_was_revoked_meanwhile_makes_no_other():
    parent, _key = make_token(make_user("ana", "viewer"), revoked_at=timezone.now())
    ana = parent.user
    ana.token_id, ana.token_scopes = parent.pk, frozenset({"see", "tokens"})
    with pytest.raises(NotSignedIn, match="was revoked"):
        tokens.create(ana, name="x", scopes=["see"], by=ana)


def test_a_token_made_in_a_session_has_no_parent():
    session = signed_in(make_user("ana", "viewer"))
    assert session.post(URL, {"name": "x"}, content_type="application/json").json()["parent_id"] is None


def test_a_token_from_before_there_were_parents_goes_on(client):
    _token, key = make_token(make_user("ana", "viewer"), "see")
    assert statuses(client, [key]) == [200]


def test_the_list_is_narrowed_as_on_the_page(client):
    ana = make_user("ana", "viewer")
    _token, key = make_token(ana, name="nightly")
    make_token(ana, name="old", days=-1)
    make_token(make_user("bo", "viewer"), name="ana's other")
    _admin, admin_key = make_token(make_admin(), name="root's")
    for query, mine, all_ in (
        ("", ["old", "nightly"], ["root's", "ana's other", "old", "nightly"]),
        ("q=NIGHT", ["nightly"], ["nightly"]),
        ("q=ana", ["old", "nightly"], ["ana's other", "old", "nightly"]),
        ("state=over", ["old"], ["old"]),
        ("state=active&q=ana", ["nightly"], ["ana's other", "nightly"]),
    ):
        for caller, more, names in ((key, "", mine), (admin_key, "&all=true", all_)):
            rows = client.get(f"{URL}?{query}{more}", **bearer(caller)).json()["results"]
            assert [row["name"] for row in rows] == names, query
    refused = client.get(f"{URL}?state=gone&all=perhaps", **bearer(key))
    assert {error["field"] for error in refused.json()["errors"]} == {"state", "all"}


def test_a_misspelt_field_makes_no_token_with_all_scopes(client):
    _token, key = make_token(make_user("ana", "viewer"))
    answer = make_over_rest(client, key, scope=["see"])
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": "scope", "message": "There is no such field."}]
    assert ApiToken.objects.count() == 1
