"""Reading files to replay: good lines, broken lines, files that are none."""

import resource
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streaming import replay_files
from streaming.decoding import EventDecoder
from streaming.defaults import TAXI_TRIPS
from streaming.definition import parse
from streaming.models import Replay, Times
from streaming.replay_files import BadLine, Event, FileRefused
from streaming.replaying import Slice

RIDE = "6,2013-01-01 00:00:00,START,-73.86,40.77,6,-1"


def test_ride_events_are_read_and_broken_lines_are_named(tmp_path):
    path = tmp_path / "rides.txt"
    path.write_text(f"{RIDE}\nno line\n7,yesterday,END,1,2,3,4\n8,2013-01-01 00:00:05,END,-73.0,40.0,1,2.5\n")
    format_ = replay_files.format_of(path)
    lines = list(format_.lines(path, 0))
    assert format_.topic == "ride_events"
    assert format_.count(path) == 4
    assert isinstance(lines[1], BadLine)
    assert isinstance(lines[2], BadLine)
    assert lines[0].fields["distance"] is None
    assert lines[3].at - lines[0].at == 5
    assert list(format_.lines(path, 3)) == lines[3:]


OTHERS = ("VendorID", "passenger_count", "trip_distance", "payment_type", "fare_amount", "tip_amount")


def trips(tmp_path, **columns):
    values = {
        "VendorID": [1, 2],
        "lpep_pickup_datetime": [datetime(2024, 1, 1, 0, 46, 55), datetime(2024, 1, 1, 0, 31, 42)],
        "passenger_count": [1.0, None],
        "trip_distance": [1.98, 6.54],
        "payment_type": [2.0, None],
        "fare_amount": [12.8, 30.3],
        "tip_amount": [0.0, 0.0],
        **columns,
    }
    path = tmp_path / "green.parquet"
    pq.write_table(pa.table({name: column for name, column in values.items() if column is not None}), path)
    return path


def test_taxi_trips_fit_the_default_stream(tmp_path):
    path = trips(tmp_path)
    format_ = replay_files.format_of(path)
    first, second = format_.lines(path, 0)
    assert isinstance(first, Event)
    assert first.at - second.at == 15 * 60 + 13
    assert second.fields["payment_type"] == replay_files.UNKNOWN_PAYMENT
    assert list(format_.lines(path, 1)) == [second]
    decoder = EventDecoder(parse(TAXI_TRIPS))
    for line in (first, second):
        decoder.checked(msgspec.json.encode({**line.fields, "pickup_datetime": "2024-01-01 00:46:55"}))


@pytest.mark.parametrize("payment", [float("nan"), "cash"])
def test_a_trip_whose_payment_is_no_number_is_a_bad_line(tmp_path, payment):
    path = trips(tmp_path, payment_type=[payment, payment])
    lines = list(replay_files.format_of(path).lines(path, 0))
    assert lines == [BadLine(f"the payment type is {payment}")] * 2


def test_a_trip_of_no_calendar_is_a_bad_line(tmp_path):
    times = pa.array(
        [3 * 10**17, 10**15, None, -(10**17)], pa.timestamp("us")
    )  # the first is in the year 11476
    path = trips(tmp_path, **{name: [1.0] * 4 for name in OTHERS}, lpep_pickup_datetime=times)
    no_calendar = BadLine("the pickup time is in no calendar")
    first, second, third, fourth = replay_files.format_of(path).lines(path, 0)
    assert (first, third, fourth) == (no_calendar, BadLine("no pickup time"), no_calendar)
    assert second.at == 1e9


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_times_of_any_unit_and_zone_are_read(tmp_path, unit, zone):
    times = pa.array([datetime(2024, 1, 1, 0, 46, 55)] * 2, pa.timestamp(unit, zone))
    path = trips(tmp_path, lpep_pickup_datetime=times)
    assert {line.at for line in replay_files.format_of(path).lines(path, 0)} == {1704070015.0}


def test_a_few_kilobytes_that_unfold_to_gigabytes_are_refused(tmp_path):
    """5,000 times one text of a megabyte: 5 GB from 50 KB."""
    place = pa.array([0] * 5_000, pa.int32())
    vendors = pa.DictionaryArray.from_arrays(place, pa.array(["x" * 1_000_000]))
    columns = {name: [1.0] * 5_000 for name in OTHERS} | {"VendorID": vendors}
    times = [datetime(2024, 1, 1)] * 5_000
    path = trips(tmp_path, **columns, lpep_pickup_datetime=times)
    assert path.stat().st_size < 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FileRefused, match="too much memory"):
        list(replay_files.format_of(path).lines(path, 0))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_a_column_of_lists_is_refused_before_it_is_read(tmp_path):
    path = trips(tmp_path, VendorID=[[1] * 1000, []])
    with pytest.raises(FileRefused, match="VendorID is list"):
        list(replay_files.format_of(path).lines(path, 0))


def test_a_time_that_leaves_the_calendar_when_it_is_moved_is_no_event(tmp_path):
    (tmp_path / "rides.txt").write_text(RIDE)
    piece = Slice(Replay(times=Times.MOVED, shift_s=3e11), tmp_path / "rides.txt")
    with pytest.raises(FileRefused, match="line 8 is in no calendar"):
        piece._message(Event(0.0, "7", {}), 7, now=0.0)
    assert piece._message_of(Event(0.0, "7", {}), 7, now=0.0) is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.parquet", b"PAR1 and nothing that follows PAR1"),
        ("b.txt", b"one line of something else\n"),
        ("c.txt", b"\xff\xfe\x00"),
        ("d.txt", b""),
        ("e.exe", RIDE.encode()),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileRefused):
        replay_files.format_of(tmp_path / name)


def test_parquet_without_the_columns_is_refused_by_name(tmp_path):
    with pytest.raises(FileRefused, match="fare_amount is missing"):
        replay_files.format_of(trips(tmp_path, fare_amount=None))


def test_a_parquet_file_cut_in_the_middle_ends_with_a_reason(tmp_path):
    path = trips(tmp_path, VendorID=[1, 2])
    data = bytearray(path.read_bytes())
    data[4:200] = bytes(196)
    path.write_bytes(data)
    with pytest.raises(FileRefused, match="broken after row 0"):
        list(replay_files.format_of(path).lines(path, 0))


def text_of(path):
    return [
        line if isinstance(line, BadLine) else line.key
        for line in replay_files.format_of(path).lines(path, 0)
    ]


HEADER = "rideId,time,isStart,longitude,latitude,passengerCnt,travelDistance"
EMPTY = BadLine("the line is empty")


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"\xef\xbb\xbf" + RIDE.encode(), ["6"]),
        (f"{RIDE}\r\n{RIDE}\r\n".encode("utf-16"), ["6", "6"]),
        (f"{RIDE}\r\n\r\n{RIDE}\r\n".encode(), ["6", EMPTY, "6"]),
        (f"{RIDE}\r{RIDE}\r".encode(), ["6", "6"]),
        (f"{HEADER}\n{RIDE}\n".encode(), [BadLine("the third column is neither START nor END"), "6"]),
        (f"\n{RIDE}\n\n\n".encode(), [EMPTY, "6", EMPTY, EMPTY]),
        (f"{RIDE},\n{RIDE},,,\n".encode(), ["6", "6"]),
        (b'"6", "2013-01-01 00:00:00", "START", -73.86, 40.77, 6, -1\n', ["6"]),
        (f"{RIDE}\n{'9' * 400}{RIDE}\n".encode(), ["6", BadLine("a number of more than 64 bits")]),
        (f"{RIDE}\nM\xfcller\n".encode("latin-1"), ["6", BadLine("1 columns, not 7")]),
        (f"{RIDE}\n\x00\n".encode(), ["6", BadLine("1 columns, not 7")]),
        (
            f"{RIDE}\n6,2013-01-01 00:00:00,START,nan,40.77,6,-1\n".encode(),
            ["6", BadLine("'nan' is no number")],
        ),
        (
            f"{RIDE}\n6,2013-01-01 00:00:00,START,1_5,40.77,6,-1\n".encode(),
            ["6", BadLine("'1_5' is no number")],
        ),
        (f'{RIDE}\n"{RIDE}\n{RIDE}\n'.encode(), ["6", BadLine("1 columns, not 7"), "6"]),
    ],
)
def test_odd_texts_are_read_line_by_line(tmp_path, content, lines):
    path = tmp_path / "rides.txt"
    path.write_bytes(content)
    assert text_of(path) == lines
    assert replay_files.format_of(path).count(path) == len(lines)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (HEADER.encode(), "neither START nor END"),
        (b"a,b\nc,d\n", "2 columns, not 7"),
        (RIDE.replace("2013-01-01 00:00:00", "1/1/2013").encode(), "does not match format"),
    ],
)
def test_a_text_that_is_refused_says_what_its_lines_lack(tmp_path, content, reason):
    path = tmp_path / "rides.txt"
    path.write_bytes(content)
    with pytest.raises(FileRefused, match=reason):
        replay_files.format_of(path)


def test_a_line_without_an_end_takes_no_more_memory_than_others(tmp_path):
    path = tmp_path / "rides.txt"
    path.write_text(f"{RIDE}\n" + "x" * 1_000_000)
    assert max(map(len, replay_files._text_lines(path))) == replay_files.LONGEST_LINE


def test_decimals_and_zones_of_a_month_of_trips(tmp_path):
    fares = pa.array([Decimal("12.80"), Decimal("30.30")], pa.decimal128(8, 2))
    times = pa.array(
        [datetime(2024, 1, 1, 1, tzinfo=ZoneInfo("Europe/Paris"))] * 2, pa.timestamp("us", "Europe/Paris")
    )
    first, _second = replay_files.format_of(
        path := trips(tmp_path, fare_amount=fares, lpep_pickup_datetime=times)
    ).lines(path, 0)
    assert first.fields["fare_amount"] == 12.8
    assert first.at == datetime(2024, 1, 1, tzinfo=UTC).timestamp()


def test_columns_that_differ_by_case_only_and_that_nobody_needs_are_passed_over(tmp_path):
    path = trips(tmp_path, airport_fee=[1.0, 2.0], Airport_fee=[None, 1.0])
    assert len(list(replay_files.format_of(path).lines(path, 0))) == 2
