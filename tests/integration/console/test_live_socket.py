"""The live socket through a real uvicorn, Redis and the `websockets` client."""

import json
import socket

import pytest
import websockets
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from websockets.exceptions import ConnectionClosed, InvalidStatus

from console.access.models import User
from console.lib import live

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def web(part, eventually):
    """The address of a web process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    part("-m", "uvicorn", "console.asgi:application", "--port", str(port), "--log-level", "warning")

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
