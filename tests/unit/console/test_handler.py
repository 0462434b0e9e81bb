"""Django in threads that stay: which thread a request has, what it keeps, and what it does not."""

import asyncio
import io
import threading
from contextlib import closing

import pytest
from django.db import connection, connections
from django.http import FileResponse, HttpResponse
from django.urls import path
from django.utils import translation

from console.handler import ThreadHandler
from core.lib import caller, downloads

WAIT_S = 10
FIRST = b"x" * downloads.FIRST_BYTES
here = {}


def thread_name(_request):
    return HttpResponse(threading.current_thread().name)


def language(request):
    before = translation.get_language()
    if "to" in request.GET:
        translation.activate(request.GET["to"])
    return HttpResponse(before)


def backend(_request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return HttpResponse(str(cursor.fetchone()[0]))


def slow(_request):
    here["has begun"].set()
    assert here["may end"].wait(WAIT_S)
    return HttpResponse(threading.current_thread().name)


def stream(request):
    def parts():
        try:
            yield FIRST
            while not here["is enough"].is_set():
                here["made in"].add(threading.current_thread().name)
                yield threading.current_thread().name.encode()
        finally:
            here["closed in"] = threading.current_thread().name

    here["begun in"] = threading.current_thread().name
    return downloads.response(request, parts(), name="a", content_type="text/plain")


class File(io.BytesIO):
    def read(self, size=-1):
        here["read in"].add(threading.current_thread().name)
        return super().read(size)


def file(_request):
    here["read in"] = set()
    here["begun in"] = threading.current_thread().name
    return FileResponse(File(b"abc" * 50_000))


def loop(_request):
    async def running():
        here["language"] = translation.get_language()
        return str(id(asyncio.get_running_loop()))

    with translation.override("es"):
        return HttpResponse(caller.wait_for(running()))


def forever(_request):
    async def waiting():
        here["has begun"].set()
        try:
            await asyncio.sleep(WAIT_S)
        except asyncio.CancelledError:
            here["was cancelled"] = True
            raise

    return HttpResponse(caller.wait_for(waiting()))


urlpatterns = [
    path("file", file),
    path("loop", loop),
    path("forever", forever),
    path("thread", thread_name),
    path("language", language),
    path("backend", backend),
    path("slow", slow),
    path("stream", stream),
]


@pytest.fixture
def handler(settings):
    settings.ROOT_URLCONF = __name__
    settings.ALLOWED_HOSTS = ["*"]
    settings.MIDDLEWARE = ["console.middleware.ErrorPagesMiddleware"]
    here.clear()
    here.update({name: threading.Event() for name in ("has begun", "may end", "is enough")})
    here["made in"] = set()
    return ThreadHandler()


class Call:
    """One request. hung_up: set it, and the client has left."""

    def __init__(self, handler, address, *, query=""):
        self.hung_up = asyncio.Event()
        self.has_part = asyncio.Event()
        self.body = b""
        self.status = 0
        scope = {"type": "http", "method": "GET", "path": f"/{address}", "query_string": query.encode()}
        self.task = asyncio.create_task(
            handler({**scope, "headers": [(b"host", b"here")]}, self.receive, self.send)
        )
        self._is_given = False

    async def receive(self):
        if not self._is_given:
            self._is_given = True
            return {"type": "http.request", "body": b""}
        await self.hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")
        if len(self.body) > len(FIRST):
            self.has_part.set()
        await asyncio.sleep(0)

    async def text(self):
        await asyncio.wait_for(self.task, WAIT_S)
        return self.body.decode()


async def test_one_after_the_other_they_have_one_thread(handler):
    assert {await Call(handler, "thread").text() for _ in range(5)} == {"django_0"}
    assert len(handler.threads) == 1


async def test_at_the_same_time_each_has_its_own(handler):
    calls = [Call(handler, "slow") for _ in range(3)]
    await asyncio.sleep(0.05)
    assert await asyncio.wait_for(Call(handler, "thread").text(), WAIT_S)  # waits for none of them
    here["may end"].set()
    for call in calls:
        await call.text()
    assert len(handler.threads) == 4


async def test_what_one_reader_speaks_the_next_does_not(handler):
    first = await Call(handler, "language", query="to=es").text()
    assert await Call(handler, "language").text() == first != "es"


@pytest.mark.django_db(transaction=True)
async def test_the_connection_to_the_database_stays(handler):
    assert len({await Call(handler, "backend").text() for _ in range(3)}) == 1
    await handler.threads._idle[0].run(connections.close_all)


@pytest.mark.django_db(transaction=True)
async def test_one_that_the_server_has_ended_is_made_anew(handler):
    pid = await Call(handler, "backend").text()

    def end():
        with closing(connection.copy()) as other, other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [int(pid)])

    await asyncio.to_thread(end)
    assert await Call(handler, "backend").text() != pid
    await handler.threads._idle[0].run(connections.close_all)


async def test_a_thread_whose_caller_is_gone_is_free_once_it_is_done(handler):
    call = Call(handler, "slow")
    await asyncio.to_thread(here["has begun"].wait, WAIT_S)
    call.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.task
    assert len(handler.threads) == 0
    here["may end"].set()
    async with asyncio.timeout(WAIT_S):
        while not len(handler.threads):
            await asyncio.sleep(0.01)


async def test_a_stream_is_made_and_closed_in_the_thread_that_began_it(handler):
    call = Call(handler, "stream")
    await asyncio.wait_for(call.has_part.wait(), WAIT_S)
    here["is enough"].set()
    await call.text()
    assert here["made in"] == {here["begun in"]} == {here["closed in"]}
    assert len(handler.threads) == 1


async def test_a_stream_that_nobody_reads_any_more_ends(handler):
    call = Call(handler, "stream")
    await asyncio.wait_for(call.has_part.wait(), WAIT_S)
    call.hung_up.set()
    await call.text()
    assert here["closed in"] == here["begun in"]


@pytest.mark.django_db(transaction=True)
async def test_a_thread_that_nobody_needs_any_more_ends_with_its_connection(handler, monkeypatch):
    monkeypatch.setattr("console.handler.KEPT_S", 0.05)
    pid = await Call(handler, "backend").text()

    def n_connections():
        with closing(connection.copy()) as other, other.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [int(pid)])
            return cursor.fetchone()[0]

    assert await asyncio.to_thread(n_connections) == 1
    async with asyncio.timeout(WAIT_S):
        while len(handler.threads) or await asyncio.to_thread(n_connections):
            await asyncio.sleep(0.02)


async def test_a_file_is_read_in_the_thread_of_its_request(handler):
    assert await Call(handler, "file").text() == "abc" * 50_000
    assert here["read in"] == {here["begun in"]} != {"MainThread"}


async def test_what_a_view_waits_for_runs_in_the_loop_that_the_request_came_from(handler):
    first, second = [await Call(handler, "loop").text() for _ in range(2)]
    assert first == second == str(id(asyncio.get_running_loop()))
    assert here["language"] == "es", "the reader's, not the loop's"


async def test_what_a_view_waits_for_ends_when_its_caller_leaves(handler):
    call = Call(handler, "forever")
    await asyncio.to_thread(here["has begun"].wait, WAIT_S)
    call.hung_up.set()
    assert await call.text() == ""
    assert (call.status, here["was cancelled"]) == (499, True)


async def test_a_client_that_leaves_before_its_body_is_here_takes_no_thread(handler):
    async def gone():
        return {"type": "http.disconnect"}

    await handler({"type": "http", "method": "GET", "path": "/", "headers": []}, gone, None)
    assert len(handler.threads) == 0
