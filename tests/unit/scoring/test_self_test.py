"""The sample of a reference: spread evenly, and never more of the file in memory than a piece."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scoring import self_test


def reference(n_rows: int, **options) -> pq.ParquetFile:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"x": list(range(n_rows)), "score": [0.5] * n_rows}), buffer, **options)
    return pq.ParquetFile(buffer)


def places(file: pq.ParquetFile) -> list[int]:
    return self_test._spread(file, ["x", "score"]).column("x").to_pylist()


@pytest.mark.parametrize("n_rows", [1, 499, 500, 999, 1000, 1499, 12_345])
@pytest.mark.parametrize("read_rows", [7, 100, 20_000])
def test_rows_are_spread_evenly_whatever_the_size_of_a_piece(monkeypatch, n_rows, read_rows):
    monkeypatch.setattr(self_test, "READ_ROWS", read_rows)
    step = {1: 1, 499: 1, 500: 1, 999: 1, 1000: 2, 1499: 2, 12_345: 24}[n_rows]
    found = places(reference(n_rows, row_group_size=1000))
    assert found == list(range(0, n_rows, step))[:500]


def test_a_reference_is_never_read_whole(monkeypatch):
    def read(*_args, **_kwargs):
        raise AssertionError("the whole file")

    file = reference(3000)
    monkeypatch.setattr(pq.ParquetFile, "read", read)
    assert len(places(file)) == 500


def test_a_reference_that_grows_too_large_at_once_is_refused(monkeypatch):
    monkeypatch.setattr(self_test, "MOST_BYTES", 2**20)
    options = {"use_dictionary": False, "compression": "NONE"}  # 16 bytes a row
    with pytest.raises(self_test.SelfTestError, match="its reference holds more than 1 MiB in one row group"):
        places(reference(300_000, **options))
    assert len(places(reference(300_000, row_group_size=50_000, **options))) == 500


def test_of_a_reference_only_the_columns_that_are_read_count(monkeypatch):
    monkeypatch.setattr(self_test, "MOST_BYTES", 2**20)
    buffer = io.BytesIO()
    others = {f"x.{n}": [f"{n}-{row}" for row in range(50_000)] for n in range(5)}
    table = pa.table({"x": list(range(50_000)), "score": [0.5] * 50_000, **others})
    pq.write_table(table, buffer, use_dictionary=False, compression="NONE")
    assert len(places(pq.ParquetFile(buffer))) == 500


def test_a_reference_hides_nothing_in_nested_columns(monkeypatch):
    monkeypatch.setattr(self_test, "MOST_BYTES", 2**20)
    buffer = io.BytesIO()
    table = pa.table({"x": [list(range(1000))] * 600, "score": [0.5] * 600})
    pq.write_table(table, buffer, use_dictionary=False, compression="NONE")
    with pytest.raises(self_test.SelfTestError, match="in one row group"):
        places(pq.ParquetFile(buffer))


def test_a_reference_without_rows_is_refused():
    with pytest.raises(self_test.SelfTestError, match="no rows"):
        places(reference(0))
