"""Days of predictions as files: the same lines give the same bytes, and a day without any has none."""

import json

import pyarrow.parquet as pq
import pytest

from jobs.spark_apps.compact_predictions import compact

LINE = {
    "id": "0197e2a0-0000-7000-8000-000000000001",
    "at": "2026-07-08T10:00:00.123456Z",
    "model": "titanic",
    "version": "3",
    "source": "api",
    "row": 0,
    "value": "1",
    "label": "Survived",
    "probabilities": '{"0": 0.1, "1": 0.9}',
    "is_demo": False,
    "is_answered": True,
    "actual": None,
}


def write(folder, day, *changes):
    folder.mkdir(exist_ok=True)
    (folder / f"{day}.ndjson").write_text("".join(json.dumps(LINE | change) + "\n" for change in changes))


@pytest.fixture
def run(spark, tmp_path):
    return lambda: compact(spark, tmp_path / "supplies", tmp_path / "by_day", tmp_path / "scratch")


def test_each_day_is_one_file_in_the_order_of_ids(run, tmp_path):
    write(tmp_path / "supplies", "2026-07-08", {"id": "b"}, {"id": "a", "actual": "0", "label": "é, “x”"})
    write(tmp_path / "supplies", "2026-07-09", {})
    result = run()
    assert (result["predictions"], result["n_files"]) == (3, 2)
    assert result["tables"][0]["rows"] == [["2026-07-08", 2], ["2026-07-09", 1]]
    rows = pq.ParquetFile(tmp_path / "by_day" / "day=2026-07-08" / "predictions.parquet").read().to_pylist()
    assert [row["id"] for row in rows] == ["a", "b"]
    assert (rows[0]["label"], rows[0]["actual"], rows[1]["actual"]) == ("é, “x”", "0", None)
    assert rows[0]["at"].isoformat().startswith("2026-07-08T10:00:00.123456")


def test_a_second_run_gives_the_same_bytes_and_takes_erased_ones_away(run, tmp_path):
    path = tmp_path / "by_day" / "day=2026-07-08" / "predictions.parquet"
    write(tmp_path / "supplies", "2026-07-08", *({"id": f"{n:04}"} for n in range(500)))
    contents = []
    for _time in range(2):
        run()
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    write(tmp_path / "supplies", "2026-07-08", {"id": "0001"})
    run()
    assert pq.ParquetFile(path).metadata.num_rows == 1
    assert [found.name for found in (tmp_path / "by_day").rglob("*.parquet")] == ["predictions.parquet"]


def test_a_day_whose_predictions_are_all_gone_has_no_file(run, tmp_path):
    write(tmp_path / "supplies", "2026-07-08", {})
    run()
    write(tmp_path / "supplies", "2026-07-08")
    assert run()["n_files"] == 0
    assert list((tmp_path / "by_day").rglob("*.parquet")) == []


def test_lines_of_another_shape_end_the_job(run, tmp_path):
    write(tmp_path / "supplies", "2026-07-08", {"row": "first"})
    with pytest.raises(Exception, match=r"FAILFAST|MALFORMED"):
        run()
    assert list((tmp_path / "by_day").rglob("*.parquet")) == []
