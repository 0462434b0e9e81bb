"""Kafka: settings for producers, consumers and the admin client, the same for every app.

`CONSOLE_KAFKA_CONFIG` (JSON of librdkafka settings) passes through, so SASL and TLS need no code.
"""

import time
from typing import Any, Final

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient
from django.conf import settings

QUIET_S: Final = 60.0
# The serving processes send at most a hundred; what holds more is nobody's, and one thing to set aside.
MOST_LINES: Final = 1_000
BLANKS: Final = b" \t\r\n"  # of JSON


def common_config() -> dict[str, Any]:
    """How any client of the console reaches the brokers."""
    return {
        "bootstrap.servers": settings.CONSOLE_KAFKA_BOOTSTRAP,
        "client.id": "atalaya",
        **settings.CONSOLE_KAFKA_CONFIG,
    }


def producer_config(**settings_: Any) -> dict[str, Any]:
    """A producer that loses nothing it reported as delivered: on all replicas, once, in order."""
    return {
        **common_config(),
        "acks": "all",
        "enable.idempotence": True,
        "compression.type": "lz4",
        **settings_,
    }


def consumer_config(group: str, **settings_: Any) -> dict[str, Any]:
    """A consumer that commits nothing by itself: offsets follow the work."""
    return {
        **common_config(),
        "group.id": group,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        **settings_,
    }


def admin(**settings_: Any) -> AdminClient:
    """The admin client; it connects with the first call."""
    return AdminClient({**common_config(), **settings_})


def lines(value: bytes) -> list[bytes]:
    """The JSON objects that a message holds, one a line; any other message is given back as it is.

    Lines are without the blanks around them, and a carriage return is one; the last line may have an end.
    No JSON document looks like several: after an object that ended, a line cannot begin another one.
    """
    if b"\n" not in value:
        return [value]
    found = [line.strip(BLANKS) for line in value.rstrip(BLANKS).split(b"\n")]
    is_several = 1 < len(found) <= MOST_LINES and all(
        line[:1] == b"{" and line[-1:] == b"}" for line in found
    )
    return found if is_several else [value]


def quiet(log: Any) -> dict[str, Any]:
    """Settings that keep an absent broker from filling the log: one line a minute, not twenty a second."""
    said_at = -QUIET_S

    def on_error(error: KafkaError) -> None:
        nonlocal said_at
        if error.fatal() or time.monotonic() - said_at >= QUIET_S:
            said_at = time.monotonic()
            log.warning("kafka.unreachable", error=error.str(), is_fatal=error.fatal())

    return {"error_cb": on_error, "log_level": 0}
