"""The sample of a table: spread evenly, and never more of the file in memory than a piece."""

import io
from itertools import pairwise

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scoring import sampling
from scoring.sampling import TooLarge


def reference(n_rows: int, **options) -> pq.ParquetFile:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"x": list(range(n_rows)), "score": [0.5] * n_rows}), buffer, **options)
    return pq.ParquetFile(buffer)


def places(file: pq.ParquetFile, **options) -> list[int]:
    return sampling.read(file, ["x", "score"], most_rows=500, **options).column("x").to_pylist()


@pytest.mark.parametrize("n_rows", [1, 499, 500, 999, 1000, 1499, 12_345])
@pytest.mark.parametrize("read_rows", [7, 100, 20_000])
def test_rows_are_spread_evenly_whatever_the_size_of_a_piece(monkeypatch, n_rows, read_rows):
    monkeypatch.setattr(sampling, "READ_ROWS", read_rows)
    found = places(reference(n_rows, row_group_size=1000))
    assert found[0] == 0
    assert len(found) == min(n_rows, 500)
    step = max(1, n_rows / 500)
    assert {after - before for before, after in pairwise([*found, n_rows])} <= {int(step), -int(-step // 1)}


@pytest.mark.parametrize(
    ("n_rows", "most", "found"),
    [(0, 5, []), (3, 5, [0, 1, 2]), (9, 5, [0, 1, 3, 5, 7]), (10, 5, [0, 2, 4, 6, 8]), (7, 1, [0])],
)
def test_places_are_as_far_apart_as_they_can_be(n_rows, most, found):
    assert sampling.evenly(n_rows, most).tolist() == found


def test_a_reference_is_never_read_whole(monkeypatch):
    def read(*_args, **_kwargs):
        raise AssertionError("the whole file")

    file = reference(3000)
    monkeypatch.setattr(pq.ParquetFile, "read", read)
    assert len(places(file)) == 500


def test_a_reference_that_grows_too_large_at_once_is_refused():
    options = {"use_dictionary": False, "compression": "NONE"}  # 16 bytes a row
    with pytest.raises(TooLarge, match="holds more than 1 MiB in one row group"):
        places(reference(300_000, **options), most_bytes=2**20)
    assert len(places(reference(300_000, row_group_size=50_000, **options), most_bytes=2**20)) == 500


def test_of_a_reference_only_the_columns_that_are_read_count():
    buffer = io.BytesIO()
    others = {f"x.{n}": [f"{n}-{row}" for row in range(50_000)] for n in range(5)}
    table = pa.table({"x": list(range(50_000)), "score": [0.5] * 50_000, **others})
    pq.write_table(table, buffer, use_dictionary=False, compression="NONE")
    assert len(places(pq.ParquetFile(buffer), most_bytes=2**20)) == 500


def test_a_reference_hides_nothing_in_nested_columns():
    buffer = io.BytesIO()
    table = pa.table({"x": [list(range(1000))] * 600, "score": [0.5] * 600})
    pq.write_table(table, buffer, use_dictionary=False, compression="NONE")
    with pytest.raises(TooLarge, match="in one row group"):
        places(pq.ParquetFile(buffer), most_bytes=2**20)


def test_a_table_without_rows_keeps_its_columns():
    found = sampling.read(reference(0), ["x", "score", "gone"], most_rows=500)
    assert (found.num_rows, found.column_names) == (0, ["x", "score"])


def test_all_columns_come_without_being_named_categories_too():
    buffer = io.BytesIO()
    kinds = pd.Categorical(["a"] * 50 + ["b"] * 50)
    pd.DataFrame({"kind": kinds, "x": range(100)}).to_parquet(buffer, row_group_size=30)
    found = sampling.read(pq.ParquetFile(buffer), None, most_rows=10).to_pandas()
    assert found["x"].tolist() == list(range(0, 100, 10))
    assert found["kind"].tolist() == ["a"] * 5 + ["b"] * 5
