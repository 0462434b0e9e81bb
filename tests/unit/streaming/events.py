"""Messages as a consumer hands them over, and a stream to count them."""

import json
from datetime import UTC, datetime
from typing import Any

from streaming import defaults
from streaming.models import Stream


class FakeMessage:
    """What a message of confluent-kafka answers."""

    def __init__(
        self, value: bytes | None, offset: int, *, partition: int = 0, key: bytes | None = b"k"
    ) -> None:
        self._value, self._offset, self._partition, self._key = value, offset, partition, key

    def value(self) -> bytes | None:
        return self._value

    def key(self) -> bytes | None:
        return self._key

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return None


def trip(at: float, **values: Any) -> dict[str, Any]:
    """One taxi trip with an event time in Unix seconds."""
    return {
        "vendor_id": "2",
        "pickup_datetime": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        "passenger_count": 1,
        "trip_distance": 2.0,
        "pickup_longitude": None,
        "pickup_latitude": None,
        "dropoff_longitude": None,
        "dropoff_latitude": None,
        "payment_type": "1",
        "fare_amount": 10.0,
        "tip_amount": 1.5,
        **values,
    }


def messages(*events: Any, first: int = 0, partition: int = 0) -> list[FakeMessage]:
    """Dicts become JSON; bytes and None stay as they are."""
    values = [json.dumps(event).encode() if isinstance(event, dict) else event for event in events]
    return [FakeMessage(value, first + index, partition=partition) for index, value in enumerate(values)]


def make_stream(name: str = "trips", **values: Any) -> Stream:
    """A stream of taxi trips with a topic of its own name."""
    definition = {**defaults.TAXI_TRIPS, **values.pop("definition", {})}
    return Stream.objects.create(name=name, topic=values.pop("topic", name), definition=definition, **values)


def encoded(at: float, **values: Any) -> bytes:
    """A trip as it lies in the topic."""
    return json.dumps(trip(at, **values)).encode()
