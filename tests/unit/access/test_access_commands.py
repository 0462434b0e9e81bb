"""The commands that make users, tokens and pipelines' accounts."""

import json
import os
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from core.access import policy, principals, queries
from core.access.models import ApiToken, User
from tests.people import bearer, make_admin, make_user

pytestmark = pytest.mark.django_db

SCIENTIST = {
    "see",
    "predict",
    "predictions.see_all",
    "messages.read",
    "pipelines.run",
    "models.gate",
    "models.request",
    "models.archive",
    "alerts.handle",
    "alerts.rules",
    "drift.rules",
}


def run(*words):
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def test_create_user_prints_the_password_alone():
    password = run("create_user", "ana", "--role", "scientist", "--role", "approver").strip()
    ana = User.objects.get(username="ana")
    assert ana.check_password(password)
    assert (ana.role_names, ana.must_change_password) == (["approver", "scientist"], True)


def test_create_user_speaks_json_when_asked():
    said = json.loads(run("create_user", "ana", "--role", "viewer", "predictor", "--json"))
    assert said["roles"] == ["predictor", "viewer"]
    assert User.objects.get(username="ana").check_password(said["one_time_password"])


def test_create_user_gives_a_token_when_asked(client):
    password, key = run("create_user", "ana", "--role", "scientist", "--token").splitlines()
    me = client.get("/api/v1/me", **bearer(key)).json()
    assert (set(me["scopes"]), me["token"]["name"]) == (SCIENTIST, "command line")
    assert User.objects.get(username="ana").check_password(password)
    said = json.loads(run("create_user", "bob", "--role", "viewer", "--token", "--json"))
    assert client.get("/api/v1/me", **bearer(said["token"])).json()["username"] == "bob"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("ana", "--role", "emperor"), "no role “emperor”"),
        (("root", "--role", "viewer"), "is taken"),
        (("not a name", "--role", "viewer"), "valid username"),
        (("ana", "--role", "viewer", "--email", "x"), "valid email"),
        (("ana",), "required: --role"),
    ],
)
def test_create_user_fails_with_words(words, message):
    make_admin()
    with pytest.raises(CommandError, match=message):
        run("create_user", *words)
    assert User.objects.count() == 1


def test_create_token_prints_the_token_alone(client):
    make_user("ana", "scientist", must_change_password=True)
    key = run("create_token", "ana", "--scope", "see", "predict", "--days", "3", "--name", "ci").strip()
    me = client.get("/api/v1/me", **bearer(key)).json()
    assert (me["scopes"], me["token"]["name"]) == (["predict", "see"], "ci")
    everything = run("create_token", "ana").strip()
    assert set(client.get("/api/v1/me", **bearer(everything)).json()["scopes"]) == SCIENTIST


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nobody",), "no active user"),
        (("gone",), "no active user"),
        (("system:x",), "no active user"),
        (("idle",), "has no role"),
        (("ana", "--scope", "admin"), "do not have the scope “admin”"),
        (("ana", "--scope", "all"), "do not have the scope “all”"),
        (("ana", "--days", "0"), "1 to 365 days"),
        (("ana", "--days", "366"), "1 to 365 days"),
        (("ana", "--name", " "), "Give the token a name"),
    ],
)
def test_create_token_fails_with_words(words, message):
    make_user("ana", "viewer")
    make_user("idle")
    make_user("gone", "viewer", is_active=False)
    make_user("system:x", is_system=True)
    with pytest.raises(CommandError, match=message):
        run("create_token", *words)
    assert not ApiToken.objects.exists()


def test_ensure_admin_makes_one_once():
    name, password = run("ensure_admin").split()
    admin = User.objects.get()
    assert (name, admin.role_names, admin.check_password(password)) == ("admin", ["admin"], True)
    assert run("ensure_admin") == ""


def test_ensure_admin_leaves_another_administrator_alone():
    make_admin("root")
    assert run("ensure_admin") == ""
    assert User.objects.count() == 1


def test_ensure_admin_says_when_the_name_is_taken():
    make_user("admin", "viewer")
    with pytest.raises(CommandError, match="create_user NAME --role admin"):
        run("ensure_admin")


@pytest.fixture
def token_file(settings, tmp_path, monkeypatch):
    """Of one pipeline."""
    only = {"system:titanic_training": policy.PRINCIPALS["system:titanic_training"]}
    monkeypatch.setattr(policy, "PRINCIPALS", only)
    settings.CONSOLE_PIPELINE_TOKENS = tmp_path / "airflow" / "console_tokens.json"
    return settings.CONSOLE_PIPELINE_TOKENS


def test_pipelines_get_an_account_that_cannot_sign_in_and_a_token_that_works(client, token_file):
    run("issue_pipeline_tokens")
    held = json.loads(token_file.read_text())
    assert oct(token_file.stat().st_mode & 0o777) == "0o600"
    me = client.get("/api/v1/me", **bearer(held["titanic_training"])).json()
    assert (me["username"], me["scopes"]) == (
        "system:titanic_training",
        ["models.gate", "models.request", "see"],
    )
    system = User.objects.get()
    assert (system.is_system, system.has_usable_password()) == (True, False)


def test_alertmanager_has_its_token_alone_in_a_file_that_no_pipeline_reads(
    client, token_file, settings, tmp_path, monkeypatch
):
    principal = {"system:alertmanager": frozenset({"alerts.report"})}
    monkeypatch.setattr(policy, "PRINCIPALS", policy.PRINCIPALS | principal)
    settings.CONSOLE_ALERTMANAGER_TOKEN = alone = tmp_path / "alertmanager" / "token"
    assert principals.issue_tokens() == ["alertmanager", "titanic_training"]
    key = alone.read_text()
    assert oct(alone.stat().st_mode & 0o777) == "0o600"
    assert client.get("/api/v1/me", **bearer(key)).json()["scopes"] == ["alerts.report"]
    assert json.loads(token_file.read_text()).keys() == {"titanic_training"}
    assert principals.issue_tokens() == []
    alone.write_bytes(b"\xff")
    assert principals.issue_tokens() == ["alertmanager"]
    assert alone.read_text() != key


def test_a_token_that_serves_is_kept(token_file):
    assert principals.issue_tokens() == ["titanic_training"]
    before = token_file.read_text()
    assert principals.issue_tokens() == []
    assert token_file.read_text() == before
    assert ApiToken.objects.count() == 1


@pytest.mark.parametrize(
    "damage", ["", "not json", "[]", '{"titanic_training": "ata_other"}', '{"titanic_training": 1}']
)
def test_a_damaged_file_is_written_again(token_file, damage):
    principals.issue_tokens()
    token_file.write_text(damage)
    assert principals.issue_tokens() == ["titanic_training"]
    key = json.loads(token_file.read_text())["titanic_training"]
    assert ApiToken.objects.filter(key_hint=key[:8]).exists()


def test_a_missing_file_is_written_again(token_file):
    principals.issue_tokens()
    token_file.unlink()
    assert principals.issue_tokens() == ["titanic_training"]
    assert os.listdir(token_file.parent) == [token_file.name]


@pytest.mark.parametrize(
    "change",
    [
        {"expires_at": timezone.now() + timedelta(days=20)},
        {"revoked_at": timezone.now()},
        {"scopes": ["see"]},
    ],
)
def test_a_token_near_its_end_revoked_or_with_other_scopes_is_renewed(token_file, change):
    principals.issue_tokens()
    ApiToken.objects.update(**change)
    assert principals.issue_tokens() == ["titanic_training"]
    newest = max(queries.live_tokens(), key=lambda grant: grant.token_id)
    assert newest.scopes == {"see", "models.gate", "models.request"}


def test_a_renewed_tokens_forerunner_serves_one_more_hour(token_file):
    principals.issue_tokens()
    ApiToken.objects.update(expires_at=timezone.now() + timedelta(days=20))
    principals.issue_tokens()
    old = ApiToken.objects.order_by("pk").first()
    assert timedelta(minutes=59) < old.expires_at - timezone.now() <= timedelta(hours=1)


def test_a_file_that_cannot_be_written_is_an_error_and_leaves_nothing(token_file, monkeypatch):
    def refuse(*_args):
        raise PermissionError("no")

    monkeypatch.setattr("core.lib.files.Path.replace", refuse)
    with pytest.raises(PermissionError):
        principals.issue_tokens()
    assert list(Path(token_file.parent).iterdir()) == []
