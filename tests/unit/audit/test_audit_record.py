"""What a row of the trail holds."""

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import AnonymousUser

from core.audit import actions
from core.audit.models import AuditEntry
from core.lib import context
from tests.people import bearer, make_token, make_user

pytestmark = pytest.mark.django_db


def test_a_row_says_who_what_on_which_object_from_where():
    ana = make_user("ana")
    with_request = context.request_id.set("request-1"), context.remote_addr.set("10.1.2.3")
    try:
        actions.record("user.edit", ana, by=ana, before={"n": 1}, after={"n": 2}, upstream_id="run-7")
    finally:
        context.request_id.reset(with_request[0])
        context.remote_addr.reset(with_request[1])
    entry = AuditEntry.objects.get()
    assert (entry.actor_name, entry.actor_id, entry.action) == ("ana", ana.pk, "user.edit")
    assert (entry.object_type, entry.object_id, entry.object_label) == ("access.user", str(ana.pk), "ana")
    assert (entry.before, entry.after, entry.upstream_id) == ({"n": 1}, {"n": 2}, "run-7")
    assert (entry.remote_addr, entry.request_id) == ("10.1.2.3", "request-1")


def test_a_name_stands_for_what_lives_in_a_service():
    entry = actions.record("pipeline.pause", "titanic_training", by=None)
    assert (entry.object_type, entry.object_id) == ("pipeline", "titanic_training")
    assert entry.actor_name == "system"


def test_whoever_is_not_signed_in_is_nobody():
    assert actions.record("session.refuse", "x", by=AnonymousUser()).actor_name == "nobody"


def test_a_call_names_its_token_its_request_and_its_address(client):
    _token, key = make_token(make_user("ana", "viewer"), name="ci")
    call = bearer(key)
    call["headers"]["X-Request-ID"] = "from-the-caller"
    client.post("/api/v1/tokens", {"name": "x"}, content_type="application/json", **call)
    entry = AuditEntry.objects.get(action="token.create")
    assert (entry.actor_name, entry.token_name) == ("ana", "ci")
    assert (entry.request_id, entry.remote_addr) == ("from-the-caller", "127.0.0.1")


def test_what_postgresql_cannot_store_is_made_storable():
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    actions.record("x.y", "a\x00b" * 200, by=None, after={"k\x00": ["\x00", {"at": moment}]})
    entry = AuditEntry.objects.get()
    assert entry.object_id.startswith("a\N{REPLACEMENT CHARACTER}b")
    assert entry.after == {
        "k\N{REPLACEMENT CHARACTER}": ["\N{REPLACEMENT CHARACTER}", {"at": "2026-01-02T00:00:00Z"}]
    }
