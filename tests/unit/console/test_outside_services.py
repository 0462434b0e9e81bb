"""PostgreSQL, Redis and Kafka of one's own, over TLS: the settings reach their clients."""

import pytest
import redis as redis_client
from channels_redis.utils import create_pool
from kombu import Connection

from console import checks, health
from console.settings import _database
from core.lib import kafka
from core.lib import redis as console_redis

SECURE = "rediss://:s3cret@redis.example.org:6380/0?ssl_cert_reqs=required&ssl_ca_certs=/etc/ca.pem"


def test_an_address_of_postgresql_may_say_what_libpq_knows():
    url = "postgresql://me:p%40ss@db.example.org:6432/atalaya?sslmode=verify-full&sslrootcert=/etc/ca.pem"
    found = _database(url, test_name="t")
    assert (found["HOST"], found["PORT"], found["NAME"], found["PASSWORD"]) == (
        "db.example.org",
        "6432",
        "atalaya",
        "p@ss",
    )
    assert found["OPTIONS"]["sslmode"] == "verify-full"
    assert found["OPTIONS"]["sslrootcert"] == "/etc/ca.pem"
    assert found["OPTIONS"]["connect_timeout"] == 3


def test_an_address_of_postgresql_may_name_its_own_patience():
    assert _database("postgresql://h/d?connect_timeout=9", test_name="t")["OPTIONS"]["connect_timeout"] == "9"


def test_health_asks_postgresql_with_the_same_certificates(settings, monkeypatch):
    asked = {}

    def connect(**values):
        asked.update(values)
        raise ConnectionError("no server here")

    database = _database("postgresql://h/d?sslmode=verify-full&connect_timeout=9", test_name="t")
    monkeypatch.setitem(settings.DATABASES, "default", database)
    monkeypatch.setattr(health.psycopg2, "connect", connect)
    with pytest.raises(ConnectionError):
        health.query("SELECT 1")
    assert (asked["sslmode"], asked["connect_timeout"]) == ("verify-full", 2)


@pytest.fixture
def secure(settings):
    settings.CONSOLE_REDIS_URL = SECURE
    console_redis.client.cache_clear()
    yield
    console_redis.client.cache_clear()


def test_redis_is_asked_over_tls_with_the_named_certificate(secure):
    for client in (console_redis.client(), console_redis.async_client()):
        pool = client.connection_pool
        assert "SSL" in pool.connection_class.__name__
        assert pool.connection_kwargs["ssl_ca_certs"] == "/etc/ca.pem"
        assert pool.connection_kwargs["ssl_cert_reqs"] == "required"


def test_the_channel_layer_speaks_tls_too(secure):
    pool = create_pool({"address": SECURE, "socket_connect_timeout": 2})
    assert "SSL" in pool.connection_class.__name__
    assert pool.connection_kwargs["ssl_ca_certs"] == "/etc/ca.pem"


def test_the_queue_speaks_tls_too(monkeypatch):
    monkeypatch.setattr(redis_client.Redis, "ping", lambda _client: True)  # a channel asks when it is made
    transport = Connection(SECURE).transport
    parameters = transport.Channel(transport)._connparams()
    assert issubclass(parameters["connection_class"], redis_client.SSLConnection)
    assert parameters["ssl_ca_certs"] == "/etc/ca.pem"


@pytest.mark.parametrize(
    ("query", "is_sound"), [("", False), ("?ssl_cert_reqs=none", False), ("?ssl_cert_reqs=required", True)]
)
def test_tls_that_asks_nobody_who_answers_is_named(settings, query, is_sound):
    settings.CONSOLE_REDIS_URL = f"rediss://:s3cret@redis.example.org:6380/0{query}"
    assert [fault.id for fault in checks._redis()] == ([] if is_sound else ["console.E032"])


def test_kafka_takes_sasl_and_tls_as_librdkafka_writes_them(settings):
    said = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "atalaya",
        "sasl.password": "s3cret",
        "ssl.ca.location": "/etc/ca.pem",
    }
    settings.CONSOLE_KAFKA_CONFIG = said
    for found in (kafka.producer_config(), kafka.consumer_config("g")):
        assert said.items() <= found.items()
