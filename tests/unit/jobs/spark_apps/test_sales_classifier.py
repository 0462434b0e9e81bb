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
        rows = prepared(read(spark, params).rows, params, ["region"], ["price"])
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
    source = write(tmp_path / "s.parquet", sales(region=regions))
    read_back = read(spark, Params(source, "size")).rows
    assert {row["region"] for row in read_back.select("region").collect()} == {"north", "south", "west"}


def test_csv_is_read_in_the_types_that_it_shows(spark, tmp_path):
    path = tmp_path / "sales [1].csv"
    sales().to_pandas().to_csv(path, index=False)
    result = classify(spark, Params(path, "size", columns="region, price"), tmp_path / "out")
    assert result["metrics"]["accuracy"] > 0.8


def csv_of(tmp_path, *lines, encoding="utf-8"):
    """The sales with a code and a day of each, and lines behind them."""
    n = list(range(N_ROWS))
    table = sales(zip=[f"0073{i % 7}" for i in n], day=[f"2024-01-{i % 28 + 1:02d}" for i in n]).to_pandas()
    table["size"] = table["size"].map({"large": "01", "small": "02"})
    path = tmp_path / "sales.csv"
    path.write_bytes((table.to_csv(index=False) + "\n".join([*lines, ""])).encode(encoding))
    return path


def test_lines_of_csv_that_are_no_rows_are_left_out_and_counted_and_spoil_no_other(spark, tmp_path):
    """A value more, one less, and a quote that nobody closes, with a row behind it."""
    odd = ["north,1.5,01,00731,2024-01-01,7", "north,01,00731,2024-01-01", '"north,1.5,01,00731,2024-01-01']
    path = csv_of(tmp_path, *odd, "north,1.5,01,00731,2024-01-01")
    result = classify(spark, Params(path, "size"), tmp_path / "out")
    assert (result["rows_in"], result["rows_kept"]) == (N_ROWS + 4, N_ROWS + 1)
    assert result["dropped"] == {"no_label_or_missing_number": 0, "more_or_fewer_values_than_names": 3}
    assert result["columns_left_out"] == "day"
    assert "rows_not_in_utf_8" not in result


def test_codes_and_labels_of_csv_keep_their_zeros(spark, tmp_path):
    classify(spark, Params(csv_of(tmp_path), "size"), tmp_path / "out")
    rows = pq.read_table(tmp_path / "out").to_pydict()
    assert set(rows["size"]) == {"01", "02"} >= set(rows["predicted_size"])
    assert set(rows["zip"]) <= {f"0073{n}" for n in range(7)}
    assert {type(price) for price in rows["price"]} == {float}


@pytest.mark.parametrize("label", ["1", "7.50", "2024-01-01", "true"])
def test_a_label_of_csv_is_the_text_that_is_there(spark, tmp_path, label):
    path = tmp_path / "s.csv"
    path.write_text(f"kind,n\n{label},1\n{label},2\n")
    assert {row["kind"] for row in read(spark, Params(path, "kind")).rows.collect()} == {label}


def test_doubled_quotes_backslashes_and_empty_cells_of_csv(spark, tmp_path):
    path = tmp_path / "s.csv"
    path.write_text(
        'what,n,none,kind\n"12"" pipe, steel",1,,a\n"C:\\",-2.5e3,"",b\n"12"" pipe",NaN,,a\nd,.5,,b\n'
    )
    table = read(spark, Params(path, "kind"))
    assert dict(table.rows.dtypes) == {"what": "string", "n": "double", "none": "string", "kind": "string"}
    found = table.rows.collect()
    assert [row["what"] for row in found] == ['12" pipe, steel', "C:\\", '12" pipe', "d"]
    assert [row["n"] for row in found][:2] == [1.0, -2500.0]
    assert table.n_cut == 0


@pytest.mark.parametrize(("text", "words"), [("", "csv is empty"), ("size,n\n", "no row with a size")])
def test_a_csv_without_rows_is_refused_in_words(spark, tmp_path, text, words):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(SourceRefused, match=words):
        classify(spark, Params(tmp_path / "s.csv", "size"), tmp_path / "out")


def test_rows_of_csv_that_are_no_utf_8_are_counted(spark, tmp_path):
    path = csv_of(tmp_path, *["Logroño,1.5,01,00731,2024-01-01"] * 2, encoding="latin-1")
    result = classify(spark, Params(path, "size", columns="region"), tmp_path / "out")
    assert result["rows_not_in_utf_8"] == 2
    assert "columns_left_out" not in result


def test_a_time_of_csv_that_is_named_is_refused(spark, tmp_path):
    with pytest.raises(SourceRefused, match="day is timestamp: only text, numbers and truth values"):
        classify(spark, Params(csv_of(tmp_path), "size", columns="day"), tmp_path / "out")


def test_columns_of_parquet_that_are_left_out_are_named(spark, tmp_path):
    at = pa.array([0] * N_ROWS, pa.timestamp("us"))
    source = write(tmp_path / "s.parquet", sales(at=at, tags=pa.array([["a"]] * N_ROWS)))
    result = classify(spark, Params(source, "size"), tmp_path / "out")
    assert result["columns_left_out"] == "at, tags"


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_a_column_that_is_empty_in_one_file_of_a_folder_is_learnt_from_the_others(spark, tmp_path, order):
    folder = tmp_path / "sales"
    folder.mkdir()
    colours = pa.array(["red", "blue"] * (N_ROWS // 2))
    for name, colour in zip(order, (pa.nulls(N_ROWS), colours), strict=True):
        write(folder / f"{name}.parquet", sales(color=colour))
    result = classify(spark, Params(folder, "size", columns="region,color"), tmp_path / "out")
    assert "columns_left_out" not in result
    assert result["rows_in"] == 2 * N_ROWS


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
    table = read(spark, params).rows
    assert chosen(table, params) == (["region"], ["quantity"])
    found = [row["n0"] for row in prepared(table, params, ["region"], ["quantity"]).collect()]
    assert found == [float(n) for n in whole] * len(kinds)


@pytest.mark.parametrize("kind", [pa.decimal128(10, 2), pa.uint64()])
def test_decimals_are_learnt_from(spark, tmp_path, kind):
    source = write(tmp_path / "s.parquet", sales(paid=numbers([1, 2] * (N_ROWS // 2), kind)))
    params = Params(source, "size")
    assert chosen(read(spark, params).rows, params)[1] == ["price", "paid"]


def test_files_whose_columns_are_of_other_kinds_are_refused_in_words(spark, tmp_path):
    write(tmp_path / "s" / "0.parquet", sales(paid=pa.array([True] * N_ROWS)))
    write(tmp_path / "s" / "1.parquet", sales(paid=pa.array(["1"] * N_ROWS)))
    with pytest.raises(SourceRefused, match="paid is string, not boolean"):
        read(spark, Params(tmp_path / "s", "size"))


def test_a_folder_without_parquet_is_refused(spark, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("x\n1\n")
    with pytest.raises(SourceRefused, match=r"holds no \.parquet file: name a CSV file itself"):
        classify(spark, Params(tmp_path / "in", "x"), tmp_path / "out")
