"""Deleting a group's offsets of some partitions: librdkafka can, its Python client does not offer it.

So this one call goes to the library that the client has loaded, with a connection of its own.
"""

import ctypes
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ctypes import c_char_p, c_int, c_int32, c_size_t, c_void_p
from functools import cache
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, cimpl

from core.lib import kafka
from streaming.places import Place

# From rdkafka.h.
_PRODUCER: Final = 0
_CONF_OK: Final = 0
_OP_DELETE_OFFSETS: Final = 8
_ANSWERS_LATER_S: Final = 1.0  # than the request's own limit, on the way back to us
_TEXT_BYTES: Final = 512
_SIGNATURES: Final[dict[str, tuple[Any, list[Any]]]] = {
    "conf_new": (c_void_p, []),
    "conf_set": (c_int, [c_void_p, c_char_p, c_char_p, c_char_p, c_size_t]),
    "conf_destroy": (None, [c_void_p]),
    "new": (c_void_p, [c_int, c_void_p, c_char_p, c_size_t]),
    "destroy": (None, [c_void_p]),
    "queue_new": (c_void_p, [c_void_p]),
    "queue_poll": (c_void_p, [c_void_p, c_int]),
    "queue_destroy": (None, [c_void_p]),
    "topic_partition_list_new": (c_void_p, [c_int]),
    "topic_partition_list_add": (c_void_p, [c_void_p, c_char_p, c_int32]),
    "topic_partition_list_destroy": (None, [c_void_p]),
    "AdminOptions_new": (c_void_p, [c_void_p, c_int]),
    "AdminOptions_set_request_timeout": (c_int, [c_void_p, c_int, c_char_p, c_size_t]),
    "AdminOptions_destroy": (None, [c_void_p]),
    "DeleteConsumerGroupOffsets_new": (c_void_p, [c_char_p, c_void_p]),
    "DeleteConsumerGroupOffsets_destroy": (None, [c_void_p]),
    "DeleteConsumerGroupOffsets": (None, [c_void_p, c_void_p, c_size_t, c_void_p, c_void_p]),
    "DeleteConsumerGroupOffsets_result_groups": (c_void_p, [c_void_p, c_void_p]),
    "group_result_error": (c_void_p, [c_void_p]),
    "group_result_partitions": (c_void_p, [c_void_p]),
    "error_code": (c_int, [c_void_p]),
    "error_string": (c_char_p, [c_void_p]),
    "event_error": (c_int, [c_void_p]),
    "event_error_string": (c_char_p, [c_void_p]),
    "event_DeleteConsumerGroupOffsets_result": (c_void_p, [c_void_p]),
    "event_destroy": (None, [c_void_p]),
}


class _PartitionEntry(ctypes.Structure):
    """`rd_kafka_topic_partition_t`."""

    _fields_ = [
        ("topic", c_char_p),
        ("partition", c_int32),
        ("offset", ctypes.c_int64),
        ("metadata", c_void_p),
        ("metadata_size", c_size_t),
        ("opaque", c_void_p),
        ("err", c_int),
        ("_private", c_void_p),
    ]


class _PartitionList(ctypes.Structure):
    """`rd_kafka_topic_partition_list_t`."""

    _fields_ = [
        ("cnt", c_int),
        ("size", c_int),
        ("elems", ctypes.POINTER(_PartitionEntry)),
    ]


def remove(group: str, places: Iterable[Place], *, timeout_s: float) -> None:
    """Delete these offsets of the group, all with one request. Raises KafkaException."""
    with _client() as client, _request(group, places) as request:
        _refuse(*_asked(client, request, timeout_s))


@cache
def _library() -> ctypes.CDLL:
    """The one that the client is linked with."""
    library = ctypes.CDLL(cimpl.__file__)
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, f"rd_kafka_{name}")
        function.restype, function.argtypes = result, arguments
    return library


def _call(name: str, *arguments: Any) -> Any:
    return getattr(_library(), f"rd_kafka_{name}")(*arguments)


@contextmanager
def _client() -> Iterator[int]:
    """A client with the console's settings."""
    text = ctypes.create_string_buffer(_TEXT_BYTES)
    conf = _call("conf_new")
    for name, value in {**kafka.common_config(), "log_level": 0}.items():
        written = str(value).lower() if isinstance(value, bool) else str(value)
        if _call("conf_set", conf, name.encode(), written.encode(), text, _TEXT_BYTES) != _CONF_OK:
            _call("conf_destroy", conf)
            raise KafkaException(KafkaError(KafkaError._INVALID_ARG, text.value.decode()))
    client = _call("new", _PRODUCER, conf, text, _TEXT_BYTES)  # it owns `conf` from here on
    if not client:
        _call("conf_destroy", conf)
        raise KafkaException(KafkaError(KafkaError._FAIL, text.value.decode()))
    try:
        yield client
    finally:
        _call("destroy", client)


@contextmanager
def _request(group: str, places: Iterable[Place]) -> Iterator[int]:
    found = list(places)
    listed = _call("topic_partition_list_new", len(found))
    try:
        for topic, partition in found:
            _call("topic_partition_list_add", listed, topic.encode(), partition)
        request = _call("DeleteConsumerGroupOffsets_new", group.encode(), listed)
    finally:
        _call("topic_partition_list_destroy", listed)
    try:
        yield request
    finally:
        _call("DeleteConsumerGroupOffsets_destroy", request)


def _asked(client: int, request: int, timeout_s: float) -> tuple[int, str]:
    """Code and words of what went wrong; 0 when nothing did."""
    queue, options = _call("queue_new", client), _call("AdminOptions_new", client, _OP_DELETE_OFFSETS)
    try:
        timeout_ms, text = int(timeout_s * 1000), ctypes.create_string_buffer(_TEXT_BYTES)
        _call("AdminOptions_set_request_timeout", options, timeout_ms, text, _TEXT_BYTES)
        _call("DeleteConsumerGroupOffsets", client, ctypes.byref(c_void_p(request)), 1, options, queue)
        event = _call("queue_poll", queue, timeout_ms + int(_ANSWERS_LATER_S * 1000))
        if not event:
            return KafkaError._TIMED_OUT, "no answer in time"
        try:
            return _outcome(event)
        finally:
            _call("event_destroy", event)
    finally:
        _call("AdminOptions_destroy", options)
        _call("queue_destroy", queue)


def _outcome(event: int) -> tuple[int, str]:
    if code := _call("event_error", event):
        return code, (_call("event_error_string", event) or b"").decode(errors="replace")
    n_groups = c_size_t()
    result = _call("event_DeleteConsumerGroupOffsets_result", event)
    groups = ctypes.cast(
        _call("DeleteConsumerGroupOffsets_result_groups", result, ctypes.byref(n_groups)),
        ctypes.POINTER(c_void_p),
    )
    for group in groups[: n_groups.value]:
        if error := _call("group_result_error", group):
            return _call("error_code", error), _call("error_string", error).decode(errors="replace")
        listed = ctypes.cast(_call("group_result_partitions", group), ctypes.POINTER(_PartitionList))
        entries = listed.contents.elems[: listed.contents.cnt] if listed else []
        if code := next((one.err for one in entries if one.err), 0):
            return code, ""
    return 0, ""


def _refuse(code: int, words: str) -> None:
    if code:
        raise KafkaException(KafkaError(code, words) if words else KafkaError(code))
