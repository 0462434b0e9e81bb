"""The personal part of a record: who asked, and what. In Kafka it is encrypted, so that no page, stream or
dead letter there shows it, and nobody reads what was erased here.

Kafka deletes no single message: those of erased predictions go with their topic's retention.
"""

import binascii
import uuid
from collections.abc import Sequence
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

INFO = b"atalaya predictions: the personal part of a record"


class Unsealable(ValueError):
    """The bytes are none that were sealed with one of our keys for this id."""


class Sealer:
    """AES-256-GCM. secrets: the first one seals, each opens: what was sealed before a change stays readable.

    The nonce is the end of the prediction's id, 74 random bits and 16 of the clock: an id is sealed once.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._ciphers = [AESGCM(_key(secret)) for secret in secrets]
        self._encrypt = self._ciphers[0].encrypt

    def seal(self, id_: uuid.UUID, part: bytes) -> str:
        """As text for JSON."""
        sealed = self._encrypt(id_.bytes[4:], part, None)
        return binascii.b2a_base64(sealed, newline=False).decode("ascii")

    def open(self, id_: uuid.UUID, sealed: str) -> bytes:
        """Raises Unsealable."""
        try:
            content = binascii.a2b_base64(sealed, strict_mode=True)
        except ValueError as error:
            raise Unsealable("the sealed part is no base64") from error
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(id_.bytes[4:], content, None)
            except InvalidTag:
                continue
        raise Unsealable("the sealed part opens with none of CONSOLE_RECORD_SECRETS")


def _key(secret: str) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt=None, info=INFO).derive(secret.encode())


def sealer() -> Sealer:
    """This installation's."""
    return _sealer(settings.CONSOLE_RECORD_SECRETS)


@cache
def _sealer(secrets: str) -> Sealer:
    return Sealer(secrets.split(","))
