"""The accounts under which pipelines act, and the file that hands their tokens to Airflow's tasks.

Alertmanager has such an account too, and a file of its own, which holds the token alone.
"""

import json
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from core.access import policy, tokens
from core.access.models import User
from core.audit import actions as audit
from core.lib.files import write_whole

PREFIX = "system:"
ALERTMANAGER = "alertmanager"
TOKEN_DAYS = 90
RENEW_BEFORE = timedelta(days=30)
# A task that has read the old token may still be running.
OLD_TOKEN_LIVES = timedelta(hours=1)


def issue_tokens() -> list[str]:
    """Make every principal exist and the files hold a live token for each; returns whose were renewed."""
    path, alone = Path(settings.CONSOLE_PIPELINE_TOKENS), Path(settings.CONSOLE_ALERTMANAGER_TOKEN)
    of_pipelines = _read(path)
    held = of_pipelines | {ALERTMANAGER: _read_alone(alone)}
    with transaction.atomic():
        keys = {name.removeprefix(PREFIX): _key(name, held) for name in policy.PRINCIPALS}
    renewed = sorted(name for name in keys if keys[name] != held.get(name))
    key = keys.pop(ALERTMANAGER, "")
    if key != held[ALERTMANAGER]:
        write_whole(alone, key.encode())
    if keys != of_pipelines:
        write_whole(path, json.dumps(keys, indent=2).encode())  # a task never meets half of it
    return renewed


def _key(name: str, held: dict[str, str]) -> str:
    """The key in the file where it still serves, else a new one."""
    principal = _ensure(name)
    key = held.get(name.removeprefix(PREFIX), "")
    scopes = sorted(policy.PRINCIPALS[name])
    good_until = timezone.now() + RENEW_BEFORE
    live = principal.tokens.filter(revoked_at=None, expires_at__gt=timezone.now())
    if live.filter(key_sha256=tokens.key_sha256(key), scopes=scopes, expires_at__gt=good_until).exists():
        return key
    soon = timezone.now() + OLD_TOKEN_LIVES
    live.filter(expires_at__gt=soon).update(expires_at=soon)
    _token, key = tokens.issue(
        principal,
        name=name.removeprefix(PREFIX),
        scopes=policy.PRINCIPALS[name],
        expires_at=timezone.now() + timedelta(days=TOKEN_DAYS),
        by=None,
    )
    return key


def _ensure(name: str) -> User:
    principal, is_new = User.objects.get_or_create(username=name, defaults={"is_system": True})
    if is_new:
        principal.set_unusable_password()
        principal.save(update_fields=["password"])
        audit.record("user.create", principal, by=None, after={"username": name, "is_system": True})
    return principal


def _read(path: Path) -> dict[str, str]:
    """What the file holds; nothing where it is missing or was damaged, so that it is written again."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    if not isinstance(held, dict):
        return {}
    return {name: key for name, key in held.items() if isinstance(key, str)}


def _read_alone(path: Path) -> str:
    """The key in a file that holds nothing else; empty where it is missing or holds no text."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return ""
