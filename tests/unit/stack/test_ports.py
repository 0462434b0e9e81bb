"""Ports that are free, taken, or held by a server that is still dying."""

import os
import socket

import pytest

from stack import ports
from stack.catalogue import find
from stack.config import Config
from stack.errors import StackError

REDIS = find("redis")


@pytest.fixture
def taken():
    """A port that this process listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


@pytest.fixture
def config(monkeypatch, taken):
    port = taken.getsockname()[1]
    monkeypatch.setattr(Config, "port", lambda _config, _name: port)
    return Config.__new__(Config)


def test_port_that_somebody_has_is_refused_at_once_by_name(config):
    with pytest.raises(StackError, match=rf"\(redis\) is held by pid {os.getpid()}: .*python"):
        ports.require_free(config, REDIS)


def test_port_of_a_dying_server_is_waited_for(config, taken, monkeypatch):
    monkeypatch.setattr(ports, "_pid", lambda _port: taken.close())  # nobody is seen, and it dies meanwhile
    ports.require_free(config, REDIS)


def test_port_that_nobody_seen_keeps_is_refused_in_the_end(config, monkeypatch):
    monkeypatch.setattr(ports, "DYING_S", 0.1)
    monkeypatch.setattr(ports, "_pid", lambda _port: None)
    with pytest.raises(StackError, match="a process of another user"):
        ports.require_free(config, REDIS)
