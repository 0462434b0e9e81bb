"""The live socket: who gets one, which topics, what arrives; on a real Redis."""

import asyncio
import json
import re
import time
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.layers import get_channel_layer
from channels.sessions import CookieMiddleware
from django.conf import settings
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from console import consumers, origins, sessions
from console.consumers import LiveConsumer
from core.access import actions, policy, tokens
from core.access.models import ApiToken, User
from core.lib import live, metrics, redis
from tests.people import make_admin, make_user, signed_in

pytestmark = pytest.mark.usefixtures("real_redis")

TEMPLATES = settings.BASE_DIR / "templates"
ORIGIN, HOST = b"http://127.0.0.1:18000", b"127.0.0.1:18000"
APPLICATION = origins.SameOrigin(CookieMiddleware(LiveConsumer.as_asgi()))


class Socket(ApplicationCommunicator):
    """A browser's end of a websocket."""

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        super().__init__(APPLICATION, {"type": "websocket", "path": "/ws/live", "headers": headers})

    async def opens(self) -> bool:
        await self.send_input({"type": "websocket.connect"})
        return (await self.receive_output(timeout=5))["type"] == "websocket.accept"

    async def says(self, text: str) -> None:
        await self.send_input({"type": "websocket.receive", "text": text})

    async def hears(self) -> dict:
        return json.loads((await self.receive_output(timeout=5))["text"])

    async def hears_nothing(self) -> bool:
        return await self.receive_nothing(timeout=0.3)

    async def closes(self) -> None:
        await self.send_input({"type": "websocket.disconnect", "code": 1001})
        await self.wait(timeout=5)


def socket(cookie: str = "", origin: bytes = ORIGIN, host: bytes = HOST) -> Socket:
    headers = [(b"host", host), (b"cookie", f"atalaya_session={cookie}".encode())]
    if origin:
        headers.append((b"origin", origin))
    return Socket(headers)


def known(role: str) -> User:
    """A user that no database has."""
    user = User(pk=1, username=f"socket_{role}")
    user._role_names = [role]
    return user


@pytest.fixture
def sessions_of(monkeypatch):
    """Who each cookie stands for; the tests below that mark a database use the real look-up."""
    users: dict[str, User | None] = {}
    ends_at = timezone.now() + timedelta(hours=12)

    def find(cookie: str, _authorization: str | None) -> sessions.Session | None:
        user = users.get(cookie)
        return user and sessions.Session(user, ends_at)

    monkeypatch.setattr(sessions, "find", find)
    return users


@pytest.fixture(autouse=True)
async def _loop_ends_without_connections(real_redis):
    """Each test has an event loop of its own, and so have the clients that were made in it."""
    yield
    await redis.loop_client().aclose()
    await get_channel_layer().flush()


@pytest.fixture
async def open_socket(sessions_of):
    """Opens sockets of one role, and closes them at the end."""
    opened = []

    async def open_(role: str = "engineer") -> Socket:
        sessions_of["cookie"] = known(role)
        communicator = socket("cookie")
        assert await communicator.opens()
        opened.append(communicator)
        return communicator

    yield open_
    for communicator in opened:
        await communicator.closes()


async def subscribe(communicator: Socket, *topics: str) -> list[dict]:
    await communicator.says(json.dumps({"subscribe": topics}))
    return [await communicator.hears() for _ in topics]


async def publish(topic: str, *ids: object) -> None:
    """As after a commit; the tests have no database."""
    await sync_to_async(live._send)(topic, {"kind": "changed", "ids": [str(id_) for id_ in ids]})


# --- who gets one


async def test_our_own_page_gets_a_socket(open_socket):
    await open_socket()


@pytest.mark.parametrize(
    "origin",
    [b"http://evil.example", b"http://127.0.0.1:9999", b"https://127.0.0.1:18000.evil.example", b"null"],
)
async def test_foreign_origin_is_refused(sessions_of, origin):
    sessions_of["cookie"] = known("engineer")
    assert not await socket("cookie", origin).opens()


async def test_name_that_leads_here_but_is_not_ours_is_refused(sessions_of):
    """A page of evil.example whose name resolves to this machine has its own origin as host."""
    sessions_of["cookie"] = known("engineer")
    assert not await socket("cookie", b"http://evil.example:18000", b"evil.example:18000").opens()


@pytest.mark.django_db(transaction=True)
async def test_only_a_live_session_of_an_active_user_gets_a_socket():
    user = await User.objects.acreate(username="ana")
    client = Client()
    await client.aforce_login(user)
    cookie = client.cookies["atalaya_session"].value
    communicator = socket(cookie)
    assert await communicator.opens()
    await communicator.closes()
    for bad in ("", "unknown-session"):
        assert not await socket(bad).opens()
    await User.objects.filter(pk=user.pk).aupdate(is_active=False)
    assert not await socket(cookie).opens()


async def test_a_program_says_nothing_of_an_origin(sessions_of):
    sessions_of["cookie"] = known("engineer")
    communicator = socket("cookie", b"")
    assert await communicator.opens()
    await communicator.closes()


@sync_to_async
def token_of(username: str, *scopes: str) -> tuple[ApiToken, str]:
    return tokens.create(make_user(username, "engineer"), name="ci", scopes=scopes, by=None)


def with_token(key: str) -> Socket:
    return Socket([(b"host", HOST), (b"authorization", f"Bearer {key}".encode())])


@pytest.mark.django_db(transaction=True)
async def test_a_program_listens_with_its_token_until_that_is_revoked():
    token, key = await token_of("ana", "see")
    communicator = with_token(key)
    assert await communicator.opens()
    assert (await subscribe(communicator, "runs"))[0]["kind"] == "subscribed"
    await sync_to_async(tokens.revoke)(token, by=None)
    assert await communicator.receive_output(timeout=5) == {"type": "websocket.close", "code": 4401}
    assert not await with_token(key).opens()


@pytest.mark.django_db(transaction=True)
async def test_a_token_hears_of_what_its_scopes_allow():
    _token, key = await token_of("ana", "predict")
    communicator = with_token(key)
    assert await communicator.opens()
    assert (await subscribe(communicator, "runs"))[0]["kind"] == "refused"
    await communicator.closes()


@pytest.mark.django_db(transaction=True)
async def test_what_is_no_token_is_refused_beside_a_good_cookie():
    _token, key = await token_of("ana", "see")
    client = Client()
    await client.aforce_login(await User.objects.aget(username="ana"))
    cookie = client.cookies["atalaya_session"].value
    headers = [(b"host", HOST), (b"cookie", f"atalaya_session={cookie}".encode())]
    for header in (f"Bearer {key}x", "Bearer", "bearer"):
        assert not await Socket([*headers, (b"authorization", header.encode())]).opens(), header
    of_a_proxy = Socket([*headers, (b"authorization", b"Basic YW5hOnNlY3JldA==")])
    assert await of_a_proxy.opens()
    await of_a_proxy.closes()


async def test_socket_without_redis_is_refused(sessions_of, real_redis):
    sessions_of["cookie"] = known("engineer")
    real_redis.stop()
    assert not await socket("cookie").opens()


async def test_socket_without_a_database_is_refused(monkeypatch):
    def refuse(_cookie, _authorization):
        raise OperationalError("gone")

    monkeypatch.setattr(sessions, "find", refuse)
    assert not await socket("cookie").opens()


# --- what arrives


async def test_change_of_a_subscribed_topic_arrives_with_its_number(open_socket):
    communicator = await open_socket()
    assert await subscribe(communicator, "runs") == [
        {"topic": "runs", "seq": 0, "kind": "subscribed", "changed_ms": None}
    ]
    await publish("runs", 7, 8)
    message = await communicator.hears()
    assert message.pop("at")
    assert message == {"topic": "runs", "seq": 1, "kind": "changed", "ids": ["7", "8"]}


async def test_frame_carries_its_state(open_socket):
    communicator = await open_socket()
    await subscribe(communicator, "log:abc")
    await sync_to_async(live.frame)("log:abc", {"lines": ["a"]})
    message = await communicator.hears()
    assert (message["kind"], message["state"]) == ("frame", {"lines": ["a"]})


async def test_subscription_tells_the_current_number(open_socket):
    await publish("runs")
    await publish("runs")
    communicator = await open_socket()
    assert (await subscribe(communicator, "runs"))[0]["seq"] == 2


async def test_subscription_tells_when_its_topic_changed_last(open_socket):
    """By which a page sees what changed between its drawing and this."""
    await publish("runs")
    await publish("jobs")
    published_ms = time.time() * 1000
    key = live.seq_key("jobs")
    await sync_to_async(redis.client().expire)(key, live.SEQ_EXPIRES_S - 60)  # as if it were a minute ago
    communicator = await open_socket()
    runs, jobs, models = await subscribe(communicator, "runs", "jobs", "models")
    assert runs["changed_ms"] == pytest.approx(published_ms, abs=1500)
    assert jobs["changed_ms"] == pytest.approx(published_ms - 60_000, abs=1500)
    assert models["changed_ms"] is None


@pytest.mark.django_db
def test_a_page_says_when_its_drawing_began():
    client = signed_in(make_user("ana", "viewer"))
    before_ms = int(time.time() * 1000)
    page = client.get("/pipelines").content.decode()
    (drawn_ms,) = re.findall(r'data-drawn-ms="(\d+)"', page)
    assert before_ms <= int(drawn_ms) <= time.time() * 1000


async def test_other_topics_do_not_arrive(open_socket):
    communicator = await open_socket()
    await subscribe(communicator, "run:1")
    await publish("run:2", 2)
    assert await communicator.hears_nothing()


async def test_nothing_arrives_after_unsubscribing(open_socket):
    communicator = await open_socket()
    await subscribe(communicator, "runs")
    await communicator.says('{"unsubscribe": ["runs"]}')
    await asyncio.sleep(0.2)
    await publish("runs", 1)
    assert await communicator.hears_nothing()


@pytest.mark.parametrize(
    ("role", "topic", "words"),
    [
        ("predictor", "runs", "do not include “see”"),
        ("engineer", "secrets", "no such topic"),
        ("engineer", "run:" + "x" * 201, "no such topic"),
        ("engineer", "run:../\u0000", "no such topic"),
    ],
)
async def test_topic_that_is_not_allowed_is_refused_alone(open_socket, role, topic, words):
    communicator = await open_socket(role)
    answer = (await subscribe(communicator, topic))[0]
    assert (answer["topic"], answer["kind"]) == (topic, "refused")
    assert words in answer["detail"]
    await publish(topic, 1)
    assert await communicator.hears_nothing()


async def test_every_topic_of_the_table_can_be_heard(open_socket):
    communicator = await open_socket("admin")
    answers = await subscribe(communicator, *policy.LIVE_TOPICS)
    assert [answer["topic"] for answer in answers if answer["kind"] != "subscribed"] == []


PAGES = sorted(path for path in TEMPLATES.rglob("*.html") if "block live" in path.read_text("utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TEMPLATES)))
def test_every_topic_of_a_page_is_one(page):
    (block,) = re.findall(r"{% block live %}(.*?){% endblock %}", page.read_text("utf-8"), re.DOTALL)
    topics = re.sub(r"{%.*?%}", " ", re.sub(r"{{.*?}}", "7", block)).split()
    assert topics or page.name == "base.html"
    for topic in topics:
        assert consumers.TOPIC.fullmatch(topic), topic
        assert topic.partition(":")[0] in policy.LIVE_TOPICS, topic


async def test_a_socket_has_32_topics_at_most(open_socket):
    communicator = await open_socket()
    await subscribe(communicator, *[f"run:{n}" for n in range(32)])
    assert (await subscribe(communicator, "run:32"))[0]["kind"] == "refused"
    assert (await subscribe(communicator, "run:1"))[0]["kind"] == "subscribed", (
        "what it has it may ask for again"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"subscribe": "runs"}',
        '{"subscribe": [1]}',
        '{"delete": []}',
        '{"subscribe": ["' + "x" * 4096 + '"]}',
    ],
)
async def test_message_that_cannot_be_read_is_answered_and_changes_nothing(open_socket, text):
    communicator = await open_socket()
    await communicator.says(text)
    assert (await communicator.hears())["kind"] == "error"
    assert (await subscribe(communicator, "runs"))[0]["kind"] == "subscribed"


# --- while it lasts


async def test_slow_socket_gets_the_newest_state_of_each_topic():
    """Nobody takes what is waiting, as when the browser's connection is full."""
    consumer = LiveConsumer()
    consumer.topics, consumer.waiting, consumer.has_news = {"log:a": 0, "runs": 0}, {}, asyncio.Event()
    for seq in range(1, 1001):
        await consumer.live_message({"body": {"topic": "log:a", "seq": seq}})
    await consumer.live_message({"body": {"topic": "runs", "seq": 1}})
    assert consumer.waiting == {"log:a": {"topic": "log:a", "seq": 1000}, "runs": {"topic": "runs", "seq": 1}}


@pytest.fixture
def _quick_checks(monkeypatch):
    monkeypatch.setattr(consumers, "CATCH_UP_EVERY_S", 0.1)
    monkeypatch.setattr(consumers, "CATCH_UPS_PER_CHECK", 1)


@pytest.mark.usefixtures("_quick_checks")
async def test_message_that_was_lost_is_made_up_for(open_socket):
    communicator = await open_socket()
    await subscribe(communicator, "runs")
    await sync_to_async(redis.client().set)(live.seq_key("runs"), 5)  # numbered, but never heard
    message = await communicator.hears()
    assert (message["topic"], message["seq"], message["kind"], message["ids"]) == ("runs", 5, "changed", [])


@pytest.mark.usefixtures("_quick_checks")
async def test_socket_of_a_session_that_ended_is_closed(open_socket, sessions_of):
    communicator = await open_socket()
    sessions_of["cookie"] = None
    assert await communicator.receive_output(timeout=5) == {
        "type": "websocket.close",
        "code": consumers.CLOSE_SESSION_ENDED,
    }


@pytest.mark.usefixtures("_quick_checks")
async def test_topic_is_taken_away_with_the_role(open_socket, sessions_of):
    communicator = await open_socket()
    await subscribe(communicator, "runs")
    sessions_of["cookie"] = known("predictor")
    answer = await communicator.hears()
    assert (answer["topic"], answer["kind"]) == ("runs", "refused")


# --- the end of a session


NOT_BY_LOOKING = pytest.mark.usefixtures("_no_checks")


@pytest.fixture
def _no_checks(monkeypatch):
    """Nothing is looked up by the clock: what ends the socket is the message."""
    monkeypatch.setattr(consumers, "CATCH_UP_EVERY_S", 600)


ENDS = {
    "sign-out": lambda user, client, admin: client.post("/sign-out"),
    "deactivation": lambda user, client, admin: actions.deactivate_user(user, by=admin),
    "password reset": lambda user, client, admin: actions.reset_password(user, by=admin),
    "password change": lambda user, client, admin: actions.change_own_password(
        user, "another horse entirely"
    ),
}


@NOT_BY_LOOKING
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", ENDS)
async def test_socket_closes_at_once_when_its_session_ends(way):
    admin = await sync_to_async(make_admin)()
    user = await sync_to_async(make_user)("ana", "viewer")
    client = await sync_to_async(signed_in)(user)
    other = await sync_to_async(make_user)("bob", "viewer")
    others = socket((await sync_to_async(signed_in)(other)).cookies["atalaya_session"].value)
    own = socket(client.cookies["atalaya_session"].value)
    assert await own.opens()
    assert await others.opens()
    await sync_to_async(ENDS[way])(user, client, admin)
    assert await own.receive_output(timeout=5) == {
        "type": "websocket.close",
        "code": consumers.CLOSE_SESSION_ENDED,
    }
    assert await others.hears_nothing()
    await others.closes()


@NOT_BY_LOOKING
@pytest.mark.django_db(transaction=True)
async def test_signing_out_elsewhere_leaves_this_session_its_socket():
    user = await sync_to_async(make_user)("ana", "viewer")
    here, elsewhere = [await sync_to_async(signed_in)(user) for _n in range(2)]
    own = socket(here.cookies["atalaya_session"].value)
    assert await own.opens()
    await sync_to_async(elsewhere.post)("/sign-out")
    assert await own.hears_nothing()
    await own.closes()


@NOT_BY_LOOKING
@pytest.mark.django_db(transaction=True)
async def test_other_roles_count_for_the_socket_at_once():
    admin = await sync_to_async(make_admin)()
    user = await sync_to_async(make_user)("ana", "viewer")
    client = await sync_to_async(signed_in)(user)
    own = socket(client.cookies["atalaya_session"].value)
    assert await own.opens()
    await subscribe(own, "runs")
    await sync_to_async(actions.edit_user)(user, roles=["predictor"], email="", by=admin)
    answer = await own.hears()
    assert (answer["topic"], answer["kind"]) == ("runs", "refused")
    await own.closes()


@NOT_BY_LOOKING
async def test_socket_closes_when_its_session_expires(monkeypatch):
    found = [sessions.Session(known("engineer"), timezone.now() + timedelta(seconds=0.2))]
    monkeypatch.setattr(sessions, "find", lambda *_keys: found.pop() if found else None)
    communicator = socket("cookie")
    assert await communicator.opens()
    assert (await communicator.receive_output(timeout=5))["code"] == consumers.CLOSE_SESSION_ENDED


async def test_expired_session_is_looked_up_no_oftener_while_the_database_is_away(monkeypatch):
    monkeypatch.setattr(consumers, "CATCH_UP_EVERY_S", 0.5)
    n_looks = 0

    def find(*_keys):
        nonlocal n_looks
        n_looks += 1
        if n_looks == 1:
            return sessions.Session(known("engineer"), timezone.now() + timedelta(seconds=0.1))
        raise OperationalError("gone")

    monkeypatch.setattr(sessions, "find", find)
    communicator = socket("cookie")
    assert await communicator.opens()
    await asyncio.sleep(1.5)
    await communicator.closes()
    assert 2 <= n_looks <= 5  # opening, the session's end, and two or three waits of 0.5 s or more


# --- a browser that has gone without a word


class Gone(OSError):
    """What uvicorn raises when somebody sends to a connection that is no more."""


def n_sockets() -> float:
    return metrics.SOCKETS._value.get()


@pytest.mark.parametrize("error", [Gone(), RuntimeError("after websocket.close")])
@pytest.mark.parametrize("cause", ["news", "answer"])
async def test_socket_whose_send_fails_leaves_no_task_and_no_place_in_the_count(sessions_of, error, cause):
    sessions_of["cookie"] = known("engineer")
    before, is_gone = n_sockets(), False
    incoming: asyncio.Queue = asyncio.Queue()
    sent: asyncio.Queue = asyncio.Queue()

    async def send(message):
        if is_gone:
            raise error
        await sent.put(message)

    headers = [(b"host", HOST), (b"origin", ORIGIN), (b"cookie", b"atalaya_session=cookie")]
    scope = {"type": "websocket", "path": "/ws/live", "headers": headers}
    run = asyncio.create_task(APPLICATION(scope, incoming.get, send))
    await incoming.put({"type": "websocket.connect"})
    await asyncio.wait_for(sent.get(), 5)
    await incoming.put({"type": "websocket.receive", "text": '{"subscribe": ["runs"]}'})
    await asyncio.wait_for(sent.get(), 5)
    assert n_sockets() == before + 1
    is_gone = True
    if cause == "news":
        await publish("runs", 1)
    else:
        await incoming.put({"type": "websocket.receive", "text": "{"})
    await asyncio.wait_for(run, 5)  # though no disconnect ever comes
    assert n_sockets() == before
    left = [task for task in asyncio.all_tasks() if "LiveConsumer" in repr(task)]
    assert left == []
