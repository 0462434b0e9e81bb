"""Secrets of webhooks: made here, shown once, kept sealed, and what is signed with them.

A signature is HMAC-SHA256 over "<timestamp>.<body>", in hexadecimal digits.
"""

import base64
import hashlib
import hmac
import os
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.utils.translation import gettext as _

from core.lib.errors import Conflict

PREFIX: Final = "awh_"
NONCE_BYTES: Final = 12
INFO: Final = b"atalaya notifications: the secret of a webhook"


def new_secret() -> str:
    """A fresh one with 256 bits of chance."""
    return PREFIX + secrets.token_urlsafe(32)


def seal(secret: str, channel_id: int) -> str:
    """For the row of that channel: AES-256-GCM with a key of CONSOLE_SECRET_KEY."""
    nonce = os.urandom(NONCE_BYTES)
    sealed = _cipher().encrypt(nonce, secret.encode(), str(channel_id).encode())
    return base64.b64encode(nonce + sealed).decode()


def opened(sealed: str, channel_id: int) -> str:
    """The secret. Raises Conflict for one that was sealed with another key."""
    content = base64.b64decode(sealed)
    try:
        found = _cipher().decrypt(content[:NONCE_BYTES], content[NONCE_BYTES:], str(channel_id).encode())
    except InvalidTag as error:
        raise Conflict(
            _("The secret cannot be read since CONSOLE_SECRET_KEY changed. Give the channel a new secret.")
        ) from error
    return found.decode()


def can_open(sealed: str, channel_id: int) -> bool:
    """Whether it was sealed with the key of now."""
    try:
        opened(sealed, channel_id)
    except Conflict:
        return False
    return True


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """timestamp: Unix seconds."""
    return hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def _cipher() -> AESGCM:
    return AESGCM(HKDF(hashes.SHA256(), 32, salt=None, info=INFO).derive(settings.SECRET_KEY.encode()))
