"""The streams that every installation has. Django-free."""

from typing import Any


def _number(name: str, unit: str = "") -> dict[str, Any]:
    return {"name": name, "type": "number", **({"unit": unit} if unit else {})}


def _maybe(name: str) -> dict[str, Any]:
    return {"name": name, "type": "number", "required": False, "nullable": True}


def _text(name: str) -> dict[str, Any]:
    return {"name": name, "type": "text"}


TAXI_TRIPS: dict[str, Any] = {
    "fields": [
        _text("vendor_id"),
        {"name": "pickup_datetime", "type": "text", "help": "YYYY-MM-DD HH:MM:SS, UTC"},
        _maybe("passenger_count"),
        _number("trip_distance", "mi"),
        _maybe("pickup_longitude"),
        _maybe("pickup_latitude"),
        _maybe("dropoff_longitude"),
        _maybe("dropoff_latitude"),
        _text("payment_type"),
        _number("fare_amount", "USD"),
        _number("tip_amount", "USD"),
    ],
    "event_time_field": "pickup_datetime",
    "group_by": "vendor_id",
    "measures": [
        {"name": "fare_amount", "kind": "sum", "field": "fare_amount"},
        {"name": "tip_amount", "kind": "sum", "field": "tip_amount"},
        {"name": "trip_distance", "kind": "mean", "field": "trip_distance"},
    ],
    "window_s": 10,
    "lateness_s": 60,
}

PREDICTIONS: dict[str, Any] = {
    "fields": [_text("id"), _text("model"), _text("version"), {"name": "at", "type": "text"}],
    "event_time_field": "at",
    "group_by": "model",
    "measures": [],
    "window_s": 10,
    "lateness_s": 600,
    "ignore": {"kind": "unanswered"},
}
