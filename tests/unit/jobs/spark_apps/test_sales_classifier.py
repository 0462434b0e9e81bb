"""The classifier: a rule that is in the table is learnt, chance is not, and hopeless tables are refused."""

import random
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss

from jobs.spark_apps.running import SourceRefused
from jobs.spark_apps.sales_classifier import Params, chosen, classify, prepared, read
from tests.unit.jobs.spark_apps.made_trips import write

N_ROWS = 300


def sales(**columns):
    """Whoever is in the north, or pays much, buys the large one; every tenth row is the other way round."""
    dice = random.Random(7)
    region = [dice.choice(["north", "south", "west"]) for _row in range(N_ROWS)]
    price = [dice.uniform(1, 100) for _row in range(N_ROWS)]
    is_large = [
        (r == "north" or p > 80) != (i % 10 == 0) for i, (r, p) in enumerate(zip(region, price, strict=True))
    ]
    made = {"region": region, "price": price, "size": ["large" if one else "small" for one in is_large]}
    return pa.table(made | columns)


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "sales.parquet", sales())


def test_a_rule_is_learnt_and_measured_as_sklearn_does_beside_the_baseline(spark, tmp_path, source):
    result = classify(spark, Params(source, "size"), tmp_path / "out")
    found, base = result["metrics"], result["baseline"]
    assert found["accuracy"] > 0.8 > base["accuracy"]
    assert result["is_better_than_baseline"]
    assert (result["rows_in"], result["rows_kept"], result["classes"]) == (N_ROWS, N_ROWS, 2)
    rows = pq.read_table(tmp_path / "out").to_pandas()
    assert 30 < len(rows) == result["held_out_rows"] < 90
    assert found["accuracy"] == pytest.approx(accuracy_score(rows["size"], rows.predicted_size))
    assert found["f1"] == pytest.approx(f1_score(rows["size"], rows.predicted_size, average="weighted"))
    share = np.where(rows.predicted_size == "large", rows.probability, 1 - rows.probability)
    assert found["log_loss"] == pytest.approx(log_loss(rows["size"] == "large", share))
    all_rows = pq.read_table(source).to_pandas()["size"]
    assert base["accuracy"] == pytest.approx((rows["size"] == all_rows.mode()[0]).mean())


def test_the_split_depends_on_seed_and_values_not_on_the_order_of_rows(spark, tmp_path, source):
    def held_out(path, seed):
        params = Params(path, "size", seed=seed)
        rows = prepared(read(spark, path), params, ["region"], ["price"])
        return sorted(row["n0"] for row in rows.where("is_held_out").collect())

    table = pq.read_table(source)
    turned = write(tmp_path / "turned.parquet", table.take(list(range(N_ROWS))[::-1]))
    assert held_out(source, 1) == held_out(turned, 1)
    assert held_out(source, 1) != held_out(source, 2)


def test_rows_without_label_or_number_are_left_out_and_counted(spark, tmp_path):
    table = sales()
    label, price, region = (table[name].to_pylist() for name in ("size", "price", "region"))
    label[0], label[1], price[2], price[3], region[4] = None, "", None, float("nan"), None
    source = write(tmp_path / "s.parquet", pa.table({"region": region, "price": price, "size": label}))
    result = classify(spark, Params(source, "size"), tmp_path / "out")
    assert result["dropped"] == {"no_label_or_missing_number": 4}


def test_columns_called_as_the_answers_are_keep_their_names(spark, tmp_path):
    dice = random.Random(3)
    shares = [dice.random() for _row in range(N_ROWS)]
    table = sales(probability=shares, predicted_size=["a" if share > 0.5 else "b" for share in shares])
    source = write(tmp_path / "s.parquet", table)
    columns = "price, probability, predicted_size, price"
    classify(spark, Params(source, "size", columns=columns), tmp_path / "out")
    names = ["predicted_size", "price", "probability", "size", "predicted_size_2", "probability_2"]
    written = pq.read_table(tmp_path / "out")
    assert written.column_names == names
    assert set(written["probability"].to_pylist()) <= set(shares)
    assert set(written["predicted_size_2"].to_pylist()) <= {"large", "small"}


def test_text_as_arrows_newer_writers_store_it_is_text(spark, tmp_path):
    regions = sales()["region"].cast(pa.string_view())
    read_back = read(spark, write(tmp_path / "s.parquet", sales(region=regions)))
    assert {row["region"] for row in read_back.select("region").collect()} == {"north", "south", "west"}


def test_csv_is_read_in_the_types_that_it_shows(spark, tmp_path):
    path = tmp_path / "sales [1].csv"
    sales().to_pandas().to_csv(path, index=False)
    result = classify(spark, Params(path, "size", columns="region, price"), tmp_path / "out")
    assert result["metrics"]["accuracy"] > 0.8


@pytest.mark.parametrize(
    ("table", "params", "words"),
    [
        (sales(), {"label": "colour"}, r"sales\.parquet has no column colour; it has region, price, size"),
        (sales(), {"columns": "price,colour"}, "has no column colour"),
        (sales().slice(0, 0), {}, "has no row with a size and all numbers"),
        (sales(size=["large"] * N_ROWS), {}, "size has one value in all rows"),
        (sales(shop=["main"] * N_ROWS, year=[2024] * N_ROWS), {}, "shop, year has one value only"),
        (sales(size=[f"{i}" for i in range(N_ROWS)]), {}, "size has 300 values, more than 100"),
        (sales().slice(0, 2), {}, "has one value in all rows|too few rows"),
        (sales().select(["size"]), {}, "no column beside size"),
        (sales(at=pa.array([0] * N_ROWS, pa.timestamp("us"))), {"columns": "at"}, "has no column at"),
    ],
)
def test_a_table_that_teaches_nothing_is_refused_in_words(spark, tmp_path, table, params, words):
    source = write(tmp_path / "sales.parquet", table)
    with pytest.raises(SourceRefused, match=words):
        classify(spark, Params(**{"source": source, "label": "size", **params}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_name_of_each_row_is_refused(spark, tmp_path):
    table = pa.concat_tables([sales()] * 5)
    table = table.append_column("id", [[f"order-{i}" for i in range(len(table))]])
    source = write(tmp_path / "sales.parquet", table)
    with pytest.raises(SourceRefused, match="id has more than 1000 values"):
        classify(spark, Params(source, "size"), tmp_path / "out")


def numbers(values, kind):
    """As a column of this kind; Arrow makes decimals of decimals alone."""
    return pa.array([Decimal(n) if pa.types.is_decimal(kind) else n for n in values], kind)


def test_a_number_may_be_whole_in_one_file_and_money_in_another(spark, tmp_path):
    """int64, double, decimal and uint64: as months of one folder come."""
    kinds = [pa.int64(), pa.float64(), pa.decimal128(10, 2), pa.uint64()]
    whole = list(range(N_ROWS))
    for n, kind in enumerate(kinds):
        write(tmp_path / "s" / f"{n}.parquet", sales(quantity=numbers(whole, kind)))
    params = Params(tmp_path / "s", "size", columns="region, quantity")
    table = read(spark, params.source)
    assert chosen(table, params) == (["region"], ["quantity"])
    found = [row["n0"] for row in prepared(table, params, ["region"], ["quantity"]).collect()]
    assert found == [float(n) for n in whole] * len(kinds)


@pytest.mark.parametrize("kind", [pa.decimal128(10, 2), pa.uint64()])
def test_decimals_are_learnt_from(spark, tmp_path, kind):
    source = write(tmp_path / "s.parquet", sales(paid=numbers([1, 2] * (N_ROWS // 2), kind)))
    assert chosen(read(spark, source), Params(source, "size"))[1] == ["price", "paid"]


def test_files_whose_columns_are_of_other_kinds_are_refused_in_words(spark, tmp_path):
    write(tmp_path / "s" / "0.parquet", sales(paid=pa.array([True] * N_ROWS)))
    write(tmp_path / "s" / "1.parquet", sales(paid=pa.array(["1"] * N_ROWS)))
    with pytest.raises(SourceRefused, match="paid is string, not boolean"):
        read(spark, tmp_path / "s")


def test_a_folder_without_parquet_is_refused(spark, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("x\n1\n")
    with pytest.raises(SourceRefused, match=r"holds no \.parquet file: name a CSV file itself"):
        classify(spark, Params(tmp_path / "in", "x"), tmp_path / "out")
