"""Where each partition of a topic is read from."""

import pytest

from core.lib.errors import NotFound
from streaming import messages
from streaming.kafka_types import Partition, Start, Topic

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
