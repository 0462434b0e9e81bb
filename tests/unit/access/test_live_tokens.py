"""What processes that check tokens by themselves keep, and when they hear of changes."""

from unittest import mock

import pytest
import redis
from django.utils import timezone

from core.access import actions, queries, tokens
from tests.people import make_admin, make_token, make_user

pytestmark = pytest.mark.django_db


def test_live_tokens_are_those_that_open_something_with_scopes_cut_to_the_roles():
    ana = make_user("ana", "viewer")
    token, key = make_token(ana, "see", "models.gate", name="ci")
    make_token(ana, days=-1)
    make_token(ana, revoked_at=timezone.now())
    make_token(make_user("gone", "viewer", is_active=False))
    (grant,) = queries.live_tokens()
    assert grant == queries.TokenGrant(
        key_sha256=tokens.key_sha256(key),
        token_id=token.pk,
        token_name="ci",
        user_id=ana.pk,
        username="ana",
        scopes=frozenset({"see"}),
        expires_at=token.expires_at,
        is_demo=False,
    )


def test_live_tokens_take_two_queries_however_many(django_assert_num_queries):
    for n in range(5):
        user = make_user(f"user{n}", "viewer", "predictor")
        make_token(user)
        make_token(user)
    with django_assert_num_queries(2):
        assert len(queries.live_tokens()) == 10


def test_a_child_is_live_no_longer_than_every_token_before_it():
    ana = make_user("ana", "viewer")
    parent, _key = make_token(ana, days=2)
    child, _key = make_token(ana, days=9, parent=parent)
    grandchild, _key = make_token(ana, days=1, parent=child)
    make_token(ana, parent=grandchild, days=9)
    ends = {grant.token_id: grant.expires_at for grant in queries.live_tokens()}
    assert len(ends) == 4
    assert ends[child.pk] == parent.expires_at
    assert max(ends.values()) == parent.expires_at
    for change in ({"revoked_at": timezone.now()}, {"revoked_at": None, "expires_at": timezone.now()}):
        type(parent).objects.filter(pk=parent.pk).update(**change)
        assert queries.live_tokens() == []


def test_two_tokens_of_one_owner_keep_their_own_scopes():
    ana = make_user("ana", "scientist")
    make_token(ana, "see")
    make_token(ana, "predict")
    assert [grant.scopes for grant in queries.live_tokens()] == [{"see"}, {"predict"}]


def test_every_change_of_rights_is_announced(django_capture_on_commit_callbacks):
    admin, ana = make_admin(), make_user("ana", "viewer")
    token, _key = make_token(ana)
    changes = [
        lambda: tokens.create(ana, name="x", scopes=["see"], by=ana),
        lambda: tokens.revoke(token, by=ana),
        lambda: actions.edit_user(ana, roles=["engineer"], email="", by=admin),
        lambda: actions.deactivate_user(ana, by=admin),
        lambda: actions.activate_user(ana, by=admin),
        lambda: actions.reset_password(ana, by=admin),
    ]
    for change in changes:
        client = mock.Mock()
        with (
            mock.patch("core.lib.redis.client", return_value=client),
            django_capture_on_commit_callbacks(execute=True),
        ):
            change()
        assert mock.call("tokens", "changed") in client.publish.call_args_list


def test_a_change_holds_though_redis_is_away(django_capture_on_commit_callbacks):
    client = mock.Mock()
    client.publish.side_effect = redis.ConnectionError("away")
    with (
        mock.patch("core.lib.redis.client", return_value=client),
        django_capture_on_commit_callbacks(execute=True),
    ):
        tokens.create(make_user("ana", "viewer"), name="x", scopes=["see"], by=None)
    assert len(queries.live_tokens()) == 1
