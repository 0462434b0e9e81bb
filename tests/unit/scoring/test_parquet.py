"""Parquet files from users: what is read, and what is refused from the metadata or by the limit of memory."""

import struct
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scoring import parquet, parquet_reader


def write(path, *, rows_per_group=1000, **columns):
    pq.write_table(pa.table(columns), path, row_group_size=rows_per_group)
    return path


def footer_of(path, length):
    """The file with another length of its footer."""
    content = bytearray(path.read_bytes())
    content[-8:-4] = struct.pack("<I", length)
    path.write_bytes(content)
    return path


def test_columns_are_told_by_kind(tmp_path):
    path = write(
        tmp_path / "a.parquet",
        whole=pa.array([1], pa.uint8()),
        decimal=pa.array([None], pa.decimal128(9, 2)),
        flag=[True],
        words=pa.array(["a"]).dictionary_encode(),
        views=pa.array(["a"], pa.string_view()),
        when=pa.array([1], pa.timestamp("ns")),
        many=[[1]],
        nothing=pa.nulls(1),
        day=pa.array([1], pa.date32()),
    )
    [table] = parquet.look([path])
    assert table.n_rows == 1
    kinds = {column.name: column.kind for column in table.columns}
    assert kinds == {
        "whole": "integer",
        "decimal": "number",
        "flag": "boolean",
        "words": "text",
        "views": "text",
        "when": "time",
        "many": "other",
        "nothing": "missing",
        "day": "other",
    }
    assert table.columns[5].physical == "INT64"


def test_rows_come_in_batches_from_any_row_on(tmp_path):
    path = write(
        tmp_path / "a.parquet",
        rows_per_group=700,
        n=list(range(12_000)),
        text=[str(number) for number in range(12_000)],
    )
    for first in (0, 1, 699, 700, 5_000, 11_999, 12_000):
        batches = list(parquet.rows(path, ["text", "n"], first))
        found = [row for batch in batches for row in batch]
        assert found == [(str(number), number) for number in range(first, 12_000)]
        assert all(len(batch) <= parquet_reader.BATCH_ROWS for batch in batches)


def test_values_are_plain(tmp_path):
    path = write(
        tmp_path / "a.parquet",
        whole=pa.array([2**64 - 1, None], pa.uint64()),
        number=pa.array([1.5, float("nan")], pa.float32()),
        when=pa.array([1_500, None], pa.timestamp("ms")),
        words=pa.array(["é", None]).dictionary_encode(),
        nothing=pa.nulls(2),
    )
    [[first, second]] = parquet.rows(path, ["whole", "number", "when", "words", "nothing"])
    assert first == (2**64 - 1, 1.5, 1.5, "é", None)
    assert (second[0], str(second[1]), second[2:]) == (None, "nan", (None, None, None))


def test_whole_decimals_keep_all_their_digits(tmp_path):
    numbers = [12345678901234567890, -(10**37), None, 7]
    path = write(
        tmp_path / "a.parquet",
        id=pa.array([None if n is None else Decimal(n) for n in numbers], pa.decimal128(38, 0)),
        price=pa.array([Decimal("7.25")] * 4, pa.decimal128(9, 2)),
    )
    [found] = parquet.rows(path, ["id", "price"])
    assert found == [(12345678901234567890, 7.25), (str(-(10**37)), 7.25), (None, 7.25), (7, 7.25)]


def test_many_files_are_looked_at_by_few_children(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "FILES_AT_ONCE", 2)
    paths = [write(tmp_path / f"{number}.parquet", n=[0] * number) for number in range(1, 6)]
    assert [table.n_rows for table in parquet.look(paths)] == [1, 2, 3, 4, 5]
    paths[3].write_bytes(b"PAR1 is not enough PAR1")
    with pytest.raises(parquet.Refused, match="no Parquet file") as refused:
        parquet.look(paths)
    assert refused.value.path == paths[3]


def test_a_file_that_changed_is_looked_at_again(tmp_path):
    path = write(tmp_path / "a.parquet", n=[1])
    assert parquet.look([path])[0].n_rows == 1
    write(path, n=[1, 2, 3])
    assert parquet.look([path])[0].n_rows == 3


def test_a_large_footer_is_not_read(tmp_path):
    path = tmp_path / "a.parquet"
    with path.open("wb") as file:
        file.truncate(30 * 1024**2)
        file.seek(0, 2)
        file.write(struct.pack("<I", 20 * 1024**2) + b"PAR1")
    with pytest.raises(parquet.Refused, match="metadata have 20\u202f971\u202f520 bytes"):
        parquet.look([path])
    with pytest.raises(parquet.Refused, match="no Parquet file"):
        parquet.look([footer_of(write(tmp_path / "b.parquet", n=[1]), 2**31)])


def test_too_many_rows_in_a_group_or_columns_are_refused_from_the_metadata(tmp_path, monkeypatch):
    path = write(tmp_path / "a.parquet", rows_per_group=100, n=list(range(250)))
    with path.open("rb") as file:
        for name, limit, words in (
            ("MAX_GROUP_ROWS", 99, "row group 0 has 100 rows, 99 are read"),
            ("MAX_GROUP_BYTES", 99, "n has .* bytes in one row group, 99 are read"),
            ("MAX_COLUMNS", 0, "1 columns, 0 are read"),
        ):
            with monkeypatch.context() as patch:
                patch.setattr(parquet_reader, name, limit)
                with pytest.raises(parquet.Refused, match=words):
                    parquet_reader.looked(file.fileno())
        assert parquet_reader.looked(file.fileno()).n_rows == 250


def test_one_row_that_needs_gigabytes_meets_the_limit_of_memory(tmp_path):
    place = pa.array([0] * 5_000, pa.int32())
    words = pa.DictionaryArray.from_arrays(place, pa.array(["x" * 1_000_000]))
    path = write(tmp_path / "a.parquet", rows_per_group=5_000, words=words)
    assert path.stat().st_size < 100_000
    with pytest.raises(parquet.Refused, match="too much memory after row 0"):
        list(parquet.rows(path, ["words"]))


def test_rows_before_a_broken_page_are_read(tmp_path):
    path = write(tmp_path / "a.parquet", rows_per_group=5_000, n=list(range(10_000)))
    at = pq.read_metadata(path).row_group(1).column(0).data_page_offset
    content = bytearray(path.read_bytes())
    content[at - 50 : at + 200] = bytes(250)
    path.write_bytes(content)
    batches = parquet.rows(path, ["n"])
    assert len(next(batches)) == 5_000
    with pytest.raises(parquet.Refused, match="broken after row 5\u202f000"):
        next(batches)


def test_the_reader_ends_with_its_rows(tmp_path, monkeypatch):
    started = []
    start = parquet.sandbox.start
    monkeypatch.setattr(
        parquet.sandbox, "start", lambda *args, **named: started.append(start(*args, **named)) or started[-1]
    )
    batches = parquet.rows(write(tmp_path / "a.parquet", n=list(range(100_000))), ["n"])
    next(batches)
    batches.close()
    assert started[0].poll() is not None


def test_a_reader_that_is_killed_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "MEMORY_BYTES", 40 * 1024**2)  # too little to begin with
    with pytest.raises(parquet.Refused, match="needs more than 40 MiB"):
        parquet.look([write(tmp_path / "a.parquet", n=[1])])
