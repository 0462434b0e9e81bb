"""What the refresher learns from the console's own tables."""

import pytest

from predictions.serving.sources import ConsoleSource
from tests.people import make_token, make_user

pytestmark = pytest.mark.django_db


def test_live_tokens_become_grants_with_their_owners_rights():
    ana = make_user("ana", "predictor")
    token, _key = make_token(ana)
    make_token(ana, days=-1, name="expired")
    (grant,) = ConsoleSource().grants()
    assert grant.key_sha256 == token.key_sha256
    assert (grant.caller.user_id, grant.caller.username, grant.caller.token_id) == (ana.pk, "ana", token.pk)
    assert grant.caller.scopes == {"predict"}
    assert grant.caller.expires_at == token.expires_at.timestamp()


def test_tokens_that_called_say_when():
    token, _key = make_token(make_user("ana", "predictor"))
    ConsoleSource().note_used({token.pk})
    token.refresh_from_db()
    assert token.last_used_at is not None


def test_without_champions_there_is_nothing_to_serve():
    assert ConsoleSource().champions() == []
    assert ConsoleSource().model_names() == []
