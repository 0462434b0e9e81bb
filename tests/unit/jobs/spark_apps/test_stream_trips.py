"""Trips in windows, messages that are none, checkpoints of others: judged in batches, without a broker."""

import json
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from pyspark.sql import functions as F

from jobs.spark_apps import kafka, stream_trips
from jobs.spark_apps.running import SourceAway, SourceRefused
from jobs.spark_apps.stream_trips import Params, Place, Progress, follow, judged, known, windows
from streaming.decoding import YEAR_2000_S, BadEvent, EventDecoder, Times
from streaming.defaults import TAXI_TRIPS
from streaming.definition import parse

TRIP = {
    "vendor_id": "1",
    "pickup_datetime": "2024-01-01 12:07:00",
    "passenger_count": 1,
    "trip_distance": 2.0,
    "payment_type": "card",
    "fare_amount": 10,
    "tip_amount": 1.5,
}
TRIP_JSON = json.dumps(TRIP).encode()
PLACE = "key binary, value binary, topic string, partition int, offset long, timestamp timestamp"
SOON = (datetime.now(UTC) + timedelta(minutes=30)).strftime("%Y-%m-%d %H:%M:%S")


def message(offset, value, key=None, sent_at=None):
    return (
        key,
        value if value is None or isinstance(value, bytes) else json.dumps(value).encode(),
        "t",
        0,
        offset,
        sent_at or datetime.now(UTC),
    )


def without(name):
    return {field: value for field, value in TRIP.items() if field != name}


CASES = [
    (TRIP, None),
    (TRIP | {"extra": {"deep": [1]}, "passenger_count": None, "pickup_longitude": -73.9}, None),
    (without("passenger_count"), None),
    (None, "it has no value"),
    (b"", "it is not one JSON object"),
    (b"\xff\xfe", "it is not in UTF-8"),
    (b"[1, 2]", "it is not one JSON object"),
    (b'{"vendor_id": "1"', "it is not one JSON object"),
    (b"x" * (256 * 1024 + 1), "it has more than 262144 bytes"),
    (without("vendor_id"), "vendor_id is missing or no text"),
    (TRIP | {"pickup_datetime": "1.1.2024"}, "pickup_datetime is missing or no date and time"),
    (TRIP | {"pickup_datetime": SOON}, "pickup_datetime is more than 5 minutes ahead of its message"),
    (TRIP | {"fare_amount": "ten"}, "fare_amount is missing or no number"),
    (TRIP | {"tip_amount": None}, "tip_amount is missing or no number"),
    (json.dumps(TRIP).replace("2.0", "1e999").encode(), "trip_distance is missing or no number"),
    (json.dumps(TRIP).replace("2.0", "NaN").encode(), "trip_distance is missing or no number"),
]


@pytest.fixture
def messages(spark):
    return lambda values: spark.createDataFrame(
        [message(offset, value) for offset, value in enumerate(values)], PLACE
    )


def test_each_message_has_its_first_fault_or_is_a_trip(messages):
    rows = judged(messages([value for value, _reason in CASES])).orderBy("offset").collect()
    found = [row["reason"] for row in rows]
    assert found == [reason for _value, reason in CASES]


def test_ahead_is_judged_by_the_message_and_not_by_when_it_is_read(spark):
    """Queries read it at different times; a sender whose clock is ahead does not move the watermark."""
    trip = TRIP | {"pickup_datetime": "2024-01-01 12:00:00"}
    years_ahead = TRIP | {"pickup_datetime": "2100-01-01 12:00:00"}
    cases = [
        (trip, datetime(2024, 1, 1, 11, 54, 59, tzinfo=UTC), False),
        (trip, datetime(2024, 1, 1, 11, 55, tzinfo=UTC), True),
        (trip, datetime(2100, 1, 1, tzinfo=UTC), True),
        (years_ahead, datetime(2100, 1, 1, 12, tzinfo=UTC), False),
    ]
    rows = [message(offset, value, sent_at=at) for offset, (value, at, _is_sound) in enumerate(cases)]
    found = judged(spark.createDataFrame(rows, PLACE)).orderBy("offset").collect()
    assert [row["reason"] is None for row in found] == [is_sound for *_case, is_sound in cases]


def test_a_trip_is_counted_in_both_windows_that_hold_it(messages):
    values = [
        TRIP,
        TRIP | {"pickup_datetime": "2024-01-01 12:09:59", "trip_distance": 4.0},
        TRIP | {"vendor_id": "2"},
        without("vendor_id"),
    ]
    rows = windows(judged(messages(values)), 10).orderBy("start", "vendor_id").collect()
    found = [(f"{row['start']:%H:%M}", f"{row['end']:%H:%M}", row["vendor_id"], row["trips"]) for row in rows]
    assert found == [
        ("12:00", "12:10", "1", 2),
        ("12:00", "12:10", "2", 1),
        ("12:05", "12:15", "1", 2),
        ("12:05", "12:15", "2", 1),
    ]
    assert (rows[0]["fare_amount"], rows[0]["tip_amount"], rows[0]["trip_distance"]) == (20.0, 3.0, 3.0)


@pytest.mark.parametrize(
    "told",
    [
        "2024-01-01T12:07:00Z",
        "2024-01-01t12:07:00.000000001z",
        "2024-01-01T14:07:00+02:00",
        "2024-01-01 12:07:00+00",
        "2024-01-01 17:37:00+0530",
        "2024-01-01T12:07Z",
        "2024-01-01 13:07+01",
        "2024-01-01 12:07",
        "2024-01-01T12:07:00,0",
        1_704_110_820,
        1_704_110_820_000,
        1_704_110_820_000_000,
        1_704_110_820_000_000_000,
        1_704_110_820.0,
        1_704_110_820_000.0,
        "1704110820.000",
        "1704110820000",
        " 2024-01-01 12:07:00\t",
        "2024-01-01 12:07:00 UTC",
        "2024-01-01 12:07:00.0 +0000 UTC",
        "2024-01-01T12:07Z[UTC]",
        "2024-01-01T13:07+01:00[Europe/Paris]",
        "2024-01-01 12:06:60",
        "2024-01-01T12:06:60.0Z",
    ],
)
def test_times_are_read_as_the_consoles_own_streams_read_them(messages, told):
    [row] = judged(messages([TRIP | {"pickup_datetime": told}])).collect()
    assert (row["reason"], row["pickup_at"].isoformat()) == (None, "2024-01-01T12:07:00")
    assert Times()[told] == pytest.approx(1_704_110_820, abs=1e-6)


@pytest.mark.parametrize(
    "told",
    [
        "",
        "2024",
        "2024-01-01",
        "12:07:00",
        "2024-13-01 00:00:00",
        "2024-01-01 12:07:00 CET",
        "2024-01-01 UTC",
        "2024-01-01T12:07[Europe/Paris]",
        "2024-01-01 12:07:61",
        12,
        "1e9",
        True,
    ],
)
def test_what_is_no_time_is_refused(messages, told):
    if isinstance(told, str) and not told.isdigit():  # a Unix time of 1970 is a time, and too old
        with pytest.raises(BadEvent):
            Times()[told]
    [row] = judged(messages([TRIP | {"pickup_datetime": told}])).collect()
    assert row["reason"] == "pickup_datetime is missing or no date and time"


def test_each_line_of_a_message_is_an_event_or_has_its_own_fault(messages):
    bad = without("vendor_id")
    several = b"\n".join(json.dumps(one).encode() for one in (TRIP, bad, TRIP | {"vendor_id": "é"}))
    too_many = b"\n".join([b"{}"] * 1001)
    rows = judged(messages([several, TRIP, b"{}\n[1]", too_many])).collect()
    found = [(row["offset"], row["vendor_id"], row["reason"]) for row in rows]
    assert found[:4] == [
        (0, "1", None),
        (0, None, "vendor_id is missing or no text"),
        (0, "é", None),
        (1, "1", None),
    ]
    assert [offset for offset, _vendor, _reason in found[4:]] == [2, 3]
    assert all(reason for *_place, reason in found[4:])
    assert [json.loads(bytes(row["value"])) for row in rows[:2]] == [TRIP, bad]


@pytest.mark.parametrize(
    "value",
    [
        TRIP_JSON + b"\n" + TRIP_JSON + b"\n",
        TRIP_JSON + b"\r\n" + TRIP_JSON,
        TRIP_JSON + b"\r\n" + TRIP_JSON + b"\r\n\r\n",
        TRIP_JSON + b" \n\t" + TRIP_JSON,
    ],
)
def test_lines_may_end_as_they_like(messages, value):
    rows = judged(messages([value])).collect()
    assert [(bytes(row["value"]), row["reason"]) for row in rows] == [(TRIP_JSON, None)] * 2


@pytest.mark.parametrize(
    "after",
    [TRIP_JSON, b" garbage", b",", b"," + TRIP_JSON, b"]", b'] , "', b"\n[1]", b"\nnull", b"// why", b"\x00"],
)
def test_what_holds_more_than_one_object_is_no_trip(messages, after):
    """Spark itself reads the first one, and nobody would miss the rest."""
    [row] = judged(messages([TRIP_JSON + after])).collect()
    assert row["reason"] == "it is not one JSON object"


def test_an_object_may_have_blanks_around_it(messages):
    rows = judged(messages([b" \r\n" + TRIP_JSON + b"\r\n", b"\t" + TRIP_JSON])).collect()
    assert [row["reason"] for row in rows] == [None, None]


def test_bytes_that_are_no_text_stay_what_they_were(messages):
    odd = TRIP_JSON.replace(b"card", b"caf\xe9\x85")
    rows = judged(messages([TRIP_JSON + b"\n" + odd])).collect()
    assert [bytes(row["value"]) for row in rows] == [TRIP_JSON, odd]


RAW = json.dumps(TRIP)
BOTH = {
    "text of another alphabet": RAW.replace("card", "Café").encode(),
    "Latin-1": RAW.replace("card", "Café").encode("latin-1"),
    "byte order mark": b"\xef\xbb\xbf" + TRIP_JSON,
    "registry's frame": b"\x00\x00\x00\x00\x07" + TRIP_JSON,
    "another schema's frame": b"\x00\xff\xef\x80\x07" + TRIP_JSON,
    "Avro": b"\x00\x00\x00\x00\x07\x02\x31",
    "two objects": TRIP_JSON * 2,
    "single quotes": RAW.replace('"', "'").encode(),
    "line end in a text": RAW.replace("card", "ca\trd").encode(),
    "blanks in a registry's frame": b"\x00\x00\x00\x00\x07 \r\n" + TRIP_JSON,
    "an infinity that is passed over": TRIP_JSON[:-1] + b', "more": -Infinity}',
    "NaN where null may be": RAW.replace('"passenger_count": 1', '"passenger_count": NaN').encode(),
    "NaN where a number must be": RAW.replace("1.5", "NaN").encode(),
    "NaN in quotes": RAW.replace("1.5", '"NaN"').encode(),
    "infinite": RAW.replace("1.5", "Infinity").encode(),
    "1e999": RAW.replace("1.5", "1e999").encode(),
    **{
        f"{name} {json.dumps(value)}": json.dumps(TRIP | {name: value}).encode()
        for name, values in {
            "vendor_id": [1, 2.0, 2.5, True, None, "", "x" * 1000, "x" * 1001, {"a": 1}, [1], "true", "2.0"],
            "payment_type": [3, False, {}],
            "fare_amount": ["10", True, 1e300, -3.4e38, -3, None, [], 0.1, 12345678901234567890],
            "passenger_count": [None, "2", True, 1e300, {}, 2.5],
            "pickup_longitude": ["-73", None, -73.9],
            "pickup_datetime": ["1999-12-31 23:59:59", "2000-01-01 00:00:00", True, None, {}],
        }.items()
        for value in values
    },
    **{f"without {name}": json.dumps(without(name)).encode() for name in TRIP},
}


def test_what_is_a_trip_is_one_for_the_consoles_own_stream_too(messages):
    rows = judged(messages(BOTH.values())).orderBy("offset").collect()
    vendors = [row["vendor_id"] if row["reason"] is None else None for row in rows]
    decoder = EventDecoder(parse(TAXI_TRIPS))

    def by_the_console(value):
        try:
            event = decoder.checked(value)
        except BadEvent:
            return None
        at = decoder.times[getattr(event, decoder.attribute("pickup_datetime"))]
        return str(getattr(event, decoder.attribute("vendor_id"))) if at >= YEAR_2000_S else None

    found = dict(zip(BOTH, vendors, strict=True))
    assert found == {name: by_the_console(value) for name, value in BOTH.items()}


def test_an_id_that_a_data_frame_made_a_float_is_the_same_vendor(messages):
    told = {
        2: "2",
        4.0: "4",
        2e7: "20000000",
        -3.0: "-3",
        "2": "2",
        "2.05": "2.05",
        "a.0": "a.0",
        "2.0": "2.0",
        10**22: "10000000000000000000000",
        2e300: None,
    }
    rows = judged(messages([TRIP | {"vendor_id": one} for one in told])).collect()
    assert [row["vendor_id"] for row in rows] == list(told.values())


def test_a_dead_letter_has_its_reason_its_place_and_bounded_bytes(spark, messages, monkeypatch):
    monkeypatch.setattr(kafka, "KEPT_BYTES", 8)
    refused = judged(messages([b"no", b"longer than that"])).where(F.col("reason").isNotNull())
    letters = kafka.dead_letters(refused, stream="stream_trips/x").collect()
    headers = [
        {one["key"].removeprefix("atalaya."): bytes(one["value"]).decode() for one in row["headers"]}
        for row in letters
    ]
    place = {
        "stream": "stream_trips/x",
        "topic": "t",
        "partition": "0",
        "reason": "it is not one JSON object",
    }
    assert headers == [place | {"offset": "0"}, place | {"offset": "1", "cut_from_bytes": "16"}]
    assert [bytes(row["value"]) for row in letters] == [b"no", b"longer t"]


def test_a_checkpoint_of_another_query_is_refused_with_what_differs(tmp_path):
    place = Place(tmp_path / "trips")
    with place.held():
        place.recognise(Params(topic="a").identity())
        place.recognise(Params(topic="a", every_s=60, starting="latest").identity())
        with pytest.raises(SourceRefused, match=r"trips is another query's: topic was 'a' and is 'b'"):
            place.recognise(Params(topic="b").identity())


def test_a_checkpoint_that_nobody_noted_is_refused(tmp_path):
    (tmp_path / "x" / "checkpoint").mkdir(parents=True)
    with pytest.raises(SourceRefused, match="x is another application's"):
        Place(tmp_path / "x").recognise(Params().identity())


def test_a_second_job_on_a_checkpoint_is_refused(tmp_path):
    place = Place(tmp_path / "trips")
    refused = pytest.raises(SourceRefused, match="Another job works with the checkpoint trips")
    with place.held(), refused, place.held():
        pass
    with place.held():
        pass


@pytest.mark.parametrize(
    ("said", "kind", "expected"),
    [
        (
            "... UnknownTopicOrPartitionException: This server does not host this topic",
            SourceRefused,
            "taxi_trips is not there",
        ),
        (
            "Partition taxi_trips-0's offset was changed. Some data may have been lost",
            SourceRefused,
            "Choose another name",
        ),
        (
            "TimeoutException: Timed out waiting for a node\nat x",
            SourceAway,  # the outcome lets a job try again that no source refused
            "Kafka does not answer: TimeoutException",
        ),
        ("NullPointerException", type(None), ""),
    ],
)
def test_known_failures_have_words_and_only_lasting_ones_are_refusals(said, kind, expected):
    found = known(RuntimeError(said), Params())
    assert type(found) is kind
    assert expected in str(found)


def test_what_a_sender_took_back_is_not_read():
    said = {}

    class Stream:
        def option(self, name, value):
            said[name] = value
            return self

        def options(self, **values):
            said.update(values)
            return self

        def format(self, _name):
            return self

        def load(self):
            return self

    kafka.messages(SimpleNamespace(readStream=Stream()), {}, "t", starting="earliest")
    assert said["kafka.isolation.level"] == "read_committed"


class Query:
    """A streaming query of so many batches; as Spark does, it keeps the progress of the newest ones."""

    def __init__(self, name, *, n_rows=(3,), fails=False):
        self.name, self.fails, self.isActive, self.n_rows = name, fails, True, list(n_rows)
        self.status = {"isTriggerActive": False}

    @property
    def recentProgress(self):
        return [self.told(batch) for batch in range(len(self.n_rows))][-30:]

    @property
    def lastProgress(self):
        return self.recentProgress[-1] if self.n_rows else None

    def told(self, batch):
        told = {
            "name": self.name,
            "batchId": batch,
            "timestamp": f"2026-01-01T00:00:{batch:02}Z",
            "numInputRows": self.n_rows[batch],
            "processedRowsPerSecond": "NaN",
            "stateOperators": [{"numRowsTotal": 4, "memoryUsedBytes": 100, "numRowsDroppedByWatermark": 2}],
            "eventTime": {"watermark": "2026-01-01T00:00:00.000Z"},
            "observedMetrics": {"refused": {"refused": 1}} if self.name == "dead" else {},
        }
        return SimpleNamespace(json=json.dumps(told))

    def exception(self):
        return ValueError("it broke") if self.fails else None

    def stop(self):
        self.isActive = False


def test_progress_adds_up_each_batch_once(tmp_path):
    query, progress = Query("windows", n_rows=[]), Progress(tmp_path / "progress.json")
    for n_rows in ([], [3], [], [3]):
        query.n_rows += n_rows
        progress.note([query])
    told = json.loads((tmp_path / "progress.json").read_text())
    [one] = told["queries"]
    assert (one["rows"], one["late_windows"], one["batch"], one["rows_per_s"]) == (6, 4, 1, 0.0)
    assert (one["state_rows"], one["state_bytes"]) == (4, 100)
    assert len(told["history"]) == 2


def test_batches_between_two_looks_count_too(tmp_path):
    """One of rows and the empty one that its watermark brings; then more than are kept."""
    query, progress = Query("windows", n_rows=[10, 0]), Progress(tmp_path / "progress.json")
    [one] = progress.note([query])["queries"]
    assert (one["rows"], one["late_windows"], one["batch"]) == (10, 4, 1)
    query.n_rows += [1, 2, 0]
    [one] = progress.note([query])["queries"]
    assert (one["rows"], one["late_windows"], one["batch"]) == (13, 10, 4)
    query.n_rows += [1] * 40
    [one] = progress.note([query])["queries"]
    assert (one["rows"], one["batch"]) == (13 + 30, 44)


def test_messages_that_are_no_trips_are_counted_over_all_batches(tmp_path):
    dead, progress = Query("dead", n_rows=[5, 7]), Progress(tmp_path / "progress.json")
    [one] = progress.note([dead])["queries"]
    assert (one["rows"], one["refused"], one["late_windows"]) == (12, 2, 0)


def test_a_stop_file_ends_all_queries_and_a_failure_is_raised(tmp_path, monkeypatch):
    monkeypatch.setattr(stream_trips, "LOOKS_EVERY_S", 0.01)
    (tmp_path / "stop").touch()
    queries = [Query("windows"), Query("dead")]
    state = follow(queries, Progress(tmp_path / "progress.json"), tmp_path / "stop")
    assert [one.isActive for one in queries] == [False, False]
    assert [one["name"] for one in state["queries"]] == ["windows", "dead"]
    (tmp_path / "stop").unlink()
    began_at = time.monotonic()
    with pytest.raises(ValueError, match="it broke"):
        follow([Query("windows"), Query("dead", fails=True)], Progress(tmp_path / "p"), tmp_path / "stop")
    assert time.monotonic() - began_at < 5


PLAIN = {
    "security.protocol": "SASL_SSL",
    "sasl.mechanism": "PLAIN",
    "sasl.username": "ata",
    "sasl.password": 'p"a\\ss',
    "ssl.ca.location": "/ca.pem",
    "linger.ms": 5,
}


def test_settings_of_librdkafka_become_javas():
    assert kafka.options("k:9092", PLAIN) == {
        "kafka.bootstrap.servers": "k:9092",
        "kafka.security.protocol": "SASL_SSL",
        "kafka.sasl.mechanism": "PLAIN",
        "kafka.ssl.truststore.location": "/ca.pem",
        "kafka.ssl.truststore.type": "PEM",
        "kafka.sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule required"
        r' username="ata" password="p\"a\\ss";',
    }
    assert kafka.options("k:9092", {}) == {"kafka.bootstrap.servers": "k:9092"}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (PLAIN | {"sasl.mechanism": "GSSAPI"}, "signs in by GSSAPI"),
        ({"ssl.key.location": "/k"}, "has ssl.key.location, which Spark jobs do not know"),
    ],
)
def test_a_way_of_signing_in_that_is_not_known_is_refused(said, words):
    with pytest.raises(ValueError, match=words):
        kafka.options("k", said)
