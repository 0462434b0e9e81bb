"""`Idempotency-Key`: the first answer to a call is kept for a day and given again.

A key counts for one user and one path, with one body. The middleware uses `begin` for every POST that Django
answers, the predict application `abegin`. Both return a `Replay`, to be answered as it is, or a `Claim`: the
caller does the work, then keeps its answer or drops the claim.

Kept is what was done, so that it is done once; then another body is refused (422), as the IETF's draft has it
(draft-ietf-httpapi-idempotency-key-header). A refusal (4xx) did nothing and is not kept, nor is a failure
(5xx): the call is judged anew, since another moment may take it, and so is a corrected one, under the key
that names the wish. Kept, a refusal would tell the correction for a day that its key was used. Stripe keeps
none of values that it refused either.

A row that keeps its key (`core.lib.made_once`) is found though the process died before its answer was kept.

Without Redis nobody can tell whether a call is a repetition, so calls that carry a key get 503; others go on.
"""

import base64
import hashlib
import re
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson
import redis
import redis.asyncio
from django.utils.translation import gettext as _

from core.lib import metrics
from core.lib import redis as console_redis
from core.lib.errors import InvalidRequest, StillAtWork, Unavailable
from core.lib.ids import uuid7

REPLAY_HEADER: Final = "Idempotent-Replay"
KEPT_S: Final = 24 * 3600
# A process that died while it worked blocks its key for this long: longer than any call takes, predictions or
# others. An approval reads the model's files, for up to 300 s.
CLAIMED_S: Final = 60
CLAIMED_BY_DJANGO_S: Final = 330

_KEY = re.compile(r"[\x21-\x7e]{1,200}")

# KEYS[1]; ARGV: our claim, seconds. What is there already, else our claim is put there and nothing returned.
_BEGIN = """
local found = redis.call('GET', KEYS[1])
if found then return found end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return false
"""

# KEYS[1]; ARGV: our claim, what to store ("" deletes), seconds. Only the holder of the claim may end it.
_END = """
local held = redis.call('GET', KEYS[1])
if held ~= ARGV[1] then return 0 end
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) end
return 1
"""


@dataclass(frozen=True)
class Replay:
    """The first answer, to be given again with the header `Idempotent-Replay: true`."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Claim:
    """This call is the first with its key. End it with `keep` or `drop` (in coroutines `akeep`, `adrop`)."""

    client: Any
    name: str
    held: str

    def keep(
        self, status: int, content_type: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """Keep the answer for a day. Raises Unavailable when Redis has gone meanwhile."""
        with _unavailable():
            self._end(_answer(self.held, status, content_type, body, headers))

    def drop(self) -> None:
        """Forget the call: the next one with this key is the first again."""
        with _unavailable():
            self._end("")

    async def akeep(
        self, status: int, content_type: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """`keep` for coroutines."""
        with _unavailable():
            await cast(Awaitable, self._end(_answer(self.held, status, content_type, body, headers)))

    async def adrop(self) -> None:
        """`drop` for coroutines."""
        with _unavailable():
            await cast(Awaitable, self._end(""))

    def _end(self, stored: str) -> Any:
        return self.client.eval(_END, 1, self.name, self.held, stored, KEPT_S)


def is_kept(status: int) -> bool:
    """Whether an answer with this status says that something was done."""
    return status < 400


def begin(user_id: object, path: str, key: str, body: bytes) -> Claim | Replay:
    """Raises InvalidRequest (bad key, or used with another body), StillAtWork, Unavailable."""
    name, held = _names(user_id, path, key, body)
    client = console_redis.client()
    with _unavailable():
        found = client.eval(_BEGIN, 1, name, held, CLAIMED_BY_DJANGO_S)
    return _decided(client, name, held, found)


async def abegin(
    client: redis.asyncio.Redis, user_id: object, path: str, key: str, body: bytes
) -> Claim | Replay:
    """`begin` for coroutines, with the loop's own client."""
    name, held = _names(user_id, path, key, body)
    with _unavailable():
        found = await client.eval(_BEGIN, 1, name, held, CLAIMED_S)
    return _decided(client, name, held, found)


def check_key(key: str) -> None:
    """Raises InvalidRequest for what is no key."""
    if not _KEY.fullmatch(key):
        metrics.IDEMPOTENT.labels("refused").inc()
        raise InvalidRequest(_("An Idempotency-Key has 1 to 200 visible ASCII characters."))


def headers(is_new: bool) -> dict[str, str]:
    """Of an answer with a row: whether this call made it, or one before with the same key."""
    return {} if is_new else {REPLAY_HEADER: "true"}


def used_otherwise() -> InvalidRequest:
    """For a key whose first call was another one."""
    metrics.IDEMPOTENT.labels("refused").inc()
    return InvalidRequest(
        _("This Idempotency-Key was used for another call. Take a new key for each different call.")
    )


def _names(user_id: object, path: str, key: str, body: bytes) -> tuple[str, str]:
    check_key(key)
    scope = hashlib.sha256(f"{user_id}\n{path}\n{key}".encode()).hexdigest()
    held = orjson.dumps({"body_sha256": hashlib.sha256(body).hexdigest(), "claim": str(uuid7())}).decode()
    return f"idempotency:{scope}", held


def _decided(client: Any, name: str, held: str, found: str | None) -> Claim | Replay:
    if found is None:
        metrics.IDEMPOTENT.labels("first").inc()
        return Claim(client, name, held)
    known = orjson.loads(found)
    if known["body_sha256"] != orjson.loads(held)["body_sha256"]:
        raise used_otherwise()
    if "status" not in known:
        metrics.IDEMPOTENT.labels("refused").inc()
        raise StillAtWork(
            _("The first call with this Idempotency-Key is still running. Ask again in a moment.")
        )
    metrics.IDEMPOTENT.labels("replayed").inc()
    return Replay(
        known["status"], known["content_type"], base64.b64decode(known["body"]), known.get("headers", {})
    )


def _answer(held: str, status: int, content_type: str, body: bytes, headers: Mapping[str, str] | None) -> str:
    answer = {
        "body_sha256": orjson.loads(held)["body_sha256"],
        "status": status,
        "content_type": content_type,
        "body": base64.b64encode(body).decode(),
        "headers": dict(headers or {}),
    }
    return orjson.dumps(answer).decode()


class _unavailable:
    """What Redis raises becomes ours; a class, since it serves plain code and coroutines alike."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, redis.RedisError):
            metrics.IDEMPOTENT.labels("unavailable").inc()
            raise Unavailable(
                _("The store of Idempotency-Keys does not answer. Try again, or call without a key."),
                service="redis",
            ) from error
