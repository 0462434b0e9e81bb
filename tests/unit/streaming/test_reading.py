"""What people write to say where reading begins, and how much is read."""

from datetime import UTC, datetime

import pytest
from django.utils import timezone

from core.lib.errors import InvalidRequest
from streaming import reading
from streaming.kafka_types import Start


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("earliest", Start("earliest")),
        ("latest", Start("latest")),
        ("2:120", Start("offset", partition=2, offset=120)),
        ("0:1\u202f234\u202f567", Start("offset", partition=0, offset=1_234_567)),  # as pages write it
        ("2024-01-31T12:30:00Z", Start("time", at_ms=1_706_704_200_000)),
        ("2024-01-31T13:30:00+01:00", Start("time", at_ms=1_706_704_200_000)),
        ("2024-01-31T12:30:00", Start("time", at_ms=1_706_704_200_000)),
        ("1969-12-31T23:59:59Z", Start("time", at_ms=0)),
    ],
)
def test_a_place_is_understood(text, start):
    assert reading.start(text) == start


@pytest.mark.parametrize("text", ["", "tomorrow", "2024-13-01T00:00:00Z", "1:", "-1:5", "1:5\n", "٣:٤"])
def test_a_place_that_makes_no_sense_is_refused(text):
    with pytest.raises(InvalidRequest, match="earliest, latest"):
        reading.start(text)


def test_a_time_without_a_zone_is_the_readers():
    with timezone.override("Europe/Madrid"):
        summer = reading.start("2026-07-01 12:30")
    assert summer.at_ms == int(datetime(2026, 7, 1, 10, 30, tzinfo=UTC).timestamp() * 1000)


def test_a_limit_is_understood():
    assert (reading.limit("1"), reading.limit("200"), reading.limit("0050")) == (1, 200, 50)


@pytest.mark.parametrize("text", ["", "0", "201", "-1", "1.5", "٣", "000000001999999", "5\n"])
def test_a_limit_beyond_its_bounds_is_refused(text):
    with pytest.raises(InvalidRequest, match="from 1 to 200"):
        reading.limit(text)


@pytest.mark.parametrize("text", ["", ".", "..", "a b", "é", "x" * 250, "../up", "x\n"])
def test_what_can_be_no_topic_is_refused(text):
    with pytest.raises(InvalidRequest, match="No topic has such a name"):
        reading.topic_name(text)


@pytest.mark.parametrize("text", ["x", "x" * 249, "__mine", "...", "a.b-c_D"])
def test_every_name_that_kafka_takes_is_one(text):
    assert reading.topic_name(text) == text
