"""`/ws/live`: one socket a page, which says what it wants to hear of and hears what changed.

in   {"subscribe": ["runs", "run:7"]}   {"unsubscribe": ["run:7"]}
out  {"topic", "seq", "kind": "subscribed", "changed_ms"}
     {"topic", "seq", "at", "kind": "changed", "ids"}   {"topic", "seq", "at", "kind": "frame", "state"}
     {"topic", "kind": "refused", "detail"}   {"kind": "error", "detail"}

changed_ms: Unix time in ms of the topic's last message, null where there was none lately. A page compares it
with when the server began to draw it, and fetches again what changed in between.

Who listens is known by the session's cookie, or by `Authorization: Bearer …` as over REST.

A slow socket keeps the newest message of each topic and no more: a browser sees the gap in `seq` and fetches
again. Messages may be lost on the way (Redis restarts): every few seconds the socket compares numbers and
catches up. Whether its session or token still counts it looks up when it is told to (sign-out, other rights),
when it expires, and once a minute.
"""

import asyncio
import contextlib
import itertools
import random
import re
import time
from collections.abc import Coroutine
from typing import Any

import orjson
import structlog
from channels.db import database_sync_to_async
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import Error as DatabaseError
from django.utils import timezone
from django.utils.translation import gettext as _

from console import sessions
from core.access import policy
from core.lib import json_out, live, metrics
from core.lib import redis as console_redis

log = structlog.get_logger(__name__)

MOST_TOPICS = 32
LONGEST_MESSAGE = 4096
TOPIC = re.compile(r"[a-z]+(-[a-z]+)*(:[A-Za-z0-9._~+/-]{1,200})?")

CATCH_UP_EVERY_S = 15.0
CATCH_UPS_PER_CHECK = 4  # so the user is looked at once a minute

CLOSE_SESSION_ENDED = 4401
CLOSE_TRY_LATER = 1013


class LiveConsumer(AsyncWebsocketConsumer):
    """One browser's socket."""

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Listen and talk until one of the two ends, whichever and however; then nothing of it stays."""
        self.topics: dict[str, int] = {}  # topic: number of the last message sent
        self.waiting: dict[str, dict[str, Any]] = {}
        self.has_news = asyncio.Event()
        self.is_open = False
        self.tasks: list[asyncio.Task[None]] = []
        self.is_over = asyncio.Event()
        self._start(super().__call__(scope, receive, send))
        try:
            await self.is_over.wait()
            await self._say_why(send)
            await self._leave_all()
        finally:
            await self._forget()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this as long as the socket lasts, and end the socket with it."""
        task = asyncio.create_task(work)
        task.add_done_callback(lambda _task: self.is_over.set())
        self.tasks.append(task)

    async def _say_why(self, send: Any) -> None:
        """Close a socket that a fault of ours ended: the browser comes again."""
        for task in self.tasks:
            error = task.exception() if task.done() and not task.cancelled() else None
            if error is None:
                continue
            if isinstance(error, console_redis.RedisError):
                log.warning("socket.no_redis", error=str(error))
            elif not isinstance(error, OSError):  # which is what sending to a browser that has gone raises
                log.error("socket.broken", exc_info=error)
            with contextlib.suppress(OSError, RuntimeError):  # it may be closed already
                await send({"type": "websocket.close", "code": CLOSE_TRY_LATER})

    async def _forget(self) -> None:
        if self.is_open:
            self.is_open = False
            metrics.SOCKETS.dec()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def connect(self) -> None:
        """Accept whoever has a session or token that still counts; all others get 403 in the handshake."""
        self.session_key = self.scope["cookies"].get(settings.SESSION_COOKIE_NAME, "")
        header = dict(self.scope["headers"]).get(b"authorization")
        self.authorization = None if header is None else header.decode("latin-1")
        try:
            found = await self._find()
        except DatabaseError as error:
            log.error("socket.no_database", error=str(error).strip())
            found = None
        if found is None:
            await self.close()
            return
        self.session = found
        await self.channel_layer.group_add(live.users_group(found.user.pk), self.channel_name)
        await self.accept()
        self.is_open = True
        metrics.SOCKETS.inc()
        self._start(self._send_news())
        self._start(self._keep_up())

    async def _find(self) -> sessions.Session | None:
        return await database_sync_to_async(sessions.find)(self.session_key, self.authorization)

    # --- what the browser says

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """One message; what cannot be read is answered and changes nothing."""
        wanted = _read(text_data)
        if wanted is None:
            await self._say(
                {"kind": "error", "detail": _('Send {"subscribe": ["runs"]}, 4 KiB and 32 names at most.')}
            )
            return
        for topic in wanted.get("unsubscribe", []):
            await self._leave(topic)
        for topic in wanted.get("subscribe", []):
            await self._join(topic)

    async def _join(self, topic: str) -> None:
        if topic not in self.topics:
            reason = await self._reason_against(topic)
            if reason:
                await self._say({"topic": topic, "kind": "refused", "detail": reason})
                return
        try:
            await self.channel_layer.group_add(live.group_name(topic), self.channel_name)
            seq, changed_ms = await self._last_of(topic)
        except (console_redis.RedisError, OSError) as error:
            log.warning("socket.no_redis", error=str(error))
            await self.close(CLOSE_TRY_LATER)
            return
        self.topics[topic] = seq
        await self._say({"topic": topic, "seq": seq, "kind": "subscribed", "changed_ms": changed_ms})

    async def _reason_against(self, topic: str) -> str:
        """Why this user may not hear of the topic; empty when they may."""
        if not TOPIC.fullmatch(topic):
            return _("There is no such topic.")
        if len(self.topics) >= MOST_TOPICS:
            return _("One socket hears of 32 topics at most.")
        scope = policy.LIVE_TOPICS.get(topic.partition(":")[0])
        if scope is None:
            return _("There is no such topic.")
        if not await database_sync_to_async(policy.allows)(self.session.user, scope):
            return _("Your roles do not include “%(scope)s”.") % {"scope": scope}
        return ""

    async def _leave(self, topic: str) -> None:
        if self.topics.pop(topic, None) is None:
            return
        self.waiting.pop(topic, None)
        await self._discard(live.group_name(topic))

    async def _discard(self, group: str) -> None:
        with contextlib.suppress(
            console_redis.RedisError, OSError
        ):  # the server forgets the subscription by itself
            await self.channel_layer.group_discard(group, self.channel_name)

    async def _leave_all(self) -> None:
        for topic in list(self.topics):
            await self._leave(topic)
        if self.is_open:
            await self._discard(live.users_group(self.session.user.pk))

    # --- what the console says

    async def live_message(self, event: dict[str, Any]) -> None:
        """From the channel layer: keep the newest of each topic until the socket can take it."""
        body = event["body"]
        topic = body["topic"]
        if topic not in self.topics:
            return
        if topic in self.waiting:
            metrics.SOCKET_DROPPED.inc()
        self.waiting[topic] = body
        self.has_news.set()

    async def live_recheck(self, _event: dict[str, Any]) -> None:
        """From the channel layer: a session of the user ended, or what they may do changed."""
        if not await self._still_counts():
            raise StopConsumer

    async def _send_news(self) -> None:
        while True:
            await self.has_news.wait()
            self.has_news.clear()
            while self.waiting:
                topic = next(iter(self.waiting))
                body = self.waiting.pop(topic)
                self.topics[topic] = body["seq"]
                await self._say(body)

    async def _keep_up(self) -> None:
        """Catch up with what was lost on the way, and end the socket of a session that ended."""
        for turn in itertools.count():
            left_s = (self.session.ends_at - timezone.now()).total_seconds()
            await asyncio.sleep(_wait_s(left_s))
            is_time = turn % CATCH_UPS_PER_CHECK == 0 or left_s <= CATCH_UP_EVERY_S
            if is_time and not await self._still_counts():
                return
            await self._catch_up()

    async def _still_counts(self) -> bool:
        """Look the session up; its end closes the socket, lost rights take topics away."""
        try:
            found = await self._find()
        except DatabaseError as error:
            log.warning("socket.not_checked", error=str(error).strip())
            return True
        if found is None:
            await self.close(CLOSE_SESSION_ENDED)
            return False
        self.session = found
        for topic in list(self.topics):
            scope = policy.LIVE_TOPICS[topic.partition(":")[0]]
            if not await database_sync_to_async(policy.allows)(found.user, scope):
                await self._leave(topic)
                await self._say({"topic": topic, "kind": "refused", "detail": _("Your roles have changed.")})
        return True

    async def _catch_up(self) -> None:
        topics = list(self.topics)
        if not topics:
            return
        try:
            numbers = await self._numbers(topics)
        except console_redis.RedisError as error:
            log.warning("socket.no_redis", error=str(error))
            return
        now = timezone.now().isoformat()
        for topic, seq in zip(topics, numbers, strict=True):
            if topic in self.topics and seq != self.topics[topic] and topic not in self.waiting:
                body = {"topic": topic, "seq": seq, "at": now, "kind": "changed", "ids": []}
                await self.live_message({"body": body})

    async def _last_of(self, topic: str) -> tuple[int, int | None]:
        """Number and time (Unix, ms) of the topic's last message."""
        key = live.seq_key(topic)
        async with console_redis.loop_client().pipeline(transaction=False) as pipe:
            pipe.get(key)
            pipe.pttl(key)
            seq, left_ms = await pipe.execute()
        since_ms = live.since_last_ms(left_ms)
        return int(seq or 0), None if since_ms is None else int(time.time() * 1000) - since_ms

    async def _numbers(self, topics: list[str]) -> list[int]:
        found = await console_redis.loop_client().mget([live.seq_key(topic) for topic in topics])
        return [int(value or 0) for value in found]

    async def _say(self, body: dict[str, Any]) -> None:
        await self.send(text_data=json_out.text(body))
        metrics.SOCKET_MESSAGES.inc()


def _wait_s(left_s: float) -> float:
    """Until the next look: when the session expires, if that is soon.

    One that has expired is still here only while the database cannot say so: all such sockets would ask it
    at once and all the time.
    """
    if left_s <= 0:
        return CATCH_UP_EVERY_S * random.uniform(1, 1.5)  # noqa: S311 - spreads load, keeps no secret
    return min(CATCH_UP_EVERY_S, left_s + 0.1)


def _read(text: str | None) -> dict[str, list[str]] | None:
    """The two lists of names; None for anything else."""
    if text is None or len(text.encode()) > LONGEST_MESSAGE:
        return None
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(message, dict) or not message.keys() <= {"subscribe", "unsubscribe"}:
        return None
    lists = list(message.values())
    is_sound = all(
        isinstance(names, list) and len(names) <= MOST_TOPICS and all(isinstance(name, str) for name in names)
        for names in lists
    )
    return message if is_sound else None
