"""The live socket through a real uvicorn, Redis and the `websockets` client."""

import asyncio
import base64
import json
import os
import socket

import psutil
import pytest
import websockets
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from websockets.exceptions import ConnectionClosed, InvalidStatus

from core.access.models import User
from core.lib import live

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def web(part, eventually):
    """The address of a web process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--log-level", "warning", "--ws", "console.sockets:Protocol"]
    options += ["--ws-ping-interval", "2", "--ws-ping-timeout", "10"]
    part("-m", "uvicorn", "console.asgi:application", "--port", str(port), *options)

    def answers():
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    eventually(answers)
    return f"127.0.0.1:{port}"


@pytest.fixture
def cookie(transactional_db):
    """The session of somebody who may see."""
    user = User.objects.create_user("ana")
    user.groups.add(Group.objects.get_or_create(name="viewer")[0])
    client = Client()
    client.force_login(user)
    return f"atalaya_session={client.cookies['atalaya_session'].value}"


def publish(topic, ids):
    """From a thread of its own, whose connection nobody else would close."""
    live.publish(topic, ids)
    connection.close()


def sign_out(client):
    """From a thread of its own, likewise."""
    status = client.post("/sign-out").status_code
    connection.close()
    return status


def open_socket(web, cookie, origin=None):
    headers = {"Cookie": cookie, "Origin": origin or f"http://{web}"}
    return websockets.connect(f"ws://{web}/ws/live", additional_headers=headers)


async def test_change_reaches_the_browser(web, cookie):
    async with open_socket(web, cookie) as client:
        await client.send('{"subscribe": ["runs", "secrets"]}')
        subscribed, refused = json.loads(await client.recv()), json.loads(await client.recv())
        assert (subscribed["kind"], refused["kind"]) == ("subscribed", "refused")
        await sync_to_async(publish)("runs", [7])
        message = json.loads(await client.recv())
        assert (message["topic"], message["seq"], message["ids"]) == ("runs", 1, ["7"])


@pytest.mark.parametrize(
    ("cookies", "origin"), [(True, "http://evil.example"), (True, "http://127.0.0.1:1"), (False, None)]
)
async def test_foreign_page_and_stranger_get_403(web, cookie, cookies, origin):
    with pytest.raises(InvalidStatus) as refused:
        await open_socket(web, cookie if cookies else "a=b", origin)
    assert refused.value.response.status_code == 403


async def test_socket_ends_with_the_process_of_redis_and_comes_back(web, cookie, real_redis):
    """While Redis is away there is nothing to hear: the browser tries again until there is."""
    real_redis.stop()
    with pytest.raises((InvalidStatus, ConnectionClosed)):
        await open_socket(web, cookie)
    real_redis.start()
    async with open_socket(web, cookie) as client:
        await client.send('{"subscribe": ["runs"]}')
        assert json.loads(await client.recv())["kind"] == "subscribed"


def deaf_socket(web, cookie, topic):
    """A browser that asks for frames and never reads one; a small window lets the server feel it soon."""
    host, _colon, port = web.partition(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((host, int(port)))
    lines = [f"GET /ws/live HTTP/1.1\r\nHost: {web}\r\nOrigin: http://{web}\r\nCookie: {cookie}"]
    lines += ["Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"]
    lines += [f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n"]
    client.sendall("\r\n".join(lines).encode())
    assert b" 101 " in client.recv(100)
    text = json.dumps({"subscribe": [topic]}).encode()
    client.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)  # masked with zeros
    return client


async def test_a_browser_that_never_reads_is_let_go_and_the_others_hear_on(web, cookie, eventually):
    """Ten of them, sent 40 MB each: the process keeps little of it, and closes them."""
    topic, state = "streams:taxi_trips", {"text": os.urandom(50_000).hex()}
    own = psutil.Process()
    server = next(child for child in own.children() if str(web.partition(":")[2]) in child.cmdline())
    async with open_socket(web, cookie) as reader:
        await reader.send(json.dumps({"subscribe": [topic]}))
        assert json.loads(await reader.recv())["kind"] == "subscribed"
        deaf = [deaf_socket(web, cookie, topic) for _ in range(10)]
        ports = {client.getsockname()[1] for client in deaf}
        before = server.memory_info().rss
        n_heard = 0
        for _ in range(400):
            live.frame(topic, state)
            while json.loads(await asyncio.wait_for(reader.recv(), 30))["kind"] != "frame":
                pass  # it says at times that something may have changed
            n_heard += 1
            await asyncio.sleep(0.01)
        grown = server.memory_info().rss - before

        def are_closed():
            return not any(place.raddr and place.raddr.port in ports for place in server.net_connections())

        await asyncio.to_thread(eventually, are_closed)
        assert n_heard == 400
        assert grown < 30 * 2**20
    for client in deaf:
        client.close()


async def test_socket_of_a_session_that_ends_closes_within_seconds(web, cookie):
    client = Client()
    client.cookies.load(cookie)
    async with open_socket(web, cookie) as page:
        await page.send('{"subscribe": ["runs"]}')
        assert json.loads(await page.recv())["kind"] == "subscribed"
        assert await sync_to_async(sign_out)(client) == 302
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(page.recv(), 10)
        assert closed.value.rcvd.code == 4401
