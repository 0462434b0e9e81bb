"""The role table against the design, and what it means for a user, a token and a pipeline's account."""

import pytest
from django.contrib.auth.models import AnonymousUser

from core.access import policy, words
from tests.people import make_user

X = True
TABLE = {  # viewer, predictor, engineer, scientist, approver, admin
    "see": (X, 0, X, X, X, X),
    "predict": (0, X, X, X, X, X),
    "predictions.see_all": (0, 0, X, X, 0, X),
    "pipelines.run": (0, 0, X, X, 0, X),
    "messages.read": (0, 0, X, X, 0, X),
    "streams.edit": (0, 0, X, 0, 0, X),
    "jobs.run": (0, 0, X, 0, 0, X),
    "models.gate": (0, 0, 0, X, 0, X),
    "models.request": (0, 0, 0, X, 0, X),
    "models.archive": (0, 0, 0, X, 0, X),
    "alerts.handle": (0, 0, X, X, X, X),
    "alerts.report": (0, 0, X, 0, 0, X),
    "alerts.rules": (0, 0, X, X, X, X),
    "drift.rules": (0, 0, 0, X, 0, X),
    "models.decide": (0, 0, 0, 0, X, X),
    "tokens": (X, X, X, X, X, X),
    "admin": (0, 0, 0, 0, 0, X),
}


def test_roles_hold_the_scopes_of_the_design():
    expected = {
        scope: {role for role, is_held in zip(policy.ROLES, held, strict=True) if is_held}
        for scope, held in TABLE.items()
    }
    assert {scope: set(roles) for scope, roles in policy.SCOPES.items()} == expected


def test_every_role_and_scope_has_words():
    assert set(words.ROLES) == set(policy.ROLES)
    assert set(words.SCOPES) == set(policy.SCOPES)


def test_every_route_and_topic_asks_for_a_scope_that_exists():
    known = {*policy.SCOPES, policy.PUBLIC, policy.SIGNED_IN}
    for rule in policy.ROUTES.values():
        assert set(rule.values() if isinstance(rule, dict) else [rule]) <= known
    assert set(policy.LIVE_TOPICS.values()) <= set(policy.SCOPES)
    assert all(scopes <= set(policy.SCOPES) for scopes in policy.PRINCIPALS.values())


@pytest.mark.django_db
def test_a_user_holds_what_all_their_roles_allow():
    user = make_user("ana", "predictor", "approver")
    assert policy.scopes_of(user) == {
        "see",
        "predict",
        "alerts.handle",
        "alerts.rules",
        "models.decide",
        "tokens",
    }


@pytest.mark.django_db
def test_a_token_never_adds_to_its_owners_scopes():
    user = make_user("ana", "viewer")
    user.token_scopes = frozenset({"see", "admin"})
    assert policy.scopes_of(user) == {"see"}


def test_nobody_and_the_deactivated_hold_nothing(db):
    assert policy.scopes_of(AnonymousUser()) == frozenset()
    assert policy.scopes_of(make_user("gone", "admin", is_active=False)) == frozenset()


def test_a_pipelines_token_opens_no_more_than_its_line_in_the_table(db):
    user = make_user("system:titanic_training", is_system=True)
    user.token_scopes = frozenset({"models.gate", "admin"})
    assert policy.scopes_of(user) == {"models.gate"}
    stranger = make_user("system:unheard_of", is_system=True)
    stranger.token_scopes = frozenset({"models.gate"})
    assert policy.scopes_of(stranger) == frozenset()


def test_a_denial_names_the_scope_and_who_has_it(db):
    with pytest.raises(policy.Denied, match=r"“models.decide” \(titanic\).*approver, admin") as denied:
        policy.check(make_user("ana", "scientist"), "models.decide", "titanic")
    assert denied.value.message
