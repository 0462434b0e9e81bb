"""Where each partition of a topic is read from."""

import pytest

from core.lib.errors import NotFound
from streaming import messages
from streaming.kafka_types import Partition, Start, Topic
from tests.fakes.kafka import FakeMessage, Record

TOPIC = Topic(
    "rides", [Partition(0, 10, 100, 1, 1, 1), Partition(1, 0, 3, 1, 1, 1), Partition(2, 7, 7, 1, 1, 1)]
)


@pytest.mark.parametrize(
    ("start", "found"),
    [
        (Start("earliest"), {0: 10, 1: 0}),
        (Start("latest"), {0: 80, 1: 0}),
        (Start("offset", partition=0, offset=50), {0: 50}),
        (Start("offset", partition=0, offset=5), {0: 10}),
        (Start("offset", partition=0, offset=100), {}),
        (Start("time", at_ms=1), {0: 42}),
    ],
)
def test_partitions_with_nothing_to_read_are_left_out(start, found):
    at_time = {0: 42, 1: -1, 2: -1} if start.kind == "time" else {}
    assert messages.starts(TOPIC, start, 20, at_time) == found


def test_a_partition_that_is_not_there_is_not_found():
    with pytest.raises(NotFound, match="no partition 9"):
        messages.starts(TOPIC, Start("offset", partition=9), 20, {})


class Odd(FakeMessage):
    """A message with a time that nobody set, and whatever headers."""

    def __init__(self, headers=lambda: None, at_ms=-1):
        super().__init__("t", 0, 7, Record(None, None))
        self._headers, self._at_ms = headers, at_ms

    def headers(self):
        return self._headers()

    def timestamp(self):
        return 1, self._at_ms


def test_a_time_that_nobody_set_is_unknown():
    read = messages._as_read(Odd())
    assert (read.at_ms, read.key, read.value, read.headers) == (None, None, None, [])
    assert messages._as_read(Odd(at_ms=2**62)).at_ms == 2**62


def test_header_names_that_are_no_text_hide_no_message():
    def headers():
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    assert messages._as_read(Odd(headers)).headers == [("(names that are no UTF-8)", b"")]
    assert messages._as_read(Odd(lambda: [("a", None), ("a", b"1")])).headers == [("a", b""), ("a", b"1")]
