"""Cleaning taxi trips, on rows made by hand: each reason, their order, the borders, files of both colours."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.spark_apps import clean_trips, running
from jobs.spark_apps.clean_trips import ADDED, FIELDS, REASONS, clean
from jobs.spark_apps.running import SourceRefused
from tests.unit.jobs.spark_apps.made_trips import PICKUP, lasting, table, without, write, yellow

NAN, INFINITY = float("nan"), float("inf")
# What is unlike a sound trip, and the reason that it is dropped for; None when it is kept.
CASES = [
    ({}, None),
    ({"trip_distance": 0.0}, "no_distance"),
    ({"trip_distance": -1.0}, "no_distance"),
    ({"trip_distance": None}, "no_distance"),
    ({"trip_distance": NAN}, "no_distance"),
    ({"trip_distance": INFINITY}, "no_distance"),
    ({"trip_distance": 0.01}, None),
    ({"total_amount": 0.0}, "no_amount"),
    ({"total_amount": -15.0, "tip_amount": 0.0}, "no_amount"),
    ({"total_amount": None}, "no_amount"),
    ({"total_amount": NAN}, "no_amount"),
    (lasting(seconds=59.999999), "odd_duration"),
    (lasting(minutes=1), None),
    (lasting(minutes=720), None),
    (lasting(minutes=720, microseconds=1), "odd_duration"),
    (lasting(minutes=-30), "odd_duration"),
    ({"lpep_pickup_datetime": None}, "odd_duration"),
    ({"lpep_dropoff_datetime": None}, "odd_duration"),
    ({"passenger_count": None}, "no_passenger_count"),
    ({"passenger_count": NAN}, "no_passenger_count"),
    ({"passenger_count": 0.0}, None),
    ({"RatecodeID": None}, "no_rate_code"),
    ({"RatecodeID": 99.0}, None),
    ({"tip_amount": 7.5}, None),
    ({"tip_amount": 7.51}, "large_tip"),
    ({"tip_amount": None}, None),
    ({"tip_amount": NAN}, None),
    ({"tip_amount": -1.0}, None),
    ({"VendorID": None, "payment_type": None, "fare_amount": NAN, "PULocationID": None}, None),
    ({"passenger_count": 1e300}, "no_passenger_count"),
]
# Every fault at once; each next case has one fewer, in the order of the reasons.
FAULTS = [
    {"trip_distance": 0.0},
    {"total_amount": 0.0},
    lasting(seconds=1),
    {"passenger_count": None},
    {"RatecodeID": None},
    {"tip_amount": 14.0},
]
ORDERED = [
    ({name: value for fault in FAULTS[place:] for name, value in fault.items()}, reason)
    for place, reason in enumerate(REASONS)
]


@pytest.fixture
def cleaned(spark, tmp_path):
    """Cleans rows made by hand; gives the result and the rows that were written."""

    def run(*trips):
        source = tmp_path / "in"
        for number, one in enumerate(trips):
            write(source / f"{number}.parquet", one)
        result = clean(spark, source, tmp_path / "out")
        return result, pq.read_table(tmp_path / "out").to_pylist()

    return run


def test_each_row_is_dropped_for_its_first_reason(spark, tmp_path):
    cases = [*CASES, *ORDERED]
    source = write(tmp_path / "green.parquet", table(*(change for change, _reason in cases)))
    [found] = running.look([source])
    trips = running.read_parquet(spark, source, clean_trips.chosen(found.columns))
    judged = clean_trips.judged(clean_trips.named(trips)).collect()
    assert [row["dropped"] for row in judged] == [reason for _change, reason in cases]


def test_counts_and_columns_are_those_of_the_rows(cleaned):
    cases = [*CASES, *ORDERED]
    result, rows = cleaned(table(*(change for change, _reason in cases)))
    reasons = [reason for _change, reason in cases]
    assert result["rows_in"] == len(cases)
    assert result["dropped"] == {name: reasons.count(name) for name in REASONS}
    assert result["rows_kept"] == len(rows) == reasons.count(None)
    assert (
        [column["name"] for column in result["columns"]]
        == list(rows[0])
        == [*(one.name for one in FIELDS), *ADDED]
    )


def test_a_sound_trip_keeps_its_values_and_gets_the_added_ones(cleaned):
    _result, [row] = cleaned(table({}))
    assert row == {
        "vendor_id": 2,
        "pickup_datetime": PICKUP,
        "dropoff_datetime": lasting(minutes=12.5)["lpep_dropoff_datetime"],
        "passenger_count": 1,
        "trip_distance": 2.5,
        "rate_code": 1,
        "pickup_zone": 74,
        "dropoff_zone": 75,
        "payment_type": 1,
        "fare_amount": 10.0,
        "tip_amount": 3.0,
        "tolls_amount": 0.0,
        "total_amount": 15.0,
        "month": 1,
        "weekday": 6,
        "hour": 23,
        "duration_min": 12.5,
        "tip_share": 0.2,
    }


def test_a_folder_may_hold_both_colours_with_their_own_types(cleaned):
    green, second = table({}, {"trip_distance": 0.0}), table({}, {"tip_amount": 8.0})
    result, rows = cleaned(green, yellow(second))
    assert (result["rows_in"], result["rows_kept"]) == (4, 2)
    assert rows[0] == rows[1]


def test_a_month_without_rows_gives_an_empty_table_with_its_columns(cleaned):
    result, rows = cleaned(table({}).slice(0, 0))
    assert (result["rows_in"], result["rows_kept"], rows) == (0, 0, [])
    assert result["dropped"] == dict.fromkeys(REASONS, 0)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("passenger_count", "no_passenger_count"),
        ("lpep_dropoff_datetime", "odd_duration"),
        ("VendorID", None),
    ],
)
def test_a_column_without_any_value_counts_as_missing_in_each_row(cleaned, name, reason):
    """As a data frame writes a column of None only: it has no type."""
    place = table({}).column_names.index(name)
    result, rows = cleaned(table({}, {}).set_column(place, name, pa.nulls(2)), table({}))
    assert (result["rows_in"], len(rows)) == (3, 1 if reason else 3)
    assert result["dropped"] == dict.fromkeys(REASONS, 0) | ({reason: 2} if reason else {})


def test_a_table_of_columns_without_any_value_has_its_rows(spark, tmp_path):
    """Whichever type each is wanted in, so that a folder's other files fit."""
    empty = pa.table({"at": pa.nulls(2), "n": pa.nulls(2)})
    full = pa.table({"at": pa.array([0], pa.timestamp("us")), "n": [1.5]})
    for number, one in enumerate((empty, full)):
        write(tmp_path / "in" / f"{number}.parquet", one)
    wanted = {"at": running.A_TIME, "n": running.A_NUMBER}
    found = running.read_table(spark, tmp_path / "in", wanted)
    assert found.dtypes == [("at", "timestamp_ntz"), ("n", "double")]
    assert sorted(row["n"] is None for row in found.collect()) == [False, True, True]


def test_a_second_run_takes_the_place_of_the_first(spark, tmp_path):
    source = write(tmp_path / "green.parquet", table({}, {}))
    results = [clean(spark, source, tmp_path / "out") for _time in range(2)]
    assert results[0] == results[1]
    assert pq.read_table(tmp_path / "out").num_rows == 2
    assert {path.name for path in tmp_path.iterdir()} == {"green.parquet", "out"}


@pytest.mark.parametrize("name", ["ein [1] März*.parquet", "{a,b}?.parquet"])
def test_a_name_is_taken_literally(spark, tmp_path, name):
    source = write(tmp_path / name, table({}))
    write(tmp_path / "a.parquet", table({}))
    assert clean(spark, source, tmp_path / "out")["rows_in"] == 1


@pytest.mark.parametrize(
    ("trips", "words"),
    [
        (without(table({}), ["RatecodeID", "tip_amount"]), "no RatecodeID, no tip_amount"),
        (
            without(table({}), ["lpep_pickup_datetime"]),
            "no tpep_pickup_datetime or lpep_pickup_datetime",
        ),
        (table({}).set_column(8, "trip_distance", [["far"]]), "trip_distance is string, not a number"),
        (table({}).set_column(1, "lpep_pickup_datetime", [[7]]), "lpep_pickup_datetime is int64, not a time"),
    ],
)
def test_a_file_of_something_else_is_refused_by_column(spark, tmp_path, trips, words):
    source = write(tmp_path / "other.parquet", trips)
    with pytest.raises(SourceRefused, match=rf"other\.parquet: .*{words}"):
        clean(spark, source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_parquet_is_refused(spark, tmp_path):
    (tmp_path / "text.parquet").write_text("not PAR1 at all, whatever it is called")
    with pytest.raises(
        SourceRefused, match=r"text\.parquet: it is no Parquet file that can be read: .*magic bytes"
    ):
        clean(spark, tmp_path / "text.parquet", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceRefused, match=r"holds no \.parquet file"):
        clean(spark, tmp_path / "empty", tmp_path / "out")


def also(trips, **columns):
    for name, values in columns.items():
        trips = trips.append_column(name, values)
    return trips


@pytest.mark.parametrize(
    "others",
    [
        {"airport_fee": pa.array([1.0]), "Airport_fee": pa.array(["x"])},
        {"vendorid": pa.array(["x"]), "VENDORID": pa.array([7])},
        {"twice": pa.array([1]), "a.b `c`": pa.array([1]), "nothing": pa.nulls(1)},
        {"a": pa.array([1], pa.timestamp("ns")), "b": pa.array([1], pa.time64("us"))},
        {
            "a": pa.array([1.0], pa.float16()),
            "b": pa.array([[{"x": 1}]]),
            "c": pa.array([b"1234"], pa.binary(4)),
        },
        {"a": pa.array([1], pa.uint64()), "b": pa.array([1], pa.duration("us"))},
    ],
)
def test_whatever_else_a_file_holds_its_trips_are_read(cleaned, others):
    _result, rows = cleaned(also(table({}), **others))
    assert [row["vendor_id"] for row in rows] == [2]


def test_columns_of_one_name_are_read_past(cleaned):
    twice = also(table({}), extra=pa.array([1])).append_column("extra", pa.array(["x"]))
    assert len(cleaned(twice)[1]) == 1


def test_a_needed_column_that_is_there_twice_is_refused_by_name(spark, tmp_path):
    trips = also(without(table({}), ["VendorID"]), vendorid=pa.array([1]), VENDORID=pa.array([2]))
    source = write(tmp_path / "two.parquet", trips)
    with pytest.raises(SourceRefused, match="2 columns that may be the vendor_id: vendorid, VENDORID"):
        clean(spark, source, tmp_path / "out")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (pa.timestamp("ns"), {}),
        (pa.timestamp("ns", "UTC"), {}),
        (pa.timestamp("ms"), {}),
        (pa.timestamp("us", "America/New_York"), {}),
        (pa.timestamp("us"), {"version": "1.0"}),
        (pa.timestamp("ns"), {"use_deprecated_int96_timestamps": True}),
    ],
)
def test_times_of_any_kind_are_read(spark, tmp_path, kind, options):
    trips = table({})
    for place in (1, 2):
        name = trips.column_names[place]
        trips = trips.set_column(place, name, trips[name].cast(kind))
    pq.write_table(trips, tmp_path / "times.parquet", **options)
    clean(spark, tmp_path / "times.parquet", tmp_path / "out")
    [row] = pq.read_table(tmp_path / "out").to_pylist()
    assert (row["pickup_datetime"], row["duration_min"]) == (PICKUP, 12.5)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.uint8(), 74),
        (pa.uint32(), 74),
        (pa.uint64(), 74),
        (pa.int8(), 74),
        (pa.float32(), 74.0),
        (pa.decimal128(22, 3), 74),
    ],
)
def test_numbers_of_any_kind_are_read(cleaned, kind, value):
    trips = table({})
    _result, [row] = cleaned(trips.set_column(5, "PULocationID", pa.array([value]).cast(kind)))
    assert row["pickup_zone"] == 74


def test_a_run_that_breaks_leaves_no_half_output(spark, tmp_path):
    source = write(tmp_path / "green.parquet", table(*[{}] * 1000))
    content = bytearray(source.read_bytes())
    content[4:400] = bytes(396)  # the footer is sound: it breaks while rows are written
    source.write_bytes(content)
    before = clean(spark, write(tmp_path / "sound.parquet", table({})), tmp_path / "out")
    with pytest.raises(Exception, match=r"(?i)failed"):
        clean(spark, source, tmp_path / "out")
    assert pq.read_table(before["output"]).num_rows == 1
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_main_reads_its_parameters_and_writes_its_result_last(spark, tmp_path, monkeypatch):
    monkeypatch.setattr(spark, "stop", lambda: None)  # the session is that of all tests
    source = write(tmp_path / "green.parquet", table({}, {"trip_distance": 0.0}))
    (tmp_path / "params.json").write_text(json.dumps({"source": str(source)}))
    names = {"--params": "params.json", "--result": "result.json", "--output": "output"}
    clean_trips.main([word for key, name in names.items() for word in (key, str(tmp_path / name))])
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["rows_in"], result["rows_kept"], result["n_files"]) == (2, 1, 1)
    assert result["output"] == str(tmp_path / "output" / "trips")
    assert pq.read_table(result["output"]).num_rows == 1
