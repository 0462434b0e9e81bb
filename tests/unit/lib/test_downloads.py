"""Downloads that fail while they are sent: what the client sees, through the real server."""

import contextlib
import gc
import http.client
import threading
import time
import warnings

import pytest
import uvicorn
from django.test import RequestFactory
from django.urls import path

from console.handler import ThreadHandler
from core.lib import downloads
from core.lib.errors import Unavailable


def small(request):
    def parts():
        yield b"id\n"
        raise Unavailable("gone")

    return downloads.response(request, parts(), name="a.csv", content_type="text/csv")


def large(request):
    def parts():
        yield b"x" * downloads.FIRST_BYTES
        yield b"x" * downloads.FIRST_BYTES
        raise Unavailable("gone")

    return downloads.response(request, parts(), name="a.csv", content_type="text/csv")


def whole(request):
    parts = iter([b"x" * downloads.FIRST_BYTES, b"y"])
    return downloads.response(request, parts, name="a.csv", content_type="text/csv")


urlpatterns = [path("small", small), path("large", large), path("whole", whole)]


@pytest.fixture
def port(settings):
    """A server with these three addresses and the middleware that shows errors."""
    settings.ROOT_URLCONF = __name__
    settings.ALLOWED_HOSTS = ["*"]
    settings.MIDDLEWARE = ["console.middleware.ErrorPagesMiddleware"]
    config = uvicorn.Config(ThreadHandler(), port=0, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    with contextlib.ExitStack() as ending:
        thread = threading.Thread(target=server.run)
        thread.start()
        ending.callback(thread.join)
        ending.callback(setattr, server, "should_exit", True)
        while not server.started:
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()  # Django leaves the file of a request's body to it when an answer breaks off


def ask(port, address):
    """Status and body."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", address, headers={"HX-Request": "true"})
        with connection.getresponse() as answer:
            return answer.status, answer.read()


def test_what_fails_early_has_the_status_of_its_error(port):
    status, _body = ask(port, "/small")
    assert status == 503


def test_what_fails_later_is_a_broken_transfer(port):
    with pytest.raises(http.client.IncompleteRead) as broken:
        ask(port, "/large")
    assert len(broken.value.partial) <= 2 * downloads.FIRST_BYTES


def test_what_is_whole_ends_well(port):
    assert ask(port, "/whole") == (200, b"x" * downloads.FIRST_BYTES + b"y")


def test_no_more_than_the_first_parts_are_made_before_they_are_wanted():
    made = []

    def parts():
        for n in range(10):
            made.append(n)
            yield b"x" * (downloads.FIRST_BYTES // 2)

    answer = downloads.response(RequestFactory().get("/"), parts(), name="a", content_type="text/plain")
    assert made == [0, 1]
    assert len(b"".join(answer.streaming_content)) == 5 * downloads.FIRST_BYTES
